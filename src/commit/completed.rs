//! The file that completes an instant: put under one name, whatever becomes of the put.
//!
//! Where the answer to a put is lost, the file may still come, for as long as the table lock reckons
//! that publishing takes. So it is looked for, and put again, while the lock is held, until it is known
//! what became of it. Where the storage does not even tell that, its instant is not rolled back and no
//! other name is tried for as long as it may still come; who starts anew is taken to start after that.

use std::time::Duration;

use bytes::Bytes;
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_file::TimelineFile;

use super::{CommitError, Committer};
use crate::storage::lock::LockGuard;
use crate::storage::{StorageError, TablePath};
use crate::timeline::Timeline;

/// For how long a put is repeated whose outcome is not known.
const PUT_AGAIN: Duration = Duration::from_secs(30);

/// The first pause between two looks; doubled until the greatest.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// A completed file of which it is not known whether it is there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unsettled {
    file: TimelineFile,
    /// Until when it may still come, on the monotonic clock.
    until: Duration,
}

/// What a look at a file showed that was to be put.
enum Look {
    /// It is there, durably.
    Durable,
    Absent,
    Unknown,
}

impl Committer {
    /// Puts a file of the timeline that must not come later unseen: one that completes an instant, or
    /// plans a service. The caller holds the lock.
    ///
    /// # Errors
    /// A lock that is not ours any more, before anything is put; [`CommitError::Unsettled`] where it
    /// may still come; [`CommitError::Foreign`]. After all others it is not there and will not come.
    pub(super) async fn put_surely(
        &self,
        file: TimelineFile,
        bytes: Bytes,
        guard: &LockGuard,
    ) -> Result<(), CommitError> {
        guard.check().await?;
        let (clock, path) = (&self.table.environment.clock, self.table.timeline.path(&file));
        let started = clock.monotonic();
        let (mut until, mut doubt, mut pause) = (started, None, PAUSE_MIN);
        loop {
            let now = clock.monotonic();
            if doubt.is_none() || (now < started + PUT_AGAIN && guard.check().await.is_ok()) {
                until = now + self.lock.publishing();
                // Whoever gives this call up must find it, too.
                self.seen().unsettled.insert(file.instant, Unsettled { file, until });
                match self.table.storage.put_if_absent(&path, bytes.clone()).await {
                    Ok(_) => break,
                    Err(error) if is_certain(&error) && doubt.is_none() => {
                        self.settled(file.instant);
                        return Err(error.into());
                    }
                    Err(error) => doubt = doubt.or(Some(error)),
                }
            }
            match (self.look(&path, &bytes).await?, clock.monotonic() >= until) {
                (Look::Durable, _) => break,
                (Look::Absent, true) => {
                    self.settled(file.instant);
                    return Err(doubt.map_or(CommitError::Unsettled { path }, |error| known(error).into()));
                }
                (Look::Unknown, true) => return Err(CommitError::Unsettled { path }),
                (_, false) => clock.sleep(pause).await,
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
        self.settled(file.instant);
        Ok(())
    }

    /// The completed file of `instant` that was put and may still come, by `timeline`, which was read
    /// under the lock.
    ///
    /// # Errors
    /// It is there, and could not be made durable.
    pub(super) async fn unsettled(
        &self,
        timeline: &Timeline,
        instant: InstantTime,
    ) -> Result<Option<TimelineFile>, CommitError> {
        let Some(Unsettled { file, until }) = self.seen().unsettled.get(&instant).copied() else {
            return Ok(None);
        };
        let is_there = timeline.get(instant, file.action).is_some_and(|known| known.is_completed());
        if is_there {
            self.table.storage.sync(&self.table.timeline.path(&file)).await?;
        }
        if is_there || self.table.environment.clock.monotonic() >= until {
            self.settled(instant);
            return Ok(None);
        }
        Ok(Some(file))
    }

    /// Says that `file` may still come.
    pub(super) fn still_unsettled(&self, file: &TimelineFile) -> CommitError {
        CommitError::Unsettled { path: self.table.timeline.path(file) }
    }

    fn settled(&self, instant: InstantTime) {
        self.seen().unsettled.remove(&instant);
    }

    async fn look(&self, path: &TablePath, bytes: &Bytes) -> Result<Look, CommitError> {
        match self.table.storage.get(path, u64::MAX).await {
            Ok(found) if found.bytes != bytes => Err(CommitError::Foreign { path: path.clone() }),
            // A put may have made it visible and failed to make it durable.
            Ok(_) => Ok(self.table.storage.sync(path).await.map_or(Look::Unknown, |()| Look::Durable)),
            Err(StorageError::NotFound { .. }) => Ok(Look::Absent),
            Err(_) => Ok(Look::Unknown),
        }
    }
}

/// Whether a put that ended so has surely changed nothing, and met nothing.
fn is_certain(error: &StorageError) -> bool {
    use StorageError::{AlreadyExists, Ambiguous, Io};
    !matches!(error, AlreadyExists { .. } | Ambiguous { .. } | Io { .. })
}

/// The error of a put of which it turned out that it did not happen.
fn known(error: StorageError) -> StorageError {
    match error {
        StorageError::Ambiguous { operation, location, source } => {
            StorageError::Io { operation, location, source }
        }
        error => error,
    }
}
