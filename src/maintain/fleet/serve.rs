//! Doing what is due in a table.

use std::collections::BTreeSet;

use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_file::Action;
use tracing::Instrument as _;

use super::cluster;
use super::due::Service;
use super::look::Look;
use super::price::Took;
use super::still_there::are_there;
use super::tables::FleetTable;
use super::totals::Totals;
use crate::commit::Scheduled;
use crate::maintain::archive::ArchiveReport;
use crate::maintain::clean::{self, CleanReport};
use crate::maintain::clustering::{ClusteringDraft, ClusteringEvent, ClusteringReport};
use crate::maintain::compaction::{self, CompactionEvent, CompactionReport};
use crate::maintain::{MaintainError, Maintainer, RunLimits, RunOutcome, Survey};

/// What serving a table tells as it goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServeEvent {
    /// File groups begin to be rewritten.
    Begun {
        /// By this service.
        service: Service,
        /// Its plan.
        instant: InstantTime,
        /// So many groups.
        groups: usize,
        /// Bytes of their files.
        bytes: u64,
    },
    /// Some are.
    Finished {
        /// Bytes that were read for them.
        read_bytes: u64,
    },
}

/// What was done to a table.
#[derive(Debug, Clone, Default)]
pub struct Served {
    /// Writes of dead writers that were undone.
    pub rolled_back: usize,
    /// Compactions that were carried out, or are being so by somebody else.
    pub compactions: Vec<CompactionReport>,
    /// Clusterings, likewise.
    pub clusterings: Vec<ClusteringReport>,
    /// Cleans, likewise.
    pub cleans: Vec<CleanReport>,
    /// What went to the archive.
    pub archive: Option<ArchiveReport>,
    /// Whether the limits were reached before all was done.
    pub was_stopped: bool,
}

impl Served {
    /// Bytes that compactions and clusterings have read.
    pub fn read_bytes(&self) -> u64 {
        let compacted: u64 = self.compactions.iter().map(|report| report.read_bytes).sum();
        compacted + self.clusterings.iter().map(|report| report.read_bytes).sum::<u64>()
    }

    /// Bytes that they have written.
    pub fn written_bytes(&self) -> u64 {
        let compacted: u64 = self.compactions.iter().map(|report| report.written_bytes).sum();
        compacted + self.clusterings.iter().map(|report| report.written_bytes).sum::<u64>()
    }

    /// The services that somebody else is at work on.
    pub fn at_work(&self) -> impl Iterator<Item = (Service, InstantTime)> {
        let is_at_work = |outcome: RunOutcome| matches!(outcome, RunOutcome::AtWork { .. });
        let compactions = self.compactions.iter().map(|r| (Service::Compaction, r.instant, r.outcome));
        let clusterings = self.clusterings.iter().map(|r| (Service::Clustering, r.instant, r.outcome));
        let cleans = self.cleans.iter().map(|r| (Service::Clean, r.instant, r.outcome));
        let all = compactions.chain(clusterings).chain(cleans);
        all.filter(move |(_, _, outcome)| is_at_work(*outcome))
            .map(|(service, instant, _)| (service, instant))
    }

    /// The same in numbers.
    pub fn totals(&self) -> Totals {
        Totals {
            rolled_back: self.rolled_back,
            compacted_groups: self.compactions.iter().map(|report| report.finished).sum(),
            read_bytes: self.read_bytes(),
            clustered_groups: self.clusterings.iter().map(|report| report.finished).sum(),
            written_bytes: self.written_bytes(),
            copied_bytes: self.compactions.iter().map(|report| report.copied_bytes).sum(),
            cleans: self.cleans.iter().filter(|report| report.outcome.is_over()).count(),
            cleaned_files: self.cleans.iter().map(|report| report.deleted).sum(),
            freed_bytes: self.cleans.iter().map(|report| report.freed_bytes).sum(),
            archived_instants: self.archive.as_ref().map_or(0, |report| report.instants),
        }
    }
}

/// Does what is due in a table, as far as `limits` and `max_read_bytes` of compaction and clustering let it; what was done
/// is told even where something failed.
pub async fn serve(
    look: &Look<'_>,
    maintainer: &Maintainer,
    table: &FleetTable,
    limits: &RunLimits,
    max_read_bytes: u64,
    tell: &(dyn Fn(ServeEvent) + Sync),
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
    async fn all(&mut self, tell: &(dyn Fn(ServeEvent) + Sync)) -> Result<(), MaintainError> {
        let services = &self.table.services;
        self.roll_back().await?;
        self.maintainer.sweep().await?;
        if services.compaction.enabled.unwrap_or(true) && !self.is_stopped() {
            self.compact(tell).await?;
        }
        if cluster::is_clustered(self.maintainer, &services.clustering) && !self.is_stopped() {
            self.cluster(tell).await?;
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

    async fn compact(&mut self, tell: &(dyn Fn(ServeEvent) + Sync)) -> Result<(), MaintainError> {
        let tell = &|event| match event {
            CompactionEvent::Begun { instant, groups, bytes } => {
                tell(ServeEvent::Begun { service: Service::Compaction, instant, groups, bytes });
            }
            CompactionEvent::Finished { read_bytes, .. } => tell(ServeEvent::Finished { read_bytes }),
        };
        for instant in self.pending(Action::Compaction).await? {
            if self.is_stopped() {
                return Ok(());
            }
            self.carry_out(instant, tell).await?;
        }
        match self.scheduled(Service::Compaction).await? {
            Some(instant) => self.carry_out(instant, tell).await,
            None => Ok(()),
        }
    }

    /// The plan of a service of which something is due, once it is on the timeline; made once more where others
    /// were at the table meanwhile. `None` if nothing is due, or may be begun any more.
    async fn scheduled(&mut self, service: Service) -> Result<Option<InstantTime>, MaintainError> {
        for is_last in [false, true] {
            if self.is_stopped() {
                return Ok(None);
            }
            let scheduled = match service {
                Service::Compaction => self.schedule_compaction().await?,
                Service::Clustering => self.schedule_clustering().await?,
                Service::Clean => self.schedule_clean().await?,
                // They are done without one.
                Service::Rollback | Service::Archive => Scheduled::Nothing,
            };
            match scheduled {
                Scheduled::At(instant) => return Ok(Some(instant)),
                Scheduled::Nothing => return Ok(None),
                Scheduled::Stale { reason } if is_last => return Err(MaintainError::Conflict { reason }),
                Scheduled::Stale { reason } => tracing::info!(reason, "the plan is made again"),
            }
        }
        Ok(None)
    }

    /// Bytes that may still be read.
    fn left_bytes(&self) -> u64 {
        self.max_read_bytes.saturating_sub(self.served.read_bytes())
    }

    async fn schedule_compaction(&mut self) -> Result<Scheduled, MaintainError> {
        let mut rules = self.table.services.compaction.rules();
        rules.max_read_bytes = rules.max_read_bytes.min(self.left_bytes());
        let mut survey = self.look.survey(self.table, self.maintainer).await?;
        let mut draft = compaction::plan(&survey, &rules);
        if !are_there(&survey.snapshot, draft.groups.iter()).await? {
            self.list_again();
            survey = self.look.survey(self.table, self.maintainer).await?;
            draft = compaction::plan(&survey, &rules);
        }
        if draft.groups.is_empty() || self.has_read_all() {
            return Ok(Scheduled::Nothing);
        }
        self.maintainer.schedule_compaction(&survey, &draft).await
    }

    /// Whether no more may be read, where more would be.
    fn has_read_all(&mut self) -> bool {
        let has_read_all = self.left_bytes() == 0;
        self.served.was_stopped |= has_read_all;
        has_read_all
    }

    /// Files may be other ones than were known.
    fn list_again(&self) {
        tracing::info!("files are not as they were known: the table is listed again");
        self.look.known.forget_files(self.table);
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
        let took = Took::by_compaction(&report, took.as_secs_f64());
        self.look.known.learn(self.table, Service::Compaction, took);
        self.served.compactions.push(report);
        Ok(())
    }

    async fn cluster(&mut self, tell: &(dyn Fn(ServeEvent) + Sync)) -> Result<(), MaintainError> {
        let tell = &|event| match event {
            ClusteringEvent::Begun { instant, groups, bytes } => {
                tell(ServeEvent::Begun { service: Service::Clustering, instant, groups, bytes });
            }
            ClusteringEvent::Finished { read_bytes, .. } => tell(ServeEvent::Finished { read_bytes }),
        };
        for instant in self.pending(Action::Clustering).await? {
            if self.is_stopped() {
                return Ok(());
            }
            self.carry_clustering_out(instant, tell).await?;
        }
        match self.scheduled(Service::Clustering).await? {
            Some(instant) => self.carry_clustering_out(instant, tell).await,
            None => Ok(()),
        }
    }

    async fn schedule_clustering(&mut self) -> Result<Scheduled, MaintainError> {
        let mut drafted = self.drafted_clustering(self.left_bytes()).await?;
        if let Some((survey, draft)) = &drafted
            && !are_there(&survey.snapshot, draft.groups.iter().flat_map(|group| &group.slices)).await?
        {
            self.list_again();
            drafted = self.drafted_clustering(self.left_bytes()).await?;
        }
        let Some((survey, draft)) = drafted else { return Ok(Scheduled::Nothing) };
        if self.has_read_all() {
            return Ok(Scheduled::Nothing);
        }
        self.maintainer.schedule_clustering(&survey, &draft).await
    }

    async fn drafted_clustering(
        &self,
        max_read_bytes: u64,
    ) -> Result<Option<(Survey, ClusteringDraft)>, MaintainError> {
        let survey = self.look.survey(self.table, self.maintainer).await?;
        cluster::draft(self.maintainer, survey, &self.table.services.clustering, max_read_bytes).await
    }

    async fn carry_clustering_out(
        &mut self,
        instant: InstantTime,
        tell: &(dyn Fn(ClusteringEvent) + Sync),
    ) -> Result<(), MaintainError> {
        let clock = &self.maintainer.table().environment.clock;
        let begun = clock.monotonic();
        let clustering = self.maintainer.cluster(instant, self.limits, tell);
        let report = clustering.instrument(tracing::info_span!("clustering", %instant)).await?;
        let took = clock.monotonic().saturating_sub(begun);
        let took = Took::by_clustering(&report, took.as_secs_f64());
        self.look.known.learn(self.table, Service::Clustering, took);
        self.served.clusterings.push(report);
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
        if let Some(instant) = self.scheduled(Service::Clean).await? {
            let report = self.maintainer.clean(instant, self.limits, &|_| {}).await?;
            self.served.cleans.push(report);
        }
        Ok(())
    }

    async fn schedule_clean(&self) -> Result<Scheduled, MaintainError> {
        let rules = self.table.services.clean.rules().map_err(|problem| MaintainError::Rules { problem })?;
        let survey = self.maintainer.survey_for_clean(rules).await?;
        let draft = clean::plan(&survey);
        if !draft.is_due() {
            return Ok(Scheduled::Nothing);
        }
        self.maintainer.schedule_clean(&survey, &draft).await
    }

    /// The plans of a service that are pending, oldest first.
    async fn pending(&self, action: Action) -> Result<Vec<InstantTime>, MaintainError> {
        let timeline = self.maintainer.committer().timeline().await?;
        Ok(timeline.pending().filter(|i| i.requested_as == action).map(|i| i.time).collect())
    }
}
