//! Dead letters: records that could not be taken, in files of their own.
//!
//! Each commit that left records out has one file `<instant>.jsonl`. It waits below `_pending/`
//! until its commit is visible. A run that was killed in between is finished by the next one: the
//! name tells the checkpoint, and the table tells whether that was committed. So every bad record
//! is published exactly once.

use std::sync::Arc;

use super::IngestError;
use super::decode::BadRecord;
use super::job::{BadRecordPolicy, BadRecordSettings};
use crate::environment::Environment;
use crate::storage::{self, Storage, StorageError, TablePath};

/// The largest file that is published.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// Collects the bad records of a run.
#[derive(Debug)]
pub(super) struct BadRecords {
    limit: Option<u64>,
    letters: Option<Letters>,
    /// The lines of the checkpoint that is being written.
    lines: Vec<u8>,
    pub(super) count: u64,
}

/// Where dead letters go.
#[derive(Debug, Clone)]
pub(super) struct Letters {
    storage: Arc<dyn Storage>,
    pipeline: String,
}

/// Dead letters that wait for their commit.
#[derive(Debug)]
pub(super) struct PendingLetters {
    letters: Letters,
    pending: TablePath,
    published: TablePath,
}

impl BadRecords {
    pub(super) async fn open(
        settings: &BadRecordSettings,
        pipeline: &str,
        environment: &Environment,
    ) -> Result<Self, IngestError> {
        let letters = match (settings.policy, &settings.path) {
            (BadRecordPolicy::DeadLetter, Some(path)) => {
                let storage = storage::open(&path.parse()?, environment).await?;
                Some(Letters { storage, pipeline: pipeline.to_owned() })
            }
            _ => None,
        };
        Ok(Self { limit: settings.limit, letters, lines: Vec::new(), count: 0 })
    }

    /// Takes a bad record, if the job allows.
    pub(super) fn add(&mut self, bad: BadRecord) -> Result<(), IngestError> {
        if self.letters.is_none() {
            return Err(IngestError::BadRecord(Box::new(bad)));
        }
        self.count += 1;
        if let Some(limit) = self.limit.filter(|limit| self.count > *limit) {
            return Err(IngestError::TooManyBadRecords { limit, found: self.count, last: Box::new(bad) });
        }
        // Plain values with text keys always encode.
        self.lines.extend(serde_json::to_vec(&bad).unwrap_or_default());
        self.lines.push(b'\n');
        Ok(())
    }

    /// Bytes that wait for the next checkpoint.
    pub(super) fn bytes(&self) -> usize {
        self.lines.len()
    }

    /// Forgets what belongs to checkpoints that were given up; `count` of them were taken by then.
    pub(super) fn rewind(&mut self, count: u64) {
        self.lines.clear();
        self.count = count;
    }

    /// Makes the dead letters of a checkpoint durable, to be published with its commit.
    pub(super) async fn prepare(
        &mut self,
        checkpoint: u64,
        instant: &str,
    ) -> Result<Option<PendingLetters>, IngestError> {
        let Some(letters) = self.letters.clone().filter(|_| !self.lines.is_empty()) else { return Ok(None) };
        let pending: TablePath =
            format!("_pending/{}/{checkpoint}_{instant}.jsonl", letters.pipeline).parse()?;
        let published: TablePath = format!("{instant}.jsonl").parse()?;
        letters.storage.put(&pending, std::mem::take(&mut self.lines).into()).await?;
        Ok(Some(PendingLetters { letters, pending, published }))
    }

    /// Finishes what a run left behind that was killed: `committed` is its last checkpoint.
    pub(super) async fn recover(&self, committed: u64) -> Result<(), IngestError> {
        let Some(letters) = &self.letters else { return Ok(()) };
        let folder: TablePath = format!("_pending/{}", letters.pipeline).parse()?;
        for entry in letters.storage.list(&folder).await?.files {
            let name = entry.path.file_name().to_owned();
            let Some((checkpoint, published)) = name.split_once('_') else { continue };
            let Ok(checkpoint) = checkpoint.parse::<u64>() else { continue };
            let left = PendingLetters {
                letters: letters.clone(),
                pending: entry.path.clone(),
                published: published.parse()?,
            };
            if checkpoint <= committed { left.publish().await? } else { left.discard().await? }
        }
        Ok(())
    }
}

impl PendingLetters {
    /// Publishes the file: its commit is visible.
    pub(super) async fn publish(self) -> Result<(), IngestError> {
        let storage = &self.letters.storage;
        let lines = storage.get(&self.pending, FILE_BYTES_MAX).await?.bytes;
        match storage.put_if_absent(&self.published, lines).await {
            // A run that was killed before it could remove the pending file had published it.
            Ok(_) | Err(StorageError::AlreadyExists { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        self.discard().await
    }

    /// Removes the pending file: its checkpoint was given up, or it is published.
    pub(super) async fn discard(self) -> Result<(), IngestError> {
        self.letters.storage.delete(&self.pending).await?;
        Ok(())
    }
}
