//! Snapshots of the archived timeline: a new one is put, old ones go.

use std::collections::BTreeSet;

use bytes::Bytes;
use lakebed_hudi::history::{HistoryFile, HistoryFileName, VERSION_FILE, manifest_name, manifest_version};

use crate::commit::{CommitError, Committer, PUT_MAX};
use crate::storage::lock::LockGuard;
use crate::storage::{Listing, StorageError, TablePath};
use crate::timeline::{History, Recorded};

/// So many snapshots stay for who is reading them (`hoodie.timeline.manifest.retained.versions`).
pub const SNAPSHOTS_KEPT: usize = 3;

impl Committer {
    /// Makes the file `name` part of the archive, and takes the files `removed` out of it. The caller holds
    /// the lock, under which `history` was read. Says whether it did: not if somebody else holds the lock by
    /// now, and has put another snapshot.
    pub(super) async fn enter(
        &self,
        history: &History,
        removed: &[HistoryFile],
        name: HistoryFileName,
        bytes: Bytes,
        guard: &LockGuard,
    ) -> Result<bool, CommitError> {
        let (storage, folder) = (&self.table.storage, &self.table.timeline.history);
        let mut manifest = history.manifest.clone();
        if manifest.files.iter().any(|file| file.file_name == name) {
            return Ok(false);
        }
        manifest.files.retain(|file| !removed.contains(file));
        manifest.files.push(HistoryFile { file_name: name, file_len: bytes.len() as u64 });
        // Who was stopped may have left a manifest that never counted.
        let newest = snapshots(&storage.list(folder).await?).last().copied().max(history.snapshot);
        let snapshot = newest.unwrap_or(0).checked_add(1);
        let snapshot = snapshot.ok_or_else(|| CommitError::LastSnapshot { path: folder.clone() })?;
        guard.check().await?;
        storage.put(&folder.join(&name.to_string())?, bytes).await?;
        let path = folder.join(&manifest_name(snapshot))?;
        match storage.put_if_absent(&path, manifest.to_json().into()).await {
            Err(StorageError::AlreadyExists { .. }) => return Ok(false),
            put => drop(put?),
        }
        guard.check().await?;
        self.record(&history.recorded, snapshot).await
    }

    /// Makes a snapshot the current one, in the place of that which was.
    async fn record(&self, recorded: &Recorded, snapshot: u32) -> Result<bool, CommitError> {
        let path = self.table.timeline.history.join(VERSION_FILE)?;
        let (storage, number) = (&self.table.storage, Bytes::from(snapshot.to_string()));
        let put = match recorded {
            Recorded::Absent => storage.put_if_absent(&path, number).await.map(drop),
            Recorded::There(Some(version)) => storage.replace(&path, number, version).await.map(drop),
            Recorded::There(None) => storage.put(&path, number).await,
        };
        match put {
            Err(StorageError::AlreadyExists { .. } | StorageError::VersionMismatch { .. }) => Ok(false),
            put => Ok(put.map(|()| true)?),
        }
    }

    /// Deletes all snapshots of the archive but the newest `kept`, and the files that none of those names.
    ///
    /// # Errors
    /// No lock in time; those of the storage, and a snapshot that cannot be read.
    pub async fn clean_history(&self, kept: usize) -> Result<(), CommitError> {
        let guard = self.locked().await?;
        let cleaned = self.clean_history_locked(kept, &guard).await;
        guard.release().await?;
        cleaned
    }

    /// Source: `LSMTimelineWriter.clean`.
    async fn clean_history_locked(&self, kept: usize, guard: &LockGuard) -> Result<(), CommitError> {
        let (storage, timeline) = (&self.table.storage, &self.table.timeline);
        let listing = storage.list(&timeline.history).await?;
        let snapshots = snapshots(&listing);
        let (old, newest) = snapshots.split_at(snapshots.len().saturating_sub(kept));
        let current = timeline.history().await?;
        let is_old = |number: Option<u32>| {
            number.is_some_and(|number| old.contains(&number) && Some(number) != current.snapshot)
        };
        let mut named: BTreeSet<HistoryFileName> =
            current.manifest.files.iter().map(|f| f.file_name).collect();
        for number in newest {
            named.extend(timeline.manifest(*number).await?.files.iter().map(|file| file.file_name));
        }
        guard.check().await?;
        let manifests = listing.files.iter().filter(|f| is_old(manifest_version(f.path.file_name())));
        let mut deleted = 0;
        for file in manifests {
            deleted += usize::from(storage.delete(&file.path).await?);
        }
        let is_unnamed = |path: &TablePath| {
            path.file_name().parse::<HistoryFileName>().is_ok_and(|name| !named.contains(&name))
        };
        for file in listing.files.iter().filter(|file| deleted > 0 && is_unnamed(&file.path)) {
            storage.delete(&file.path).await?;
        }
        let longest_put = i64::try_from(PUT_MAX.as_millis()).unwrap_or(i64::MAX);
        let before = self.table.environment.clock.unix_millis().saturating_sub(longest_put);
        storage.sweep(&timeline.history, before).await?;
        Ok(())
    }
}

/// The numbers of the snapshots that have a manifest, the oldest first.
fn snapshots(listing: &Listing) -> Vec<u32> {
    let numbers = listing.files.iter().filter_map(|file| manifest_version(file.path.file_name()));
    let mut numbers: Vec<u32> = numbers.collect();
    numbers.sort_unstable();
    numbers
}
