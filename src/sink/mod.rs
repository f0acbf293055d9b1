//! The two-phase sink that any engine can embed.
//!
//! A pipeline writes batches, prepares a checkpoint (all files durable, nothing visible) and
//! commits it (visible at once, with the pipeline's progress in the same commit). What was
//! prepared can be stored and committed by another process that took over.
//!
//! ```no_run
//! # use lakebed::commit::{CommitOptions, PipelineProgress};
//! # use lakebed::environment::Environment;
//! # use lakebed::sink::{Sink, SinkOptions};
//! # use lakebed::storage;
//! # async fn example(rows: arrow::array::RecordBatch) -> Result<(), Box<dyn std::error::Error>> {
//! let environment = Environment::real();
//! let storage = storage::open(&"file:///lake/flights".parse()?, &environment).await?;
//! let mut sink = Sink::open(storage, &environment, "flights", Vec::new(), SinkOptions::default()).await?;
//! let last = sink.progress().cloned().unwrap_or_default();
//! // ... read on from `last.sources` ...
//! sink.write(&rows, None).await?;
//! let progress = PipelineProgress { checkpoint: last.checkpoint + 1, ..last };
//! if let Some(prepared) = sink.prepare(progress).await? {
//!     let outcome = sink.commit(prepared).await?;
//!     println!("{outcome:?}");
//! }
//! # Ok(())
//! # }
//! ```

mod buckets;
mod error;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use lakebed_hudi::schema::TableSchema;
use lakebed_hudi::table_config::{TableConfig, TableType};
use lakebed_hudi::timeline_file::Action;
use lakebed_hudi::timeline_metadata::CommitMetadata;
use serde::{Deserialize, Serialize};

use crate::commit::{
    Begun, CommitOptions, Committer, Epoch, Heartbeat, Known, Outcome, PipelineProgress, Publication,
};
use crate::environment::Environment;
use crate::storage::Storage;
use crate::storage::lock::{LockOptions, TableLock};
use crate::table::{StagedFiles, Table, WriteOperation, WriteTask, conform};
use crate::write::{KeyRules, RefusedRow, TableWriter};

use buckets::Buckets;
pub use error::SinkError;

/// How a sink writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkOptions {
    /// How commits are made.
    pub commit: CommitOptions,
    /// The table lock.
    pub lock: LockOptions,
    /// Bytes of memory for buffers.
    pub budget_bytes: usize,
}

impl Default for SinkOptions {
    /// 256 MiB of buffers, Hudi's defaults otherwise.
    fn default() -> Self {
        Self { commit: CommitOptions::default(), lock: LockOptions::default(), budget_bytes: 256 << 20 }
    }
}

/// A checkpoint of which all files are durable and nothing is visible.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prepared {
    /// The instant its files carry.
    pub task: WriteTask,
    /// Its files.
    pub staged: StagedFiles,
    /// The Avro schema of its rows.
    pub schema: String,
    /// How far the pipeline has come with it.
    pub progress: PipelineProgress,
}

/// One run of a pipeline that writes to a table.
#[derive(Debug)]
pub struct Sink {
    committer: Committer,
    epoch: Epoch,
    known: Known,
    schema: TableSchema,
    keys: KeyRules,
    buckets: Buckets,
    writing: Option<Writing>,
    heartbeats: BTreeMap<lakebed_hudi::instant::InstantTime, Heartbeat>,
    siblings: BTreeSet<lakebed_hudi::instant::InstantTime>,
    options: SinkOptions,
}

#[derive(Debug)]
struct Writing {
    task: WriteTask,
    writer: TableWriter,
}

impl Sink {
    /// Opens the table in `storage` for `pipeline`: claims a new epoch, takes over what `restored`
    /// holds, and rolls back what else earlier runs of the pipeline left pending.
    ///
    /// Reads nothing but the table. An earlier run that still lives is fenced at its next commit.
    ///
    /// # Errors
    /// No table, one that cannot be written, no lock in time.
    pub async fn open(
        storage: Arc<dyn Storage>,
        environment: &Environment,
        pipeline: &str,
        restored: Vec<Prepared>,
        options: SinkOptions,
    ) -> Result<Self, SinkError> {
        let table = Table::open(storage.clone(), environment, None).await?;
        check_writable(&table.config)?;
        let lock = TableLock::new(storage, environment, options.lock)?;
        let committer = Committer::new(table.clone(), lock, options.commit);
        let adopted: BTreeSet<_> = restored.iter().map(|prepared| prepared.task.instant).collect();
        let (epoch, known) = committer.open_pipeline(pipeline, &adopted).await?;
        let schema = match &known.schema {
            Some(schema) => schema.clone(),
            None => table.snapshot(None).await?.schema().await?,
        };
        let keys = KeyRules::of(&table.config)?;
        let mut heartbeats = BTreeMap::new();
        for instant in adopted {
            heartbeats.insert(instant, committer.heartbeat(instant).await?);
        }
        Ok(Self {
            committer,
            epoch,
            known,
            schema,
            keys,
            buckets: Buckets::default(),
            writing: None,
            heartbeats,
            siblings: BTreeSet::new(),
            options,
        })
    }

    /// The table.
    pub fn table(&self) -> &Table {
        self.committer.table()
    }

    /// The columns of the table, without meta columns.
    pub fn schema(&self) -> &TableSchema {
        &self.schema
    }

    /// Which run of the pipeline this is.
    pub fn epoch(&self) -> &Epoch {
        &self.epoch
    }

    /// How far the pipeline has come by its last commit; `None` before the first.
    pub fn progress(&self) -> Option<&PipelineProgress> {
        self.known.progress.pipelines.get(&self.epoch.pipeline)
    }

    /// Takes rows of the next checkpoint. Columns are found by name; those that the table has and
    /// `rows` lacks are null. Rows flagged in `deletes` only delete their key.
    ///
    /// Returns the rows that cannot be written; all others are taken.
    ///
    /// # Errors
    /// Rows that do not fit the table; those of the storage.
    pub async fn write(
        &mut self,
        rows: &RecordBatch,
        deletes: Option<&BooleanArray>,
    ) -> Result<Vec<RefusedRow>, SinkError> {
        let rows = conform(rows, self.schema.arrow())?;
        let (batch, refused) = self.keys.key(&rows, deletes)?;
        if batch.num_rows() == 0 {
            return Ok(refused);
        }
        if self.writing.is_none() {
            self.begin().await?;
        }
        let Some(writing) = &mut self.writing else { return Ok(refused) };
        let partitions: BTreeSet<&str> = batch.partitions.iter().flatten().collect();
        for partition in partitions {
            if !writing.writer.knows(partition) {
                let buckets = self.buckets.of_partition(self.committer.table(), partition).await?;
                writing.writer.learn(partition, buckets);
            }
        }
        writing.writer.write(&batch).await?;
        Ok(refused)
    }

    async fn begin(&mut self) -> Result<(), SinkError> {
        let intent = CommitMetadata {
            extra_metadata: [
                ("lakebed.pipeline".to_owned(), self.epoch.pipeline.clone()),
                ("lakebed.epoch".to_owned(), self.epoch.number.to_string()),
            ]
            .into(),
            ..CommitMetadata::default()
        };
        let (begun, heartbeat) = self.committer.begin(Action::DeltaCommit, &intent).await?;
        self.heartbeats.insert(begun.instant, heartbeat);
        self.buckets.advance(self.committer.table(), &self.siblings).await?;
        let task = WriteTask {
            instant: begun.instant,
            action: begun.action,
            operation: WriteOperation::Upsert,
            snapshot_time: begun.snapshot_time,
            buckets: BTreeMap::new(),
            token_stage: u32::try_from(self.epoch.number).unwrap_or(u32::MAX),
        };
        let writer =
            TableWriter::new(self.committer.table(), task.clone(), &self.schema, self.options.budget_bytes)?;
        self.writing = Some(Writing { task, writer });
        Ok(())
    }

    /// Ends the checkpoint: all of its files are durable. `None` if it has no rows.
    ///
    /// # Errors
    /// Those of the storage. The checkpoint is lost then: go on from the last progress.
    pub async fn prepare(&mut self, progress: PipelineProgress) -> Result<Option<Prepared>, SinkError> {
        let Some(Writing { task, writer }) = self.writing.take() else { return Ok(None) };
        let staged = writer.finish().await?;
        self.buckets.add(&staged);
        let progress = PipelineProgress { epoch: self.epoch.number, ..progress };
        Ok(Some(Prepared { task, staged, schema: self.schema.to_avro(), progress }))
    }

    /// Makes a checkpoint visible, or says why not.
    ///
    /// Idempotent by pipeline and checkpoint. After [`Outcome::Conflicted`] its files are gone:
    /// go on from [`Sink::progress`].
    ///
    /// # Errors
    /// Failures that leave it open whether it is visible: commit it again.
    pub async fn commit(&mut self, prepared: Prepared) -> Result<Outcome, SinkError> {
        let Prepared { task, staged, schema, progress } = prepared;
        let schema = TableSchema::from_avro(&schema).map_err(crate::table::TableError::from)?;
        let begun = Begun { instant: task.instant, action: task.action, snapshot_time: task.snapshot_time };
        let publication = Publication {
            begun,
            operation: task.operation,
            staged: &staged,
            schema: &schema,
            epoch: &self.epoch,
            progress: &progress,
            extra_metadata: &BTreeMap::new(),
            siblings: &self.siblings,
        };
        let outcome = self.committer.publish(publication, &mut self.known).await?;
        match &outcome {
            Outcome::Committed { instant, .. } => {
                self.siblings.insert(*instant);
                self.clean_up(task.instant).await;
            }
            Outcome::AlreadyCommitted { instant } if *instant == task.instant => {
                self.clean_up(task.instant).await;
            }
            Outcome::AlreadyCommitted { .. } | Outcome::Conflicted { .. } | Outcome::Fenced { .. } => {
                self.buckets = Buckets::default();
                self.heartbeats.remove(&task.instant);
                self.committer.abandon(begun).await?;
            }
            Outcome::Retryable { .. } => {}
        }
        if let Some(schema) = self.known.schema.as_ref().filter(|_| self.writing.is_none()) {
            self.schema = schema.clone();
        }
        Ok(outcome)
    }

    /// Removes what only a running write needs. What cannot be removed is swept by a later run.
    async fn clean_up(&mut self, instant: lakebed_hudi::instant::InstantTime) {
        if let Some(heartbeat) = self.heartbeats.remove(&instant)
            && let Err(error) = heartbeat.stop().await
        {
            tracing::warn!(%instant, %error, "the heartbeat of a finished write could not be removed");
        }
        if let Err(error) = self.committer.remove_markers(instant).await {
            tracing::warn!(%instant, %error, "the markers of a finished write could not be removed");
        }
    }
}

/// Refuses tables that Lakebed cannot write yet.
fn check_writable(config: &TableConfig) -> Result<(), SinkError> {
    let refuse = |feature: &str, advice| {
        Err(SinkError::Refused { table: config.name.clone(), feature: feature.to_owned(), advice })
    };
    if config.table_type != TableType::MergeOnRead {
        return refuse("writing to copy-on-write tables", "create the table as MERGE_ON_READ");
    }
    if config.bucket_index.is_none() {
        return refuse("writing without a bucket index", "create the table with a number of buckets");
    }
    if !config.metadata_partitions().is_empty() {
        return refuse("a metadata table", "turn it off with Spark (hoodie.metadata.enable=false)");
    }
    Ok(())
}
