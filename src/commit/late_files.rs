//! Files that come after their instant was rolled back.
//!
//! A run that was taken over learns of it at its next commit and writes on until then; if it dies
//! before, nobody deletes what it wrote. Such files are invisible only while the active timeline
//! has a write before their instant. So every run looks for them whenever it begins a write:
//!
//! * A file that was begun after the rollback has a marker, and its instant is not on the timeline:
//!   one listing finds them all, whoever left them.
//! * The marker of a file that was begun before went with the rollback, and the file may end later.
//!   Who rolls back remembers these, and looks for them until the writer gives no sign of life.

use std::collections::BTreeSet;
use std::time::Duration;

use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_file::Action;
use lakebed_hudi::timeline_metadata::RollbackMetadata;

use super::{CommitError, Committer, heartbeat};
use crate::storage::TablePath;
use crate::table::{marker_folder, marker_root};
use crate::timeline::{Timeline, TimelineError};

/// An instant that this process rolled back and whose writer may still live.
#[derive(Debug, Clone)]
pub(super) struct RolledBack {
    instant: InstantTime,
    /// The files that its markers named.
    files: BTreeSet<TablePath>,
    at_unix_millis: i64,
    /// When they were last deleted, on the monotonic clock.
    looked: Duration,
}

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

    /// Deletes files and markers that came after their instants were rolled back: of those that were
    /// `marked` before `timeline` was read, and of those that this process remembers.
    ///
    /// # Errors
    /// Those of the storage; call it again.
    pub async fn sweep_late(&self, marked: &[InstantTime], timeline: &Timeline) -> Result<(), CommitError> {
        if marked.iter().any(|instant| timeline.write_at(*instant).is_none()) {
            // A write may begin on what this process knew of the timeline, without a living writer.
            let timeline = self.timeline().await?;
            for instant in marked.iter().filter(|instant| timeline.write_at(**instant).is_none()) {
                if self.was_rolled_back(&timeline, *instant).await? {
                    self.delete_late(*instant, &self.files_of(*instant).await?).await?;
                }
                self.table.storage.delete_dir(&marker_folder(*instant)?).await?;
            }
        }
        self.look_again().await
    }

    /// Whether a write that is not on `timeline` was rolled back, and not archived: of one before all
    /// writes on it the rollback tells, of another one the archive, which a savepoint may hold behind.
    pub(super) async fn was_rolled_back(
        &self,
        timeline: &Timeline,
        instant: InstantTime,
    ) -> Result<bool, CommitError> {
        if !timeline.is_before_start(instant) {
            let archived = self.table.timeline.archived_completions(instant).await?;
            return Ok(!archived.contains_key(&instant));
        }
        let later = timeline.completed().filter(|i| i.action == Action::Rollback && i.time > instant);
        for rollback in later {
            let file = rollback.file();
            let broken = |source| TimelineError::Metadata { path: self.table.timeline.path(&file), source };
            let bytes = self.table.timeline.read(&file).await?;
            let metadata = RollbackMetadata::from_avro(&bytes).map_err(broken)?;
            if metadata.commits_rollback.contains(&instant) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Deletes files that ended after the rollback, of instants whose writers may have beaten since
    /// they were last looked at.
    async fn look_again(&self) -> Result<(), CommitError> {
        let now = self.table.environment.clock.monotonic();
        let is_due = |late: &&RolledBack| now.saturating_sub(late.looked) >= self.options.heartbeat_interval;
        let due: Vec<RolledBack> = self.seen().rolled_back.iter().filter(is_due).cloned().collect();
        for late in due {
            let is_over = self.is_silent(&late).await?;
            self.delete_late(late.instant, &late.files).await?;
            let mut seen = self.seen();
            seen.rolled_back.retain(|other| other.instant != late.instant);
            if !is_over {
                seen.rolled_back.push(RolledBack { looked: now, ..late });
            }
        }
        Ok(())
    }

    /// Has later writes look for files of an instant that was rolled back.
    pub(super) fn remember_rolled_back(&self, instant: InstantTime, files: BTreeSet<TablePath>) {
        let clock = &self.table.environment.clock;
        let (at_unix_millis, looked) = (clock.unix_millis(), clock.monotonic());
        self.seen().rolled_back.push(RolledBack { instant, files, at_unix_millis, looked });
    }

    /// Whether the writer of `late` has given no sign of life for so long that it is dead.
    async fn is_silent(&self, late: &RolledBack) -> Result<bool, CommitError> {
        let last_beat = heartbeat::last_beat(&self.table, late.instant).await?;
        let last_sign = last_beat.map_or(late.at_unix_millis, |beat| beat.max(late.at_unix_millis));
        Ok(heartbeat::is_older(&self.table, last_sign, self.options.heartbeat_expiry()))
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
