//! Doing what is due in a table.

use std::collections::BTreeSet;

use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_file::Action;
use tracing::Instrument as _;

use super::look::Look;
use super::still_there::are_there;
use super::tables::FleetTable;
use super::totals::Totals;
use crate::commit::Scheduled;
use crate::maintain::archive::ArchiveReport;
use crate::maintain::clean::{self, CleanReport};
use crate::maintain::compaction::{self, CompactionEvent, CompactionReport};
use crate::maintain::{MaintainError, Maintainer, RunLimits};

/// What was done to a table.
#[derive(Debug, Clone, Default)]
pub struct Served {
    /// Writes of dead writers that were undone.
    pub rolled_back: usize,
    /// Compactions that were carried out, or are being so by somebody else.
    pub compactions: Vec<CompactionReport>,
    /// Cleans, likewise.
    pub cleans: Vec<CleanReport>,
    /// What went to the archive.
    pub archive: Option<ArchiveReport>,
    /// Whether the limits were reached before all was done.
    pub was_stopped: bool,
}

impl Served {
    /// Bytes that compactions have read.
    pub fn read_bytes(&self) -> u64 {
        self.compactions.iter().map(|report| report.read_bytes).sum()
    }

    /// The same in numbers.
    pub fn totals(&self) -> Totals {
        Totals {
            rolled_back: self.rolled_back,
            compacted_groups: self.compactions.iter().map(|report| report.finished).sum(),
            read_bytes: self.read_bytes(),
            written_bytes: self.compactions.iter().map(|report| report.written_bytes).sum(),
            copied_bytes: self.compactions.iter().map(|report| report.copied_bytes).sum(),
            cleaned_files: self.cleans.iter().map(|report| report.deleted).sum(),
            freed_bytes: self.cleans.iter().map(|report| report.freed_bytes).sum(),
            archived_instants: self.archive.as_ref().map_or(0, |report| report.instants),
        }
    }
}

/// Does what is due in a table, as far as `limits` and `max_read_bytes` of compaction let it; what was done
/// is told even where something failed.
pub async fn serve(
    look: &Look<'_>,
    maintainer: &Maintainer,
    table: &FleetTable,
    limits: &RunLimits,
    max_read_bytes: u64,
    tell: &(dyn Fn(CompactionEvent) + Sync),
) -> (Served, Result<(), MaintainError>) {
    let mut serving = Serving { look, maintainer, table, limits, max_read_bytes, served: Served::default() };
    // Whatever is logged meanwhile names the table.
    let result = serving.all(tell).instrument(tracing::info_span!("serve", table = %table.uri)).await;
    if result.is_err() {
        // It may be that files are not there which are said to be.
        look.known.forget_files(table);
    }
    (serving.served, result)
}

struct Serving<'a> {
    look: &'a Look<'a>,
    maintainer: &'a Maintainer,
    table: &'a FleetTable,
    limits: &'a RunLimits,
    max_read_bytes: u64,
    served: Served,
}

impl Serving<'_> {
    async fn all(&mut self, tell: &(dyn Fn(CompactionEvent) + Sync)) -> Result<(), MaintainError> {
        let services = &self.table.services;
        self.roll_back().await?;
        self.maintainer.sweep().await?;
        if services.compaction.enabled.unwrap_or(true) && !self.is_stopped() {
            self.compact(tell).await?;
        }
        if services.clean.enabled.unwrap_or(true) && !self.is_stopped() {
            self.clean().await?;
        }
        if services.archive.enabled.unwrap_or(true) && !self.is_stopped() {
            let rules = services.archive.rules()?;
            let report = self.maintainer.archive(&rules, &self.limits.stop, &|_| {}).await?;
            self.served.archive = Some(report);
        }
        Ok(())
    }

    fn is_stopped(&mut self) -> bool {
        let clock = &self.maintainer.table().environment.clock;
        self.served.was_stopped |= self.limits.are_reached(clock.as_ref());
        self.served.was_stopped
    }

    async fn roll_back(&mut self) -> Result<(), MaintainError> {
        let committer = self.maintainer.committer();
        let timeline = committer.timeline().await?;
        let dead = committer.dead_writes(&timeline).await?;
        committer.roll_back_dead(None, &BTreeSet::new(), timeline).await?;
        self.served.rolled_back = dead.len();
        Ok(())
    }

    async fn compact(&mut self, tell: &(dyn Fn(CompactionEvent) + Sync)) -> Result<(), MaintainError> {
        for instant in self.pending(Action::Compaction).await? {
            if self.is_stopped() {
                return Ok(());
            }
            self.carry_out(instant, tell).await?;
        }
        let left_bytes = self.max_read_bytes.saturating_sub(self.served.read_bytes());
        if self.is_stopped() || left_bytes == 0 {
            return Ok(());
        }
        let mut rules = self.table.services.compaction.rules();
        rules.max_read_bytes = rules.max_read_bytes.min(left_bytes);
        let (mut survey, was_known) = self.look.survey(self.table, self.maintainer).await?;
        let mut draft = compaction::plan(&survey, &rules);
        if was_known && !are_there(&survey.snapshot, draft.files()).await? {
            tracing::info!("files are not as they were known: the table is listed again");
            self.look.known.forget_files(self.table);
            (survey, _) = self.look.survey(self.table, self.maintainer).await?;
            draft = compaction::plan(&survey, &rules);
        }
        if draft.groups.is_empty() {
            return Ok(());
        }
        if let Some(instant) = at(self.maintainer.schedule_compaction(&survey, &draft).await?)? {
            self.carry_out(instant, tell).await?;
        }
        Ok(())
    }

    async fn carry_out(
        &mut self,
        instant: InstantTime,
        tell: &(dyn Fn(CompactionEvent) + Sync),
    ) -> Result<(), MaintainError> {
        let clock = &self.maintainer.table().environment.clock;
        let begun = clock.monotonic();
        let compaction = self.maintainer.compact(instant, self.limits, tell);
        let report = compaction.instrument(tracing::info_span!("compaction", %instant)).await?;
        let took = clock.monotonic().saturating_sub(begun);
        let rates = self.look.known.rates(self.table).after(&report, took.as_secs_f64());
        self.look.known.keep_rates(self.table, rates);
        self.served.compactions.push(report);
        Ok(())
    }

    async fn clean(&mut self) -> Result<(), MaintainError> {
        for instant in self.pending(Action::Clean).await? {
            if self.is_stopped() {
                return Ok(());
            }
            let report = self.maintainer.clean(instant, self.limits, &|_| {}).await?;
            self.served.cleans.push(report);
        }
        if self.is_stopped() {
            return Ok(());
        }
        let rules = self.table.services.clean.rules().map_err(|problem| MaintainError::Rules { problem })?;
        let survey = self.maintainer.survey_for_clean(rules).await?;
        let draft = clean::plan(&survey);
        if !draft.is_due() {
            return Ok(());
        }
        if let Some(instant) = at(self.maintainer.schedule_clean(&survey, &draft).await?)? {
            let report = self.maintainer.clean(instant, self.limits, &|_| {}).await?;
            self.served.cleans.push(report);
        }
        Ok(())
    }

    /// The plans of a service that are pending, oldest first.
    async fn pending(&self, action: Action) -> Result<Vec<InstantTime>, MaintainError> {
        let timeline = self.maintainer.committer().timeline().await?;
        Ok(timeline.pending().filter(|i| i.requested_as == action).map(|i| i.time).collect())
    }
}

/// Where a plan was put; `None` if nothing of it is left to do.
fn at(scheduled: Scheduled) -> Result<Option<InstantTime>, MaintainError> {
    match scheduled {
        Scheduled::At(instant) => Ok(Some(instant)),
        Scheduled::Nothing => Ok(None),
        Scheduled::Stale { reason } => Err(MaintainError::Conflict { reason }),
    }
}
