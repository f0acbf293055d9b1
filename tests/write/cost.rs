//! What a commit asks of the storage.

use std::collections::BTreeMap;
use std::sync::Arc;

use lakebed::environment::Environment;
use lakebed::sink::{Sink, SinkOptions};
use lakebed::storage::Operation::{Get, List};
use lakebed::storage::Storage;
use lakebed::storage::fault::FaultStorage;
use lakebed::storage::object::ObjectStorage;
use lakebed::table::{Table, WriteOperation};

use crate::test_table::*;

/// Operations by what and where, and the bytes that were written and read.
type Cost = (BTreeMap<String, usize>, u64);

/// What the next commit of one row costs.
async fn one_row(sink: &mut Sink, storage: &FaultStorage, number: u64) -> Cost {
    let before = storage.operations().len();
    sink.write(&rows(&[("a", "x", number as i64, None)]), None).await.unwrap();
    assert!(is_committed(&checkpoint(sink, number).await));
    let mut cost = Cost::default();
    for operation in &storage.operations()[before..] {
        // Instants and file names differ, folders do not.
        let folder = operation.path.as_str().split('/').take(2).collect::<Vec<_>>().join("/");
        let folder = folder.split("00000000-").next().unwrap_or_default();
        *cost.0.entry(format!("{:?} {folder}", operation.operation)).or_default() += 1;
        cost.1 += operation.bytes;
    }
    cost
}

/// A new table, and a sink for it.
async fn new_table(options: SinkOptions) -> (FaultStorage, Sink) {
    let environment = Environment::real();
    let uri = "s3://memory/t".parse().unwrap();
    let inner: Arc<dyn Storage> = Arc::new(ObjectStorage::in_memory(&uri, &environment));
    Table::create(inner.clone(), &environment, &bucket_table()).await.unwrap();
    let storage = FaultStorage::new(inner);
    let sink = Sink::open(Arc::new(storage.clone()), &environment, "p", Vec::new(), options).await;
    (storage, sink.unwrap())
}

#[tokio::test]
async fn a_commit_costs_the_same_however_many_there_were() {
    let (storage, mut sink) = new_table(SinkOptions::default()).await;
    one_row(&mut sink, &storage, 1).await;
    let second = one_row(&mut sink, &storage, 2).await;
    // As often as the timeline has doubled it is listed as a whole, and its beginning is looked at after.
    one_row(&mut sink, &storage, 3).await;
    let (operations, bytes) = one_row(&mut sink, &storage, 4).await;
    // The second still looks what is there of the partition.
    assert!(operations.iter().all(|(what, times)| second.0.get(what) >= Some(times)), "{second:#?}");
    for number in 5..=300 {
        let later = one_row(&mut sink, &storage, number).await;
        if [10, 300].contains(&number) {
            assert_eq!(later.0, operations, "commit {number}");
            assert!(later.1.abs_diff(bytes) < 64, "commit {number}: {bytes} bytes, then {}", later.1);
        }
    }
    // Once to begin on what others have done, and once to meet what they did since.
    assert_eq!(operations.get("List .hoodie/timeline"), Some(&2), "{operations:#?}");
    let total: usize = operations.values().sum();
    assert!(total <= 40, "{total} operations: {operations:#?}");
}

#[tokio::test]
async fn opening_a_table_looks_at_its_timeline_before_and_after_its_epoch_is_claimed() {
    let table = TestTable::create(&bucket_table()).await;
    let mut sink = table.sink("p1", SinkOptions::default()).await;
    for number in 1..=3 {
        write(&mut sink, "a", number as i64).await;
        assert!(is_committed(&checkpoint(&mut sink, number).await));
    }
    let storage = FaultStorage::new(table.storage.clone());
    let opened =
        Sink::open(Arc::new(storage.clone()), &table.environment, "p1", Vec::new(), SinkOptions::default());
    assert_eq!(opened.await.unwrap().progress(), sink.progress());
    let operations = storage.operations();
    let of_timeline = operations.iter().filter(|o| o.path.as_str().starts_with(".hoodie/timeline"));
    let count = |wanted| of_timeline.clone().filter(|o| o.operation == wanted).count();
    // The newest commit tells how far the pipeline has come, and that its groups were looked at.
    assert_eq!((count(List), count(Get)), (2, 2), "{operations:#?}");
}

#[tokio::test]
async fn opening_a_table_lists_the_heartbeats_of_new_writers_and_asks_for_none() {
    let table = TestTable::create(&bucket_table()).await;
    let opened = async || {
        let storage = FaultStorage::new(table.storage.clone());
        let (disk, options) = (Arc::new(storage.clone()), SinkOptions::default());
        Sink::open(disk, &table.environment, "p1", Vec::new(), options).await.unwrap();
        storage.operations().len()
    };
    opened().await;
    let before = opened().await;
    for number in 0..30 {
        let beat = format!(".hoodie/.heartbeat/209901010000000{number:02}").parse().unwrap();
        table.storage.put(&beat, "".into()).await.unwrap();
    }
    assert_eq!(opened().await, before + 1, "the timeline says which of them are over");
}

#[tokio::test]
async fn an_overwrite_costs_the_same_however_many_there_were() {
    let options = SinkOptions { operation: WriteOperation::InsertOverwrite, ..SinkOptions::default() };
    let (storage, mut sink) = new_table(options).await;
    for number in 1..=6 {
        one_row(&mut sink, &storage, number).await;
    }
    let (operations, _) = one_row(&mut sink, &storage, 7).await;
    for number in 8..=29 {
        one_row(&mut sink, &storage, number).await;
    }
    assert_eq!(one_row(&mut sink, &storage, 30).await.0, operations);
}
