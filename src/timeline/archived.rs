//! Reading the archived timeline of layout 2, as far as something needs it.

use std::collections::BTreeMap;

use lakebed_hudi::history::{
    HistoryColumns, HistoryEntry, HistoryFile, HistoryManifest, manifest_name, manifest_version,
    parse_version, read_entries,
};
use lakebed_hudi::instant::InstantTime;

use super::{TimelineError, TimelineStore};
use crate::storage::{StorageError, TablePath};

/// Larger files than this are no history that anybody writes.
const MAX_FILE_BYTES: u64 = 1 << 30;

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
        let mut entries = Vec::new();
        for file in self.manifest().await?.files {
            if file.file_name.max < from {
                continue;
            }
            let read = self.read_history(&file, columns).await?;
            entries.extend(read.into_iter().filter(|entry| entry.instant >= from));
        }
        Ok(entries)
    }

    /// What `pick` picks from the newest archived instant from which it picks something. Files of
    /// the history are read from the newest on, until then.
    ///
    /// # Errors
    /// A history that cannot be understood.
    pub async fn newest_archived<T>(
        &self,
        pick: impl Fn(&HistoryEntry) -> Option<T>,
    ) -> Result<Option<T>, TimelineError> {
        let mut files = self.manifest().await?.files;
        files.sort_by_key(|file| std::cmp::Reverse(file.file_name.max));
        for file in files {
            let mut entries = self.read_history(&file, HistoryColumns::All).await?;
            entries.sort_by_key(|entry| std::cmp::Reverse(entry.completion));
            if let Some(picked) = entries.iter().find_map(&pick) {
                return Ok(Some(picked));
            }
        }
        Ok(None)
    }

    async fn read_history(
        &self,
        file: &HistoryFile,
        columns: HistoryColumns,
    ) -> Result<Vec<HistoryEntry>, TimelineError> {
        let path = self.history.join(&file.file_name.to_string())?;
        let bytes = self.storage.get(&path, MAX_FILE_BYTES).await?.bytes;
        read_entries(&bytes, columns).map_err(|source| TimelineError::History { path, source })
    }

    /// The files that make up the history now; none where nothing was archived.
    async fn manifest(&self) -> Result<HistoryManifest, TimelineError> {
        let Some(version) = self.history_version().await? else {
            return Ok(HistoryManifest::default());
        };
        let path = self.history.join(&manifest_name(version))?;
        let bytes = self.storage.get(&path, MAX_FILE_BYTES).await?.bytes;
        HistoryManifest::from_json(&bytes).map_err(|source| TimelineError::History { path, source })
    }

    /// The number in `_version_`; while that file is being replaced, the greatest manifest's.
    async fn history_version(&self) -> Result<Option<u32>, TimelineError> {
        let path = self.history.join("_version_")?;
        match self.storage.get(&path, MAX_FILE_BYTES).await {
            Ok(object) => {
                let version = parse_version(&object.bytes);
                version.map(Some).map_err(|source| TimelineError::History { path, source })
            }
            Err(StorageError::NotFound { .. }) => {
                let listing = self.storage.list(&self.history).await?;
                let version = |path: &TablePath| manifest_version(path.file_name());
                Ok(listing.files.iter().filter_map(|file| version(&file.path)).max())
            }
            Err(error) => Err(error.into()),
        }
    }
}
