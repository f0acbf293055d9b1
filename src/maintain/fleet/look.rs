//! What is due in a table.

use std::sync::Arc;

use lakebed_hudi::timeline_file::Action;

use super::cluster;
use super::due::{Due, Service};
use super::known::{KnownTables, stamp};
use super::price::Price;
use super::tables::FleetTable;
use crate::environment::Environment;
use crate::maintain::compaction::{CompactionDraft, saved_bytes};
use crate::maintain::{MaintainError, MaintainOptions, Maintainer, Survey, clean, clustering, compaction};
use crate::storage;
use crate::storage::paced::{Pace, PacedStorage};
use crate::timeline::{Instant, Timeline};

/// An unchanged table is looked at again after so long: what is due by age, and what dead processes left
/// without a trace on the timeline.
const LOOK_AGAIN_MILLIS: i64 = 60 * 60 * 1000;

/// What a look found.
#[derive(Debug)]
pub enum Looked {
    /// Nothing is due, and the table was not even listed: it is as it was when nothing was.
    Unchanged,
    /// What is due; nothing, if it is empty.
    Due(Vec<Due>),
}

/// Looks at tables.
#[derive(Debug)]
pub struct Look<'a> {
    /// Clock and ids.
    pub environment: &'a Environment,
    /// What is known of tables.
    pub known: &'a KnownTables,
    /// How the tables' services are run.
    pub options: &'a MaintainOptions,
    /// How fast data files are read and written; as fast as can be if `None`.
    pub pace: Option<Arc<Pace>>,
}

impl Look<'_> {
    /// Opens a table for its services.
    ///
    /// # Errors
    /// As [`Maintainer::open`].
    pub async fn open(&self, table: &FleetTable) -> Result<Maintainer, MaintainError> {
        let mut storage = storage::open(&table.uri, self.environment).await?;
        if let Some(pace) = &self.pace {
            storage = Arc::new(PacedStorage::new(storage, pace.clone()));
        }
        Maintainer::open(storage, self.environment, table.options(self.options)).await
    }

    /// What is due in `table`. Changes nothing.
    ///
    /// # Errors
    /// A table that cannot be read, or that Lakebed does not maintain.
    pub async fn at(&self, table: &FleetTable) -> Result<Looked, MaintainError> {
        let maintainer = self.open(table).await?;
        let timeline = maintainer.committer().timeline().await?;
        let stamp = stamp(maintainer.table(), &timeline, &table.services);
        let now = self.environment.clock.unix_millis();
        let is_pending = timeline.pending().next().is_some();
        if !is_pending && self.known.is_idle(table, stamp, now) {
            return Ok(Looked::Unchanged);
        }
        let (due, later_millis) = self.due(&maintainer, &timeline, table).await?;
        if due.is_empty() && !is_pending {
            let look_again_millis =
                later_millis.map_or(LOOK_AGAIN_MILLIS, |later| later.min(LOOK_AGAIN_MILLIS));
            self.known.keep_idle(table, stamp, now.saturating_add(look_again_millis));
        }
        Ok(Looked::Due(due))
    }

    /// What planners look at, of a table that is opened. Only what has changed is listed where files of the table
    /// are known; keeps what is known of them then.
    ///
    /// # Errors
    /// As [`Maintainer::survey`].
    pub(super) async fn survey(
        &self,
        table: &FleetTable,
        maintainer: &Maintainer,
    ) -> Result<Survey, MaintainError> {
        let now = self.environment.clock.unix_millis();
        let (known, listed_unix_millis) = self.known.files(table, maintainer.table(), now).unzip();
        let before = known.as_ref().map(|known| known.timeline().clone());
        let (survey, files) = maintainer.survey_from(known).await?;
        if before.as_ref() != Some(files.timeline()) {
            self.known.keep_files(table, maintainer.table(), &files, listed_unix_millis.unwrap_or(now));
        }
        Ok(survey)
    }

    /// What is due, and in how many milliseconds something else is, though nobody writes.
    async fn due(
        &self,
        maintainer: &Maintainer,
        timeline: &Timeline,
        table: &FleetTable,
    ) -> Result<(Vec<Due>, Option<i64>), MaintainError> {
        let services = &table.services;
        let (mut due, mut later_millis) = (Vec::new(), None);
        let dead = maintainer.committer().dead_writes(timeline).await?;
        due.extend((!dead.is_empty()).then(|| Due::cheap(Service::Rollback, dead.len())));
        let is_compacted = services.compaction.enabled.unwrap_or(true);
        let is_clustered = cluster::is_clustered(maintainer, &services.clustering);
        let survey = match is_compacted || is_clustered {
            true => Some(self.survey(table, maintainer).await?),
            false => None,
        };
        let snapshot = survey.as_ref().map(|survey| survey.snapshot.clone());
        if let Some(survey) = survey.as_ref().filter(|_| is_compacted) {
            due.extend(pending(timeline, Service::Compaction, Action::Compaction));
            let draft = compaction::plan(survey, &services.compaction.rules());
            let later = compaction::due_in_millis(survey, &services.compaction.rules());
            later_millis = later.and_then(|millis| i64::try_from(millis).ok());
            let rates = self.known.rates(table, Service::Compaction);
            let price = Price::of_compaction(survey, &draft, rates, self.options);
            let of = compaction_due(survey, &draft, services.compaction.rules().due_log_age.as_millis());
            due.extend(of.map(|due| Due { price: Some(price), ..due }));
        }
        if let Some(survey) = survey.filter(|_| is_clustered) {
            due.extend(pending(timeline, Service::Clustering, Action::Clustering));
            let drafted = cluster::draft(maintainer, survey, &services.clustering, u64::MAX).await?;
            let rates = self.known.rates(table, Service::Clustering);
            due.extend(drafted.map(|(survey, draft)| Due {
                price: Some(Price::of_clustering(&survey, &draft, rates, self.options)),
                read_bytes: draft.read_bytes(),
                freed_bytes: draft.read_bytes(),
                saved_bytes: clustering::saved_bytes(&draft),
                ..Due::cheap(Service::Clustering, draft.slices())
            }));
        }
        let rewrites = due.iter().any(|due| matches!(due.service, Service::Compaction | Service::Clustering));
        if let Some(snapshot) = snapshot.filter(|_| rewrites) {
            maintainer.check_memory(&snapshot).await?;
        }
        if services.clean.enabled.unwrap_or(true) {
            due.extend(pending(timeline, Service::Clean, Action::Clean));
            let rules = services.clean.rules().map_err(|problem| MaintainError::Rules { problem })?;
            let draft = clean::plan(&maintainer.survey_for_clean(rules).await?);
            due.extend(draft.is_due().then(|| Due {
                freed_bytes: draft.bytes(),
                ..Due::cheap(Service::Clean, draft.files().count())
            }));
        }
        if services.archive.enabled.unwrap_or(true) {
            let going = maintainer.plan_archive(&services.archive.rules()?).await?.going.len();
            due.extend((going > 0).then(|| Due::cheap(Service::Archive, going)));
        }
        Ok((due, later_millis))
    }
}

fn pending(timeline: &Timeline, service: Service, action: Action) -> Option<Due> {
    let count = timeline.pending().filter(|instant: &&Instant| instant.requested_as == action).count();
    (count > 0).then(|| Due { is_pending: true, ..Due::cheap(service, count) })
}

fn compaction_due(survey: &Survey, draft: &CompactionDraft, due_age_millis: u128) -> Option<Due> {
    let age = |instant| u128::from(survey.age_millis(instant)).saturating_sub(due_age_millis);
    let oldest = draft.groups.iter().filter_map(|group| group.oldest_log()).min();
    (!draft.groups.is_empty()).then(|| Due {
        read_bytes: draft.read_bytes(),
        freed_bytes: draft.read_bytes(),
        saved_bytes: draft.groups.iter().map(saved_bytes).sum(),
        overdue_millis: oldest.map_or(0, |oldest| u64::try_from(age(oldest)).unwrap_or(u64::MAX)),
        ..Due::cheap(Service::Compaction, draft.groups.len())
    })
}
