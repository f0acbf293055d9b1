//! Carrying a plan of a clean out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_file::{Action, TimelineFile};
use lakebed_hudi::timeline_metadata::{CleanMetadata, CleanPartitionMetadata, CleanerPlan};

use super::CleanRules;
use super::draft::CleanDraft;
use super::planned::{self, BadPlan, Look, PlannedFiles};
use super::survey::CleanSurvey;
use crate::commit::{CommitError, Scheduled, ServiceRun};
use crate::maintain::run::begun;
use crate::maintain::share::until_limits;
use crate::maintain::{MaintainError, Maintainer, RunLimits, RunOutcome};
use crate::storage::TablePath;
use crate::table::StagedFiles;

/// How many files are deleted at the same time.
const DELETES: usize = 32;

/// What a run tells as it goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CleanEvent {
    /// It has begun.
    Begun {
        /// The clean.
        instant: InstantTime,
        /// Files that are to go, and bytes of those that are still there.
        files: usize,
        /// See there.
        bytes: u64,
    },
    /// A file is gone.
    Deleted {
        /// Its size; 0 if it was gone before.
        bytes: u64,
    },
}

/// What a run did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CleanReport {
    /// The clean.
    pub instant: InstantTime,
    /// How it ended.
    pub outcome: RunOutcome,
    /// Files of the plan.
    pub files: usize,
    /// Of these, those that are gone, be it by this run or by an earlier one.
    pub deleted: usize,
    /// Bytes of those that this run deleted.
    pub freed_bytes: u64,
    /// Those that the plan names and that somebody needs: they stay.
    pub needed: BTreeSet<TablePath>,
    /// Partitions that were removed.
    pub partitions: BTreeSet<String>,
    /// From this instant on everything can be read.
    pub earliest: Option<InstantTime>,
}

impl CleanReport {
    fn of(instant: InstantTime, outcome: RunOutcome) -> Self {
        Self {
            instant,
            outcome,
            files: 0,
            deleted: 0,
            freed_bytes: 0,
            needed: BTreeSet::new(),
            partitions: BTreeSet::new(),
            earliest: None,
        }
    }
}

impl Maintainer {
    /// What the planner of cleans looks at.
    ///
    /// # Errors
    /// A table that cannot be read.
    pub async fn survey_for_clean(&self, rules: CleanRules) -> Result<CleanSurvey, MaintainError> {
        Ok(CleanSurvey::of(self.committer(), rules).await?)
    }

    /// Puts a clean on the timeline that was drafted on `survey`.
    ///
    /// # Errors
    /// No lock in time; those of the storage.
    pub async fn schedule_clean(
        &self,
        survey: &CleanSurvey,
        draft: &CleanDraft,
    ) -> Result<Scheduled, MaintainError> {
        let uri = self.table().storage.uri();
        let settle = |news: &_| {
            let plan = draft.settled(news, uri)?;
            plan.map(|plan| Ok::<_, CommitError>(plan.to_avro()?.into())).transpose()
        };
        Ok(self.committer().schedule(Action::Clean, &survey.facts.timeline, settle).await?)
    }

    /// Carries out the pending clean `instant`, whoever planned it and whatever of it is done already.
    ///
    /// # Errors
    /// A plan that is broken, or names what no clean may delete: nothing is deleted then. Others in the way;
    /// those of the storage: the clean stays pending, and the next run goes on with it.
    pub async fn clean(
        &self,
        instant: InstantTime,
        limits: &RunLimits,
        tell: &(dyn Fn(CleanEvent) + Sync),
    ) -> Result<CleanReport, MaintainError> {
        let run = match begun(self.committer().take(instant, Action::Clean).await?) {
            Ok(run) => run,
            Err(outcome) => return Ok(CleanReport::of(instant, outcome)),
        };
        let worked = self.clean_up(&run, limits, tell).await;
        self.let_go(run, worked.as_ref().is_ok_and(|report| report.outcome.is_over())).await;
        worked
    }

    async fn clean_up(
        &self,
        run: &ServiceRun,
        limits: &RunLimits,
        tell: &(dyn Fn(CleanEvent) + Sync),
    ) -> Result<CleanReport, MaintainError> {
        let clock = &self.table().environment.clock;
        let (committer, started) = (self.committer(), clock.monotonic());
        let (plan, files) = self.read_clean_plan(run.instant).await?;
        committer.begin_attempt(run, &BTreeSet::new()).await?;
        // Asked as late as may be: from here on everybody finds the plan.
        let look = planned::look(committer, &files).await?;
        for path in &look.needed {
            tracing::warn!(instant = %run.instant, %path, "left a file that the plan names and somebody needs");
        }
        let mut report = CleanReport {
            files: files.values().map(BTreeSet::len).sum(),
            earliest: plan.earliest_instant_to_retain.as_ref().map(|earliest| earliest.timestamp),
            ..CleanReport::of(run.instant, RunOutcome::Stopped)
        };
        let mut going = files;
        for paths in going.values_mut() {
            paths.retain(|path| !look.needed.contains(path));
        }
        let (files, bytes) = (going.values().map(BTreeSet::len).sum(), look.bytes.values().sum());
        tell(CleanEvent::Begun { instant: run.instant, files, bytes });
        (report.deleted, report.freed_bytes) = self.delete(run, &going, &look, limits, tell).await?;
        report.needed = look.needed;
        if report.deleted < files {
            return Ok(report);
        }
        let partitions = plan.partitions_to_be_deleted.iter().cloned().collect();
        report.partitions = committer.remove_partitions(&partitions).await?;
        let took = clock.monotonic().saturating_sub(started);
        let metadata = clean_metadata(run.instant, plan, &going, &report.partitions, took);
        let metadata = metadata.to_avro().map_err(CommitError::from)?;
        report.outcome = RunOutcome::of(committer.complete(run, &StagedFiles::default(), metadata).await?)?;
        Ok(report)
    }

    async fn read_clean_plan(
        &self,
        instant: InstantTime,
    ) -> Result<(CleanerPlan, PlannedFiles), MaintainError> {
        let timeline = &self.table().timeline;
        let file = TimelineFile::requested(instant, Action::Clean);
        let path = timeline.path(&file);
        let plan = match CleanerPlan::from_avro(&timeline.read(&file).await?) {
            Ok(plan) => plan,
            Err(source) => return Err(MaintainError::Plan { path, source }),
        };
        match planned::planned_files(&plan, self.table().storage.uri()) {
            Ok(files) => Ok((plan, files)),
            Err(BadPlan::Unsupported(what)) => Err(MaintainError::UnsupportedPlan { path, what }),
            Err(BadPlan::Table(error)) => Err(error.into()),
        }
    }

    /// Deletes `files`, some at a time, until the limits; says how many, and their bytes. Files that are gone
    /// already count, without any. After an error nothing more is begun, and what was begun ends before the
    /// error is told.
    async fn delete(
        &self,
        run: &ServiceRun,
        files: &PlannedFiles,
        look: &Look,
        limits: &RunLimits,
        tell: &(dyn Fn(CleanEvent) + Sync),
    ) -> Result<(usize, u64), MaintainError> {
        let clock = self.table().environment.clock.as_ref();
        let bytes_of = |path: &TablePath| look.bytes.get(path).copied().unwrap_or_default();
        let deletes = files.values().flatten().map(|path| self.delete_one(run, path));
        let told = |path: &&TablePath| tell(CleanEvent::Deleted { bytes: bytes_of(path) });
        let deleted = until_limits(deletes, DELETES, (limits, clock), told).await?;
        Ok((deleted.len(), deleted.into_iter().map(bytes_of).sum()))
    }

    /// Whoever has stood still knows nothing any more of who needs a file.
    async fn delete_one<'a>(
        &self,
        run: &ServiceRun,
        path: &'a TablePath,
    ) -> Result<&'a TablePath, MaintainError> {
        self.committer().check_alive(run)?;
        self.table().storage.delete(path).await?;
        Ok(path)
    }
}

/// What the clean `instant` says of itself, which has deleted the files `gone`.
///
/// Source: `CleanActionExecutor.runClean`, `CleanerUtils.convertCleanMetadata`.
fn clean_metadata(
    instant: InstantTime,
    plan: CleanerPlan,
    gone: &PlannedFiles,
    removed: &BTreeSet<String>,
    took: Duration,
) -> CleanMetadata {
    let total: usize = gone.values().map(BTreeSet::len).sum();
    let of_partition = |(partition, paths): (&String, &BTreeSet<TablePath>)| {
        let names: Vec<String> = paths.iter().map(|path| path.file_name().to_owned()).collect();
        let metadata = CleanPartitionMetadata {
            partition_path: partition.clone(),
            policy: plan.policy.clone(),
            delete_path_patterns: names.clone(),
            success_delete_files: names,
            failed_delete_files: Vec::new(),
            is_partition_deleted: removed.contains(partition),
        };
        (partition.clone(), metadata)
    };
    // A partition may go whose last file an earlier attempt has deleted.
    let none = BTreeSet::new();
    let told = gone.iter().filter(|(_, paths)| !paths.is_empty());
    let bare = removed.iter().filter(|partition| gone.get(*partition).is_none_or(BTreeSet::is_empty));
    let told = told.chain(bare.map(|partition| (partition, &none)));
    let earliest = plan.earliest_instant_to_retain.as_ref().map(|earliest| earliest.timestamp.to_string());
    CleanMetadata {
        start_clean_time: instant,
        time_taken_in_millis: i64::try_from(took.as_millis()).unwrap_or(i64::MAX),
        total_files_deleted: i32::try_from(total).unwrap_or(i32::MAX),
        earliest_commit_to_retain: earliest.unwrap_or_default(),
        partition_metadata: told.map(of_partition).collect(),
        version: CleanMetadata::VERSION,
        bootstrap_partition_metadata: BTreeMap::new(),
        last_completed_commit_timestamp: plan.last_completed_commit_timestamp,
        extra_metadata: plan.extra_metadata,
    }
}
