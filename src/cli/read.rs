//! `lakebed read`: the rows of a table.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::ipc::writer::FileWriter;
use clap::{Args, ValueEnum};
use futures::StreamExt as _;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::{Context, Exit};
use crate::error::{Error, ErrorKind};
use crate::read::{Filter, Scan, ScanOptions, parse_as_of};

/// The arguments of `lakebed read`.
#[derive(Debug, Args)]
pub(super) struct ReadArgs {
    /// The table.
    uri: String,
    /// The columns to read, in this order.
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    columns: Option<Vec<String>>,
    /// Only rows for which this holds, for example "distance >= 1000", "carrier in (UA, AA)" or
    /// "tailnum is null"; several must all hold.
    #[arg(long = "filter", value_name = "CONDITION")]
    filters: Vec<Filter>,
    /// No more rows than this.
    #[arg(long)]
    limit: Option<u64>,
    /// The table as it was: an instant, a date or a time in the table's zone.
    #[arg(long, value_name = "TIME")]
    as_of: Option<String>,
    /// Hudi's own columns too.
    #[arg(long)]
    meta: bool,
    /// What rows are printed as.
    #[arg(long, value_enum, default_value_t = Rows::Table)]
    rows: Rows,
    /// Write the rows to this file; needed for parquet and arrow.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// What rows are printed as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Rows {
    /// A table for people; all rows are held in memory.
    Table,
    /// Comma-separated values after a header.
    Csv,
    /// A JSON object a line.
    Jsonl,
    /// A Parquet file, without loss.
    Parquet,
    /// An Arrow IPC file, without loss.
    Arrow,
}

/// Runs `lakebed read`.
pub(super) async fn run(context: &Context, args: ReadArgs) -> Result<Exit, Error> {
    if matches!(args.rows, Rows::Parquet | Rows::Arrow) && args.out.is_none() {
        return Err(Error::new(ErrorKind::FixInput, "parquet and arrow are no text: name a file with --out"));
    }
    let table = context.open(&args.uri).await?;
    let as_of = args.as_of.as_deref().map(parse_as_of).transpose()?;
    let snapshot = table.snapshot(as_of).await?;
    let options = ScanOptions {
        columns: args.columns,
        filters: args.filters,
        limit: args.limit,
        with_meta: args.meta,
        ..ScanOptions::default()
    };
    let scan = Scan::plan(&snapshot, options).await?;
    let mut sink = RowSink::open(args.rows, args.out.as_deref(), &scan.schema())?;
    let mut rows = scan.stream();
    while let Some(batch) = rows.next().await {
        match sink.write(&batch?) {
            Ok(()) => {}
            // Who reads our output has seen enough.
            Err(error) if is_broken_pipe(&error) => return Ok(Exit::Done),
            Err(error) => return Err(unprintable(&error)),
        }
    }
    match sink.finish() {
        Err(error) if !is_broken_pipe(&error) => Err(unprintable(&error)),
        _ => Ok(Exit::Done),
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn unprintable(error: &Failure) -> Error {
    Error::new(ErrorKind::Failed, format!("the rows could not be written: {error}"))
}

fn is_broken_pipe(error: &Failure) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error.as_ref());
    while let Some(error) = cause {
        if error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe) {
            return true;
        }
        cause = error.source();
    }
    // The writers of rows keep the text of an error and not the error.
    error.to_string().contains("Broken pipe")
}

/// Where rows go.
enum RowSink {
    Table { rows: Vec<RecordBatch>, out: Box<dyn Write> },
    Csv(arrow::csv::Writer<Box<dyn Write>>),
    Jsonl(arrow::json::LineDelimitedWriter<Box<dyn Write>>),
    Parquet(Box<ArrowWriter<File>>),
    Arrow(FileWriter<BufWriter<File>>),
}

impl RowSink {
    fn open(rows: Rows, out: Option<&Path>, schema: &SchemaRef) -> Result<Self, Error> {
        let failed = |error: Failure| match out {
            Some(path) => Error::new(ErrorKind::FixInput, format!("{}: {error}", path.display())),
            None => Error::new(ErrorKind::Failed, error),
        };
        Self::create(rows, out, schema).map_err(failed)
    }

    fn create(rows: Rows, out: Option<&Path>, schema: &SchemaRef) -> Result<Self, Failure> {
        let file = out.map(File::create).transpose()?;
        Ok(match (rows, file) {
            (Rows::Parquet, Some(file)) => {
                let codec = Compression::ZSTD(ZstdLevel::try_new(1)?);
                let properties = WriterProperties::builder().set_compression(codec).build();
                Self::Parquet(Box::new(ArrowWriter::try_new(file, schema.clone(), Some(properties))?))
            }
            (Rows::Arrow, Some(file)) => Self::Arrow(FileWriter::try_new(BufWriter::new(file), schema)?),
            (Rows::Csv, file) => Self::Csv(arrow::csv::Writer::new(text_out(file))),
            (Rows::Jsonl, file) => {
                Self::Jsonl(arrow::json::WriterBuilder::new().with_explicit_nulls(true).build(text_out(file)))
            }
            (_, file) => {
                Self::Table { rows: vec![RecordBatch::new_empty(Arc::clone(schema))], out: text_out(file) }
            }
        })
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<(), Failure> {
        match self {
            Self::Table { rows, .. } => rows.push(batch.clone()),
            Self::Csv(writer) => writer.write(batch)?,
            Self::Jsonl(writer) => writer.write(batch)?,
            Self::Parquet(writer) => writer.write(batch)?,
            Self::Arrow(writer) => writer.write(batch)?,
        }
        Ok(())
    }

    fn finish(self) -> Result<(), Failure> {
        match self {
            Self::Table { rows, mut out } => {
                writeln!(out, "{}", arrow::util::pretty::pretty_format_batches(&rows)?)?;
                out.flush()?;
            }
            Self::Csv(writer) => writer.into_inner().flush()?,
            Self::Jsonl(mut writer) => {
                writer.finish()?;
                writer.into_inner().flush()?;
            }
            Self::Parquet(writer) => drop(writer.close()?),
            Self::Arrow(mut writer) => writer.finish()?,
        }
        Ok(())
    }
}

fn text_out(file: Option<File>) -> Box<dyn Write> {
    match file {
        Some(file) => Box::new(BufWriter::new(file)),
        None => Box::new(BufWriter::new(io::stdout())),
    }
}
