//! Dead letters: records that could not be taken, in files of their own.
//!
//! Each commit that left records out has one file `<instant>.jsonl`. It waits below `_pending/`
//! until its commit is visible. A run that was killed in between is finished by the next one: the
//! name tells the instant, and the table tells whether that completed. So every bad record is
//! published exactly once.
//!
//! Instants name the files, and each table has its own. So a folder belongs to one table, which its
//! file `_table` names.

use std::sync::Arc;

use lakebed_hudi::instant::InstantTime;

use super::IngestError;
use super::decode::BadRecord;
use super::job::{BadRecordPolicy, BadRecordSettings, Job};
use crate::commit::PUT_MAX;
use crate::environment::Environment;
use crate::sink::SinkCommitter;
use crate::storage::{self, Storage, StorageError, TablePath, TableUri};

const EXTENSION: &str = ".jsonl";

/// The file that names the table a folder belongs to. Readers of folders leave such names out.
const TABLE_FILE: &str = "_table";

/// No address of a table is longer.
const TABLE_BYTES_MAX: u64 = 8 << 10;

/// The largest file that is published.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// So many bad records are shown to people.
pub(super) const SHOWN_MAX: usize = 5;

/// The line of a bad record.
pub(super) fn line_of(bad: &BadRecord) -> Vec<u8> {
    // Plain values with text keys always encode.
    let mut line = serde_json::to_vec(bad).unwrap_or_default();
    line.push(b'\n');
    line
}

/// Collects the bad records of a run.
#[derive(Debug)]
pub(super) struct BadRecords {
    limit: Option<u64>,
    letters: Option<Letters>,
    /// The lines of the checkpoint that is being written.
    lines: Vec<u8>,
    pub(super) count: u64,
    /// The first [`SHOWN_MAX`] of them.
    pub(super) first: Vec<BadRecord>,
}

/// Where dead letters go.
#[derive(Debug, Clone)]
pub(super) struct Letters {
    storage: Arc<dyn Storage>,
    table: TableUri,
    pipeline: String,
}

impl Letters {
    /// Refuses a folder that belongs to another table.
    async fn check_table(&self) -> Result<(), IngestError> {
        let file = TablePath::literal(TABLE_FILE);
        let found = match self.storage.get(&file, TABLE_BYTES_MAX).await {
            Err(StorageError::NotFound { .. }) => return Ok(()),
            found => String::from_utf8_lossy(&found?.bytes).trim().to_owned(),
        };
        if found.parse().is_ok_and(|table: TableUri| table.is_same_place(&self.table)) {
            return Ok(());
        }
        let (file, table) = (self.storage.uri().with_scheme(&file), self.table.to_string());
        Err(IngestError::OtherTablesLetters { file, found, table })
    }

    /// Makes the folder belong to this table.
    async fn claim(&self) -> Result<(), IngestError> {
        let table = self.table.to_string().into();
        match self.storage.put_if_absent(&TablePath::literal(TABLE_FILE), table).await {
            Err(StorageError::AlreadyExists { .. }) => self.check_table().await,
            claimed => Ok(claimed.map(|_| ())?),
        }
    }

    /// Where those of the pipeline wait.
    fn folder(&self) -> Result<TablePath, IngestError> {
        Ok(format!("_pending/{}", self.pipeline).parse()?)
    }

    /// Deletes what was left half-written. Other pipelines may be at work in the same place.
    async fn sweep(&self, environment: &Environment) -> Result<(), IngestError> {
        let longest_put = i64::try_from(PUT_MAX.as_millis()).unwrap_or(i64::MAX);
        let before = environment.clock.unix_millis().saturating_sub(longest_put);
        for folder in [TablePath::root(), self.folder()?] {
            self.storage.sweep(&folder, before).await?;
        }
        Ok(())
    }
}

/// Dead letters that wait for their commit.
#[derive(Debug)]
pub(super) struct PendingLetters {
    letters: Letters,
    pending: TablePath,
    published: TablePath,
}

impl BadRecords {
    /// Where those of a job that writes to `table` are collected. Changes nothing.
    pub(super) async fn open(
        job: &Job,
        table: &TableUri,
        storage: Option<Arc<dyn Storage>>,
        environment: &Environment,
    ) -> Result<Self, IngestError> {
        let BadRecordSettings { policy, path, limit } = &job.bad_records;
        let letters = match (policy, path) {
            (BadRecordPolicy::DeadLetter, Some(path)) => {
                let storage = match storage {
                    Some(storage) => storage,
                    None => storage::open(&path.parse()?, environment).await?,
                };
                let letters = Letters { storage, table: table.clone(), pipeline: job.pipeline.clone() };
                letters.check_table().await?;
                Some(letters)
            }
            _ => None,
        };
        Ok(Self { limit: *limit, letters, lines: Vec::new(), count: 0, first: Vec::new() })
    }

    /// Takes a bad record, if the job allows.
    pub(super) fn add(&mut self, bad: BadRecord) -> Result<(), IngestError> {
        if self.letters.is_none() {
            return Err(IngestError::BadRecord(Box::new(bad)));
        }
        self.count += 1;
        self.lines.extend(line_of(&bad));
        if self.first.len() < SHOWN_MAX {
            self.first.push(bad);
        }
        match self.limit.filter(|limit| self.count > *limit) {
            Some(limit) => {
                let first = std::mem::take(&mut self.first);
                Err(IngestError::TooManyBadRecords { limit, found: self.count, first })
            }
            None => Ok(()),
        }
    }

    /// Where the dead letters are, if there are any.
    pub(super) fn folder(&self) -> Option<String> {
        let letters = self.letters.as_ref().filter(|_| self.count > 0)?;
        Some(letters.storage.uri().to_string())
    }

    /// Bytes that wait for the next checkpoint.
    pub(super) fn bytes(&self) -> usize {
        self.lines.len()
    }

    /// Forgets what belongs to checkpoints that were given up; `count` of them were taken by then.
    pub(super) fn rewind(&mut self, count: u64) {
        self.lines.clear();
        self.first.truncate(usize::try_from(count).unwrap_or(usize::MAX));
        self.count = count;
    }

    /// Makes the dead letters of a checkpoint durable, to be published with its commit.
    pub(super) async fn prepare(
        &mut self,
        instant: InstantTime,
    ) -> Result<Option<PendingLetters>, IngestError> {
        let Some(letters) = self.letters.clone().filter(|_| !self.lines.is_empty()) else { return Ok(None) };
        let published: TablePath = format!("{instant}{EXTENSION}").parse()?;
        let pending = letters.folder()?.join(published.as_str())?;
        letters.storage.put(&pending, std::mem::take(&mut self.lines).into()).await?;
        Ok(Some(PendingLetters { letters, pending, published }))
    }

    /// Finishes what earlier runs left behind that were killed. None of them commits any more.
    ///
    /// That the checkpoint of such letters is committed proves nothing: another run that took over
    /// may have read the same records again, and committed them under another instant.
    pub(super) async fn recover(
        &self,
        committer: &SinkCommitter,
        environment: &Environment,
    ) -> Result<(), IngestError> {
        let Some(letters) = &self.letters else { return Ok(()) };
        letters.claim().await?;
        for entry in letters.storage.list(&letters.folder()?).await?.files {
            let name = entry.path.file_name();
            let instant = name.strip_suffix(EXTENSION).and_then(|instant| instant.parse().ok());
            let Some(instant) = instant else { continue };
            let left = PendingLetters {
                letters: letters.clone(),
                published: name.parse()?,
                pending: entry.path.clone(),
            };
            if committer.is_committed(instant).await? {
                left.publish().await?;
            } else {
                left.discard().await?;
            }
        }
        letters.sweep(environment).await
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
