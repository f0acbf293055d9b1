//! Taking over a pipeline, and letting a write of it go.

use std::collections::BTreeSet;

use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_file::TimelineFile;
use lakebed_hudi::timeline_metadata::CommitMetadata;

use super::{Begun, CommitError, Committer, Epoch, Heartbeat, Known, epoch, heartbeat};
use crate::table::marker_folder;
use crate::timeline::Instant;

impl Committer {
    /// Claims the next epoch of `pipeline` and cleans up behind earlier runs: their pending
    /// instants that are not in `adopted` are rolled back at once, those of others once their
    /// heartbeat has expired. Returns what the commits say.
    ///
    /// # Errors
    /// No lock in time; those of the storage.
    pub async fn open_pipeline(
        &self,
        pipeline: &str,
        adopted: &BTreeSet<InstantTime>,
    ) -> Result<(Epoch, Known), CommitError> {
        epoch::check_name(pipeline)?;
        let guard = self.locked().await?;
        let claimed = Epoch::claim(&self.table, pipeline).await;
        guard.release().await?;
        let epoch = claimed?;
        let timeline = self.table.timeline.load().await?;
        for instant in timeline.pending().filter(|i| i.action.writes_data() && !i.is_pending_service()) {
            if adopted.contains(&instant.time) {
                continue;
            }
            let ours = self.pipeline_of(instant).await?.is_some_and(|p| p == pipeline);
            let expiry = self.options.heartbeat_expiry();
            if ours || heartbeat::is_expired(&self.table, instant.time, expiry).await? {
                self.rollback(instant).await?;
            }
        }
        self.sweep().await?;
        let mut known = Known::default();
        self.catch_up(&mut known, &self.table.timeline.load().await?).await?;
        Ok((epoch, known))
    }

    /// The pipeline that began a pending instant, if it was one of Lakebed's.
    async fn pipeline_of(&self, instant: &Instant) -> Result<Option<String>, CommitError> {
        let inflight = TimelineFile::inflight(instant.time, instant.requested_as);
        if instant.file() != inflight {
            return Ok(None);
        }
        let bytes = self.table.timeline.read(&inflight).await?;
        let intent = CommitMetadata::from_bytes(&bytes).unwrap_or_default();
        Ok(intent.extra_metadata.get("lakebed.pipeline").cloned())
    }

    /// Goes on with the heartbeat of an instant that another process began.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn heartbeat(&self, instant: InstantTime) -> Result<Heartbeat, CommitError> {
        Heartbeat::start(&self.table, instant, self.options.heartbeat_interval).await
    }

    /// Removes the markers of an instant that completed.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn remove_markers(&self, instant: InstantTime) -> Result<(), CommitError> {
        Ok(self.table.storage.delete_dir(&marker_folder(instant)?).await?)
    }

    /// Gives a write up: rolls it back, and sweeps what came after somebody else's rollback.
    ///
    /// # Errors
    /// Those of the storage and the lock.
    pub async fn abandon(&self, begun: Begun) -> Result<(), CommitError> {
        let timeline = self.table.timeline.load().await?;
        if let Some(instant) = timeline.get(begun.instant, begun.action).filter(|i| !i.is_completed()) {
            self.rollback(instant).await?;
        }
        self.sweep().await
    }
}
