//! `lakebed-tools copied`: real readers on base files of which a compaction copied what did not change.
//!
//! Each table is compacted twice: once as usual, and once with base files written anew as a whole, which say
//! what readers must find. Spark with and without its vectorised reader, parquet-rs, pyarrow and DuckDB each read
//! all rows, and those in ranges that their statistics, page indexes and dictionaries can leave out others by.
#![expect(clippy::print_stdout, reason = "a command for people at a terminal")]

mod filtered;
mod query;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use arrow::array::RecordBatch;
use clap::Args;
use lakebed::environment::Environment;
use lakebed::maintain::MaintainOptions;
use serde_json::json;
use tokio::runtime::Runtime;

use crate::bench::compact::{Case, compact, link_all};
use crate::bench::load::{Failure, checkpoint, open_table, resume};
use crate::parquet_file;
use crate::spark::{Installation, Rows, Spark, SparkTable};
use crate::workload::{Shape, Workload};
use query::{Query, Range};

const COMPARE: &str = include_str!("compare.py");

/// What to read.
#[derive(Debug, Clone, Copy, Args)]
pub struct CopiedArguments {
    /// Rows of each table.
    #[arg(long, default_value_t = 160_000)]
    rows: u64,
    /// The seed of the rows.
    #[arg(long, default_value_t = 7)]
    seed: u64,
}

/// Ranges of the key, of sorted and of random columns, some of which the logs change.
const QUERIES: [Query; 6] = [
    Query { column: "id", range: Range::Texts("02", "03") },
    Query { column: "ts", range: Range::Seconds(5, 9) },
    Query { column: "ts", range: Range::Seconds(86_400, 86_400 * 30) },
    Query { column: "created", range: Range::Seconds(60, 62) },
    Query { column: "price", range: Range::Numbers(10.0, 10.4) },
    Query { column: "status", range: Range::Texts("paid", "paid") },
];

/// Who wrote the base files.
#[derive(Debug, Clone, Copy)]
enum Writer {
    Lakebed,
    Spark,
}

/// A base file that was copied from, and the one that says what must be in it.
struct Compacted {
    name: String,
    copied: PathBuf,
    anew: PathBuf,
    copied_bytes: u64,
}

/// Makes the tables, has all readers read them, and compares.
///
/// # Errors
/// No Spark; a file of which nothing was copied; rows that differ.
pub fn check(arguments: &CopiedArguments) -> Result<(), Failure> {
    let folder = tempfile::Builder::new().prefix("lakebed-copied-").tempdir()?;
    let runtime = Runtime::new()?;
    let mut spark = Spark::start()?;
    let workload = Workload {
        seed: arguments.seed,
        shape: Shape::Wide,
        required_key: false,
        base_rows: arguments.rows,
        upsert_rows: 0,
        delete_rows: 0,
    };
    let mut tables = Vec::new();
    for writer in [Writer::Lakebed, Writer::Spark] {
        for case in [Case::Sparse, Case::SparseMixed, Case::FewColumns] {
            let folder = folder.path().join(format!("{writer:?}-{case:?}"));
            tables.push(compacted(&runtime, &mut spark, &workload, (writer, case), &folder)?);
        }
    }
    for table in &tables {
        if table.copied_bytes == 0 {
            return Err(format!("{}: nothing was copied", table.name).into());
        }
        println!("{}: {} bytes copied", table.name, table.copied_bytes);
    }
    let read = tables.iter().map(|table| read(&mut spark, table)).collect::<Result<Vec<_>, _>>()?;
    drop(spark);
    compare(&tables, &read, folder.path())
}

/// Makes a table and compacts it both ways.
fn compacted(
    runtime: &Runtime,
    spark: &mut Spark,
    workload: &Workload,
    (writer, case): (Writer, Case),
    folder: &Path,
) -> Result<Compacted, Failure> {
    let table = folder.join("copied");
    fs::create_dir_all(folder)?;
    let base: Vec<RecordBatch> = workload.base().collect();
    let changes = case.changes(workload);
    let mut sink = runtime.block_on(open_table(&table, &workload.unpartitioned(1)?))?;
    match writer {
        Writer::Lakebed => {
            runtime.block_on(checkpoint(&mut sink, 1, &base, false))?;
        }
        Writer::Spark => {
            insert(spark, &table, &arrow::compute::concat_batches(&workload.schema(), &base)?)?;
            // The sink is to see what Spark wrote.
            drop(sink);
            sink = runtime.block_on(resume(&table))?;
        }
    }
    for ((rows, delete), number) in changes.iter().zip(2..) {
        runtime.block_on(checkpoint(&mut sink, number, rows, *delete))?;
    }
    drop(sink);
    let copy = folder.join("anew");
    link_all(&table, &copy)?;
    let environment = Environment::real();
    let report = runtime.block_on(compact(&table, &environment, MaintainOptions::default()))?;
    let anew = MaintainOptions { rewrite_whole: true, ..MaintainOptions::default() };
    runtime.block_on(compact(&copy, &environment, anew))?;
    Ok(Compacted {
        name: format!("base files of {writer:?}, {case:?}"),
        copied: newest_base_file(&table)?,
        anew: newest_base_file(&copy)?,
        copied_bytes: report.copied_bytes,
    })
}

/// Has Spark write the base file, of several row groups.
fn insert(spark: &mut Spark, table: &Path, rows: &RecordBatch) -> Result<(), Failure> {
    let file = table.with_extension("rows.parquet");
    parquet_file::write(&file, rows)?;
    let mut table = SparkTable::new(spark, "bench", table);
    let settings = [
        ("hoodie.datasource.write.table.type", "MERGE_ON_READ"),
        ("hoodie.datasource.write.recordkey.field", "id"),
        ("hoodie.datasource.write.partitionpath.field", ""),
        ("hoodie.table.ordering.fields", "ts"),
        ("hoodie.index.type", "BUCKET"),
        ("hoodie.bucket.index.num.buckets", "1"),
        ("hoodie.bucket.index.hash.field", "id"),
        ("hoodie.parquet.compression.codec", "zstd"),
        ("hoodie.parquet.block.size", "4194304"),
        ("hoodie.parquet.page.size", "65536"),
    ];
    table.write("bulk_insert", Rows::File(&file), &settings)?;
    Ok(fs::remove_file(file)?)
}

/// The base file with the greatest instant.
fn newest_base_file(table: &Path) -> Result<PathBuf, Failure> {
    let files = fs::read_dir(table)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, Failure>>()?;
    let parquet = files.into_iter().filter(|file| file.extension().is_some_and(|end| end == "parquet"));
    let instant = |file: &PathBuf| {
        file.file_stem().and_then(|name| name.to_str()?.rsplit('_').next().map(str::to_owned))
    };
    Ok(parquet.max_by_key(instant).ok_or("a table without base file")?)
}

/// What the readers of this process and Spark find, a Parquet file or a folder of some for each query.
fn read(spark: &mut Spark, table: &Compacted) -> Result<Vec<serde_json::Value>, Failure> {
    let folder = table.copied.parent().and_then(Path::parent).ok_or("a table without folder")?;
    let mut found = Vec::new();
    for (number, query) in QUERIES.iter().enumerate() {
        let out = folder.join(format!("parquet-rs-{number}.parquet"));
        parquet_file::write(&out, &filtered::read(&table.copied, query)?)?;
        found.push(json!({ "reader": "parquet-rs", "query": number, "rows": out }));
    }
    for (reader, is_vectorised) in [("Spark, vectorised", "true"), ("Spark, row by row", "false")] {
        spark.set("spark.sql.parquet.enableVectorizedReader", Some(is_vectorised))?;
        let queries = QUERIES.into_iter().map(|query| Some(query.sql())).chain([None]);
        for (number, query) in queries.enumerate() {
            let out = folder.join(format!("spark-{is_vectorised}-{number}"));
            let condition = query.map(|query| format!(" where {query}")).unwrap_or_default();
            let (from, to) = (table.copied.display(), out.display());
            let select = format!("select * from parquet.`{from}`{condition}");
            spark.sql(&format!("insert overwrite directory '{to}' using parquet {select}"))?;
            found.push(json!({ "reader": reader, "query": number, "rows": out }));
        }
    }
    spark.set("spark.sql.parquet.enableVectorizedReader", None)?;
    Ok(found)
}

/// Has Python compare, whose readers read as well.
fn compare(tables: &[Compacted], found: &[Vec<serde_json::Value>], folder: &Path) -> Result<(), Failure> {
    let queries: Vec<_> = QUERIES.into_iter().map(Query::to_json).collect();
    let table = |(table, found): (&Compacted, &Vec<serde_json::Value>)| json!({ "name": table.name, "copied": table.copied, "anew": table.anew, "found": found });
    let tables: Vec<_> = tables.iter().zip(found).map(table).collect();
    let job = folder.join("job.json");
    fs::write(&job, json!({ "queries": queries, "tables": tables }).to_string())?;
    let script = folder.join("compare.py");
    fs::write(&script, COMPARE)?;
    let compared = Command::new(Installation::ready()?.python).arg(script).arg(job).status()?;
    if !compared.success() {
        return Err("rows differ from what the readers must find".into());
    }
    Ok(())
}
