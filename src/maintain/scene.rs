//! What planners look at in tests: files that are named and not there.

use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::table_config::TableType;

use crate::storage::TablePath;
use crate::table::one_column::of_one_column;
use crate::table::{BaseFile, FileGroupId, LogFile, Table, TableSnapshot, partition_folder};

/// A table with nothing in it.
pub(super) fn empty_table(table_type: TableType) -> TableSnapshot {
    let new = of_one_column(table_type);
    let snapshot = async { Table::in_memory(&new).await.snapshot(None).await.unwrap() };
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(snapshot)
}

/// A base file of a group.
pub(super) fn base_file(group: &FileGroupId, instant: InstantTime, size_bytes: u64) -> BaseFile {
    let name = format!("{}_0-0-0_{instant}.parquet", group.file_id);
    BaseFile { name: name.parse().unwrap(), path: path(group, &name), size_bytes }
}

/// A log file of a group, one of several of its instant.
pub(super) fn log_file(group: &FileGroupId, instant: InstantTime, attempt: u32, size_bytes: u64) -> LogFile {
    let name = format!(".{}_{instant}.log.1_{attempt}-0-0", group.file_id);
    LogFile { name: name.parse().unwrap(), path: path(group, &name), size_bytes }
}

fn path(group: &FileGroupId, name: &str) -> TablePath {
    partition_folder(&group.partition).unwrap().join(name).unwrap()
}
