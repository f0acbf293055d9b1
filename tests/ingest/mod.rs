//! Whole jobs, from files and streams into a table.

mod create;
mod dead_letters;
mod files;
mod foreign;
mod mistakes;
mod overwrites;
mod services;
mod start;
mod stdin;
mod watermark;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::AsArray as _;
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use lakebed::environment::Environment;
use lakebed::ingest::job::Job;
use lakebed::ingest::{Event, IngestError, RunOptions, Summary, run};
use lakebed::storage;
use lakebed::table::Table;
use lakebed::timeline::Timeline;
use lakebed_hudi::schema::TableSchema;
use lakebed_hudi::table_config::{NewTable, TableType};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tokio::sync::watch;

/// A table without keys, so that a record that was taken twice is there twice.
struct Place {
    folder: tempfile::TempDir,
    environment: Environment,
}

impl Place {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("in")).unwrap();
        let environment = Environment::real();
        let table = folder.path().join("t").display().to_string().parse().unwrap();
        let storage = storage::open(&table, &environment).await.unwrap();
        let columns = vec![Field::new("id", DataType::Int64, false), Field::new("v", DataType::Utf8, true)];
        let schema = TableSchema::from_arrow(&Schema::new(columns), "t").unwrap();
        let new = NewTable {
            readers: vec!["spark".into()],
            ..NewTable::without_keys("t", TableType::CopyOnWrite, schema.to_avro())
        };
        Table::create(storage, &environment, &new).await.unwrap();
        Self { folder, environment }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts a file where the job looks for it, as a whole.
    fn deliver(&self, name: &str, text: &str) {
        let hidden = self.path("in").join(format!(".{name}"));
        std::fs::write(&hidden, text).unwrap();
        std::fs::rename(hidden, self.path("in").join(name)).unwrap();
    }

    fn job(&self, source: &str, more: &str) -> Job {
        let table = self.path("t");
        let text = format!(
            "pipeline: p\noperation: insert\ntable: {{uri: {}}}\nsource: {source}\n{more}",
            table.display()
        );
        Job::from_yaml(&text).unwrap()
    }

    fn files_job(&self, more: &str) -> Job {
        self.job(&format!("{{files: [\"{}/*\"]}}", self.path("in").display()), more)
    }

    async fn run(&self, job: Job, options: RunOptions) -> Result<Summary, IngestError> {
        let (_keep, stop) = watch::channel(false);
        run(job, options, &self.environment, stop, Arc::new(|_: &Event| ())).await
    }

    /// Runs until the first commit is visible.
    async fn run_one_commit(&self, job: Job, options: RunOptions) -> Result<Summary, IngestError> {
        let (stopping, stop) = watch::channel(false);
        let events = Arc::new(move |event: &Event| {
            if matches!(event, Event::Committed { .. }) {
                stopping.send_replace(true);
            }
        });
        run(job, options, &self.environment, stop, events).await
    }

    async fn timeline(&self) -> Timeline {
        self.table().await.timeline.load().await.unwrap()
    }

    async fn table(&self) -> Table {
        let uri = self.path("t").display().to_string().parse().unwrap();
        let storage = storage::open(&uri, &self.environment).await.unwrap();
        Table::open(storage, &self.environment, None).await.unwrap()
    }

    /// How many instants have markers.
    fn markers(&self) -> usize {
        std::fs::read_dir(self.path("t/.hoodie/.temp")).map_or(0, Iterator::count)
    }

    /// The ids in the table's base files, sorted.
    fn ids(&self) -> Vec<i64> {
        let mut ids = Vec::new();
        for path in parquet_files(&self.path("t")) {
            let file = std::fs::File::open(path).unwrap();
            for batch in ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap() {
                let batch = batch.unwrap();
                ids.extend(batch.column_by_name("id").unwrap().as_primitive::<Int64Type>().values());
            }
        }
        ids.sort_unstable();
        ids
    }
}

fn parquet_files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|e| e == "parquet")).collect()
}

fn csv(ids: std::ops::Range<i64>) -> String {
    ids.fold("id,v\n".to_owned(), |text, id| format!("{text}{id},v{id}\n"))
}

fn jsonl(ids: std::ops::Range<i64>) -> String {
    ids.fold(String::new(), |text, id| format!("{text}{{\"id\": {id}, \"v\": \"v{id}\"}}\n"))
}
