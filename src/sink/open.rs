//! Opening a table for writing.

use std::sync::Arc;

use lakebed_hudi::schema::TableSchema;
use lakebed_hudi::table_config::{DeclaredZone, TableConfig, key};

use super::buckets::Buckets;
use super::commits::begun;
use super::{
    MetadataTablePolicy, Prepared, Sink, SinkCommitter, SinkError, SinkOptions, StatedIndex, bucket_groups,
    check_undeclared, index_of, stated_index,
};
use crate::commit::{Committer, Known, PipelineProgress, check_pipeline};
use crate::environment::Environment;
use crate::memory::default_budget_bytes;
use crate::storage::Storage;
use crate::storage::lock::TableLock;
use crate::table::{Refusal, Table, TableError, check_readers, check_writable, grown_schema, schema_history};
use crate::timeline::Timeline;
use crate::write::{KeyRules, WriteOptions, check_fit};

impl Sink {
    /// Opens the table in `storage` for `pipeline`: claims a new epoch, takes over what `restored`
    /// holds, and rolls back what else earlier runs of the pipeline left pending.
    ///
    /// Reads nothing but the table. An earlier run that still lives is fenced at its next commit.
    /// Commit what [`Sink::take_restored`] returns before anything else.
    ///
    /// # Errors
    /// No table, one that cannot be written or that a declared reader would misread, no lock in time.
    pub async fn open(
        storage: Arc<dyn Storage>,
        environment: &Environment,
        pipeline: &str,
        restored: Vec<Prepared>,
        options: SinkOptions,
    ) -> Result<Self, SinkError> {
        Opening::look(storage, environment, pipeline, options).await?.claim(restored).await
    }
}

/// A table that a sink can be opened for, before its pipeline is claimed: for an engine that looks
/// whether it can go on with its inputs before it fences a run that can.
#[derive(Debug)]
pub struct Opening {
    pipeline: String,
    options: SinkOptions,
    committer: Committer,
    timeline: Arc<Timeline>,
    known: Known,
    schema: TableSchema,
    memory: MemoryShares,
}

impl Opening {
    /// Looks at the table in `storage`, and how far `pipeline` has come. Changes nothing.
    ///
    /// # Errors
    /// As [`Sink::open`] but for the lock.
    pub async fn look(
        storage: Arc<dyn Storage>,
        environment: &Environment,
        pipeline: &str,
        options: SinkOptions,
    ) -> Result<Self, SinkError> {
        let table = Table::open(storage.clone(), environment, options.timeline_zone).await?;
        check_open(&table.config, &options)?;
        schema_history::check_files(&table).await?;
        let lock = TableLock::new(storage.clone(), environment, options.lock)?;
        let committer = Committer::new(table, lock, options.commit);
        let timeline = committer.timeline().await?;
        check_undeclared(committer.table(), &timeline, &options.index).await?;
        let known = committer.known_by(&timeline).await?;
        check_pipeline(pipeline, &known)?;
        let schema = schema_to_write(&committer, &known, &options).await?;
        check_rows(&committer.table().config, &schema, &options)?;
        let memory = MemoryShares::new(storage.as_ref(), &schema, &options)?;
        if !options.operation.overwrites() {
            bucket_groups::check(committer.table(), &timeline).await?;
        }
        Ok(Self { pipeline: pipeline.to_owned(), options, committer, timeline, known, schema, memory })
    }

    /// The table.
    pub fn table(&self) -> &Table {
        self.committer.table()
    }

    /// The columns that rows are written with, see [`Sink::schema`].
    pub fn schema(&self) -> &TableSchema {
        &self.schema
    }

    /// How far the pipeline has come by its last commit; `None` before the first.
    pub fn progress(&self) -> Option<&PipelineProgress> {
        self.known.progress.pipelines.get(&self.pipeline)
    }

    /// Bytes of memory for rows that the caller holds, see [`Sink::input_bytes`].
    pub fn input_bytes(&self) -> u64 {
        self.memory.input_bytes
    }

    /// Claims the pipeline, as [`Sink::open`] does. What others have committed since the look is taken in.
    ///
    /// # Errors
    /// As [`Sink::open`].
    pub async fn claim(self, restored: Vec<Prepared>) -> Result<Sink, SinkError> {
        let Self { pipeline, options, committer, timeline: before, mut known, mut schema, memory } = self;
        let committer = stated_index::adopt(committer, &options.index).await?;
        let committer = match options.metadata_table {
            MetadataTablePolicy::Drop => committer.drop_metadata_table().await?,
            MetadataTablePolicy::Refuse => committer,
        };
        let adopted = restored.iter().map(|prepared| prepared.task.instant).collect();
        let (epoch, timeline) = committer.open_pipeline(&pipeline, &adopted, &known).await?;
        // The groups of later commits were not looked at.
        let mut buckets = Buckets::upto(known.upto());
        restored.iter().for_each(|prepared| buckets.add(prepared.task.instant, &prepared.staged));
        if timeline != before {
            known = committer.known_by(&timeline).await?;
            schema = schema_to_write(&committer, &known, &options).await?;
        }
        let restore = known.restore;
        let keys = KeyRules::of(&committer.table().config);
        let commits = SinkCommitter::new(committer, epoch, known, &options);
        adopt(&commits, &restored, &timeline).await?;
        Ok(Sink {
            commits,
            restore,
            restored,
            schema,
            keys,
            buckets,
            writing: None,
            torn: false,
            options,
            memory,
        })
    }
}

/// Refuses what [`Sink::open`] refuses of a table by its properties. Changes nothing.
pub(crate) fn check_open(config: &TableConfig, options: &SinkOptions) -> Result<(), SinkError> {
    check_writable(config)?;
    Ok(check_stated(config, options)?)
}

/// Refuses a table of which the first rows could not be written.
fn check_rows(config: &TableConfig, schema: &TableSchema, options: &SinkOptions) -> Result<(), SinkError> {
    let index = index_of(config, &options.index)?;
    check_fit(config, schema, index.is_some()).map_err(|source| {
        let table = config.name.clone();
        SinkError::Unwritable { table, source: Box::new(source) }
    })
}

/// Goes on with the signs of life of what another process has prepared.
async fn adopt(commits: &SinkCommitter, restored: &[Prepared], timeline: &Timeline) -> Result<(), SinkError> {
    for Prepared { task, .. } in restored {
        if timeline.get(task.instant, task.action).is_some_and(|instant| !instant.is_completed()) {
            commits.add_pending(begun(task), commits.committer().heartbeat(task.instant).await?);
        }
    }
    Ok(())
}

/// Refuses what the job must state about a table and does not.
fn check_stated(config: &TableConfig, options: &SinkOptions) -> Result<(), Refusal> {
    let refuse = |feature: String, advice| Err(Refusal { table: config.name.clone(), feature, advice });
    if config.zone == DeclaredZone::Local && options.timeline_zone.is_none() {
        return refuse(
            format!("writing to a timeline in LOCAL time without its zone ({} is not UTC)", key::TIMEZONE),
            "state the zone of the JVMs that write to it (timeline_timezone in a job)",
        );
    }
    let metadata = config.metadata_partitions();
    if !metadata.is_empty() && options.metadata_table == MetadataTablePolicy::Refuse {
        return refuse(
            format!("writing to a table with a metadata table ({})", metadata.join(", ")),
            "have it dropped (metadata_table: drop) and turn it off for all writers (hoodie.metadata.enable=false)",
        );
    }
    let states_buckets = matches!(options.index, StatedIndex::Bucket(_));
    if config.lacks_bucket_count() && !states_buckets {
        return refuse(
            format!("writing to a bucket index of which only the kind is declared ({} is not)", key::BUCKETS),
            "state the index that its writers use (table.index in a job)",
        );
    }
    let has_buckets = config.bucket_index.is_some() || states_buckets;
    if !options.operation.adds_only() && !has_buckets {
        return refuse(
            format!("upserting and deleting without a bucket index ({} is not BUCKET)", key::INDEX_TYPE),
            "state the index if its writers use one, else insert, or upsert with the writer that made the table",
        );
    }
    Ok(())
}

/// The columns to write by what the commits say. Refuses what a declared reader would misread.
async fn schema_to_write(
    committer: &Committer,
    known: &Known,
    options: &SinkOptions,
) -> Result<TableSchema, SinkError> {
    let table = committer.table();
    let from_files = match (&known.schema, &options.schema) {
        (None, None) => Some(table.snapshot(None).await?.schema().await?),
        _ => None,
    };
    let schema = write_schema(known.schema.as_ref().or(from_files.as_ref()), options, table)?;
    check_readers(&table.config, schema.arrow()).map_err(TableError::from)?;
    Ok(schema)
}

/// The columns that rows are written with: the table's and those that the job adds.
pub(super) fn write_schema(
    known: Option<&TableSchema>,
    options: &SinkOptions,
    table: &Table,
) -> Result<TableSchema, SinkError> {
    let created = match (known, table.config.properties.get(key::CREATE_SCHEMA)) {
        (None, Some(text)) => Some(TableSchema::from_avro(text).map_err(TableError::from)?),
        _ => None,
    };
    match (known.or(created.as_ref()), &options.schema) {
        (Some(known), Some(added)) => Ok(grown_schema(&table.config, known, added)?),
        (Some(schema), None) | (None, Some(schema)) => Ok(schema.clone()),
        (None, None) => Err(TableError::NoSchema { uri: table.storage.uri().to_string() }.into()),
    }
}

/// How the memory of a sink is shared out.
#[derive(Debug, Clone)]
pub(crate) struct MemoryShares {
    /// For the caller's rows before they are written.
    pub(crate) input_bytes: u64,
    /// What of the rest is for writing.
    pub(super) write: WriteOptions,
}

impl MemoryShares {
    /// Less is not enough for a caller to read with.
    const LEAST_INPUT_BYTES: u64 = 8 << 20;

    /// The part for input of what is there beyond the least.
    const INPUT_SHARE: u64 = 4;

    /// Refuses less than input, the encoders of one file and the storage need.
    pub(crate) fn new(
        storage: &dyn Storage,
        schema: &TableSchema,
        options: &SinkOptions,
    ) -> Result<Self, SinkError> {
        let memory_bytes = options.memory_bytes.unwrap_or_else(default_budget_bytes);
        let upload_bytes = storage.write_memory_bytes();
        let least_input_bytes = if options.counts_input { Self::LEAST_INPUT_BYTES } else { 0 };
        let needed_bytes =
            WriteOptions::least_memory_bytes(schema.arrow()) + upload_bytes + least_input_bytes;
        let Some(more_bytes) = memory_bytes.checked_sub(needed_bytes) else {
            return Err(SinkError::Memory { memory_bytes, needed_bytes });
        };
        let input_bytes = match options.counts_input {
            true => least_input_bytes + more_bytes / Self::INPUT_SHARE,
            false => 0,
        };
        let write = WriteOptions {
            base_file_target_bytes: options.base_file_target_bytes,
            ..WriteOptions::of_memory(memory_bytes - upload_bytes - input_bytes, schema.arrow())
        };
        Ok(Self { input_bytes, write })
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;
    use crate::storage::object::ObjectStorage;

    #[test]
    fn what_an_error_asks_for_is_enough() {
        let storage = ObjectStorage::in_memory(&"s3://b/t".parse().unwrap(), &Environment::real());
        let schema = TableSchema::from_arrow(&Schema::new(vec![Field::new("a", DataType::Utf8, true)]), "t");
        let schema = schema.unwrap();
        for counts_input in [false, true] {
            let shares = |memory_bytes| {
                let options =
                    SinkOptions { memory_bytes: Some(memory_bytes), counts_input, ..SinkOptions::default() };
                MemoryShares::new(&storage, &schema, &options)
            };
            let Err(SinkError::Memory { needed_bytes, .. }) = shares(1) else { panic!("1 byte is enough") };
            assert_eq!(needed_bytes >> 20, 64 + 30 + if counts_input { 8 } else { 0 });
            assert!(shares(needed_bytes - 1).is_err());
            let least = shares(needed_bytes).unwrap();
            let more = shares(needed_bytes + (400 << 20)).unwrap();
            assert_eq!((least.input_bytes > 0, more.input_bytes > 0), (counts_input, counts_input));
            let grown = |bytes: fn(&MemoryShares) -> usize| (bytes(&more) - bytes(&least)) >> 20;
            assert_eq!(grown(|shares| shares.input_bytes as usize), if counts_input { 100 } else { 0 });
            assert_eq!(grown(|shares| shares.write.buffer_bytes), if counts_input { 112 } else { 150 });
        }
    }
}
