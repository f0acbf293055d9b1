//! What hudi-core writes.

use std::path::PathBuf;

use arrow::array::{AsArray as _, RecordBatch};
use clap::Args;
use hudi_core::HoodieKey;
use hudi_core::config::table::TableTypeValue;
use hudi_core::table::Table;

use crate::{Failure, rows};

/// Creates a merge-on-read table and appends rows to it.
#[derive(Debug, Args)]
pub struct Load {
    /// The table's folder.
    table: String,
    /// The file of rows.
    #[arg(long)]
    rows: PathBuf,
    /// The record key field.
    #[arg(long)]
    key: String,
    /// The partition field.
    #[arg(long)]
    partition: String,
    /// The ordering field.
    #[arg(long)]
    ordering: String,
    /// Keep a metadata table with a record index; without it there is no metadata table.
    #[arg(long)]
    record_index: bool,
}

impl Load {
    /// Returns the number of rows.
    pub async fn run(self) -> Result<u64, Failure> {
        let batches = rows::read(&self.rows)?;
        let mut table = Table::create(&self.table)
            .with_table_name("peer")
            .with_table_type(TableTypeValue::MergeOnRead)
            .with_record_key_fields([self.key])
            .with_partition_fields([self.partition])
            .with_ordering_fields([self.ordering])
            .with_metadata_table_enabled(self.record_index)
            .create()
            .await?;
        let rows = rows::count(&batches);
        table.append(batches).await?;
        Ok(rows)
    }
}

/// Upserts rows and deletes keys.
#[derive(Debug, Args)]
pub struct Change {
    /// The table's folder.
    table: String,
    /// Files of rows to upsert.
    #[arg(long)]
    upsert: Vec<PathBuf>,
    /// Files of rows whose keys are to be deleted, after all upserts.
    #[arg(long)]
    delete: Vec<PathBuf>,
    /// The record key field, a text.
    #[arg(long)]
    key: String,
    /// The partition field, a text; paths are in Hive's style.
    #[arg(long)]
    partition: String,
}

impl Change {
    /// Returns the number of rows that were named.
    pub async fn run(self) -> Result<u64, Failure> {
        let mut table = Table::new(&self.table).await?;
        let mut count = 0;
        for file in &self.upsert {
            let batches = rows::read(file)?;
            count += rows::count(&batches);
            table.upsert(batches).await?;
        }
        for file in &self.delete {
            let batches = rows::read(file)?;
            count += rows::count(&batches);
            table.delete_keys(self.keys(&batches)?).await?;
        }
        Ok(count)
    }

    fn keys(&self, batches: &[RecordBatch]) -> Result<Vec<HoodieKey>, Failure> {
        let mut keys = Vec::new();
        for batch in batches {
            let texts = |name: &str| {
                let column = batch.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
                column.ok_or_else(|| format!("there is no column {name} of text"))
            };
            let (key, partition) = (texts(&self.key)?, texts(&self.partition)?);
            keys.extend(key.iter().zip(partition).map(|(key, partition)| HoodieKey {
                record_key: key.unwrap_or_default().to_owned(),
                partition_path: format!("{}={}", self.partition, partition.unwrap_or_default()),
            }));
        }
        Ok(keys)
    }
}

/// Schedules a compaction of every file group with log files, and runs it.
#[derive(Debug, Args)]
pub struct Compact {
    /// The table's folder.
    table: String,
}

impl Compact {
    /// Returns the number of rows in the new base files.
    pub async fn run(self) -> Result<u64, Failure> {
        Ok(Table::new(&self.table).await?.compact().await?.num_writes as u64)
    }
}
