//! Tables that we wrote, read in every way that a scan has.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::Int64Type;
use futures::TryStreamExt as _;
use lakebed::commit::{Outcome, PipelineProgress};
use lakebed::environment::Environment;
use lakebed::read::{Filter, ReadError, Scan, ScanOptions, parse_as_of};
use lakebed::sink::{Sink, SinkOptions};
use lakebed::storage::{self, Storage, TableUri};
use lakebed::table::{Table, TableSnapshot};
use lakebed_hudi::schema::TableSchema;
use lakebed_hudi::table_config::{BucketIndex, NewTable, TableType};

type Row = (&'static str, &'static str, i64, Option<&'static str>);

fn batch(rows: &[Row]) -> RecordBatch {
    let id: ArrayRef = Arc::new(rows.iter().map(|r| Some(r.0)).collect::<StringArray>());
    let p: ArrayRef = Arc::new(rows.iter().map(|r| Some(r.1)).collect::<StringArray>());
    let ts: ArrayRef = Arc::new(rows.iter().map(|r| Some(r.2)).collect::<Int64Array>());
    let v: ArrayRef = Arc::new(rows.iter().map(|r| r.3).collect::<StringArray>());
    let columns = [("id", id, false), ("p", p, true), ("ts", ts, true), ("v", v, true)];
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

struct Lake {
    _folder: tempfile::TempDir,
    storage: Arc<dyn Storage>,
    environment: Environment,
}

impl Lake {
    /// Two commits: rows, then updates, a late row and a delete in log files.
    async fn with_two_commits() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let uri: TableUri = folder.path().join("t").display().to_string().parse().unwrap();
        let environment = Environment::real();
        let storage = storage::open(&uri, &environment).await.unwrap();
        let new = NewTable {
            name: "t".into(),
            table_type: TableType::MergeOnRead,
            record_key_fields: vec!["id".into()],
            partition_fields: vec!["p".into()],
            ordering_fields: vec!["ts".into()],
            partial_update: None,
            bucket_index: Some(BucketIndex { buckets: 2, hash_fields: vec!["id".into()] }),
            hive_style: true,
            url_encode: true,
            create_schema: TableSchema::from_arrow(&batch(&[]).schema(), "t").unwrap().to_avro(),
            readers: vec!["spark".into()],
        };
        Table::create(storage.clone(), &environment, &new).await.unwrap();
        let lake = Self { _folder: folder, storage, environment };
        lake.commit(1, &[("a", "x", 5, Some("a1")), ("b", "x", 5, Some("b1")), ("c", "y", 5, None)], &[])
            .await;
        lake.commit(
            2,
            &[("a", "x", 3, Some("late")), ("b", "x", 6, Some("b2")), ("d", "y", 1, Some("d1"))],
            &[],
        )
        .await;
        lake.commit(3, &[("c", "y", 9, None)], &[true]).await;
        lake
    }

    async fn commit(&self, checkpoint: u64, rows: &[Row], deletes: &[bool]) {
        let options = SinkOptions::default();
        let mut sink =
            Sink::open(self.storage.clone(), &self.environment, "p", Vec::new(), options).await.unwrap();
        let deletes = (!deletes.is_empty()).then(|| BooleanArray::from(deletes.to_vec()));
        sink.write(&batch(rows), deletes.as_ref()).await.unwrap();
        let progress = PipelineProgress { checkpoint, ..PipelineProgress::default() };
        let prepared = sink.prepare(progress).await.unwrap().unwrap();
        assert!(matches!(sink.committer().commit(&prepared).await.unwrap(), Outcome::Committed { .. }));
    }

    async fn snapshot(&self, as_of: Option<&str>) -> TableSnapshot {
        let table = Table::open(self.storage.clone(), &self.environment, None).await.unwrap();
        table.snapshot(as_of.map(|text| parse_as_of(text).unwrap())).await.unwrap()
    }

    async fn read(&self, options: ScanOptions) -> Result<Vec<RecordBatch>, ReadError> {
        Scan::plan(&self.snapshot(None).await, options).await?.stream().try_collect().await
    }

    async fn filtered(&self, filters: &[&str]) -> Vec<String> {
        let filters = filters.iter().map(|text| text.parse::<Filter>().unwrap()).collect();
        texts(&self.read(ScanOptions { filters, ..ScanOptions::default() }).await.unwrap())
    }
}

fn texts(batches: &[RecordBatch]) -> Vec<String> {
    let mut rows = Vec::new();
    for batch in batches {
        let text = |column: &str, row: usize| {
            let array = batch.column_by_name(column).unwrap().as_string::<i32>();
            if array.is_valid(row) { array.value(row).to_owned() } else { "-".to_owned() }
        };
        let ts = batch.column_by_name("ts").unwrap().as_primitive::<Int64Type>();
        rows.extend(
            (0..batch.num_rows())
                .map(|r| format!("{} {} {} {}", text("id", r), text("p", r), ts.value(r), text("v", r))),
        );
    }
    rows.sort();
    rows
}

#[tokio::test]
async fn rows_are_merged_filtered_and_projected() {
    let lake = Lake::with_two_commits().await;
    let all = ["a x 5 a1", "b x 6 b2", "d y 1 d1"];
    assert_eq!(lake.filtered(&[]).await, all);
    assert_eq!(lake.filtered(&["p = x"]).await, all[..2]);
    assert_eq!(lake.filtered(&["id in (b, d)", "ts < 5"]).await, all[2..]);
    assert_eq!(lake.filtered(&["v = b1"]).await, [""; 0]);
    assert_eq!(lake.filtered(&["v = b2"]).await, all[1..2]);
    assert_eq!(lake.filtered(&["id = a"]).await, all[..1]);
    assert_eq!(lake.filtered(&["_hoodie_record_key = d", "p is not null"]).await, all[2..]);

    let options = ScanOptions { columns: Some(vec!["ts".into(), "p".into()]), ..ScanOptions::default() };
    let batches = lake.read(options).await.unwrap();
    let names: Vec<_> = batches[0].schema().fields().iter().map(|f| f.name().clone()).collect();
    assert_eq!(names, ["ts", "p"]);
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 3);

    let options = ScanOptions { limit: Some(2), with_meta: true, ..ScanOptions::default() };
    let batches = lake.read(options).await.unwrap();
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 2);
    assert_eq!(batches[0].num_columns(), 9);
}

#[tokio::test]
async fn only_slices_that_can_hold_a_match_are_read() {
    let lake = Lake::with_two_commits().await;
    let snapshot = lake.snapshot(None).await;
    let slices = |filter: &str| {
        let filters = vec![filter.parse().unwrap()];
        let (snapshot, options) = (snapshot.clone(), ScanOptions { filters, ..ScanOptions::default() });
        async move {
            let scan = Scan::plan(&snapshot, options).await.unwrap();
            let partitions = scan.slices().iter().map(|slice| slice.group.partition.clone());
            partitions.collect::<Vec<_>>()
        }
    };
    assert!(slices("p = x").await.iter().all(|partition| partition == "p=x"));
    assert!(slices("p is null").await.is_empty());
    // One bucket of each partition.
    let of_key = slices("id = a").await;
    let all = slices("ts > 0").await;
    assert!(of_key.len() <= 2 && of_key.len() < all.len(), "{of_key:?} of {all:?}");
}

#[tokio::test]
async fn the_past_is_what_it_was() {
    let lake = Lake::with_two_commits().await;
    let now = lake.snapshot(None).await;
    let first = now.timeline.completed_writes().next().unwrap().time.to_string();
    let scan = Scan::plan(&lake.snapshot(Some(&first)).await, ScanOptions::default()).await.unwrap();
    let rows = texts(&scan.stream().try_collect::<Vec<_>>().await.unwrap());
    assert_eq!(rows, ["a x 5 a1", "b x 5 b1", "c y 5 -"]);
    let none = Scan::plan(&lake.snapshot(Some("2001-01-01")).await, ScanOptions::default()).await.unwrap();
    assert_eq!(none.stream().try_collect::<Vec<_>>().await.unwrap().len(), 0);
}

#[tokio::test]
async fn columns_that_are_not_there_are_named() {
    let lake = Lake::with_two_commits().await;
    let options = ScanOptions { columns: Some(vec!["z".into()]), ..ScanOptions::default() };
    let error = lake.read(options).await.unwrap_err().to_string();
    assert!(error.contains("\"z\"") && error.contains("id, p, ts, v"), "{error}");
}

#[tokio::test]
async fn a_damaged_base_file_is_named() {
    let lake = Lake::with_two_commits().await;
    let files = lake.storage.list_all(&"p=x".parse().unwrap()).await.unwrap();
    let base = files.iter().find(|file| file.path.as_str().ends_with(".parquet")).unwrap();
    let bytes = lake.storage.get(&base.path, u64::MAX).await.unwrap().bytes;
    for damaged in [bytes.slice(..bytes.len() - 1), bytes.slice(..6), bytes.slice(8..)] {
        lake.storage.put(&base.path, damaged).await.unwrap();
        let error = lake.read(ScanOptions::default()).await.unwrap_err().to_string();
        assert!(error.contains(base.path.as_str()), "{error}");
    }
}
