//! When something was last heard of who is at a pending instant: by one rule for writes, services, doctors and
//! rollbacks.

use std::time::Duration;

use lakebed_hudi::timeline_file::{Action, State, TimelineFile};

use super::service::{is_our_plan, is_ours};
use super::{CommitError, Committer, heartbeat};
use crate::storage::StorageError;
use crate::timeline::Instant;

/// Hudi's writers that are the only ones of a table do not beat. Such a one counts as dead when nothing was
/// seen of it for so many times as long as one that beats.
const WITHOUT_HEARTBEAT: u32 = 10;

impl Committer {
    /// When something was last heard of who is at a pending instant, in milliseconds since the epoch, and after
    /// which silence they count as dead; `None` if they do.
    ///
    /// Source: `BaseHoodieWriteClient.startCommit`, which beats only where failed writes are cleaned lazily;
    /// `BaseHoodieTableServiceClient.validateHeartBeat`.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn last_heard(&self, pending: &Instant) -> Result<Option<(i64, Duration)>, CommitError> {
        let expiry = self.options.heartbeat_expiry();
        if let Some(beat) = heartbeat::last_beat(&self.table, pending.time).await? {
            return Ok(self.unless_older(beat, expiry));
        }
        let is_write = pending.action.writes_data() && !pending.is_pending_service();
        match pending.state {
            State::Inflight => self.last_written(pending, is_write).await,
            // From its instant to its first file a write may take long: it looks for where its rows are to go.
            _ if is_write => {
                let begun = pending.time.to_unix_millis(self.table.zone).unwrap_or_default();
                Ok(self.unless_older(begun, expiry * WITHOUT_HEARTBEAT))
            }
            _ => self.about_to_begin(pending).await,
        }
    }

    fn unless_older(&self, unix_millis: i64, expiry: Duration) -> Option<(i64, Duration)> {
        (!heartbeat::is_older(&self.table, unix_millis, expiry)).then_some((unix_millis, expiry))
    }

    /// When something was last written by who began `inflight` and does not beat. Of ours, they are dead.
    async fn last_written(
        &self,
        inflight: &Instant,
        is_write: bool,
    ) -> Result<Option<(i64, Duration)>, CommitError> {
        let file = TimelineFile::inflight(inflight.time, inflight.requested_as);
        let is_ours = match is_write {
            true => self.pipeline_of(inflight).await?.is_some(),
            false => is_ours(&self.table.timeline.read(&file).await?),
        };
        if is_ours {
            return Ok(None);
        }
        let expiry = self.options.heartbeat_expiry() * WITHOUT_HEARTBEAT;
        let mut seen = self.table.storage.stat(&self.table.timeline.path(&file)).await?.modified_unix_millis;
        if heartbeat::is_older(&self.table, seen, expiry) {
            for path in self.files_of(inflight.time).await? {
                match self.table.storage.stat(&path).await {
                    Ok(file) => seen = seen.max(file.modified_unix_millis),
                    Err(StorageError::NotFound { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(self.unless_older(seen, expiry))
    }

    /// When a clean or a restore was planned that others are surely about to begin. Hudi's writers plan those only
    /// to carry them out at once, and more than one of them would complete it; other services they leave to each
    /// other. A restore of ours beats before it is planned.
    async fn about_to_begin(&self, service: &Instant) -> Result<Option<(i64, Duration)>, CommitError> {
        let requested = TimelineFile::requested(service.time, service.requested_as);
        let is_begun_at_once = match service.requested_as {
            Action::Clean => !is_our_plan(&self.table.timeline.read(&requested).await?),
            Action::Restore => true,
            _ => false,
        };
        if !is_begun_at_once {
            return Ok(None);
        }
        let seen = self.table.storage.stat(&self.table.timeline.path(&requested)).await?.modified_unix_millis;
        Ok(self.unless_older(seen, self.options.heartbeat_expiry()))
    }
}
