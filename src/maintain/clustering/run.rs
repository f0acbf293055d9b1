//! Carrying a clustering plan out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::schema::TableSchema;
use lakebed_hudi::timeline_file::{Action, TimelineFile};
use lakebed_hudi::timeline_metadata::{ClusteringPlan, RequestedReplaceMetadata};

use super::done::{Done, staying};
use super::draft::ClusteringDraft;
use super::report::{ClusteringEvent, ClusteringReport};
use super::slices::{self, LeftOut, PlanFiles, PlannedGroup};
use super::{check_fit, order};
use crate::commit::{CommitError, News, Scheduled, ServiceRun, clustering_metadata};
use crate::maintain::error::GroupError;
use crate::maintain::named_files;
use crate::maintain::run::begun;
use crate::maintain::share::{MemoryShare, until_limits};
use crate::maintain::{MaintainError, Maintainer, RunLimits, RunOutcome, Survey, finished};
use crate::read::SliceOpener;
use crate::storage::TablePath;
use crate::table::{Attempt, Refusal, has_consistent_hashing};
use crate::timeline::Timeline;
use crate::write::ClusteringWriter;

impl Maintainer {
    /// What the planner of clusterings looks at. File groups that somebody is just writing to count as busy.
    ///
    /// # Errors
    /// A table that cannot be read, or that is not clustered: see [`check_fit`].
    pub async fn survey_for_clustering(&self) -> Result<Survey, MaintainError> {
        self.fit_for_clustering(self.survey().await?).await
    }

    /// `survey`, of a table that may be clustered, without groups that somebody writes to.
    ///
    /// # Errors
    /// As [`Maintainer::survey_for_clustering`].
    pub async fn fit_for_clustering(&self, mut survey: Survey) -> Result<Survey, MaintainError> {
        self.check_no_consistent_hashing().await?;
        check_fit(&self.table().config, survey.groups.iter().map(|group| &group.id.file_id))?;
        survey.busy.extend(self.committer().groups_being_written(&survey.snapshot.timeline).await?);
        Ok(survey)
    }

    /// Puts a clustering on the timeline that was drafted on `survey`.
    ///
    /// # Errors
    /// [`MaintainError::Memory`]; columns to sort by that the table does not have; [`MaintainError::LostFile`]; no
    /// lock in time; those of the storage.
    pub async fn schedule_clustering(
        &self,
        survey: &Survey,
        draft: &ClusteringDraft,
    ) -> Result<Scheduled, MaintainError> {
        // The newest commit of the survey may have been taken back, and its schema with it.
        let snapshot = self.table().snapshot(None).await?;
        self.check_memory(&snapshot).await?;
        self.check_sort(&snapshot, &draft.sort_columns).await?;
        let slices = draft.groups.iter().flat_map(|group| &group.slices);
        named_files::check(&survey.snapshot, slices).await?;
        let uri = self.table().storage.uri();
        let settle = |news: &_| {
            let plan = draft.settled(news, uri)?;
            plan.map(|plan| Ok::<_, CommitError>(plan.to_avro()?.into())).transpose()
        };
        Ok(self.committer().schedule(Action::Clustering, &survey.snapshot.timeline, settle).await?)
    }

    /// Carries out the pending clustering `instant`, whoever planned it. Files that another run has finished are
    /// taken over. Slices that somebody has written to since are left out, together with those that they were to
    /// be rewritten with.
    ///
    /// # Errors
    /// Plans of strategies that Lakebed does not know; files that are gone or damaged, rows that cannot be merged
    /// or sorted; others in the way; those of the storage. The clustering stays pending, and nothing of it shows.
    pub async fn cluster(
        &self,
        instant: InstantTime,
        limits: &RunLimits,
        tell: &(dyn Fn(ClusteringEvent) + Sync),
    ) -> Result<ClusteringReport, MaintainError> {
        let run = match begun(self.committer().take(instant, Action::Clustering).await?) {
            Ok(run) => run,
            Err(outcome) => return Ok(ClusteringReport::of(instant, outcome)),
        };
        let worked = self.rewrite_together(&run, limits, tell).await;
        self.let_go(run, worked.as_ref().is_ok_and(|report| report.outcome.is_over())).await;
        worked
    }

    async fn rewrite_together(
        &self,
        run: &ServiceRun,
        limits: &RunLimits,
        tell: &(dyn Fn(ClusteringEvent) + Sync),
    ) -> Result<ClusteringReport, MaintainError> {
        self.check_no_consistent_hashing().await?;
        let (plan, sort_columns) = self.read_clustering_plan(run.instant).await?;
        let snapshot = Arc::new(self.table().snapshot(None).await?);
        let schema = snapshot.schema().await?;
        let memory = MemoryShare::of(self.options(), &schema)?;
        let attempt = Attempt { instant: run.instant, token_stage: self.token_stage() };
        let opener = (self.table(), SliceOpener::new(snapshot.clone()));
        let writer = ClusteringWriter::new(opener, attempt, &schema, &sort_columns, memory.rows_bytes)?;
        let files = slices::find(&snapshot, run.instant, &plan).await?;
        check_fit(&self.table().config, files.there.keys().map(|group| &group.file_id))?;
        for LeftOut { group, why } in &files.left_out {
            tracing::warn!(instant = %run.instant, group = %group.file_id, partition = %group.partition,
                "left out of the clustering: it was {why} since");
        }
        let done = self.resume_clustering(run, &files).await?;
        let is_done = |group: &&PlannedGroup| done.contains_key(&group.slices.number);
        let (resumed, rest): (Vec<&PlannedGroup>, Vec<_>) = files.groups.iter().partition(is_done);
        let count = |groups: &[&PlannedGroup]| groups.iter().map(|group| group.replaces.len()).sum();
        let mut report = ClusteringReport {
            resumed: count(&resumed),
            left_out: files.left_out.clone(),
            ..ClusteringReport::of(run.instant, RunOutcome::Stopped)
        };
        let bytes = rest.iter().map(|group| group.read_bytes()).sum();
        tell(ClusteringEvent::Begun { instant: run.instant, groups: count(&rest), bytes });
        report.groups = count(&resumed) + count(&rest);
        let rewriting = Rewriting { maintainer: self, run, writer };
        let rest = rest.into_iter().cloned().collect();
        let made = rewriting.rewrite(rest, memory.at_once, limits, tell).await?;
        report.finished = made.iter().map(|done| done.replaces.len()).sum();
        report.read_bytes = made.iter().map(|done| done.read_bytes).sum();
        report.written_bytes = made.iter().map(Done::written_bytes).sum();
        let made: Vec<Done> = done.into_values().chain(made).collect();
        report.files = made.iter().map(|done| done.staged.len()).sum();
        report.rows = made.iter().flat_map(|done| &done.staged).map(|file| file.rows.written).sum();
        if report.resumed + report.finished == report.groups {
            let strays = files.made_at(run.instant);
            let seen = (&snapshot.timeline, &schema);
            self.complete_clustering(run, seen, (made, strays), &mut report).await?;
        }
        Ok(report)
    }

    /// Makes what was `made` visible, but for what somebody has written to since it was `seen`, and for `strays`.
    async fn complete_clustering(
        &self,
        run: &ServiceRun,
        (seen, schema): (&Timeline, &TableSchema),
        (made, strays): (Vec<Done>, BTreeSet<TablePath>),
        report: &mut ClusteringReport,
    ) -> Result<(), MaintainError> {
        let mut all = strays;
        all.extend(made.iter().flat_map(|done| &done.staged).map(|file| file.path.clone()));
        let settle = |news: &News| {
            let (staying, left_out) = staying(made, news);
            report.groups = staying.replaced.len();
            report.files = staying.files.len();
            report.rows = staying.files.iter().map(|file| file.rows.written).sum();
            report.left_out.extend(left_out);
            let metadata = clustering_metadata(run.instant, &staying, schema).to_avro()?;
            Ok((staying, metadata))
        };
        let outcome = self.committer().complete_settled(run, all, Some(seen), settle).await?;
        report.outcome = RunOutcome::of(outcome)?;
        Ok(())
    }

    /// What earlier attempts have finished; what they left else is rolled back.
    async fn resume_clustering(
        &self,
        run: &ServiceRun,
        files: &PlanFiles,
    ) -> Result<BTreeMap<u32, Done>, MaintainError> {
        let committer = self.committer();
        let mut noted = finished::read(committer, run.instant, &files.sizes).await?;
        let mut done = BTreeMap::new();
        for PlannedGroup { slices, replaces } in &files.groups {
            if let Some(staged) = noted.remove(&slices.number) {
                done.insert(slices.number, Done { replaces: replaces.clone(), staged, read_bytes: 0 });
            }
        }
        let staged = done.values().flat_map(|done| &done.staged);
        let kept: BTreeSet<TablePath> = staged.map(|file| file.path.clone()).collect();
        if committer.begin_attempt(run, &kept).await? {
            // It may have been the rollback of somebody who knew nothing of our notes.
            done = BTreeMap::new();
        }
        Ok(done)
    }

    /// A plan, and the columns to sort by.
    async fn read_clustering_plan(
        &self,
        instant: InstantTime,
    ) -> Result<(ClusteringPlan, Vec<String>), MaintainError> {
        let timeline = &self.table().timeline;
        let file = TimelineFile::requested(instant, Action::Clustering);
        let path = || timeline.path(&file);
        let requested = RequestedReplaceMetadata::from_avro(&timeline.read(&file).await?)
            .map_err(|source| MaintainError::Plan { path: path(), source })?;
        let unsupported = |what: String| MaintainError::UnsupportedPlan { path: path(), what };
        let plan = requested.clustering_plan.ok_or_else(|| unsupported("nothing".to_owned()))?;
        let sort_columns = order::sort_columns(&plan).map_err(unsupported)?;
        Ok((plan, sort_columns))
    }

    async fn check_no_consistent_hashing(&self) -> Result<(), MaintainError> {
        if !has_consistent_hashing(self.table().storage.as_ref()).await? {
            return Ok(());
        }
        let feature = "clustering a table with a bucket index of consistent hashing".to_owned();
        let advice = "have the engine that writes it cluster it, too";
        Err(Refusal { table: self.table().config.name.clone(), feature, advice }.into())
    }
}

/// The rewriting of slices.
struct Rewriting<'a> {
    maintainer: &'a Maintainer,
    run: &'a ServiceRun,
    writer: ClusteringWriter,
}

impl Rewriting<'_> {
    /// Rewrites `groups`, `at_once` at the same time, until the limits.
    async fn rewrite(
        &self,
        groups: Vec<PlannedGroup>,
        at_once: usize,
        limits: &RunLimits,
        tell: &(dyn Fn(ClusteringEvent) + Sync),
    ) -> Result<Vec<Done>, MaintainError> {
        let clock = self.maintainer.table().environment.clock.as_ref();
        let groups = groups.into_iter().map(|group| self.one(group));
        let finished = |done: &Done| {
            let (read_bytes, written_bytes) = (done.read_bytes, done.written_bytes());
            tell(ClusteringEvent::Finished { read_bytes, written_bytes });
        };
        until_limits(groups, at_once, (limits, clock), finished).await
    }

    async fn one(&self, group: PlannedGroup) -> Result<Done, MaintainError> {
        let read_bytes = group.read_bytes();
        let PlannedGroup { slices, replaces } = group;
        let number = slices.number;
        let mut files = self.writer.write(slices);
        let mut staged = Vec::new();
        let made = async {
            while let Some(file) = files.next().await? {
                staged.push(self.maintainer.finish(self.run, file).await?);
            }
            finished::note(self.maintainer.committer(), self.run.instant, number, &staged).await?;
            Ok::<_, GroupError>(())
        };
        match made.await {
            Ok(()) => Ok(Done { replaces, staged, read_bytes }),
            Err(source) => {
                let (first, groups) = (replaces[0].clone(), replaces.len());
                Err(MaintainError::Together { first, groups, source: Box::new(source) })
            }
        }
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
            maintainer.survey_for_clustering().await?;
            maintainer.cluster(instant, &limits, &|_| {}).await
        });
        is_send(|maintainer, _, _| async move {
            let survey = maintainer.survey_for_clustering().await?;
            maintainer.schedule_clustering(&survey, &ClusteringDraft::default()).await
        });
    }
}
