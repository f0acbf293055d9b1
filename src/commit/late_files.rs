//! Files that come after their instant was rolled back.
//!
//! A run that was taken over learns of it at its next commit and writes on until then; if it dies
//! before, nobody deletes what it wrote, and what it had sent off may still arrive. Such files are
//! invisible only while the active timeline has a write before their instant. So every run looks for
//! them whenever it begins a write: an instant that has markers and is not on the timeline was rolled
//! back, and one listing finds them all, whoever left them.
//!
//! A marker is there before its file, and outlasts it: as long as the writer of an instant may live,
//! neither a rollback nor who comes next removes its markers. So what is still to come is remembered in
//! the table, by whichever process there is. A writer is dead when its heartbeat has ended, or has
//! expired: the rule by which all writers of a table take each other for dead.

use lakebed_hudi::history::HistoryColumns;
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_file::Action;
use lakebed_hudi::timeline_metadata::{MetadataError, RollbackMetadata};

use super::{CommitError, Committer, heartbeat};
use crate::storage::TablePath;
use crate::table::marker_root;
use crate::timeline::{Timeline, TimelineError};

impl Committer {
    /// The instants that have markers. List them before the timeline: one that begins in between is
    /// on the timeline then.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn marked_instants(&self) -> Result<Vec<InstantTime>, CommitError> {
        let folders = self.table.storage.list(&marker_root()).await?.folders;
        Ok(folders.iter().filter_map(|folder| folder.file_name().parse().ok()).collect())
    }

    /// Deletes files that came after their instants were rolled back, of those that were `marked`
    /// before `timeline` was read, and the markers of dead writers.
    ///
    /// # Errors
    /// Those of the storage; call it again.
    pub async fn sweep_late(&self, marked: &[InstantTime], timeline: &Timeline) -> Result<(), CommitError> {
        if marked.iter().all(|instant| timeline.write_at(*instant).is_some()) {
            return Ok(());
        }
        // A write may begin on what this process knew of the timeline, without a living writer.
        let timeline = self.timeline().await?;
        for instant in marked.iter().filter(|instant| timeline.write_at(**instant).is_none()) {
            if self.was_rolled_back(&timeline, *instant).await? {
                self.sweep_rolled_back(*instant).await?;
            } else {
                self.remove_markers(*instant).await?;
            }
        }
        Ok(())
    }

    /// Deletes the files of an instant that was rolled back, and its markers if its writer is dead.
    pub(super) async fn sweep_rolled_back(&self, instant: InstantTime) -> Result<(), CommitError> {
        // Asked first: what comes from then on is of a living writer, or of none.
        let is_dead = self.is_dead(instant).await?;
        self.delete_late(instant, &self.files_of(instant).await?).await?;
        if is_dead { self.remove_traces(instant).await } else { Ok(()) }
    }

    /// Whether a write that is not on `timeline` was rolled back, and not archived: of one before all
    /// writes on it a rollback tells, of another one the archive, which a savepoint may hold behind.
    pub(super) async fn was_rolled_back(
        &self,
        timeline: &Timeline,
        instant: InstantTime,
    ) -> Result<bool, CommitError> {
        if self.table.timeline.archived_completions(instant).await?.contains_key(&instant) {
            return Ok(false);
        }
        if !timeline.is_before_start(instant) {
            return Ok(true);
        }
        let later = timeline.completed().filter(|i| i.action == Action::Rollback && i.time > instant);
        for rollback in later {
            let file = rollback.file();
            let broken = |source| TimelineError::Metadata { path: self.table.timeline.path(&file), source };
            let bytes = match self.table.timeline.read(&file).await {
                // It has gone to the archive since it was listed.
                Err(error) if error.is_not_found() => continue,
                bytes => bytes?,
            };
            if undid(&bytes, instant).map_err(broken)? {
                return Ok(true);
            }
        }
        self.is_undone_in_archive(instant).await
    }

    /// Whether an archived rollback tells that it undid `instant`: others may have archived past both
    /// since a run last looked.
    async fn is_undone_in_archive(&self, instant: InstantTime) -> Result<bool, CommitError> {
        let broken = |source| TimelineError::Metadata { path: self.table.timeline.history.clone(), source };
        for entry in self.table.timeline.archived(instant, HistoryColumns::All).await? {
            if let Some(bytes) = entry.metadata.filter(|_| entry.action == Action::Rollback)
                && undid(&bytes, instant).map_err(broken)?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the writer of `instant` has ended its heartbeat, or has not beaten for so long that it
    /// counts as dead.
    pub(crate) async fn is_dead(&self, instant: InstantTime) -> Result<bool, CommitError> {
        let last_beat = heartbeat::last_beat(&self.table, instant).await?;
        let expiry = self.options.heartbeat_expiry();
        Ok(last_beat.is_none_or(|beat| heartbeat::is_older(&self.table, beat, expiry)))
    }

    /// Removes what is left of a write that was rolled back and whose writer is dead.
    async fn remove_traces(&self, instant: InstantTime) -> Result<(), CommitError> {
        self.remove_markers(instant).await?;
        heartbeat::remove(&self.table, instant).await
    }

    /// Deletes files of an instant that is not on the timeline.
    pub(super) async fn delete_late(
        &self,
        instant: InstantTime,
        files: impl IntoIterator<Item = &TablePath>,
    ) -> Result<(), CommitError> {
        for path in files {
            if self.table.storage.delete(path).await? {
                tracing::warn!(%path, %instant, "deleted a stray file of a rolled back instant");
            }
        }
        Ok(())
    }
}

/// Whether the rollback with these bytes undid `instant`.
fn undid(rollback: &[u8], instant: InstantTime) -> Result<bool, MetadataError> {
    Ok(RollbackMetadata::from_avro(rollback)?.commits_rollback.contains(&instant))
}
