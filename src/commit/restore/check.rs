//! Whether a table can be taken back to a savepoint.

use std::collections::BTreeSet;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use lakebed_hudi::file_name::DataFileName;
use lakebed_hudi::history::HistoryColumns;
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_file::Action;
use lakebed_hudi::timeline_metadata::SavepointMetadata;

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

    /// The commit of a savepoint that the table can be taken back to.
    ///
    /// Hudi looks for the savepoint alone.
    pub(super) async fn check_restorable(
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
        let storage = &self.table.storage;
        stream::iter(&metadata.partition_metadata)
            .map(|(partition, kept)| async move {
                let folder = partition_folder(partition)?;
                let listed = storage.list(&folder).await?.files;
                let there: BTreeSet<&str> = listed.iter().map(|file| file.path.file_name()).collect();
                let counts = |name: &&String| {
                    DataFileName::parse(name).is_some_and(|name| timeline.is_committed(name.instant()))
                };
                let mut files = kept.savepoint_data_file.iter().filter(counts);
                match files.find(|name| !there.contains(name.as_str())) {
                    Some(name) => {
                        let path: TablePath = folder.join(name)?;
                        Err(CommitError::from(UndoError::KeptFile { savepoint, path }))
                    }
                    None => Ok(()),
                }
            })
            .buffered(LISTINGS)
            .try_for_each(|()| std::future::ready(Ok(())))
            .await
    }
}
