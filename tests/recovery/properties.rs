//! Updates of `hoodie.properties` that were cut off, by us or by Java.

use std::path::Path;
use std::sync::Arc;

use lakebed::environment::Environment;
use lakebed::sink::{MetadataTablePolicy, Sink, SinkOptions, StatedIndex};
use lakebed::storage::fault::FaultKind::DieAfter;
use lakebed::storage::fault::{Fault, FaultStorage, LoggedOperation};
use lakebed::storage::{self, Storage, TablePath};
use lakebed::table::{Table, WriteOperation};
use lakebed_hudi::table_config::BucketIndex;

use super::clock::QuickClock;
use super::faults::{ALL_KINDS, Files, disk_of, faults_at, files_of, writes};
use crate::fixtures::unpack;
use crate::test_table::texts_of;

fn current() -> TablePath {
    ".hoodie/hoodie.properties".parse().unwrap()
}

fn backup() -> TablePath {
    ".hoodie/hoodie.properties.backup".parse().unwrap()
}

async fn files_in(folder: &Path) -> Files {
    let disk = storage::open(&folder.display().to_string().parse().unwrap(), &Environment::real()).await;
    files_of(disk.unwrap().as_ref()).await
}

/// What the properties decide of a table.
#[derive(Debug, PartialEq)]
struct Seen {
    rows: Vec<String>,
    metadata_partitions: Vec<String>,
    index: Option<BucketIndex>,
}

async fn see(disk: &Arc<dyn Storage>) -> Result<Seen, String> {
    let table = Table::open(disk.clone(), &Environment::real(), None).await.map_err(|e| e.to_string())?;
    let metadata_partitions = table.config.metadata_partitions();
    let index = table.config.bucket_index.clone();
    Ok(Seen { rows: texts_of(&table.snapshot(None).await.unwrap()).await, metadata_partitions, index })
}

/// Opens a sink that changes the properties, with a fault at every operation: what is there then is
/// what was there before or what is there after, and the next sink ends what the first began.
async fn survives(fixture: &str, options: SinkOptions) {
    let folder = unpack(fixture);
    let files = files_in(folder.path()).await;
    let environment = QuickClock::environment(1);
    let open = async |disk: Arc<dyn Storage>, environment: &Environment| {
        Sink::open(disk, environment, "p", Vec::new(), options.clone()).await.map(drop)
    };

    let disk = disk_of(&files, &environment).await;
    let counting = Arc::new(FaultStorage::new(disk.clone()));
    let before = see(&disk).await.unwrap();
    open(counting.clone(), &environment).await.unwrap();
    let after = see(&disk).await.unwrap();
    assert_ne!(before, after);
    let of_properties = |path: &TablePath| *path == current() || *path == backup();
    let steps =
        counting.operations().iter().filter(|o| writes(o.operation) && of_properties(&o.path)).count();
    assert_eq!(steps, 3, "backup, properties, no backup");

    let operations = counting.operations();
    for fault in faults_at(&operations, &ALL_KINDS) {
        let LoggedOperation { operation, path, .. } = &operations[fault.at];
        let what = format!("{fault:?}, {operation} {path}");
        let environment = QuickClock::environment(1);
        let disk = disk_of(&files, &environment).await;
        let faulty = Arc::new(FaultStorage::with_fault(disk.clone(), fault));
        let ended = faulty.outlive(open(faulty.clone(), &environment)).await;
        let found = see(&disk).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(found == before || found == after, "{what}, {ended:?}: {found:?}");
        let environment = QuickClock::next(&environment, &faulty, 2);
        open(disk.clone(), &environment).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(see(&disk).await.as_ref(), Ok(&after), "{what}");
        let metadata = disk.list(&".hoodie/metadata".parse().unwrap()).await.unwrap();
        assert!(metadata.files.is_empty() && metadata.folders.is_empty(), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_metadata_table_is_dropped_though_stopped_anywhere() {
    let (operation, metadata_table) = (WriteOperation::Insert, MetadataTablePolicy::Drop);
    survives("metadata_table", SinkOptions { operation, metadata_table, ..SinkOptions::default() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stated_index_is_recorded_though_stopped_anywhere() {
    let index = StatedIndex::Bucket(BucketIndex { buckets: 3, hash_fields: vec!["id".into()] });
    survives("bucket_mor", SinkOptions { index, ..SinkOptions::default() }).await;
}

/// Java deletes the properties and then writes them, byte by byte, while the backup lies beside them.
#[tokio::test]
async fn properties_that_are_missing_or_cut_are_those_of_their_backup() {
    let folder = unpack("bucket_mor");
    let environment = QuickClock::environment(1);
    let disk = disk_of(&files_in(folder.path()).await, &environment).await;
    let whole = disk.get(&current(), u64::MAX).await.unwrap().bytes;
    let before = see(&disk).await.unwrap();
    disk.put(&backup(), whole.clone()).await.unwrap();
    disk.delete(&current()).await.unwrap();
    assert_eq!(see(&disk).await.as_ref(), Ok(&before));

    let names = ["hoodie.table.name=", "hoodie.table.checksum="];
    let line_end = |key: &str| {
        let at = whole.windows(key.len()).position(|bytes| bytes == key.as_bytes()).unwrap();
        at + whole[at..].iter().position(|byte| *byte == b'\n').unwrap() + 1
    };
    let looks_whole_from = names.map(line_end).into_iter().max().unwrap();
    for end in 0..whole.len() {
        disk.put(&current(), whole.slice(..end)).await.unwrap();
        // What ends with a line and has both is whole to Hudi's readers and writers as well.
        if end < looks_whole_from || whole[end - 1] != b'\n' {
            assert_eq!(see(&disk).await.as_ref(), Ok(&before), "cut at {end}");
        }
    }
}

/// Java writes the backup byte by byte as well, before it touches the properties.
#[tokio::test]
async fn a_backup_that_is_cut_takes_no_part() {
    let folder = unpack("bucket_mor");
    let disk = disk_of(&files_in(folder.path()).await, &QuickClock::environment(1)).await;
    let whole = disk.get(&current(), u64::MAX).await.unwrap().bytes;
    let before = see(&disk).await.unwrap();
    for end in 0..whole.len() {
        disk.put(&backup(), whole.slice(..end)).await.unwrap();
        assert_eq!(see(&disk).await.as_ref(), Ok(&before), "cut at {end}");
    }
}

/// The cut properties must not become the backup: a stop then would leave nothing that is whole.
#[tokio::test(flavor = "multi_thread")]
async fn an_update_begins_with_the_backup_where_the_properties_are_cut() {
    let folder = unpack("bucket_mor");
    let mut files = files_in(folder.path()).await;
    let at = files.iter().position(|(path, _)| *path == current()).unwrap();
    let whole = files[at].1.clone();
    files[at].1 = whole.slice(..whole.len() / 2);
    files.push((backup(), whole));
    let disk = disk_of(&files, &QuickClock::environment(1)).await;
    let before = see(&disk).await.unwrap();
    let index = BucketIndex { buckets: 3, hash_fields: vec!["id".into()] };
    let options = SinkOptions { index: StatedIndex::Bucket(index.clone()), ..SinkOptions::default() };

    let open = async |disk: Arc<dyn Storage>, environment: &Environment| {
        Sink::open(disk, environment, "p", Vec::new(), options.clone()).await.map(drop)
    };
    let counting = Arc::new(FaultStorage::new(disk));
    open(counting.clone(), &QuickClock::environment(1)).await.unwrap();
    let is_backup = |o: &LoggedOperation| writes(o.operation) && o.path == backup();
    let at = counting.operations().iter().position(is_backup).unwrap();
    let environment = QuickClock::environment(1);
    let disk = disk_of(&files, &environment).await;
    let faulty = Arc::new(FaultStorage::with_fault(disk.clone(), Fault { at, kind: DieAfter }));
    faulty.outlive(open(faulty.clone(), &environment)).await;
    assert!(faulty.has_died());
    assert_eq!(see(&disk).await.as_ref(), Ok(&before));
    open(disk.clone(), &QuickClock::next(&environment, &faulty, 2)).await.unwrap();
    assert_eq!(see(&disk).await.unwrap().index, Some(index));
}
