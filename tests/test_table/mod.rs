//! A table in a folder of its own, and a pipeline that writes to it.

pub mod services;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, AsArray as _, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::Int64Type;
use futures::TryStreamExt as _;
use lakebed::commit::{Outcome, PipelineProgress};
use lakebed::environment::Environment;
use lakebed::read::{Scan, ScanOptions};
use lakebed::sink::{Prepared, Sink, SinkOptions};
use lakebed::storage::{self, Storage, TableUri};
use lakebed::table::{Table, TableSnapshot};
use lakebed_hudi::schema::TableSchema;
use lakebed_hudi::table_config::{BucketIndex, NewTable, TableType};
use lakebed_hudi::timeline_metadata::CommitMetadata;

/// Rows of id, partition, ordering value and text.
pub type Row<'a> = (&'a str, &'a str, i64, Option<&'a str>);

pub fn rows(rows: &[Row<'_>]) -> RecordBatch {
    let id: ArrayRef = Arc::new(rows.iter().map(|r| Some(r.0)).collect::<StringArray>());
    let p: ArrayRef = Arc::new(rows.iter().map(|r| Some(r.1)).collect::<StringArray>());
    let ts: ArrayRef = Arc::new(rows.iter().map(|r| Some(r.2)).collect::<Int64Array>());
    let v: ArrayRef = Arc::new(rows.iter().map(|r| r.3).collect::<StringArray>());
    let columns = [("id", id, false), ("p", p, true), ("ts", ts, true), ("v", v, true)];
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

/// A merge-on-read table of two buckets a partition.
pub fn bucket_table() -> NewTable {
    let schema = TableSchema::from_arrow(&rows(&[]).schema(), "t").unwrap();
    NewTable {
        name: "t".into(),
        table_type: TableType::MergeOnRead,
        record_key_fields: vec!["id".into()],
        partition_fields: vec!["p".into()],
        ordering_fields: vec!["ts".into()],
        partial_update: None,
        bucket_index: Some(BucketIndex { buckets: 2, hash_fields: vec!["id".into()] }),
        hive_style: true,
        url_encode: true,
        create_schema: schema.to_avro(),
        readers: vec!["spark".into()],
    }
}

/// A table without keys: a row that is written twice is there twice.
pub fn append_table() -> NewTable {
    NewTable {
        table_type: TableType::CopyOnWrite,
        record_key_fields: Vec::new(),
        ordering_fields: Vec::new(),
        bucket_index: None,
        ..bucket_table()
    }
}

/// [`rows`] as texts, sorted.
pub fn texts(batches: &[RecordBatch]) -> Vec<String> {
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

/// The rows of a table, see [`texts`].
pub async fn texts_of(snapshot: &TableSnapshot) -> Vec<String> {
    texts(&read(snapshot, ScanOptions::default()).await)
}

pub async fn read(snapshot: &TableSnapshot, options: ScanOptions) -> Vec<RecordBatch> {
    Scan::plan(snapshot, options).await.unwrap().stream().try_collect().await.unwrap()
}

/// A table in a folder that goes with it.
pub struct TestTable {
    folder: tempfile::TempDir,
    pub storage: Arc<dyn Storage>,
    pub environment: Environment,
}

impl TestTable {
    pub async fn create(new: &NewTable) -> Self {
        Self::create_by(Environment::real(), new).await
    }

    /// One whose writers have that environment.
    pub async fn create_by(environment: Environment, new: &NewTable) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let uri: TableUri = folder.path().join("t").display().to_string().parse().unwrap();
        let storage = storage::open(&uri, &environment).await.unwrap();
        Table::create(storage.clone(), &environment, new).await.unwrap();
        Self { folder, storage, environment }
    }

    /// The path of `name` beside the table, which is `t`.
    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    pub async fn sink(&self, pipeline: &str, options: SinkOptions) -> Sink {
        self.restored_sink(pipeline, Vec::new(), options).await
    }

    pub async fn restored_sink(&self, pipeline: &str, restored: Vec<Prepared>, options: SinkOptions) -> Sink {
        Sink::open(self.storage.clone(), &self.environment, pipeline, restored, options).await.unwrap()
    }

    pub async fn snapshot(&self) -> TableSnapshot {
        let table = Table::open(self.storage.clone(), &self.environment, None).await.unwrap();
        table.snapshot(None).await.unwrap()
    }

    /// Its rows, see [`texts`].
    pub async fn texts(&self) -> Vec<String> {
        texts_of(&self.snapshot().await).await
    }

    /// Has others archive all completed instants but the newest `kept`, more than they should.
    pub async fn archive(&self, kept: usize) {
        services::archive(&self.snapshot().await.table, kept).await;
    }

    /// The metadata of all completed writes, oldest first.
    pub async fn commits(&self) -> Vec<CommitMetadata> {
        let snapshot = self.snapshot().await;
        let mut commits = Vec::new();
        for instant in snapshot.timeline.completed_writes() {
            commits.push(snapshot.table.timeline.commit_metadata(instant).await.unwrap());
        }
        commits
    }

    /// Has the newest commit say that the table has the columns of `schema`, as if another engine
    /// had added them.
    pub async fn restate_schema(&self, schema: &TableSchema) {
        let restate = |extra: &mut BTreeMap<String, String>| {
            extra.insert(CommitMetadata::SCHEMA_KEY.to_owned(), schema.to_avro());
        };
        self.restate_newest(restate).await;
    }

    /// Has the newest commit say nothing of progress, as if another engine had made it.
    pub async fn forget_progress(&self) {
        self.restate_newest(|extra| extra.retain(|key, _| !key.starts_with("lakebed."))).await;
    }

    async fn restate_newest(&self, restate: impl FnOnce(&mut BTreeMap<String, String>)) {
        let snapshot = self.snapshot().await;
        let newest = snapshot.timeline.completed_writes().next_back().unwrap();
        let mut metadata = snapshot.table.timeline.commit_metadata(newest).await.unwrap();
        restate(&mut metadata.extra_metadata);
        let path = snapshot.table.timeline.path(&newest.file());
        self.storage.put(&path, metadata.to_avro().unwrap().into()).await.unwrap();
    }

    /// The data files of the live slices: base files and log files by partition.
    pub async fn live_files(&self) -> BTreeMap<String, (usize, usize)> {
        let snapshot = self.snapshot().await;
        let mut live = BTreeMap::new();
        for (partition, files) in snapshot.partitions().await.unwrap() {
            let groups = snapshot.file_groups(&partition, &files).await.unwrap();
            let slices: Vec<_> = groups.iter().filter_map(|group| group.latest()).collect();
            let bases = slices.iter().filter(|slice| slice.base.is_some()).count();
            let logs = slices.iter().map(|slice| slice.logs.len()).sum();
            if bases + logs > 0 {
                live.insert(partition, (bases, logs));
            }
        }
        live
    }

    /// All files below the table whose name has `part`.
    pub fn files_named(&self, part: &str) -> Vec<String> {
        let mut found = Vec::new();
        visit(self.folder.path(), &mut |path| {
            let name = path.file_name().unwrap().to_string_lossy();
            if name.contains(part) {
                found.push(name.into_owned());
            }
        });
        found
    }
}

fn visit(folder: &Path, see: &mut impl FnMut(&Path)) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { visit(&path, see) } else { see(&path) }
    }
}

pub fn progress(checkpoint: u64) -> PipelineProgress {
    PipelineProgress { checkpoint, ..PipelineProgress::default() }
}

/// Writes one row to partition `x`.
pub async fn write(sink: &mut Sink, id: &str, ts: i64) {
    sink.write(&rows(&[(id, "x", ts, None)]), None).await.unwrap();
}

/// Ends a checkpoint and commits it.
pub async fn checkpoint(sink: &mut Sink, number: u64) -> Outcome {
    let prepared = sink.prepare(progress(number)).await.unwrap().unwrap();
    sink.committer().commit(&prepared).await.unwrap()
}

pub fn is_committed(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Committed { .. })
}
