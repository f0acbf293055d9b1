//! Archiving a timeline.

use lakebed_hudi::instant::InstantTime;
use tokio::sync::watch;

use super::amiss::amiss;
use super::hold::Hold;
use super::plan::{ArchivePlan, plan};
use super::replaced::uncleaned;
use super::rules::ArchiveRules;
use super::survey::ArchiveSurvey;
use crate::commit::{Archived, Going, Merged, SNAPSHOTS_KEPT};
use crate::maintain::{MaintainError, Maintainer};
use crate::timeline::Instant;

/// A long timeline is looked at anew after so many instants.
const ROUND_INSTANTS: usize = 10_000;

/// While it goes on for long, old snapshots of the archive are deleted after so many new ones.
const SNAPSHOTS_MADE: usize = 20;

/// So often is planned anew where others archive at the same time.
const TRIES: usize = 10;

/// Files of the archive are merged up to that size.
const MERGED_BYTES_MAX: u64 = 64 << 20;

/// The part of the memory for what is merged, which is there packed and made anew, and for what is read.
const MERGE_SHARE: u64 = 8;

/// What a run tells as it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArchiveEvent {
    /// So many instants are to go now.
    Begun {
        /// How many.
        instants: usize,
    },
    /// So many more of them are gone.
    Gone {
        /// How many.
        instants: usize,
    },
}

/// What a run did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ArchiveReport {
    /// Instants that went.
    pub instants: usize,
    /// Of these, writes.
    pub commits: usize,
    /// The oldest and the newest of them.
    pub range: Option<(InstantTime, InstantTime)>,
    /// Completed writes that are still on the active timeline.
    pub left: usize,
    /// What held more back, of which there would have been enough to go.
    pub hold: Option<Hold>,
    /// Files of the archive that were made of smaller ones.
    pub merged: usize,
    /// Whether it was stopped before it was through.
    pub was_stopped: bool,
}

/// What is done to the archive in a run.
#[derive(Debug, Default)]
struct Made {
    report: ArchiveReport,
    /// Snapshots since old ones were last deleted.
    snapshots: usize,
}

impl Maintainer {
    /// What an archival would do, if the table were swept before. Changes nothing.
    ///
    /// # Errors
    /// A table that cannot be read.
    pub async fn plan_archive(&self, rules: &ArchiveRules) -> Result<ArchivePlan, MaintainError> {
        let survey = ArchiveSurvey::of(self.committer(), false).await?;
        self.cut(&survey, plan(&survey, rules)).await
    }

    /// Archives what `rules` say, until `stop` turns true: then a batch that is begun is ended.
    ///
    /// # Errors
    /// A table that cannot be read or changed; others who archive at the same time for long. Archive again
    /// then.
    pub async fn archive(
        &self,
        rules: &ArchiveRules,
        stop: &watch::Receiver<bool>,
        tell: &(dyn Fn(ArchiveEvent) + Sync),
    ) -> Result<ArchiveReport, MaintainError> {
        let (mut made, mut tries) = (Made::default(), 0);
        loop {
            self.committer().sweep().await?;
            let survey = ArchiveSurvey::of(self.committer(), true).await?;
            let whole = plan(&survey, rules);
            let planned = whole.going.len();
            let round = whole.first(ROUND_INSTANTS);
            let begun = round.going.len();
            let round = self.cut(&survey, round).await?;
            let is_last = begun == planned || round.going.len() < begun;
            (made.report.left, made.report.hold) = (round.commits, round.hold.clone());
            tell(ArchiveEvent::Begun { instants: round.going.len() });
            match self.carry_out(&round, stop, tell, &mut made).await? {
                Some(reason) if tries == TRIES => return Err(MaintainError::Conflict { reason }),
                Some(_) => tries += 1,
                None if is_last || *stop.borrow() => break,
                None => tries = 0,
            }
        }
        self.clean_history(&mut made).await?;
        Ok(made.report)
    }

    /// The plan as far as the files of the table let it go.
    async fn cut(&self, survey: &ArchiveSurvey, plan: ArchivePlan) -> Result<ArchivePlan, MaintainError> {
        let plan = match uncleaned(self.table(), &plan.going).await? {
            Some(hold) => plan.held(hold),
            None => plan,
        };
        Ok(match amiss(self.table(), survey, &plan).await? {
            Some(hold) => plan.held(hold),
            None => plan,
        })
    }

    /// Archives a plan batch by batch. Says why it has to be made anew, if so.
    async fn carry_out(
        &self,
        plan: &ArchivePlan,
        stop: &watch::Receiver<bool>,
        tell: &(dyn Fn(ArchiveEvent) + Sync),
        made: &mut Made,
    ) -> Result<Option<String>, MaintainError> {
        let Some(stays) = plan.stays else { return Ok(None) };
        let max_bytes = MERGED_BYTES_MAX.min(self.options().memory_bytes / MERGE_SHARE);
        let mut rest = plan.going.as_slice();
        while !rest.is_empty() {
            if *stop.borrow() {
                made.report.was_stopped = true;
                return Ok(None);
            }
            let gone = match self.committer().archive(Going { instants: rest, stays }, max_bytes).await? {
                Archived::Gone { instants } => instants,
                Archived::Stale { reason } => return Ok(Some(reason)),
            };
            let (batch, after) = rest.split_at(gone.min(rest.len()));
            rest = after;
            made.take_in(batch);
            tell(ArchiveEvent::Gone { instants: gone });
            while self.committer().merge_history(max_bytes).await? == Merged::Done {
                made.report.merged += 1;
                made.snapshots += 1;
            }
            if made.snapshots >= SNAPSHOTS_MADE {
                self.clean_history(made).await?;
            }
        }
        Ok(None)
    }

    /// Deletes what is old in the archive, but for what this run has made since it last did: somebody may read
    /// it.
    async fn clean_history(&self, made: &mut Made) -> Result<(), MaintainError> {
        if made.snapshots > 0 {
            let newer = made.snapshots - 1;
            self.committer().clean_history(SNAPSHOTS_KEPT + newer).await?;
            made.snapshots = 0;
        }
        Ok(())
    }
}

impl Made {
    fn take_in(&mut self, batch: &[Instant]) {
        let (Some(first), Some(last)) = (batch.first(), batch.last()) else { return };
        let commits = batch.iter().filter(|instant| instant.action.writes_data()).count();
        let report = &mut self.report;
        report.instants += batch.len();
        report.commits += commits;
        report.left = report.left.saturating_sub(commits);
        report.range = Some((report.range.map_or(first.time, |(first, _)| first), last.time));
        self.snapshots += 1;
    }
}
