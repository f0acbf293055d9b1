//! Doing what is due in a table.

use std::collections::BTreeSet;

use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_file::Action;

use super::cluster;
use super::due::Service;
use super::tables::FleetTable;
use crate::commit::Scheduled;
use crate::maintain::archive::ArchiveReport;
use crate::maintain::clean::{self, CleanReport};
use crate::maintain::clustering::{ClusteringEvent, ClusteringReport};
use crate::maintain::compaction::{self, CompactionEvent, CompactionReport};
use crate::maintain::{MaintainError, Maintainer, RunLimits};

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
}

/// Does what is due in a table, as far as `limits` and `max_read_bytes` of compaction and clustering let it; what was done
/// is told even where something failed.
pub async fn serve(
    maintainer: &Maintainer,
    table: &FleetTable,
    limits: &RunLimits,
    max_read_bytes: u64,
    tell: &(dyn Fn(ServeEvent) + Sync),
) -> (Served, Result<(), MaintainError>) {
    let mut serving = Serving { maintainer, table, limits, max_read_bytes, served: Served::default() };
    let result = serving.all(tell).await;
    (serving.served, result)
}

struct Serving<'a> {
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
            let report = self.maintainer.compact(instant, self.limits, tell).await?;
            self.served.compactions.push(report);
        }
        let left_bytes = self.max_read_bytes.saturating_sub(self.served.read_bytes());
        if self.is_stopped() || left_bytes == 0 {
            return Ok(());
        }
        let mut rules = self.table.services.compaction.rules();
        rules.max_read_bytes = rules.max_read_bytes.min(left_bytes);
        let survey = self.maintainer.survey().await?;
        let draft = compaction::plan(&survey, &rules);
        if draft.groups.is_empty() {
            return Ok(());
        }
        if let Some(instant) = at(self.maintainer.schedule_compaction(&survey, &draft).await?)? {
            let report = self.maintainer.compact(instant, self.limits, tell).await?;
            self.served.compactions.push(report);
        }
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
            let report = self.maintainer.cluster(instant, self.limits, tell).await?;
            self.served.clusterings.push(report);
        }
        let left_bytes = self.max_read_bytes.saturating_sub(self.served.read_bytes());
        if self.is_stopped() || left_bytes == 0 {
            return Ok(());
        }
        let settings = &self.table.services.clustering;
        let drafted = cluster::draft(self.maintainer, settings, left_bytes).await?;
        let Some((survey, draft)) = drafted else { return Ok(()) };
        if let Some(instant) = at(self.maintainer.schedule_clustering(&survey, &draft).await?)? {
            let report = self.maintainer.cluster(instant, self.limits, tell).await?;
            self.served.clusterings.push(report);
        }
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
