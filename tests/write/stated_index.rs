//! Bucket tables of Spark's, whose properties say nothing of their buckets.

use std::path::Path;
use std::sync::Arc;

use lakebed::Error;
use lakebed::ErrorKind;
use lakebed::environment::{Environment, Ids, SeededIds};
use lakebed::read::ScanOptions;
use lakebed::sink::{Opening, Sink, SinkError, SinkOptions, StatedIndex};
use lakebed::storage::{self, Storage};
use lakebed::table::{Table, WriteOperation};
use lakebed_hudi::table_config::BucketIndex;
use uuid::Uuid;

use crate::fixtures::unpack;
use crate::test_table::*;

fn stated(buckets: u32, hash_fields: &[&str]) -> SinkOptions {
    let hash_fields = hash_fields.iter().map(|field| (*field).to_owned()).collect();
    SinkOptions { index: StatedIndex::Bucket(BucketIndex { buckets, hash_fields }), ..SinkOptions::default() }
}

async fn open_storage(folder: &Path) -> Arc<dyn Storage> {
    storage::open(&folder.display().to_string().parse().unwrap(), &Environment::real()).await.unwrap()
}

async fn open(folder: &Path, options: SinkOptions) -> Result<Sink, SinkError> {
    Sink::open(open_storage(folder).await, &Environment::real(), "p1", Vec::new(), options).await
}

async fn recorded(folder: &Path) -> Option<BucketIndex> {
    let table = Table::open(open_storage(folder).await, &Environment::real(), None).await.unwrap();
    table.config.bucket_index
}

#[tokio::test]
async fn what_agrees_with_the_stored_keys_is_recorded_and_written_by() {
    for name in ["bucket_mor", "bucket_cow"] {
        let folder = unpack(name);
        // Hadoop keeps such checksums on local disks, and believes them.
        let checksum = folder.path().join(".hoodie/.hoodie.properties.crc");
        std::fs::write(&checksum, "of the properties as Spark wrote them").unwrap();
        let mut sink = open(folder.path(), stated(3, &[])).await.unwrap();
        assert!(!checksum.exists());
        let index = BucketIndex { buckets: 3, hash_fields: vec!["id".into()] };
        assert_eq!(recorded(folder.path()).await, Some(index));
        sink.write(&rows(&[("k0", "a", 90, Some("ours")), ("k7", "a", 1, Some("new"))]), None).await.unwrap();
        assert!(is_committed(&checkpoint(&mut sink, 1).await));
        // Now it is declared, and need not be stated any more.
        let mut sink = open(folder.path(), SinkOptions::default()).await.unwrap();
        sink.write(&rows(&[("k1", "a", 91, Some("ours too"))]), None).await.unwrap();
        assert!(is_committed(&checkpoint(&mut sink, 2).await));
        let table = Table::open(open_storage(folder.path()).await, &Environment::real(), None).await.unwrap();
        let texts = texts_of(&table.snapshot(None).await.unwrap()).await;
        assert_eq!(&texts[..2], ["k0 a 90 ours", "k1 a 91 ours too"]);
        assert!(texts.contains(&"k7 a 1 new".to_owned()), "{texts:?}");
    }
}

#[tokio::test]
async fn what_disagrees_is_refused_and_nothing_is_written() {
    let folder = unpack("bucket_mor");
    let none = open(folder.path(), SinkOptions::default()).await.unwrap_err();
    assert!(none.to_string().contains("state the index"), "{none}");
    let wrong = open(folder.path(), stated(2, &["id"])).await.unwrap_err();
    assert!(matches!(&wrong, SinkError::WrongBucket { .. }), "{wrong}");
    assert!(wrong.to_string().contains("an index of 2 buckets by id does not give it"), "{wrong}");
    assert_eq!(Error::from(wrong).kind(), ErrorKind::Refused);
    let foreign = open(folder.path(), stated(3, &["v"])).await.unwrap_err();
    assert!(foreign.to_string().contains("\"v\", which is not in the record key (id)"), "{foreign}");
    assert_eq!(recorded(folder.path()).await, None);

    open(folder.path(), stated(3, &["id"])).await.unwrap();
    let other = open(folder.path(), stated(4, &["id"])).await.unwrap_err();
    assert!(
        other.to_string().contains("4 buckets by id where the table declares 3 buckets by id"),
        "{other}"
    );
}

#[tokio::test]
async fn an_index_of_which_only_the_kind_is_declared_is_to_be_stated() {
    let folder = unpack("bucket_mor");
    let properties = folder.path().join(".hoodie/hoodie.properties");
    let text = std::fs::read_to_string(&properties).unwrap() + "hoodie.index.type=BUCKET\n";
    std::fs::write(&properties, text).unwrap();
    for index in [StatedIndex::Unstated, StatedIndex::None] {
        let options = SinkOptions { index, ..SinkOptions::default() };
        let refused = open(folder.path(), options).await.unwrap_err();
        assert!(refused.to_string().contains("hoodie.bucket.index.num.buckets is not"), "{refused}");
        assert_eq!(Error::from(refused).kind(), ErrorKind::Refused);
    }
    open(folder.path(), stated(3, &[])).await.unwrap();
    let index = BucketIndex { buckets: 3, hash_fields: vec!["id".into()] };
    assert_eq!(recorded(folder.path()).await, Some(index));
}

#[tokio::test]
async fn groups_that_are_no_buckets_are_refused() {
    let folder = unpack("v9_mor");
    let refused = open(folder.path(), stated(3, &["id"])).await.unwrap_err();
    assert!(matches!(refused, SinkError::NoBucket { .. }), "{refused}");
    let options = SinkOptions { operation: WriteOperation::Insert, ..SinkOptions::default() };
    assert!(open(folder.path(), options).await.is_ok(), "rows can still be added");
}

/// A commit of new groups to partition `y` by a writer that knows of no index, nor of Lakebed.
async fn commit_without_index(table: &TestTable) {
    let properties = ".hoodie/hoodie.properties".parse().unwrap();
    let with_index = table.storage.get(&properties, u64::MAX).await.unwrap().bytes;
    let lines = String::from_utf8(with_index.to_vec()).unwrap();
    let without: Vec<&str> = lines.lines().filter(|line| !line.starts_with("hoodie.index.type")).collect();
    table.storage.put(&properties, (without.join("\n") + "\n").into()).await.unwrap();
    let options =
        SinkOptions { operation: WriteOperation::Insert, index: StatedIndex::None, ..SinkOptions::default() };
    let mut sink = table.sink("foreign", options).await;
    sink.write(&rows(&[("f", "y", 1, None)]), None).await.unwrap();
    assert!(is_committed(&checkpoint(&mut sink, 1).await));
    table.forget_progress().await;
    table.storage.put(&properties, with_index).await.unwrap();
}

/// Ids that look like those of buckets, as one random id of 43 does.
#[derive(Debug)]
struct IdsOfDigits(SeededIds);

impl Ids for IdsOfDigits {
    fn uuid(&self) -> Uuid {
        let mut bytes = self.0.uuid().into_bytes();
        bytes[..4].copy_from_slice(&[0x12, 0x34, 0x56, 0x78]);
        Uuid::from_bytes(bytes)
    }
}

#[tokio::test]
async fn a_group_of_which_the_random_id_begins_with_digits_is_no_bucket() {
    let mut table = TestTable::create(&bucket_table()).await;
    let mut running = table.sink("p1", SinkOptions::default()).await;
    table.environment.ids = Arc::new(IdsOfDigits(SeededIds::new(1)));
    commit_without_index(&table).await;
    assert_eq!(table.files_named("12345678-").iter().filter(|name| name.ends_with("parquet")).count(), 1);
    let opened =
        Sink::open(table.storage.clone(), &table.environment, "p1", Vec::new(), SinkOptions::default());
    assert!(matches!(opened.await, Err(SinkError::NoBucket { buckets: 2, .. })));
    // Before any row of its partition comes, and when one comes whose key is stored there.
    for partition in ["x", "y"] {
        let refused = running.write(&rows(&[("f", partition, 2, None)]), None).await.unwrap_err();
        assert!(matches!(refused, SinkError::NoBucket { .. }), "{refused}");
        running.rewind().await.unwrap();
    }
    // The key says nothing of where its row is.
    let filtered = ScanOptions { filters: vec!["id = f".parse().unwrap()], ..ScanOptions::default() };
    assert_eq!(texts(&read(&table.snapshot().await, filtered).await), ["f y 1 -"]);
}

#[tokio::test]
async fn groups_that_others_make_between_the_look_and_the_claim_are_refused() {
    let table = TestTable::create(&bucket_table()).await;
    let mut first = table.sink("p1", SinkOptions::default()).await;
    write(&mut first, "a", 1).await;
    assert!(is_committed(&checkpoint(&mut first, 1).await));
    let (storage, options) = (table.storage.clone(), SinkOptions::default());
    let opening = Opening::look(storage, &table.environment, "p1", options).await.unwrap();
    commit_without_index(&table).await;
    let mut sink = opening.claim(Vec::new()).await.unwrap();
    let refused = sink.write(&rows(&[("a", "x", 2, None)]), None).await.unwrap_err();
    assert!(matches!(&refused, SinkError::NoBucket { partition, .. } if partition == "p=y"), "{refused}");
}

#[tokio::test]
async fn groups_that_others_made_without_the_index_are_refused_before_anything_is_written() {
    let table = TestTable::create(&bucket_table()).await;
    let mut running = table.sink("p1", SinkOptions::default()).await;
    write(&mut running, "a", 1).await;
    assert!(is_committed(&checkpoint(&mut running, 1).await));
    commit_without_index(&table).await;
    let reopen = |options| Sink::open(table.storage.clone(), &table.environment, "p1", Vec::new(), options);
    let before = table.files_named("");
    let refused = reopen(SinkOptions::default()).await.unwrap_err();
    assert!(matches!(&refused, SinkError::NoBucket { partition, .. } if partition == "p=y"), "{refused}");
    assert_eq!(table.files_named(""), before);
    // A run that goes on refuses what a new one would, also if it writes elsewhere.
    let refused = running.write(&rows(&[("a", "x", 2, None)]), None).await.unwrap_err();
    assert!(matches!(refused, SinkError::NoBucket { .. }), "{refused}");
    running.rewind().await.unwrap();

    let overwrite = SinkOptions { operation: WriteOperation::InsertOverwrite, ..SinkOptions::default() };
    let mut sink = reopen(overwrite).await.unwrap();
    sink.write(&rows(&[("f", "y", 2, None)]), None).await.unwrap();
    assert!(is_committed(&checkpoint(&mut sink, 2).await));
    let mut sink = reopen(SinkOptions::default()).await.unwrap();
    write(&mut sink, "a", 3).await;
    assert!(is_committed(&checkpoint(&mut sink, 3).await));
    assert_eq!(table.texts().await, ["a x 3 -", "f y 2 -"]);
}

#[tokio::test]
async fn rows_are_not_added_beside_buckets_that_nobody_has_stated() {
    for operation in
        [WriteOperation::Insert, WriteOperation::InsertOverwrite, WriteOperation::InsertOverwriteTable]
    {
        let options = |index| SinkOptions { operation, index, ..SinkOptions::default() };
        for name in ["bucket_mor", "bucket_cow"] {
            let folder = unpack(name);
            let refused = open(folder.path(), options(StatedIndex::Unstated)).await.unwrap_err();
            assert!(refused.to_string().contains("groups that look like buckets (0000000"), "{refused}");
            assert_eq!(Error::from(refused).kind(), ErrorKind::Refused);
            open(folder.path(), options(StatedIndex::None)).await.unwrap();
        }
        for index in [StatedIndex::Unstated, StatedIndex::None] {
            let folder = unpack("bucket_consistent");
            let refused = open(folder.path(), options(index)).await.unwrap_err();
            assert!(refused.to_string().contains("a bucket index of consistent hashing"), "{refused}");
            assert_eq!(Error::from(refused).kind(), ErrorKind::Refused);
        }
    }
    let folder = unpack("bucket_consistent");
    let refused = open(folder.path(), stated(4, &[])).await.unwrap_err();
    assert!(refused.to_string().contains("a bucket index of consistent hashing"), "{refused}");

    let folder = unpack("bucket_mor");
    open(folder.path(), stated(3, &[])).await.unwrap();
    let none = SinkOptions { index: StatedIndex::None, ..SinkOptions::default() };
    let refused = open(folder.path(), none).await.unwrap_err();
    assert!(refused.to_string().contains("no index where the table declares 3 buckets by id"), "{refused}");
}
