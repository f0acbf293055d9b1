//! What a commit asks of the storage.

use std::collections::BTreeMap;
use std::sync::Arc;

use lakebed::environment::Environment;
use lakebed::sink::{Sink, SinkOptions};
use lakebed::storage::Storage;
use lakebed::storage::fault::FaultStorage;
use lakebed::storage::object::ObjectStorage;
use lakebed::table::Table;

use crate::test_table::*;

/// Operations by what and where, and the bytes that were written.
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

#[tokio::test]
async fn a_commit_costs_the_same_however_many_there_were() {
    let environment = Environment::real();
    let uri = "s3://memory/t".parse().unwrap();
    let inner: Arc<dyn Storage> = Arc::new(ObjectStorage::in_memory(&uri, &environment));
    Table::create(inner.clone(), &environment, &bucket_table()).await.unwrap();
    let storage = FaultStorage::new(inner);
    let open = async || {
        Sink::open(Arc::new(storage.clone()), &environment, "p", Vec::new(), SinkOptions::default()).await
    };
    let mut sink = open().await.unwrap();
    one_row(&mut sink, &storage, 1).await;
    let second = one_row(&mut sink, &storage, 2).await;
    let (operations, bytes) = one_row(&mut sink, &storage, 3).await;
    // The second still looks what is there of the partition.
    assert!(operations.iter().all(|(what, times)| second.0.get(what) >= Some(times)), "{second:#?}");
    for number in 4..=300 {
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
