//! Taking a pending service, and what a dead attempt at it left.

use std::collections::BTreeSet;
use std::time::Duration;

use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_file::{Action, State, TimelineFile};

use super::{ServiceRun, Taken, intent, is_ours};
use crate::commit::rollback::Undo;
use crate::commit::{CommitError, Committer};
use crate::storage::{StorageError, TablePath};

impl ServiceRun {
    /// Whether others may have taken this process for dead meanwhile, and be at work themselves.
    pub fn has_lapsed(&self, expiry: Duration) -> bool {
        self.heartbeat.silence() > expiry
    }
}

impl Committer {
    /// Takes a pending service, unless somebody is at work on it.
    ///
    /// # Errors
    /// No lock in time; those of the storage.
    pub async fn take(&self, instant: InstantTime, action: Action) -> Result<Taken, CommitError> {
        let guard = self.locked().await?;
        let taken = self.take_locked(instant, action).await;
        let released = guard.release().await;
        let taken = taken?;
        released?;
        Ok(taken)
    }

    /// As [`Committer::take`]. The caller holds the lock.
    pub(in crate::commit) async fn take_locked(
        &self,
        instant: InstantTime,
        action: Action,
    ) -> Result<Taken, CommitError> {
        let timeline = self.timeline().await?;
        if action != Action::Restore {
            self.refuse_restoring(&timeline).await?;
        }
        let pending = timeline.get(instant, action).filter(|i| !i.is_completed() && i.requested_as == action);
        let Some(pending) = pending else { return Ok(Taken::Over) };
        if let Some((seen_unix_millis, expiry)) = self.last_heard(pending).await? {
            return Ok(Taken::AtWork { seen_unix_millis, expiry });
        }
        let heartbeat = self.heartbeat(instant).await?;
        let was_begun = pending.state == State::Inflight;
        Ok(Taken::Run(ServiceRun { instant, action, heartbeat, was_begun }))
    }

    /// Begins an attempt at a service: what earlier ones left is rolled back, but for the files in `kept`,
    /// which this one goes on with. Says whether it was somebody else's rollback that was found and
    /// finished: that knew of no file to keep.
    ///
    /// # Errors
    /// [`CommitError::Lapsed`], before anything is changed; those of the storage and the lock. The service can
    /// be taken again.
    pub async fn begin_attempt(
        &self,
        run: &ServiceRun,
        kept: &BTreeSet<TablePath>,
    ) -> Result<bool, CommitError> {
        let inflight = TimelineFile::inflight(run.instant, run.action);
        let was_planned = run.was_begun && self.roll_back_attempt(run, kept).await?;
        self.check_alive(run)?;
        self.put_or_keep(&inflight, intent().to_avro()?.into()).await?;
        Ok(was_planned)
    }

    /// Refuses to change anything about a service that somebody else may be at by now.
    ///
    /// # Errors
    /// [`CommitError::Lapsed`].
    pub fn check_alive(&self, run: &ServiceRun) -> Result<(), CommitError> {
        let expiry = self.options.heartbeat_expiry();
        if run.has_lapsed(expiry) {
            return Err(CommitError::Lapsed { action: run.action, instant: run.instant, expiry });
        }
        Ok(())
    }

    async fn roll_back_attempt(
        &self,
        run: &ServiceRun,
        kept: &BTreeSet<TablePath>,
    ) -> Result<bool, CommitError> {
        let timeline = self.timeline().await?;
        let is_planned = self.planned_rollback(&timeline, run.instant).await?.is_some();
        let (mut is_left, mut partitions) = (false, BTreeSet::new());
        let files = match run.action.writes_data() {
            true => self.written_files(run.instant).await?,
            false => BTreeSet::new(),
        };
        for path in &files {
            partitions.insert(path.parent().map(|parent| parent.to_string()).unwrap_or_default());
            is_left |= !kept.contains(path) && self.is_there(path).await?;
        }
        // What is half-written shows in no listing.
        self.check_alive(run)?;
        self.sweep_partitions(run.instant, &partitions).await?;
        let inflight = TimelineFile::inflight(run.instant, run.action);
        if !is_left && !is_planned {
            // Nothing to tell of: the attempt goes on, under our name.
            if !is_ours(&self.table.timeline.read(&inflight).await?) {
                self.table.storage.delete(&self.table.timeline.path(&inflight)).await?;
            }
            return Ok(false);
        }
        if let Some(pending) = timeline.get(run.instant, run.action) {
            self.undo_files(pending, &files, Undo::Attempt { run, kept }).await?;
        }
        Ok(is_planned)
    }

    async fn is_there(&self, path: &TablePath) -> Result<bool, CommitError> {
        match self.table.storage.stat(path).await {
            Ok(_) => Ok(true),
            Err(StorageError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Lets a service go that is not completed: the next one who takes it goes on where this one ended.
    ///
    /// # Errors
    /// Those of the storage; the heartbeat then expires by itself.
    pub async fn release(&self, run: ServiceRun) -> Result<(), CommitError> {
        if run.has_lapsed(self.options.heartbeat_expiry()) {
            // It may be the heartbeat of who has taken over by now.
            return Ok(());
        }
        Ok(run.heartbeat.stop().await?)
    }
}
