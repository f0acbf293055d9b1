//! `lakebed table create`: an empty table.

use std::io;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use lakebed_hudi::table_config::TableType;
use serde::Serialize;

use super::column::Column;
use super::output::{Page, Report};
use super::{Context, Exit, human};
use crate::error::{Error, ErrorKind};
use crate::ingest::decode::Format;
use crate::ingest::job::{Buckets, CreateSettings, PartialUpdate, TableKind};
use crate::ingest::{create_or_check, sampled_columns, stated_columns};
use crate::storage::{self, TableUri};
use crate::table::{Table, TableError, check_new};

const EXAMPLES: &str = "\
Examples:
  lakebed table create /lake/flights --schema flights.avsc \\
      --key date,carrier,flight,origin --partition month --ordering updated_at --buckets 8
  lakebed table create s3://lake/log --schema sample.parquet --partition day
  lakebed table create /lake/trips --like trips-2026-03.csv.gz --key trip_id

Rows whose key is null are refused when they are written; of a key of several columns some may be
null. Rows without an ordering value are refused as well: Spark could not read them.";

const NO_COLUMNS: &str = "the columns are not stated: add --schema FILE (an Avro schema, or a Parquet or Arrow file \
    that has them) or --like FILE (told from the records of a csv, jsonl, parquet, avro or arrow file); or let \
    `lakebed ingest` make the table of its job (table.create)";

/// The arguments of `lakebed table create`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CreateArgs {
    /// Where the table is to be: a path, file:///path or s3://bucket/path.
    uri: String,
    /// The columns: an Avro schema (.avsc), or a Parquet or Arrow file that has them. This or --like
    /// is needed.
    #[arg(long, value_name = "FILE", conflicts_with = "like")]
    schema: Option<PathBuf>,
    /// The columns, told from the records of a csv, jsonl, parquet, avro or arrow file, which may
    /// end in .gz or .zst: key columns become required.
    #[arg(long, value_name = "FILE")]
    like: Option<PathBuf>,
    /// The table's name; the last part of the address if left out.
    #[arg(long)]
    name: Option<String>,
    /// Copy-on-write rewrites files at each commit, merge-on-read adds logs to them.
    #[arg(long = "type", value_enum, ignore_case = true, default_value_t = TypeArg::MergeOnRead)]
    table_type: TypeArg,
    /// Record key columns; leave them out for rows that are only added.
    #[arg(long, value_delimiter = ',', value_name = "COLUMN,…")]
    key: Vec<String>,
    /// Partition columns.
    #[arg(long, value_delimiter = ',', value_name = "COLUMN,…")]
    partition: Vec<String>,
    /// Of two rows of one key the one with the greater value here stays.
    #[arg(long, value_delimiter = ',', value_name = "COLUMN,…")]
    ordering: Vec<String>,
    /// Which of two rows of one key stays; by the ordering columns if there are any, else by arrival.
    #[arg(long, value_enum, ignore_case = true)]
    merge_mode: Option<MergeArg>,
    /// Fill the row that stays from the other: `ignore-defaults` where it is null,
    /// `fill-unavailable=TEXT` where it has that text.
    #[arg(long, value_name = "MODE", value_parser = str::parse::<PartialUpdate>)]
    partial_update: Option<PartialUpdate>,
    /// Buckets in each partition, for good; 4 if left out. `none` for rows that are only added.
    #[arg(long, value_name = "N|none", value_parser = str::parse::<Buckets>)]
    buckets: Option<Buckets>,
    /// Key columns that are hashed to find the bucket; all if left out.
    #[arg(long, value_delimiter = ',', value_name = "COLUMN,…")]
    hash_field: Vec<String>,
    /// The engines that will read the table: spark, flink, trino, hudi-rs.
    #[arg(long, value_delimiter = ',', value_name = "ENGINE,…", default_value = "spark")]
    readers: Vec<String>,
    /// Whether partition folders are `column=value`.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    hive_style: bool,
    /// Whether special characters in partition folders are escaped.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    url_encode: bool,
    /// Succeed if the same table is there already.
    #[arg(long)]
    if_not_exists: bool,
}

/// A table type as arguments spell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TypeArg {
    /// Every commit rewrites the files it changes.
    #[value(aliases = ["cow", "copy_on_write"])]
    CopyOnWrite,
    /// Updates go to log files until a compaction.
    #[value(aliases = ["mor", "merge_on_read"])]
    MergeOnRead,
}

/// A merge mode as arguments spell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum MergeArg {
    /// The row with the greater ordering value stays.
    #[value(aliases = ["event_time", "event_time_ordering", "event-time-ordering"])]
    EventTime,
    /// The row that comes later stays.
    #[value(aliases = ["commit_time", "commit_time_ordering", "commit-time-ordering"])]
    CommitTime,
}

/// What was created, or found.
#[derive(Debug, Serialize)]
struct CreateReport {
    table: String,
    uri: String,
    /// Whether it was there before.
    existed: bool,
    table_type: TableType,
    columns: Vec<Column>,
    /// How many records the columns were told from, where they were not stated.
    #[serde(skip_serializing_if = "Option::is_none")]
    sampled_records: Option<usize>,
    record_key: Vec<String>,
    partition: Vec<String>,
    ordering: Vec<String>,
    buckets: Option<u32>,
    readers: Vec<String>,
    notes: Vec<String>,
}

/// Runs `lakebed table create`.
pub(super) async fn run(context: &Context, args: CreateArgs) -> Result<Exit, Error> {
    let uri: TableUri = args.uri.parse()?;
    let (if_not_exists, schema, like) = (args.if_not_exists, args.schema.clone(), args.like.clone());
    let settings = settings(args)?;
    let name = settings.table_name(&uri);
    let (columns, sampled_records) = match (&schema, &like) {
        (Some(file), _) => (stated_columns(file, &name)?, None),
        (None, Some(file)) => {
            let (columns, records) = sampled_columns(file, &Format::default(), &name, &settings.key)?;
            (columns, Some(records))
        }
        (None, None) => return Err(usage(NO_COLUMNS)),
    };
    let new = settings.new_table(&uri, Some(&columns));
    let notes = check_new(&new).map_err(TableError::from)?;
    let storage = storage::open(&uri, &context.environment).await?;
    let existed = match if_not_exists {
        true => create_or_check(&storage, &context.environment, &new, schema.and(Some(&columns))).await?,
        false => Table::create(storage, &context.environment, &new).await.map(|_| false)?,
    };
    context.output.report(&CreateReport {
        table: new.name,
        uri: uri.to_string(),
        existed,
        table_type: new.table_type,
        columns: Column::all(&columns),
        sampled_records,
        record_key: new.record_key_fields,
        partition: new.partition_fields,
        ordering: new.ordering_fields,
        buckets: new.bucket_index.map(|index| index.buckets),
        readers: new.readers,
        notes,
    })?;
    Ok(Exit::Done)
}

fn usage(text: &str) -> Error {
    Error::new(ErrorKind::FixInput, text.to_owned())
}

/// What the arguments ask for.
fn settings(args: CreateArgs) -> Result<CreateSettings, Error> {
    match (args.merge_mode, args.ordering.is_empty()) {
        (Some(MergeArg::EventTime), true) => {
            return Err(usage("--merge-mode event-time needs an ordering column: add --ordering COLUMN"));
        }
        (Some(MergeArg::CommitTime), false) => {
            return Err(usage(
                "--merge-mode commit-time takes no notice of ordering columns: leave one of the two out",
            ));
        }
        _ => {}
    }
    let settings = CreateSettings {
        name: args.name,
        schema: None,
        table_type: match args.table_type {
            TypeArg::CopyOnWrite => TableKind::CopyOnWrite,
            TypeArg::MergeOnRead => TableKind::MergeOnRead,
        },
        key: args.key,
        partition: args.partition,
        ordering: args.ordering,
        merge_mode: None,
        partial_update: args.partial_update,
        buckets: args.buckets,
        hash_field: args.hash_field,
        readers: args.readers,
        hive_style: args.hive_style,
        url_encode: args.url_encode,
    };
    if !settings.has_buckets() && !settings.hash_field.is_empty() {
        return Err(usage("--hash-field needs buckets: add --key and --buckets N"));
    }
    Ok(settings)
}

impl Report for CreateReport {
    fn render(&self, page: &mut Page<'_>) -> io::Result<()> {
        let verb = if self.existed { "exists as asked for" } else { "created" };
        page.heading(&format!("{} {verb} at {}", self.table, self.uri))?;
        let list = |columns: &[String], none: &str| match columns {
            [] => none.to_owned(),
            columns => columns.join(", "),
        };
        let columns = match self.sampled_records {
            None => self.columns.len().to_string(),
            Some(0) => format!("{}, as the file states them", self.columns.len()),
            Some(records) => {
                let records = human::counted(records as u64, "record");
                format!("{}, told from {records}", self.columns.len())
            }
        };
        page.pairs(&[
            ("type", self.table_type.as_str().to_owned()),
            ("columns", columns),
            ("key", list(&self.record_key, "none: rows are only added")),
            ("partition", list(&self.partition, "none")),
            ("ordering", list(&self.ordering, "by arrival")),
            ("buckets", self.buckets.map_or("none".to_owned(), |n| format!("{n} in each partition"))),
            ("readers", list(&self.readers, "none")),
        ])?;
        if self.sampled_records.is_some() {
            page.line("")?;
            page.rows(&Column::HEADING, self.columns.iter().map(Column::row).collect())?;
        }
        self.notes.iter().try_for_each(|note| page.advice(note))
    }
}
