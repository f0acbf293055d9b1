//! Moving instants from the active timeline to the archived one.
//!
//! | step | what | lock |
//! |---|---|---|
//! | read | the files of as many instants as make a batch | no |
//! | check | that they are as they were, and that nothing holds them | yes |
//! | enter | `<min>_<max>_0.parquet`, `manifest_<n>`, `_version_` | yes |
//! | delete | requested and inflight files, then completed ones, the oldest first | yes |
//! | merge | enough files of a level become one of the next: read and made, | no |
//! | | entered as above | yes |
//! | clean | snapshots that nobody reads any more, and files that they alone name | yes |
//!
//! # Invariants
//! * An instant is on the active timeline or in the archive. Who is stopped leaves it on both; the next run
//!   only deletes it, so that it is entered once.
//! * What remains of the active timeline has no holes: of two instants the older one is deleted first, and of
//!   one instant the completed file last. A pending file alone would look like something to be done.
//! * No file becomes part of the table by it. What was written before the first write of the active timeline
//!   counts as committed; so nothing goes beyond an instant that is pending, or was rolled back and has
//!   markers or a heartbeat left: its writer may yet bring files.
//! * The current snapshot is replaced as a whole, by whoever holds the lock.
//!
//! Source: `TimelineArchiverV2`, `LSMTimelineWriter` of Hudi 1.2.0; table versions 8 and 9.

mod batch;
mod check;
mod merge;
mod snapshot;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use lakebed_hudi::timeline_file::{State, TimelineFile};

use super::{CommitError, Committer};
use crate::storage::lock::LockGuard;
use crate::timeline::{History, Instant};

use batch::Batch;
pub use merge::Merged;
pub use snapshot::SNAPSHOTS_KEPT;

/// How many pending files are deleted at the same time.
const DELETES: usize = 16;

/// Instants that are to go to the archive.
#[derive(Debug, Clone, Copy)]
pub struct Going<'a> {
    /// Completed instants, oldest first: all writes of the active timeline up to some one, and what is to go
    /// with them.
    pub instants: &'a [Instant],
    /// The write that comes after them, with which the active timeline begins from then on.
    pub stays: Instant,
}

/// What became of instants that were to go to the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Archived {
    /// So many of them, the oldest ones, are in the archive and nowhere else.
    Gone {
        /// How many.
        instants: usize,
    },
    /// The table is not the one that it was planned on: plan anew. Nothing was changed.
    Stale {
        /// What happened.
        reason: String,
    },
}

impl Committer {
    /// Archives the oldest of the instants in `going`: as many as make one batch, of at most `max_bytes`
    /// where more than one instant is in it.
    ///
    /// Idempotent: what somebody else, or a run that was stopped, has entered in the archive is not entered
    /// again. That no reader needs the instants to know which file groups were replaced is the caller's to see
    /// to.
    ///
    /// # Errors
    /// No lock in time; those of the storage. Archive again then.
    pub async fn archive(&self, going: Going<'_>, max_bytes: u64) -> Result<Archived, CommitError> {
        let history = self.table.timeline.history().await?;
        let batch = match self.read_batch(going, &history, max_bytes).await {
            Err(error) if is_gone(&error) => return Ok(stale("somebody else is archiving, too")),
            batch => batch?,
        };
        if batch.instants.is_empty() {
            return Ok(Archived::Gone { instants: 0 });
        }
        let guard = self.locked().await?;
        let archived = self.archive_locked(&batch, &history, &guard).await;
        let released = guard.release().await;
        let archived = archived?;
        released?;
        Ok(archived)
    }

    async fn archive_locked(
        &self,
        batch: &Batch,
        history: &History,
        guard: &LockGuard,
    ) -> Result<Archived, CommitError> {
        let Some(first) = batch.instants.first() else { return Ok(Archived::Gone { instants: 0 }) };
        let files = self.table.timeline.files_between(first.time, batch.stays.time).await?;
        if let Some(reason) = batch.obstacle(&files, &self.traces().await?) {
            return Ok(Archived::Stale { reason });
        }
        let now = self.table.timeline.history().await?;
        if now.snapshot != history.snapshot {
            return Ok(stale("somebody else has archived meanwhile"));
        }
        if let Some((name, bytes)) = &batch.file
            && !self.enter(&now, &[], *name, bytes.clone(), guard).await?
        {
            return Ok(stale("somebody else has archived meanwhile"));
        }
        guard.check().await?;
        self.delete_archived(files.into_iter().filter(|file| batch.has(file)).collect()).await?;
        Ok(Archived::Gone { instants: batch.instants.len() })
    }

    /// Takes files of instants that are in the archive off the active timeline.
    ///
    /// Source: `TimelineArchiverV2.deleteArchivedActions`, for the order: without its completed file an
    /// instant looks like one that is pending; and where one is missing, readers take those before it for the
    /// beginning.
    async fn delete_archived(&self, files: Vec<TimelineFile>) -> Result<(), CommitError> {
        let is_completed = |file: &TimelineFile| matches!(file.state, State::Completed(_));
        let (mut completed, pending): (Vec<_>, Vec<_>) = files.into_iter().partition(is_completed);
        let (storage, timeline) = (&self.table.storage, &self.table.timeline);
        stream::iter(pending)
            .map(|file| async move { storage.delete(&timeline.path(&file)).await })
            .buffer_unordered(DELETES)
            .try_for_each(|_| std::future::ready(Ok(())))
            .await?;
        completed.sort_by_key(|file| (file.instant, file.completion()));
        for file in completed {
            storage.delete(&timeline.path(&file)).await?;
        }
        Ok(())
    }
}

fn stale(reason: &str) -> Archived {
    Archived::Stale { reason: reason.to_owned() }
}

/// Whether a file that was just there is not there any more.
fn is_gone(error: &CommitError) -> bool {
    matches!(error, CommitError::Timeline(error) if error.is_not_found())
}
