//! Which folders are partitions: those that are for Spark.

use std::fs;
use std::path::Path;

use lakebed::environment::Environment;
use lakebed::sink::SinkOptions;
use lakebed::storage;
use lakebed::table::{Table, TableSnapshot, WriteOperation};
use lakebed_hudi::table_config::NewTable;

use crate::fixtures::unpack;
use crate::test_table::*;

async fn snapshot(folder: &Path) -> TableSnapshot {
    let environment = Environment::real();
    let storage = storage::open(&folder.display().to_string().parse().unwrap(), &environment).await.unwrap();
    Table::open(storage, &environment, None).await.unwrap().snapshot(None).await.unwrap()
}

async fn row_count(folder: &Path) -> usize {
    read(&snapshot(folder).await, Default::default()).await.iter().map(|batch| batch.num_rows()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_whose_names_begin_with_a_dot_are_partitions_too() {
    let new = NewTable { hive_style: false, url_encode: false, ..bucket_table() };
    let table = TestTable::create(&new).await;
    let all = ["a/.b", ".c", "..d", ".hoodie_e"];
    let mut sink = table.sink("p", SinkOptions::default()).await;
    sink.write(&rows(&all.map(|p| ("k", p, 1, None))), None).await.unwrap();
    assert!(is_committed(&checkpoint(&mut sink, 1).await));
    let mut expected = all.map(|p| format!("k {p} 1 -"));
    expected.sort();
    assert_eq!(table.texts().await, expected);
    drop(sink);

    let overwrite = SinkOptions { operation: WriteOperation::InsertOverwriteTable, ..SinkOptions::default() };
    let mut sink = table.sink("p", overwrite).await;
    sink.write(&rows(&[("k", "g", 2, None)]), None).await.unwrap();
    assert!(is_committed(&checkpoint(&mut sink, 2).await));
    assert_eq!(table.texts().await, ["k g 2 -"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_that_makes_a_partition_may_have_an_ending() {
    let folder = unpack("v9_cow");
    let rows = row_count(folder.path()).await;
    assert!(rows > 0);
    for (partition, _) in snapshot(folder.path()).await.partitions().await.unwrap() {
        let file = folder.path().join(partition).join(".hoodie_partition_metadata");
        fs::rename(&file, file.with_file_name(".hoodie_partition_metadata.parquet")).unwrap();
    }
    assert_eq!(row_count(folder.path()).await, rows);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_without_partition_columns_needs_no_such_file() {
    let folder = unpack("v9_mor_unpartitioned");
    let rows = row_count(folder.path()).await;
    assert!(rows > 0);
    fs::remove_file(folder.path().join(".hoodie_partition_metadata")).unwrap();
    assert_eq!(row_count(folder.path()).await, rows);
}
