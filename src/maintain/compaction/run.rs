//! Carrying a compaction plan out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_file::{Action, TimelineFile};
use lakebed_hudi::timeline_metadata::CompactionPlan;

use super::draft::CompactionDraft;
use super::slices::{self, PlanFiles, PlannedSlice};
use crate::commit::{Scheduled, ServiceRun, compaction_metadata};
use crate::maintain::error::GroupError;
use crate::maintain::run::begun;
use crate::maintain::share::{MemoryShare, until_limits};
use crate::maintain::{MaintainError, Maintainer, RunLimits, RunOutcome, Survey, finished, named_files};
use crate::memory::Room;
use crate::read::SliceReader;
use crate::storage::TablePath;
use crate::table::{Attempt, FileGroupId, StagedFile, StagedFiles, TableSnapshot};
use crate::write::CompactionWriter;

/// What a run tells as it goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CompactionEvent {
    /// It has begun.
    Begun {
        /// The compaction.
        instant: InstantTime,
        /// File groups that are still to be done, and bytes of their files.
        groups: usize,
        /// See there.
        bytes: u64,
    },
    /// A group is done.
    Finished {
        /// The group.
        group: FileGroupId,
        /// Bytes that were read for it.
        read_bytes: u64,
        /// Bytes of its new base file.
        written_bytes: u64,
    },
}

/// What a run did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompactionReport {
    /// The compaction.
    pub instant: InstantTime,
    /// How it ended.
    pub outcome: RunOutcome,
    /// File groups of the plan that are not replaced meanwhile.
    pub groups: usize,
    /// Of these, those that an earlier run had done.
    pub resumed: usize,
    /// Those that this one did.
    pub finished: usize,
    /// Bytes that were read.
    pub read_bytes: u64,
    /// Bytes that were written.
    pub written_bytes: u64,
    /// Of these, bytes that were copied from base files, as they were.
    pub copied_bytes: u64,
    /// Rows in the new base files, those of earlier runs included.
    pub rows: u64,
}

impl CompactionReport {
    fn of(instant: InstantTime, outcome: RunOutcome) -> Self {
        Self {
            instant,
            outcome,
            groups: 0,
            resumed: 0,
            finished: 0,
            read_bytes: 0,
            written_bytes: 0,
            copied_bytes: 0,
            rows: 0,
        }
    }
}

impl Maintainer {
    /// Puts a compaction on the timeline that was drafted on `survey`.
    ///
    /// # Errors
    /// [`MaintainError::Memory`], [`MaintainError::LostFile`]; no lock in time; those of the storage.
    pub async fn schedule_compaction(
        &self,
        survey: &Survey,
        draft: &CompactionDraft,
    ) -> Result<Scheduled, MaintainError> {
        // The newest commit of the survey may have been taken back, and its schema with it.
        self.check_memory(&self.table().snapshot(None).await?).await?;
        named_files::check(&survey.snapshot, draft.groups.iter()).await?;
        let settle = |news: &_| draft.settled(news).map(|plan| Ok(plan.to_avro()?.into())).transpose();
        let committer = self.committer();
        Ok(committer.schedule(Action::Compaction, &survey.snapshot.timeline, settle).await?)
    }

    /// Carries out the pending compaction `instant`, whoever planned it. Files that another run has finished
    /// are taken over.
    ///
    /// # Errors
    /// Files that are gone or damaged, rows that cannot be merged; others in the way; those of the storage.
    /// The compaction stays pending, and nothing of it shows.
    pub async fn compact(
        &self,
        instant: InstantTime,
        limits: &RunLimits,
        tell: &(dyn Fn(CompactionEvent) + Sync),
    ) -> Result<CompactionReport, MaintainError> {
        let run = match begun(self.committer().take(instant, Action::Compaction).await?) {
            Ok(run) => run,
            Err(outcome) => return Ok(CompactionReport::of(instant, outcome)),
        };
        let worked = self.work(&run, limits, tell).await;
        self.let_go(run, worked.as_ref().is_ok_and(|report| report.outcome.is_over())).await;
        worked
    }

    async fn work(
        &self,
        run: &ServiceRun,
        limits: &RunLimits,
        tell: &(dyn Fn(CompactionEvent) + Sync),
    ) -> Result<CompactionReport, MaintainError> {
        let committer = self.committer();
        let plan = self.read_plan(run.instant).await?;
        let snapshot = self.table().snapshot(None).await?;
        let schema = snapshot.schema().await?;
        let memory = MemoryShare::of(self.options(), &schema)?;
        let attempt = Attempt { instant: run.instant, token_stage: self.token_stage() };
        let files = slices::find(&snapshot, run.instant, &plan).await?;
        let done = self.resume(run, &files).await?;
        let rest: Vec<PlannedSlice> =
            files.slices.iter().filter(|planned| !done.contains_key(&planned.number)).cloned().collect();
        let room = Room::new(memory.at_once, memory.rows_bytes, rest.len());
        let writer = CompactionWriter::new(self.table(), attempt, &schema, room)?;
        let writer = if self.options().rewrite_whole { writer.without_copying() } else { writer };
        let mut report = CompactionReport {
            groups: files.slices.len(),
            resumed: done.len(),
            ..CompactionReport::of(run.instant, RunOutcome::Stopped)
        };
        tell(CompactionEvent::Begun {
            instant: run.instant,
            groups: rest.len(),
            bytes: rest.iter().map(|planned| planned.slice.total_bytes()).sum(),
        });
        for partition in &files.unmarked {
            writer.make_partition(partition).await?;
        }
        let rewriting = Rewriting { maintainer: self, run, snapshot: Arc::new(snapshot), writer };
        let made = rewriting.rewrite(rest, memory.at_once, limits, tell).await?;
        report.finished = made.len();
        report.read_bytes = made.iter().map(|(_, read_bytes)| read_bytes).sum();
        report.written_bytes = made.iter().map(|(staged, _)| staged.size_bytes).sum();
        report.copied_bytes = made.iter().map(|(staged, _)| staged.copied_bytes()).sum();
        let staged = StagedFiles {
            files: done.into_values().chain(made.into_iter().map(|(staged, _)| staged)).collect(),
            replaced: Vec::new(),
        };
        report.rows = staged.files.iter().map(|file| file.rows.written).sum();
        if staged.files.len() < report.groups {
            return Ok(report);
        }
        let metadata = compaction_metadata(run.instant, &staged, &schema, &plan.extra_metadata);
        let metadata = metadata.to_avro().map_err(crate::commit::CommitError::from)?;
        report.outcome = RunOutcome::of(committer.complete(run, &staged, metadata).await?)?;
        Ok(report)
    }

    /// What earlier attempts have finished; what they left else is rolled back.
    async fn resume(
        &self,
        run: &ServiceRun,
        files: &PlanFiles,
    ) -> Result<BTreeMap<u32, StagedFile>, MaintainError> {
        let committer = self.committer();
        let noted = finished::read(committer, run.instant, &files.sizes).await?;
        let one = |(number, staged): (u32, Vec<StagedFile>)| Some((number, staged.into_iter().next()?));
        let mut done: BTreeMap<u32, StagedFile> = noted.into_iter().filter_map(one).collect();
        let is_of_plan = |number: &u32, staged: &StagedFile| {
            let at = files.slices.binary_search_by_key(number, |planned| planned.number);
            at.is_ok_and(|at| files.slices[at].group == staged.group)
        };
        done.retain(|number, staged| is_of_plan(number, staged));
        let kept: BTreeSet<TablePath> = done.values().map(|staged| staged.path.clone()).collect();
        if committer.begin_attempt(run, &kept).await? {
            // It may have been the rollback of somebody who knew nothing of our notes.
            done = BTreeMap::new();
        }
        Ok(done)
    }

    async fn read_plan(&self, instant: InstantTime) -> Result<CompactionPlan, MaintainError> {
        let timeline = &self.table().timeline;
        let file = TimelineFile::requested(instant, Action::Compaction);
        let plan = CompactionPlan::from_avro(&timeline.read(&file).await?);
        plan.map_err(|source| MaintainError::Plan { path: timeline.path(&file), source })
    }
}

/// The rewriting of file groups.
struct Rewriting<'a> {
    maintainer: &'a Maintainer,
    run: &'a ServiceRun,
    snapshot: Arc<TableSnapshot>,
    writer: CompactionWriter,
}

impl Rewriting<'_> {
    /// Rewrites `slices`, `at_once` at the same time, until the limits. Returns the files, with the bytes read
    /// for each.
    async fn rewrite(
        &self,
        slices: Vec<PlannedSlice>,
        at_once: usize,
        limits: &RunLimits,
        tell: &(dyn Fn(CompactionEvent) + Sync),
    ) -> Result<Vec<(StagedFile, u64)>, MaintainError> {
        let clock = self.maintainer.table().environment.clock.as_ref();
        let slices = slices.into_iter().map(|planned| self.one(planned));
        let finished = |(staged, read_bytes): &(StagedFile, u64)| {
            tell(CompactionEvent::Finished {
                group: staged.group.clone(),
                read_bytes: *read_bytes,
                written_bytes: staged.size_bytes,
            });
        };
        until_limits(slices, at_once, (limits, clock), finished).await
    }

    async fn one(&self, planned: PlannedSlice) -> Result<(StagedFile, u64), MaintainError> {
        let read_bytes = planned.slice.total_bytes();
        let group = planned.group.clone();
        let staged = self.rewritten(planned).await;
        let staged = staged.map_err(|source| MaintainError::Group { group, source: Box::new(source) })?;
        Ok((staged, read_bytes))
    }

    async fn rewritten(&self, planned: PlannedSlice) -> Result<StagedFile, GroupError> {
        let PlannedSlice { number, group, slice } = planned;
        let committer = self.maintainer.committer();
        let reader = SliceReader::open_to_rewrite(&self.snapshot, &slice).await?;
        let corrupt = reader.log_outline().corrupt_blocks.first();
        if let Some(corrupt) = corrupt.filter(|_| !self.maintainer.options().skip_corrupt_blocks) {
            return Err(GroupError::Corrupt(Box::new(corrupt.clone())));
        }
        let file = self.writer.write(number, group, slice.base.as_ref(), reader).await?;
        let staged = self.maintainer.finish(self.run, file).await?;
        finished::note(committer, self.run.instant, number, std::slice::from_ref(&staged)).await?;
        tracing::debug!(instant = %self.run.instant, group = %staged.group.file_id, "compacted");
        Ok(staged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Engines run services in tasks of their own.
    #[test]
    fn services_can_be_given_to_another_thread() {
        fn is_send<T: Send>(_: impl FnOnce(Maintainer, InstantTime, RunLimits) -> T) {}
        is_send(|maintainer, instant, limits| async move {
            maintainer.survey().await?;
            maintainer.compact(instant, &limits, &|_| {}).await
        });
        is_send(|maintainer, _, _| async move {
            let survey = maintainer.survey().await?;
            maintainer.schedule_compaction(&survey, &CompactionDraft::default()).await
        });
    }
}
