//! What planners look at in tests: files that are named and not there.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::schema::TableSchema;
use lakebed_hudi::table_config::{NewTable, TableType};

use crate::environment::Environment;
use crate::storage::object::ObjectStorage;
use crate::table::{BaseFile, FileGroupId, LogFile, Table, TableSnapshot};

/// A table of one column.
pub(super) fn new_table(table_type: TableType) -> NewTable {
    let schema = Schema::new(vec![Field::new("id", DataType::Utf8, true)]);
    let created = TableSchema::from_arrow(&schema, "t").unwrap().to_avro();
    NewTable::without_keys("t", table_type, created)
}

/// The same, and nothing in it.
pub(super) fn empty_table(table_type: TableType) -> TableSnapshot {
    let new = new_table(table_type);
    let environment = Environment::real();
    let storage = ObjectStorage::in_memory(&"s3://memory/t".parse().unwrap(), &environment);
    let table = async {
        Table::create(Arc::new(storage), &environment, &new).await.unwrap().snapshot(None).await.unwrap()
    };
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(table)
}

/// A base file of a group.
pub(super) fn base_file(group: &FileGroupId, instant: InstantTime, size_bytes: u64) -> BaseFile {
    let name = format!("{}_0-0-0_{instant}.parquet", group.file_id);
    let path = format!("{}/{name}", group.partition).parse().unwrap();
    BaseFile { name: name.parse().unwrap(), path, size_bytes }
}

/// A log file of a group, one of several of its instant.
pub(super) fn log_file(group: &FileGroupId, instant: InstantTime, attempt: u32, size_bytes: u64) -> LogFile {
    let name = format!(".{}_{instant}.log.1_{attempt}-0-0", group.file_id);
    let path = format!("{}/{name}", group.partition).parse().unwrap();
    LogFile { name: name.parse().unwrap(), path, size_bytes }
}
