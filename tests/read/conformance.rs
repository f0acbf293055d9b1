//! Every fixture table gives exactly the rows that Spark + Hudi read from it.

use std::fs::File;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use futures::TryStreamExt as _;
use lakebed::environment::Environment;
use lakebed::merge::SpillArea;
use lakebed::read::{ReadError, Scan, ScanOptions, parse_as_of};
use lakebed::storage::{self, TableUri};
use lakebed::table::Table;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::Deserialize;

#[path = "../../tools/src/rows.rs"]
#[expect(dead_code, reason = "the tools use more of it")]
mod rows;

#[derive(Debug, Deserialize)]
struct Fixture {
    name: String,
    #[serde(default)]
    refused: Option<String>,
    queries: Vec<Query>,
}

#[derive(Debug, Deserialize)]
struct Query {
    name: String,
    #[serde(default)]
    as_of: Option<String>,
    #[serde(default)]
    rows: Option<String>,
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn unpacked(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let file = File::open(fixtures().join(name).join("table.tar.zst")).unwrap();
    tar::Archive::new(zstd::Decoder::new(file).unwrap()).unpack(folder.path()).unwrap();
    folder
}

fn expected(path: &Path) -> Vec<RecordBatch> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    reader.build().unwrap().map(Result::unwrap).collect()
}

async fn read(folder: &Path, query: &Query, budget_bytes: usize) -> Result<Vec<RecordBatch>, ReadError> {
    let uri: TableUri = folder.display().to_string().parse().unwrap();
    let environment = Environment::real();
    let storage = storage::open(&uri, &environment).await?;
    let table = Table::open(storage, &environment, None).await?;
    let as_of = query.as_of.as_deref().map(|text| parse_as_of(text).unwrap());
    let snapshot = table.snapshot(as_of).await?;
    let options = ScanOptions {
        with_meta: true,
        base_files_only: query.name == "read_optimized",
        memory_budget_bytes: budget_bytes,
        spill: SpillArea::default(),
        ..ScanOptions::default()
    };
    let scan = Scan::plan(&snapshot, options).await?;
    let schema = scan.schema();
    let mut batches: Vec<RecordBatch> = scan.stream().try_collect().await?;
    batches.push(RecordBatch::new_empty(schema));
    Ok(batches)
}

#[tokio::test(flavor = "multi_thread")]
async fn fixture_tables_read_as_spark_reads_them() {
    let catalogue = std::fs::read(fixtures().join("catalogue.json")).unwrap();
    let catalogue: Vec<Fixture> = serde_json::from_slice(&catalogue).unwrap();
    assert!(!catalogue.is_empty());
    let mut wrong = Vec::new();
    for fixture in &catalogue {
        let folder = unpacked(&fixture.name);
        for query in &fixture.queries {
            // The second budget makes every merge go through the spill file.
            for budget_bytes in [64 << 20, 0] {
                let found = read(folder.path(), query, budget_bytes).await;
                wrong.extend(check(fixture, query, found).map(|what| format!("{} {}: {what}", fixture.name, query.name)));
            }
        }
    }
    assert!(wrong.is_empty(), "{} differ\n{}", wrong.len(), wrong.join("\n"));
}

fn check(fixture: &Fixture, query: &Query, found: Result<Vec<RecordBatch>, ReadError>) -> Option<String> {
    match (found, &fixture.refused, &query.rows) {
        (Err(error), Some(word), _) if error.to_string().contains(word.as_str()) => None,
        (Err(error), Some(word), _) => Some(format!("expected a refusal with {word:?}, found: {error}")),
        (Ok(_), Some(word), _) => Some(format!("expected a refusal with {word:?}, found rows")),
        // Spark itself fails on it: whatever we do, we do not panic.
        (_, None, None) => None,
        (Err(error), None, Some(_)) => Some(error.to_string()),
        (Ok(found), None, Some(rows)) => {
            let expected = expected(&fixtures().join(&fixture.name).join(rows));
            let difference = rows::difference(&expected, &found);
            difference.map_or_else(|e| Some(e.to_string()), |d| d.map(|d| d.to_string()))
        }
    }
}
