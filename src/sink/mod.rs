//! The two-phase sink that any engine can embed.
//!
//! A pipeline writes batches, prepares a checkpoint (all files durable, nothing visible) and
//! commits it (visible at once, with the pipeline's progress in the same commit). What was
//! prepared can be stored and committed by another process that took over; and the next
//! checkpoint can be written while the last one commits, by [`Sink::committer`].
//!
//! ```no_run
//! # use lakebed::commit::{Outcome, PipelineProgress};
//! # use lakebed::environment::Environment;
//! # use lakebed::sink::{Sink, SinkOptions};
//! # use lakebed::storage;
//! # async fn example(rows: arrow::array::RecordBatch) -> Result<(), Box<dyn std::error::Error>> {
//! let environment = Environment::real();
//! let storage = storage::open(&"file:///lake/flights".parse()?, &environment).await?;
//! let mut sink = Sink::open(storage, &environment, "flights", Vec::new(), SinkOptions::default()).await?;
//! let last = sink.progress().unwrap_or_default();
//! // ... read on from `last.sources` ...
//! sink.write(&rows, None).await?;
//! let progress = PipelineProgress { checkpoint: last.checkpoint + 1, ..last };
//! if let Some(prepared) = sink.prepare(progress).await? {
//!     match sink.committer().commit(&prepared).await? {
//!         Outcome::Committed { instant, .. } => println!("{instant}"),
//!         Outcome::AlreadyCommitted { .. } => println!("an earlier try has committed it"),
//!         Outcome::Retryable { reason } => println!("commit it again: {reason}"),
//!         Outcome::Conflicted { reason } => {
//!             sink.rewind().await?;
//!             println!("{reason}: read on from {:?}", sink.progress());
//!         }
//!         Outcome::Fenced { by } => println!("epoch {by} has taken over: stop"),
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod bucket_groups;
mod buckets;
mod commits;
mod error;
mod open;
mod options;
mod stated_index;

use std::collections::BTreeSet;

use arrow::array::{Array as _, BooleanArray, RecordBatch};
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::schema::{TableSchema, is_meta_column};
use lakebed_hudi::table_config::TableType;
use lakebed_hudi::timeline_file::Action;
use lakebed_hudi::timeline_metadata::CommitMetadata;

use crate::commit::{Epoch, PipelineProgress};
use crate::table::{
    FileGroupId, StagedFiles, Table, TableError, WriteOperation, WriteTask, check_readers, conform,
};
use crate::write::{KeyRules, KeyedBatch, RefusedRow, TableWriter};

pub(crate) use bucket_groups::by_bucket;
use buckets::Buckets;
pub use commits::{Prepared, SinkCommitter};
pub use error::SinkError;
pub use open::Opening;
pub(crate) use open::{MemoryShares, check_open};
pub use options::{MetadataTablePolicy, SinkOptions, StatedIndex};
pub(crate) use stated_index::{check_undeclared, index_of};

/// Rows are split into batches of at most so many before they are written.
const BATCH_ROWS: usize = 65_536;

/// One run of a pipeline that writes to a table: the writing half.
#[derive(Debug)]
pub struct Sink {
    commits: SinkCommitter,
    restore: Option<InstantTime>,
    restored: Vec<Prepared>,
    schema: TableSchema,
    keys: KeyRules,
    buckets: Buckets,
    writing: Option<Writing>,
    /// Whether an instant or rows may have been lost on the way: an error came between, or a call was
    /// given up.
    torn: bool,
    options: SinkOptions,
    memory: MemoryShares,
}

#[derive(Debug)]
struct Writing {
    task: WriteTask,
    writer: TableWriter,
}

impl Sink {
    /// The table.
    pub fn table(&self) -> &Table {
        self.commits.committer().table()
    }

    /// The columns that rows are written with, without meta columns.
    pub fn schema(&self) -> &TableSchema {
        &self.schema
    }

    /// Which run of the pipeline this is.
    pub fn epoch(&self) -> &Epoch {
        self.commits.epoch()
    }

    /// How far the pipeline has come by its last commit; `None` before the first.
    pub fn progress(&self) -> Option<PipelineProgress> {
        self.commits.progress()
    }

    /// The restore that had taken the table back when this sink was opened, if no commit with progress
    /// came after it: [`Sink::progress`] may then say less than was once committed.
    pub fn restore(&self) -> Option<InstantTime> {
        self.restore
    }

    /// Commits what this sink prepares, also while it writes on.
    pub fn committer(&self) -> SinkCommitter {
        self.commits.clone()
    }

    /// The restored checkpoints, which are still to be committed, in order, before anything else.
    pub fn take_restored(&mut self) -> Vec<Prepared> {
        std::mem::take(&mut self.restored)
    }

    /// Bytes of its memory that are left for rows which the caller holds before it writes them; 0
    /// unless [`SinkOptions::counts_input`].
    pub fn input_bytes(&self) -> u64 {
        self.memory.input_bytes
    }

    /// Bytes of memory in buffers.
    pub fn buffered_bytes(&self) -> usize {
        self.writing.as_ref().map_or(0, |writing| writing.writer.buffered_bytes())
    }

    /// Takes rows of the next checkpoint, as many as there are. Columns are found by name; those that the
    /// table has and `rows` lacks are null. `deletes` has a flag for each row: those flagged only delete
    /// their key, and need no other columns than those of key, partition and order.
    ///
    /// In a table of buckets rows of one key that wait together are made one, as a reader would do it; in
    /// others all rows are added. Returns the rows that cannot be written, in their order; all others are
    /// taken.
    ///
    /// # Errors
    /// Rows that do not fit the table; those of the storage. [`SinkError::Rewind`] after a
    /// checkpoint failed, and after an error, or a call that was given up, while one began or rows were
    /// taken.
    pub async fn write(
        &mut self,
        rows: &RecordBatch,
        deletes: Option<&BooleanArray>,
    ) -> Result<Vec<RefusedRow>, SinkError> {
        self.check_whole()?;
        self.check_deletes(deletes)?;
        if self.writing.is_none() && self.check_columns(rows).is_err() {
            self.learn_columns().await?;
        }
        self.check_columns(rows)?;
        let rows = self.keys.conform(rows, deletes, self.schema.arrow())?;
        let mut refused = Vec::new();
        for start in (0..rows.num_rows()).step_by(BATCH_ROWS) {
            let length = BATCH_ROWS.min(rows.num_rows() - start);
            let deletes = deletes.map(|flags| flags.slice(start, length));
            let (batch, mut of_slice) = self.keys.key(&rows.slice(start, length), deletes.as_ref())?;
            of_slice.iter_mut().for_each(|row| row.shift(start));
            refused.extend(of_slice);
            if batch.num_rows() > 0 {
                self.write_batch(batch).await?;
            }
        }
        self.torn = false;
        Ok(refused)
    }

    /// Takes in columns that others have added since the last checkpoint began.
    async fn learn_columns(&mut self) -> Result<(), SinkError> {
        let known = self.commits.committer().read_known().await?;
        if let Some(schema) = &known.schema {
            self.schema = self.schema.superset(schema).map_err(TableError::from)?;
        }
        Ok(())
    }

    /// Refuses to go on after an instant or rows may have been lost.
    fn check_whole(&self) -> Result<(), SinkError> {
        if self.torn {
            let reason = "a call to write or prepare failed, or was given up, in its midst".to_owned();
            return Err(SinkError::Rewind { reason });
        }
        self.commits.check_not_failed()
    }

    /// Writes rows; with the first ones a checkpoint begins.
    async fn write_batch(&mut self, mut batch: KeyedBatch) -> Result<(), SinkError> {
        if self.writing.is_none() {
            self.begin().await?;
        }
        self.torn = true;
        // Others may have added columns before it began.
        batch.rows = conform(&batch.rows, self.schema.arrow())?;
        let Some(Writing { writer, .. }) = &mut self.writing else { return Ok(()) };
        for partition in batch.partition_paths() {
            if !writer.needs_buckets_of(partition) {
                continue;
            }
            let buckets = self.buckets.of_partition(self.commits.committer(), partition).await?;
            writer.learn(partition, buckets);
        }
        Ok(writer.write(batch).await?)
    }

    /// Opens an instant for the next checkpoint.
    async fn begin(&mut self) -> Result<(), SinkError> {
        let committer = self.commits.committer().clone();
        let marked = committer.marked_instants().await?;
        // What is pending here may complete meanwhile, and yet be unknown to the snapshot.
        let built_on = self.commits.pending_instants();
        let (begun, heartbeat, timeline) = committer.begin(self.action(), &self.intent()).await?;
        self.commits.add_pending(begun, heartbeat);
        // Should what follows fail, the instant is pending and has no writer: it must be given up first.
        self.torn = true;
        let ours = self.commits.own_instants();
        let timeline = committer.roll_back_dead(Some(self.epoch()), &ours, timeline).await?;
        committer.sweep_late(&marked, &timeline).await?;
        for schema in self.buckets.advance(&committer, &timeline, &ours).await? {
            self.schema = self.schema.superset(&schema).map_err(TableError::from)?;
        }
        self.commits.forget_committed(&timeline);
        if self.looks_for_buckets() {
            self.buckets.check(committer.table()).await?;
        }
        check_readers(&self.table().config, self.schema.arrow()).map_err(TableError::from)?;
        let task = WriteTask {
            instant: begun.instant,
            action: begun.action,
            operation: self.options.operation,
            snapshot_time: begun.snapshot_time,
            settled_time: begun.settled_time,
            buckets: Default::default(),
            built_on,
            token_stage: u32::try_from(self.epoch().number).unwrap_or(u32::MAX),
        };
        let writer =
            TableWriter::new(committer.table(), task.clone(), &self.schema, self.memory.write.clone())?;
        self.writing = Some(Writing { task, writer });
        self.torn = false;
        Ok(())
    }

    /// Whether rows go to the buckets that are there: an overwrite replaces them.
    fn looks_for_buckets(&self) -> bool {
        self.table().config.bucket_index.is_some() && !self.options.operation.overwrites()
    }

    /// What the completed file will be called.
    fn action(&self) -> Action {
        if self.options.operation.overwrites() {
            return Action::ReplaceCommit;
        }
        match self.table().config.table_type {
            TableType::CopyOnWrite => Action::Commit,
            TableType::MergeOnRead => Action::DeltaCommit,
        }
    }

    /// Who writes: a later run knows its own instants by this.
    fn intent(&self) -> CommitMetadata {
        let epoch = self.epoch();
        let extra_metadata = [
            ("lakebed.pipeline".to_owned(), epoch.pipeline.clone()),
            ("lakebed.epoch".to_owned(), epoch.number.to_string()),
        ];
        CommitMetadata { extra_metadata: extra_metadata.into(), ..CommitMetadata::default() }
    }

    /// Ends the checkpoint: all of its files are durable. `None` if it has no rows and empty ones
    /// are not committed.
    ///
    /// # Errors
    /// Progress of more than [`PipelineProgress::MAX_BYTES`], which harms nothing; those of the
    /// storage: the checkpoint is lost then, [`Sink::rewind`].
    pub async fn prepare(&mut self, progress: PipelineProgress) -> Result<Option<Prepared>, SinkError> {
        self.check_whole()?;
        progress.check_size(&self.epoch().pipeline)?;
        if self.writing.is_none() && self.options.commit_empty {
            self.begin().await?;
        }
        let Some(Writing { task, writer }) = self.writing.take() else { return Ok(None) };
        self.torn = true;
        let mut staged = match writer.finish().await {
            Ok(staged) => staged,
            Err(error) => {
                // The files of a checkpoint that was given up are gone, also to those built on it.
                self.commits.check_not_failed()?;
                return Err(error.into());
            }
        };
        staged.replaced = self.replaced(&staged).await?;
        self.buckets.add(task.instant, &staged);
        self.torn = false;
        let progress = PipelineProgress { epoch: self.epoch().number, ..progress };
        Ok(Some(Prepared { task, staged, schema: self.schema.to_avro(), progress }))
    }

    /// The groups that an overwrite ends.
    async fn replaced(&mut self, staged: &StagedFiles) -> Result<Vec<FileGroupId>, SinkError> {
        if !self.options.operation.overwrites() {
            return Ok(Vec::new());
        }
        let table = self.table().clone();
        let snapshot = self.buckets.snapshot_now(&table).await?;
        let touched: BTreeSet<&str> = staged.files.iter().map(|file| file.group.partition.as_str()).collect();
        let whole_table = self.options.operation == WriteOperation::InsertOverwriteTable;
        let mut replaced = Vec::new();
        for (partition, files) in snapshot.partitions().await? {
            if whole_table || touched.contains(partition.as_str()) {
                let groups = snapshot.file_groups(&partition, &files).await?;
                replaced.extend(groups.into_iter().map(|group| group.id));
            }
        }
        for group in self.buckets.groups_in_flight() {
            if (whole_table || touched.contains(group.partition.as_str())) && !replaced.contains(group) {
                replaced.push(group.clone());
            }
        }
        Ok(replaced)
    }

    /// Gives up what was written and not committed; [`Sink::progress`] then says from where to go on.
    ///
    /// # Errors
    /// [`SinkError::Changed`] if the table's properties are others than when it was opened: all is
    /// given up, and nothing more can be written. Those of the storage and the lock; call it again.
    pub async fn rewind(&mut self) -> Result<(), SinkError> {
        self.writing = None;
        let known = self.commits.rewind(self.torn).await?;
        if let Some(reason) = self.commits.committer().changed_properties().await? {
            return Err(SinkError::Changed { reason });
        }
        if known.schema.is_some() {
            self.schema = open::write_schema(known.schema.as_ref(), &self.options, self.table())?;
        }
        self.buckets = Buckets::upto(known.upto());
        self.torn = false;
        Ok(())
    }

    /// Refuses columns that would be lost.
    fn check_columns(&self, rows: &RecordBatch) -> Result<(), SinkError> {
        let known = |name: &str| self.schema.arrow().field_with_name(name).is_ok() || is_meta_column(name);
        let schema = rows.schema_ref();
        let Some(unknown) = schema.fields().iter().find(|field| !known(field.name())) else { return Ok(()) };
        let names = self.schema.arrow().fields().iter().map(|field| field.name().as_str());
        let near = crate::near_match::near_match(unknown.name(), names).map(str::to_owned);
        Err(SinkError::UnknownColumn { column: unknown.name().clone(), near })
    }

    /// Refuses deletes where there is nothing to look a key up in.
    fn check_deletes(&self, deletes: Option<&BooleanArray>) -> Result<(), SinkError> {
        let delete = deletes.and_then(|d| (0..d.len()).find(|row| d.is_valid(*row) && d.value(*row)));
        match delete.filter(|_| self.options.operation.adds_only()) {
            Some(row) => Err(SinkError::DeleteInInsert { row }),
            None => Ok(()),
        }
    }
}
