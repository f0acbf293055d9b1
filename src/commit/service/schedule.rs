//! Putting the plan of a service on the timeline.

use std::collections::BTreeMap;

use bytes::Bytes;
use lakebed_hudi::timeline_file::{Action, TimelineFile};

use super::{News, Scheduled};
use crate::commit::{CommitError, Committer};
use crate::storage::lock::LockGuard;
use crate::timeline::{Instant, Timeline};

impl Committer {
    /// Puts the plan of a service that was made on the table as of `planned_on`.
    ///
    /// `settle` brings the plan up to date and encodes it; `None` if nothing is left to do. It is called
    /// under the table lock, so that nothing more happens before the plan has its instant: it must be quick.
    ///
    /// # Errors
    /// No lock in time, a clock that is behind; metadata that cannot be read; those of the storage.
    pub async fn schedule(
        &self,
        action: Action,
        planned_on: &Timeline,
        settle: impl FnOnce(&News) -> Result<Option<Bytes>, CommitError> + Send,
    ) -> Result<Scheduled, CommitError> {
        let guard = self.locked().await?;
        let scheduled = self.schedule_locked(action, planned_on, settle, &guard).await;
        let released = guard.release().await;
        let scheduled = scheduled?;
        released?;
        Ok(scheduled)
    }

    async fn schedule_locked(
        &self,
        action: Action,
        planned_on: &Timeline,
        settle: impl FnOnce(&News) -> Result<Option<Bytes>, CommitError> + Send,
        guard: &LockGuard,
    ) -> Result<Scheduled, CommitError> {
        let timeline = match action {
            Action::Clean => self.timeline_anew().await?,
            _ => self.timeline().await?,
        };
        self.refuse_restoring(&timeline).await?;
        if let Some(reason) = self.changed_properties().await? {
            return Ok(Scheduled::Stale { reason });
        }
        let overtaken = || (action == Action::Clean).then(|| overtaken(planned_on, &timeline)).flatten();
        if let Some(reason) = overtaken() {
            return Ok(Scheduled::Stale { reason });
        }
        let mut news = match self.news_or_stale(planned_on, &timeline).await? {
            Ok(news) => news,
            Err(reason) => return Ok(Scheduled::Stale { reason }),
        };
        if action == Action::Clustering {
            news.unfinished = self.groups_being_written(&timeline).await?;
        }
        let Some(plan) = settle(&news)? else { return Ok(Scheduled::Nothing) };
        let instant = self.new_time(&timeline).await?;
        self.put_surely(TimelineFile::requested(instant, action), plan, guard).await?;
        Ok(Scheduled::At(instant))
    }

    /// What has happened between two states of the timeline, or why that cannot be told.
    pub(super) async fn news_or_stale(
        &self,
        then: &Timeline,
        now: &Timeline,
    ) -> Result<Result<News, String>, CommitError> {
        if let Some(reason) = taken_back(then, now) {
            return Ok(Err(reason));
        }
        match self.news(then, now).await {
            Err(CommitError::Timeline(error)) if error.is_not_found() => {
                Ok(Err("the timeline was archived, or taken back, meanwhile".to_owned()))
            }
            news => news.map(Ok),
        }
    }

    /// What has happened between two states of the timeline.
    async fn news(&self, then: &Timeline, now: &Timeline) -> Result<News, CommitError> {
        let is_new = |i: &&Instant| then.get(i.time, i.action).map(|known| known.state) != Some(i.state);
        let mut commits = Vec::new();
        for instant in now.completed_writes().filter(is_new) {
            commits.push((*instant, self.table.timeline.commit_metadata(instant).await?));
        }
        commits.sort_by_key(|(instant, _)| instant.completion());
        let mut planned = BTreeMap::new();
        let is_known = |i: &Instant| then.get(i.time, i.action).is_some();
        for service in now.pending().filter(|i| i.is_pending_service() && !is_known(i)) {
            let groups = self.planned(service).await?.map(|other| other.groups).unwrap_or_default();
            planned.extend(groups.into_iter().map(|group| (group, service.time)));
        }
        let mut savepoints = BTreeMap::new();
        for savepoint in now.completed().filter(|i| i.action == Action::Savepoint).filter(is_new) {
            savepoints.insert(savepoint.time, self.table.timeline.savepoint_metadata(savepoint).await?);
        }
        Ok(News { commits, planned, savepoints, ..News::default() })
    }
}

/// Why a plan that was made on `then` cannot be brought up to date, if so: something was undone, or archived
/// unseen.
fn taken_back(then: &Timeline, now: &Timeline) -> Option<String> {
    if let Some(restore) =
        now.last_restore().filter(|restore| then.get(restore.time, restore.action).is_none())
    {
        return Some(format!("restore {} took the table back meanwhile", restore.time));
    }
    let start = now.start();
    if start > then.settled_time() && then.settled_time().is_some() {
        return Some("the timeline was archived meanwhile".to_owned());
    }
    let is_there = |i: &Instant| now.get(i.time, i.action).is_some_and(Instant::is_completed);
    let is_gone = |i: &&Instant| !is_there(i) && Some(i.time) >= start;
    let gone = then.completed_writes().find(is_gone)?;
    Some(format!("commit {} is gone: the table was taken back meanwhile", gone.time))
}

/// Why a clean that was planned on `then` is of no use any more, if so: cleans are told apart by how far
/// they go, and what a savepoint will keep is not known before it is made.
fn overtaken(then: &Timeline, now: &Timeline) -> Option<String> {
    let is_new = |i: &&Instant| then.get(i.time, i.action).map(|known| known.state) != Some(i.state);
    let news = || now.instants().filter(is_new);
    if let Some(clean) = news().find(|i| i.action == Action::Clean) {
        return Some(format!("clean {} was planned, or completed, meanwhile", clean.time));
    }
    let made = news().find(|i| i.action == Action::Savepoint && !i.is_completed())?;
    Some(format!("commit {} is just being savepointed", made.time))
}
