//! Instants that are archived together, read before anybody has to wait for it.

use std::collections::BTreeSet;

use bytes::Bytes;
use futures::stream::{self, StreamExt as _};
use lakebed_hudi::history::{HistoryColumns, HistoryEntry, HistoryFileName, write_entries};
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_file::{Action, TimelineFile};

use super::Going;
use crate::commit::{CommitError, Committer};
use crate::timeline::{History, Instant, TimelineError, TimelineStore};

/// More instants are not archived under one lock.
const BATCH_INSTANTS: usize = 100;
/// How many instants are read at the same time.
const READS: usize = 16;

/// Instants that are archived together.
#[derive(Debug)]
pub(super) struct Batch {
    /// They, oldest first.
    pub(super) instants: Vec<Instant>,
    /// The write that comes after them, and does not go with them.
    pub(super) stays: Instant,
    /// The file of those that are not in the archive yet.
    pub(super) file: Option<(HistoryFileName, Bytes)>,
}

impl Batch {
    /// Whether a file of the active timeline is one of its instants'.
    pub(super) fn has(&self, file: &TimelineFile) -> bool {
        let found = self.instants.binary_search_by_key(&file.instant, |instant| instant.time);
        found.is_ok_and(|at| self.instants.get(at).is_some_and(|i| i.action == file.action.completed()))
    }
}

impl Committer {
    /// Reads the oldest of the instants in `going`.
    ///
    /// # Errors
    /// Those of the storage; a file of an instant, or of the history, that is gone.
    pub(super) async fn read_batch(
        &self,
        going: Going<'_>,
        history: &History,
        max_bytes: u64,
    ) -> Result<Batch, CommitError> {
        let store = &self.table.timeline;
        let mut batch = Batch { instants: Vec::new(), stays: going.stays, file: None };
        let Some(first) = going.instants.first() else { return Ok(batch) };
        let entered = store.entries_of(history, first.time, HistoryColumns::Instants).await?;
        let entered: BTreeSet<(InstantTime, Action)> =
            entered.into_iter().map(|entry| (entry.instant, entry.action)).collect();
        let wanted: Vec<(Instant, bool)> = going
            .instants
            .iter()
            .take(BATCH_INSTANTS)
            .map(|instant| (*instant, entered.contains(&(instant.time, instant.action))))
            .collect();
        let mut reading = stream::iter(wanted)
            .map(|(instant, is_entered)| async move {
                let entry = if is_entered { None } else { Some(entry(store, &instant).await?) };
                Ok::<_, TimelineError>((instant, entry))
            })
            .buffered(READS);
        let (mut entries, mut bytes) = (Vec::new(), 0_u64);
        while let Some(read) = reading.next().await {
            let (instant, entry) = read?;
            bytes += entry.iter().map(size_of).sum::<u64>();
            if bytes > max_bytes && !batch.instants.is_empty() {
                break;
            }
            batch.instants.push(instant);
            entries.extend(entry);
        }
        let rest = going.instants.iter().skip(batch.instants.len());
        batch.stays = rest.copied().find(|instant| instant.action.writes_data()).unwrap_or(going.stays);
        if let (Some(first), Some(last)) = (entries.first(), entries.last()) {
            let name = HistoryFileName { min: first.instant, max: last.instant, level: 0 };
            let path = store.history.join(&name.to_string())?;
            let file = write_entries(&entries).map_err(|source| TimelineError::History { path, source })?;
            batch.file = Some((name, file.into()));
        }
        Ok(batch)
    }
}

/// Bytes of what an instant says.
fn size_of(entry: &HistoryEntry) -> u64 {
    entry.metadata.iter().chain(&entry.plan).map(|bytes| bytes.len() as u64).sum()
}

/// What the archive keeps of a completed instant.
///
/// Source: `MetadataConversionUtils.createLSMTimelineInstant`, `ActiveAction`.
async fn entry(store: &TimelineStore, instant: &Instant) -> Result<HistoryEntry, TimelineError> {
    let completed = store.read(&instant.file()).await?;
    Ok(HistoryEntry {
        instant: instant.time,
        completion: instant.completion().unwrap_or(instant.time),
        action: instant.action,
        metadata: (!completed.is_empty()).then_some(completed),
        plan: plan(store, instant).await?,
        version: HistoryEntry::VERSION,
    })
}

async fn plan(store: &TimelineStore, instant: &Instant) -> Result<Option<Bytes>, TimelineError> {
    let requested = TimelineFile::requested(instant.time, instant.requested_as);
    let inflight = TimelineFile::inflight(instant.time, instant.requested_as);
    let [first, second] = match instant.requested_as {
        Action::Compaction | Action::LogCompaction => return content(store, &requested).await,
        Action::Clean | Action::Clustering => [requested, inflight],
        // What it was about to write, where that is told.
        Action::ReplaceCommit => [inflight, requested],
        _ => return Ok(None),
    };
    match content(store, &first).await? {
        Some(bytes) => Ok(Some(bytes)),
        None => content(store, &second).await,
    }
}

/// The bytes of a file that is there and says something.
async fn content(store: &TimelineStore, file: &TimelineFile) -> Result<Option<Bytes>, TimelineError> {
    match store.read(file).await {
        Ok(bytes) => Ok((!bytes.is_empty()).then_some(bytes)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}
