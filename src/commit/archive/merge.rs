//! Keeping the archive to few files: those of a level are merged into one of the next.

use lakebed_hudi::history::{HistoryFile, HistoryFileName, HistoryManifest, merge_files};

use super::is_gone;
use crate::commit::{CommitError, Committer};
use crate::storage::lock::LockGuard;
use crate::timeline::{History, TimelineError};

/// So many files of a level are merged (`hoodie.timeline.compaction.batch.size`).
const MERGED_FILES: usize = 10;

/// Readers know one digit.
const LAST_LEVEL: u8 = 9;

/// What became of a merge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Merged {
    /// Files were merged into one.
    Done,
    /// No level has files enough.
    NotDue,
    /// Somebody else has changed the archive meanwhile.
    Overtaken,
}

impl Committer {
    /// Merges files of one level of the archive, if it has enough of them, into one of the next. Files that
    /// have more than `max_bytes` together are not merged.
    ///
    /// # Errors
    /// No lock in time; those of the storage, and files that cannot be read.
    pub async fn merge_history(&self, max_bytes: u64) -> Result<Merged, CommitError> {
        let history = self.table.timeline.history().await?;
        let Some(due) = due(&history.manifest, max_bytes) else { return Ok(Merged::NotDue) };
        let bytes = match self.merged(&due).await {
            Err(error) if is_gone(&error) => return Ok(Merged::Overtaken),
            merged => merged?,
        };
        let guard = self.locked().await?;
        let merged = self.enter_merged(&history, &due, bytes, &guard).await;
        guard.release().await?;
        Ok(if merged? { Merged::Done } else { Merged::Overtaken })
    }

    async fn merged(&self, due: &[HistoryFile]) -> Result<Vec<u8>, CommitError> {
        let timeline = &self.table.timeline;
        let mut files = Vec::with_capacity(due.len());
        for file in due {
            files.push(timeline.history_file(file).await?);
        }
        let path = timeline.history.clone();
        // It may take seconds, and heartbeats go on.
        let merging = tokio::task::spawn_blocking(move || merge_files(&files));
        match merging.await {
            Ok(merged) => Ok(merged.map_err(|source| TimelineError::History { path, source })?),
            Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
        }
    }

    async fn enter_merged(
        &self,
        history: &History,
        due: &[HistoryFile],
        bytes: Vec<u8>,
        guard: &LockGuard,
    ) -> Result<bool, CommitError> {
        let now = self.table.timeline.history().await?;
        let Some(name) = name_of(due).filter(|_| now.snapshot == history.snapshot) else { return Ok(false) };
        self.enter(&now, due, name, bytes.into(), guard).await
    }
}

/// The name of the file that `due` become.
fn name_of(due: &[HistoryFile]) -> Option<HistoryFileName> {
    let names = || due.iter().map(|file| file.file_name);
    Some(HistoryFileName {
        min: names().map(|name| name.min).min()?,
        max: names().map(|name| name.max).max()?,
        level: names().next()?.level + 1,
    })
}

/// The files to be merged next, the oldest first.
///
/// Source: `LSMTimelineWriter.doCompact`, `getCandidateFiles`.
fn due(manifest: &HistoryManifest, max_bytes: u64) -> Option<Vec<HistoryFile>> {
    (0..LAST_LEVEL).find_map(|level| {
        let of_level = manifest.files.iter().filter(|file| file.file_name.level == level);
        let mut files: Vec<HistoryFile> = of_level.copied().collect();
        files.sort_unstable();
        if files.len() < MERGED_FILES { None } else { neighbours(&files, max_bytes) }
    })
}

/// The first of `files` that lie side by side and are small enough to be merged.
fn neighbours(files: &[HistoryFile], max_bytes: u64) -> Option<Vec<HistoryFile>> {
    let (mut found, mut bytes) = (Vec::new(), 0_u64);
    for file in files {
        if bytes.saturating_add(file.file_len) > max_bytes {
            if found.len() > 1 {
                break;
            }
            (found, bytes) = (Vec::new(), 0);
            if file.file_len > max_bytes {
                continue;
            }
        }
        bytes += file.file_len;
        found.push(*file);
        if found.len() == MERGED_FILES {
            break;
        }
    }
    (found.len() > 1).then_some(found)
}

#[cfg(test)]
mod tests {
    use lakebed_hudi::instant::{InstantTime, TimelineZone};

    use super::*;

    fn file(number: i64, level: u8, file_len: u64) -> HistoryFile {
        let at = |n: i64| InstantTime::from_unix_millis(n, TimelineZone::Utc);
        let file_name = HistoryFileName { min: at(10 * number), max: at(10 * number + 9), level };
        HistoryFile { file_name, file_len }
    }

    fn merges(files: Vec<HistoryFile>, max_bytes: u64) -> Option<(HistoryFileName, usize)> {
        let due = due(&HistoryManifest { files }, max_bytes)?;
        Some((name_of(&due)?, due.len()))
    }

    #[test]
    fn ten_files_of_a_level_are_due_the_oldest_first() {
        let level = |level, count| (0..count).rev().map(move |number| file(number, level, 5));
        assert_eq!(merges(level(0, 9).chain(level(1, 9)).collect(), 100), None);
        let merged = |level| {
            let (first, last) = (file(0, level, 0).file_name, file(9, level, 0).file_name);
            Some((HistoryFileName { min: first.min, max: last.max, level }, 10))
        };
        assert_eq!(merges(level(0, 12).collect(), 100), merged(1));
        assert_eq!(merges(level(0, 9).chain(level(2, 10)).collect(), 100), merged(3));
        assert_eq!(merges(level(9, 12).collect(), 100), None);
    }

    #[test]
    fn files_are_merged_as_long_as_they_fit() {
        let of_sizes = |sizes: [u64; 10]| (0..).zip(sizes).map(|(n, size)| file(n, 0, size)).collect();
        assert_eq!(merges(of_sizes([30; 10]), 100).map(|(_, count)| count), Some(3));
        assert_eq!(merges(of_sizes([60; 10]), 100), None);
        assert_eq!(merges(of_sizes([101; 10]), 100), None);
        // The large ones lie between small ones.
        let (name, count) = merges(of_sizes([5, 200, 60, 60, 40, 200, 5, 5, 5, 5]), 100).unwrap();
        assert_eq!(
            (name.min, name.max, count),
            (file(3, 0, 0).file_name.min, file(4, 0, 0).file_name.max, 2)
        );
    }
}
