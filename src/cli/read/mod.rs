//! `lakebed read`: the rows of a table.

mod json_values;
mod out_file;
mod rows;
mod rows_error;
mod table_rows;
mod text_rows;

use std::io;
use std::path::PathBuf;

use clap::Args;
use futures::StreamExt as _;
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::table_config::DeclaredZone;
use serde::Serialize;

use super::output::{self, Format, Page, Report};
use super::signals::Signals;
use super::{Context, Exit, human};
use crate::error::{Error, ErrorKind};
use crate::read::{Filter, Scan, ScanOptions, parse_as_of};
use crate::table::TableSnapshot;

use out_file::OutFile;
use rows::{RowSink, format_of_name};
use rows_error::Stopped;

const EXAMPLES: &str = "\
Examples:
  lakebed read /lake/flights --columns date,carrier,arr_delay --filter 'arr_delay > 600' --limit 5
  lakebed read /lake/flights --as-of '2026-03-07 16:25:00' --format csv > flights.csv
  lakebed read /lake/flights --format jsonl | jq .carrier
  lakebed read /lake/flights --out flights.parquet          the format is told by the name

A table has its heading again after every 100,000 values, or a megabyte of them; in it null is
NULL, and control characters are spelled out: a line feed is \\n. csv is quoted by RFC 4180, each
record ends in a line feed: null is an empty field and an empty text \"\"; nested values are JSON.
In csv, json and jsonl binary values are hexadecimal; whole numbers and decimals have all of their
digits. parquet and arrow keep types and values as they are.";

/// The arguments of `lakebed read`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ReadArgs {
    /// The table.
    uri: String,
    /// The columns to read, in this order.
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    columns: Option<Vec<String>>,
    /// Only rows for which this holds, for example "distance >= 1000", "carrier in (UA, AA)",
    /// "tailnum is null" or "dest != 'St. John''s'"; several must all hold.
    #[arg(long = "filter", value_name = "CONDITION")]
    filters: Vec<String>,
    /// No more rows than this.
    #[arg(long)]
    limit: Option<u64>,
    /// The table as it was: an instant, a date or a time in the table's zone, or with Z in UTC. As in
    /// Hudi a commit counts by its INSTANT in `lakebed timeline`, when it was begun, and not by when it
    /// COMPLETED.
    #[arg(long, value_name = "TIME")]
    as_of: Option<String>,
    /// Hudi's own columns too.
    #[arg(long)]
    meta: bool,
    /// What rows are written as: told by the name of --out, else a table. With json, errors are
    /// JSON as well.
    #[arg(long, value_parser = output::row_formats())]
    format: Option<Format>,
    /// Write the rows to this file, which is there once it is complete; needed for parquet and arrow.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Replace the file if it is there.
    #[arg(long, requires = "out")]
    overwrite: bool,
}

/// Runs `lakebed read`.
pub(super) async fn run(context: &Context, args: ReadArgs) -> Result<Exit, Error> {
    let format = format(&args)?;
    let written = match args.out.clone() {
        None => read(context, args, format, None).await,
        Some(path) => {
            // A file that is begun goes when we do.
            let mut signals = Signals::receive()?;
            let file = OutFile::create(&path, args.overwrite)?;
            tokio::select! {
                written = read(context, args, format, Some(file)) => written,
                () = signals.next() => {
                    return Err(Error::new(ErrorKind::Failed, "stopped by a signal; no file is left"));
                }
            }
        }
    };
    match written {
        Ok(None) | Err(Stopped::Enough) => {}
        Ok(Some(report)) => context.output.report(&report)?,
        Err(Stopped::Failed(error)) => return Err(error),
    }
    Ok(Exit::Done)
}

/// A file that was written.
#[derive(Debug, Serialize)]
struct FileReport {
    file: PathBuf,
    rows: u64,
    bytes: u64,
}

impl Report for FileReport {
    fn render(&self, page: &mut Page<'_>) -> io::Result<()> {
        let (rows, bytes) = (human::counted(self.rows, "row"), human::bytes(self.bytes));
        page.line(&format!("{rows} written to {}, {bytes}", self.file.display()))
    }
}

async fn read(
    context: &Context,
    args: ReadArgs,
    format: Format,
    file: Option<OutFile>,
) -> Result<Option<FileReport>, Stopped> {
    let mut left = args.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let scan = plan(context, args).await.map_err(Stopped::Failed)?;
    let mut sink = RowSink::open(format, file, &scan.schema())?;
    let mut rows = scan.stream();
    while left > 0
        && let Some(batch) = rows.next().await
    {
        let batch = batch.map_err(|error| Stopped::Failed(error.into()))?;
        let batch = batch.slice(0, left.min(batch.num_rows()));
        left -= batch.num_rows();
        sink.write(&batch)?;
    }
    // What was read ahead is of no use while the rows are written out.
    drop(rows);
    sink.finish()
}

async fn plan(context: &Context, args: ReadArgs) -> Result<Scan, Error> {
    let filters = args.filters.iter().map(|text| text.parse()).collect::<Result<Vec<Filter>, _>>()?;
    let table = context.open(&args.uri).await?;
    let zone = (table.config.zone == DeclaredZone::Utc).then_some(table.zone);
    let as_of = args.as_of.as_deref().map(|text| parse_as_of(text, zone)).transpose()?;
    let snapshot = table.snapshot(as_of).await?;
    if let Some(note) = as_of.and_then(|time| nothing_by(&snapshot, time)) {
        context.output.note(&note);
    }
    let columns = args.columns.map(|names| names.iter().map(|name| name.trim().to_owned()).collect());
    let options = ScanOptions { columns, filters, with_meta: args.meta, ..ScanOptions::default() };
    Ok(Scan::plan(&snapshot, options).await?)
}

/// Says so if nothing that is still on the timeline was committed by `time`.
fn nothing_by(snapshot: &TableSnapshot, time: InstantTime) -> Option<String> {
    let begins = match snapshot.timeline.completed_writes().next().map(|first| first.time) {
        Some(first) if first <= time => return None,
        Some(first) => format!("its first commit is {first}"),
        None => "it has no commit".to_owned(),
    };
    Some(format!("nothing on the active timeline was committed as of {time}: {begins}"))
}

/// What rows are written as.
fn format(args: &ReadArgs) -> Result<Format, Error> {
    let usage = |text: String| Err(Error::new(ErrorKind::FixInput, text));
    match (args.format, &args.out) {
        (Some(format @ (Format::Parquet | Format::Arrow)), None) => {
            usage(format!("{} is no text: name a file with --out", format.as_str()))
        }
        (Some(format), _) => Ok(format),
        (None, None) => Ok(Format::Table),
        (None, Some(path)) => match format_of_name(path) {
            Some(format) => Ok(format),
            None => usage(format!("{}: its name does not tell a format: add --format", path.display())),
        },
    }
}
