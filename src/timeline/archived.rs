//! Reading the archived timeline of layout 2, as far as something needs it.
//!
//! Who archives leaves files that a new snapshot does not name only for a while. So where one is gone, reading
//! begins anew with the snapshot that is there then.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use lakebed_hudi::history::{
    HistoryColumns, HistoryEntry, HistoryFile, HistoryManifest, TAIL_BYTES, VERSION_FILE,
    greatest_completion, manifest_name, manifest_version, parse_version, read_entries,
};
use lakebed_hudi::instant::InstantTime;

use super::{TimelineError, TimelineStore};
use crate::storage::{StorageError, TablePath, Version};

/// Larger files than this are no history that anybody writes.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// How many files are looked into at the same time.
const LOOKS: usize = 16;

/// One snapshot of the archived timeline.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct History {
    /// Its number; `None` before the first.
    pub(crate) snapshot: Option<u32>,
    /// The file that says so.
    pub(crate) recorded: Recorded,
    /// The files that it consists of.
    pub(crate) manifest: HistoryManifest,
}

/// The file with the number of the current snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Recorded {
    /// Nothing was archived yet, or it is being replaced.
    #[default]
    Absent,
    /// It is there, in this version where the storage has some.
    There(Option<Version>),
}

impl TimelineStore {
    /// When archived instants from `from` on completed, by instant.
    ///
    /// Reads the files of the history whose names reach that far, without their metadata.
    ///
    /// # Errors
    /// A history that cannot be understood.
    pub async fn archived_completions(
        &self,
        from: InstantTime,
    ) -> Result<BTreeMap<InstantTime, InstantTime>, TimelineError> {
        let entries = self.archived(from, HistoryColumns::Instants).await?;
        Ok(entries.into_iter().map(|entry| (entry.instant, entry.completion)).collect())
    }

    /// Archived instants from `from` on, in no order.
    ///
    /// # Errors
    /// A history that cannot be understood.
    pub async fn archived(
        &self,
        from: InstantTime,
        columns: HistoryColumns,
    ) -> Result<Vec<HistoryEntry>, TimelineError> {
        loop {
            let history = self.history().await?;
            match self.entries_of(&history, from, columns).await {
                Err(error) if error.is_not_found() && self.has_moved_on(&history).await? => {}
                read => return read,
            }
        }
    }

    /// The instants of a snapshot from `from` on, in no order.
    pub(crate) async fn entries_of(
        &self,
        history: &History,
        from: InstantTime,
        columns: HistoryColumns,
    ) -> Result<Vec<HistoryEntry>, TimelineError> {
        let mut entries = Vec::new();
        for file in history.manifest.files.iter().filter(|file| file.file_name.max >= from) {
            let read = self.read_history(file, columns).await?;
            entries.extend(read.into_iter().filter(|entry| entry.instant >= from));
        }
        Ok(entries)
    }

    /// What `pick` picks from the archived instant that completed last of those from which it picks
    /// something. Files of the history are read from the newest on, as far as they may have such a one.
    ///
    /// # Errors
    /// A history that cannot be understood.
    pub async fn newest_archived<T>(
        &self,
        pick: impl Fn(&HistoryEntry) -> Option<T>,
    ) -> Result<Option<T>, TimelineError> {
        loop {
            let history = self.history().await?;
            match self.newest_of(&history, &pick).await {
                Err(error) if error.is_not_found() && self.has_moved_on(&history).await? => {}
                read => return read,
            }
        }
    }

    async fn newest_of<T>(
        &self,
        history: &History,
        pick: impl Fn(&HistoryEntry) -> Option<T>,
    ) -> Result<Option<T>, TimelineError> {
        let mut files = history.manifest.files.clone();
        files.sort_by_key(|file| std::cmp::Reverse(file.file_name.max));
        let mut newest: Option<(InstantTime, T)> = None;
        let mut rest = files.into_iter();
        for file in rest.by_ref() {
            newest = self.newer_in(&file, newest, &pick).await?;
            if newest.is_some() {
                break;
            }
        }
        // An instant that took long to complete may stand in an older file.
        let rest: Vec<(HistoryFile, Option<InstantTime>)> = stream::iter(rest)
            .map(|file| async move { Ok::<_, TimelineError>((file, self.last_completion(&file).await?)) })
            .buffered(LOOKS)
            .try_collect()
            .await?;
        for (file, last) in rest {
            if last.is_none_or(|last| newest.as_ref().is_none_or(|(completion, _)| last > *completion)) {
                newest = self.newer_in(&file, newest, &pick).await?;
            }
        }
        Ok(newest.map(|(_, picked)| picked))
    }

    /// What is picked from a file if that completed later than `known`, which it is otherwise.
    async fn newer_in<T>(
        &self,
        file: &HistoryFile,
        known: Option<(InstantTime, T)>,
        pick: impl Fn(&HistoryEntry) -> Option<T>,
    ) -> Result<Option<(InstantTime, T)>, TimelineError> {
        let mut entries = self.read_history(file, HistoryColumns::All).await?;
        entries.retain(|entry| known.as_ref().is_none_or(|(completion, _)| entry.completion > *completion));
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.completion));
        let found = entries.iter().find_map(|entry| Some((entry.completion, pick(entry)?)));
        Ok(found.or(known))
    }

    /// When the instant of a file completed that did so last, if the file's footer tells.
    async fn last_completion(&self, file: &HistoryFile) -> Result<Option<InstantTime>, TimelineError> {
        let path = self.history.join(&file.file_name.to_string())?;
        let size = self.storage.stat(&path).await?.size;
        let tail = self.storage.get_range(&path, size.saturating_sub(TAIL_BYTES)..size).await?;
        greatest_completion(&tail).map_err(|source| TimelineError::History { path, source })
    }

    async fn read_history(
        &self,
        file: &HistoryFile,
        columns: HistoryColumns,
    ) -> Result<Vec<HistoryEntry>, TimelineError> {
        let bytes = self.history_file(file).await?;
        let path = self.history.join(&file.file_name.to_string())?;
        read_entries(&bytes, columns).map_err(|source| TimelineError::History { path, source })
    }

    /// The bytes of a file of the history.
    ///
    /// # Errors
    /// Those of the storage.
    pub(crate) async fn history_file(&self, file: &HistoryFile) -> Result<Bytes, TimelineError> {
        let path = self.history.join(&file.file_name.to_string())?;
        Ok(self.storage.get(&path, MAX_FILE_BYTES).await?.bytes)
    }

    /// The archived timeline as it is now.
    ///
    /// # Errors
    /// A history that cannot be understood.
    pub(crate) async fn history(&self) -> Result<History, TimelineError> {
        let mut gone = None;
        loop {
            let (snapshot, recorded) = self.current_snapshot().await?;
            let Some(number) = snapshot else { return Ok(History::default()) };
            match self.manifest(number).await {
                Ok(manifest) => return Ok(History { snapshot, recorded, manifest }),
                // Many more may have come meanwhile.
                Err(error) if error.is_not_found() && gone != snapshot => gone = snapshot,
                Err(error) => return Err(error),
            }
        }
    }

    /// The files of a snapshot.
    ///
    /// # Errors
    /// One that is gone or cannot be understood.
    pub(crate) async fn manifest(&self, snapshot: u32) -> Result<HistoryManifest, TimelineError> {
        let path = self.history.join(&manifest_name(snapshot))?;
        let bytes = self.storage.get(&path, MAX_FILE_BYTES).await?.bytes;
        HistoryManifest::from_json(&bytes).map_err(|source| TimelineError::History { path, source })
    }

    async fn has_moved_on(&self, history: &History) -> Result<bool, TimelineError> {
        Ok(self.current_snapshot().await?.0 != history.snapshot)
    }

    /// The number of the current snapshot, and the file that says so. While that file is being replaced,
    /// the greatest manifest's.
    ///
    /// Source: `LSMTimeline.latestSnapshotVersion`.
    async fn current_snapshot(&self) -> Result<(Option<u32>, Recorded), TimelineError> {
        let path = self.history.join(VERSION_FILE)?;
        let recorded = match self.storage.get(&path, MAX_FILE_BYTES).await {
            Ok(object) if object.bytes.is_empty() => Recorded::There(object.version),
            Ok(object) => {
                let number = parse_version(&object.bytes);
                let number = number.map_err(|source| TimelineError::History { path, source })?;
                return Ok((Some(number), Recorded::There(object.version)));
            }
            Err(StorageError::NotFound { .. }) => Recorded::Absent,
            Err(error) => return Err(error.into()),
        };
        let listing = self.storage.list(&self.history).await?;
        let number = |path: &TablePath| manifest_version(path.file_name());
        Ok((listing.files.iter().filter_map(|file| number(&file.path)).max(), recorded))
    }
}
