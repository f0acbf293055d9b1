//! Whether a table can be taken back to a savepoint.

use std::collections::BTreeSet;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use lakebed_hudi::file_name::DataFileName;
use lakebed_hudi::history::HistoryColumns;
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_file::Action;
use lakebed_hudi::timeline_metadata::SavepointMetadata;

use super::later_than;
use crate::commit::{CommitError, Committer, UndoError, heartbeat};
use crate::storage::TablePath;
use crate::table::partition_folder;
use crate::timeline::{Instant, Timeline};

/// How many partitions are listed at the same time.
const LISTINGS: usize = 16;

impl Committer {
    /// Refuses another restore than the one that was begun.
    pub(super) async fn check_same_restore(
        &self,
        timeline: &Timeline,
        restore: &Instant,
        savepoint: InstantTime,
    ) -> Result<(), CommitError> {
        let begun = self.savepoint_of(timeline, restore.time).await?;
        if begun == savepoint {
            return Ok(());
        }
        Err(UndoError::OtherRestore { restore: restore.time, savepoint: Some(begun) }.into())
    }

    /// What came after a savepoint that the table can be taken back to, in its turn.
    ///
    /// Hudi's restore fails half-way at a commit that has a savepoint itself.
    pub(super) async fn later_than_restorable(
        &self,
        timeline: &Timeline,
        savepoint: InstantTime,
    ) -> Result<Vec<Instant>, CommitError> {
        let commit = self.check_restorable(timeline, savepoint).await?;
        let later = later_than(timeline, &commit, self.table.config.table_type);
        match later.iter().find(|later| timeline.get(later.time, Action::Savepoint).is_some()) {
            Some(kept) => Err(UndoError::Savepointed { instant: kept.time }.into()),
            None => Ok(later),
        }
    }

    /// The commit of a savepoint that the table can be taken back to.
    ///
    /// Hudi looks for the savepoint alone.
    async fn check_restorable(
        &self,
        timeline: &Timeline,
        savepoint: InstantTime,
    ) -> Result<Instant, CommitError> {
        let savepoints = timeline.completed().filter(|i| i.action == Action::Savepoint);
        let savepoints: Vec<Instant> = savepoints.copied().collect();
        let Some(kept) = savepoints.iter().find(|kept| kept.time == savepoint) else {
            let savepoints = savepoints.iter().map(|savepoint| savepoint.time).collect();
            return Err(UndoError::NoSavepoint { instant: savepoint, savepoints }.into());
        };
        let commit = timeline.write_at(savepoint).filter(|commit| commit.is_completed());
        let commit = *commit.ok_or(UndoError::NoCommit { savepoint })?;
        self.check_nobody_alive(timeline).await?;
        self.check_not_archived_beyond(&commit).await?;
        let metadata = self.table.timeline.savepoint_metadata(kept).await?;
        self.check_files_there(timeline, savepoint, &metadata).await?;
        Ok(commit)
    }

    /// Refuses where anybody may be at work on the table, on whatever.
    async fn check_nobody_alive(&self, timeline: &Timeline) -> Result<(), CommitError> {
        let works = |i: &&Instant| i.action.writes_data() || i.action == Action::Clean;
        for pending in timeline.pending().filter(works) {
            self.check_dead(timeline, pending).await?;
        }
        for instant in heartbeat::instants(&self.table).await? {
            let known = timeline.instants().find(|i| i.time == instant);
            if known.is_none_or(|known| known.action != Action::Restore && !known.is_completed())
                && !self.is_dead(instant).await?
            {
                let pending = known.copied().unwrap_or_else(|| Instant::begun(instant));
                self.check_dead(timeline, &pending).await?;
            }
        }
        Ok(())
    }

    async fn check_not_archived_beyond(&self, commit: &Instant) -> Result<(), CommitError> {
        let archived = self.table.timeline.archived(commit.time, HistoryColumns::Instants).await?;
        let beyond = archived.iter().find(|entry| {
            entry.action.writes_data()
                && entry.instant != commit.time
                && Some(entry.completion) > commit.completion()
        });
        match beyond {
            Some(entry) => {
                let (archived, action) = (entry.instant, entry.action);
                Err(UndoError::ArchivedBeyond { savepoint: commit.time, archived, action }.into())
            }
            None => Ok(()),
        }
    }

    /// What another restore took back may be among the files of a savepoint.
    async fn check_files_there(
        &self,
        timeline: &Timeline,
        savepoint: InstantTime,
        metadata: &SavepointMetadata,
    ) -> Result<(), CommitError> {
        let counts = |name: &&String| {
            DataFileName::parse(name).is_some_and(|name| timeline.is_committed(name.instant()))
        };
        let mut kept: Vec<(TablePath, BTreeSet<TablePath>)> = Vec::new();
        for (partition, of_partition) in &metadata.partition_metadata {
            let folder = partition_folder(partition)?;
            let files = of_partition.savepoint_data_file.iter().filter(counts).map(|name| folder.join(name));
            kept.push((folder.clone(), files.collect::<Result<_, _>>()?));
        }
        let storage = &self.table.storage;
        let missing: Vec<Option<TablePath>> = stream::iter(kept)
            .map(|(folder, mut files)| async move {
                for there in storage.list(&folder).await?.files {
                    files.remove(&there.path);
                }
                Ok::<_, CommitError>(files.pop_first())
            })
            .buffered(LISTINGS)
            .try_collect()
            .await?;
        match missing.into_iter().flatten().next() {
            Some(path) => Err(UndoError::KeptFile { savepoint, path }.into()),
            None => Ok(()),
        }
    }
}
