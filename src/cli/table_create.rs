//! `lakebed table create`: an empty table.

use std::io;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use lakebed_hudi::table_config::{BucketIndex, NewTable, PartialUpdateMode, TableType};
use serde::Serialize;

use super::output::{Page, Report};
use super::{Context, Exit, schema_file};
use crate::error::{Error, ErrorKind};
use crate::storage::{self, TableUri};
use crate::table::{NewTableError, Table, TableError, check_new, differences, properties};

/// Buckets of a table whose owner names no number.
const BUCKETS_DEFAULT: u32 = 4;

const EXAMPLES: &str = "\
Examples:
  lakebed table create /lake/flights --schema flights.avsc \\
      --key date,carrier,flight,origin --partition month --ordering updated_at --buckets 8
  lakebed table create s3://lake/log --schema sample.parquet --partition day

Rows whose key is null are refused when they are written; of a key of several columns some may be
null. Rows without an ordering value are refused as well: Spark could not read them.";

/// The arguments of `lakebed table create`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CreateArgs {
    /// Where the table is to be: a path, file:///path or s3://bucket/path.
    uri: String,
    /// The columns: an Avro schema (.avsc), or a Parquet or Arrow file that has them.
    #[arg(long, value_name = "FILE")]
    schema: PathBuf,
    /// The table's name; the last part of the address if left out.
    #[arg(long)]
    name: Option<String>,
    /// Copy-on-write rewrites files at each commit, merge-on-read adds logs to them.
    #[arg(long = "type", value_enum, default_value_t = TypeArg::MergeOnRead)]
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
    #[arg(long, value_enum)]
    merge_mode: Option<MergeArg>,
    /// Fill the row that stays from the other: `ignore-defaults` where it is null,
    /// `fill-unavailable=TEXT` where it has that text.
    #[arg(long, value_name = "MODE", value_parser = parse_partial_update)]
    partial_update: Option<PartialUpdateMode>,
    /// Buckets in each partition, for good; 4 if left out. `none` for rows that are only added.
    #[arg(long, value_name = "N|none", value_parser = parse_buckets)]
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
    #[value(alias = "cow", alias = "COPY_ON_WRITE")]
    CopyOnWrite,
    /// Updates go to log files until a compaction.
    #[value(alias = "mor", alias = "MERGE_ON_READ")]
    MergeOnRead,
}

/// A merge mode as arguments spell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum MergeArg {
    /// The row with the greater ordering value stays.
    #[value(alias = "EVENT_TIME_ORDERING")]
    EventTime,
    /// The row that comes later stays.
    #[value(alias = "COMMIT_TIME_ORDERING")]
    CommitTime,
}

/// A number of buckets, or that there are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Buckets {
    None,
    Count(u32),
}

fn parse_buckets(text: &str) -> Result<Buckets, String> {
    match text {
        "none" => Ok(Buckets::None),
        text => text.parse().map(Buckets::Count).map_err(|_| "expected a number or `none`".to_owned()),
    }
}

fn parse_partial_update(text: &str) -> Result<PartialUpdateMode, String> {
    match text.split_once('=').unwrap_or((text, "")) {
        ("ignore-defaults", "") => Ok(PartialUpdateMode::IgnoreDefaults),
        ("fill-unavailable", marker) if !marker.is_empty() => {
            Ok(PartialUpdateMode::FillUnavailable { marker: Some(marker.to_owned()) })
        }
        _ => Err("expected `ignore-defaults` or `fill-unavailable=TEXT`".to_owned()),
    }
}

/// What was created, or found.
#[derive(Debug, Serialize)]
struct CreateReport {
    table: String,
    uri: String,
    /// Whether it was there before.
    existed: bool,
    table_type: TableType,
    columns: usize,
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
    let if_not_exists = args.if_not_exists;
    let (new, columns) = new_table(args, &uri)?;
    let notes = check_new(&new).map_err(TableError::from)?;
    let storage = storage::open(&uri, &context.environment).await?;
    let existed = match Table::create(storage.clone(), &context.environment, &new).await {
        Err(TableError::Exists { .. }) if if_not_exists => true,
        created => created.map(|_| false)?,
    };
    if existed {
        let existing = properties::load(storage.as_ref()).await?;
        let differences = differences(&existing, &new);
        if !differences.is_empty() {
            let uri = uri.to_string();
            return Err(TableError::from(NewTableError::Different { uri, differences }).into());
        }
    }
    context.output.report(&CreateReport {
        table: new.name,
        uri: uri.to_string(),
        existed,
        table_type: new.table_type,
        columns,
        record_key: new.record_key_fields,
        partition: new.partition_fields,
        ordering: new.ordering_fields,
        buckets: new.bucket_index.map(|index| index.buckets),
        readers: new.readers,
        notes,
    })?;
    Ok(Exit::Done)
}

/// The table that the arguments ask for, and its number of columns.
fn new_table(args: CreateArgs, uri: &TableUri) -> Result<(NewTable, usize), Error> {
    let usage = |text: &str| Error::new(ErrorKind::FixInput, text.to_owned());
    let last = || uri.path().rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or(uri.bucket());
    let name = args.name.clone().unwrap_or_else(|| last().to_owned());
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
    let bucket_index = match args.buckets {
        None if args.key.is_empty() => None,
        None => Some(BUCKETS_DEFAULT),
        Some(Buckets::None) => None,
        Some(Buckets::Count(buckets)) => Some(buckets),
    };
    if bucket_index.is_none() && !args.hash_field.is_empty() {
        return Err(usage("--hash-field needs buckets: add --key and --buckets N"));
    }
    let hash_fields = if args.hash_field.is_empty() { args.key.clone() } else { args.hash_field };
    let schema = schema_file::read(&args.schema, &name)?;
    let new = NewTable {
        name,
        table_type: match args.table_type {
            TypeArg::CopyOnWrite => TableType::CopyOnWrite,
            TypeArg::MergeOnRead => TableType::MergeOnRead,
        },
        record_key_fields: args.key,
        partition_fields: args.partition,
        ordering_fields: args.ordering,
        partial_update: args.partial_update,
        bucket_index: bucket_index.map(|buckets| BucketIndex { buckets, hash_fields }),
        hive_style: args.hive_style,
        url_encode: args.url_encode,
        create_schema: schema.to_avro(),
        readers: args.readers,
    };
    Ok((new, schema.arrow().fields().len()))
}

impl Report for CreateReport {
    fn render(&self, page: &mut Page<'_>) -> io::Result<()> {
        let verb = if self.existed { "exists as asked for" } else { "created" };
        page.heading(&format!("{} {verb} at {}", self.table, self.uri))?;
        let list = |columns: &[String], none: &str| match columns {
            [] => none.to_owned(),
            columns => columns.join(", "),
        };
        page.pairs(&[
            ("type", self.table_type.as_str().to_owned()),
            ("columns", self.columns.to_string()),
            ("key", list(&self.record_key, "none: rows are only added")),
            ("partition", list(&self.partition, "none")),
            ("ordering", list(&self.ordering, "by arrival")),
            ("buckets", self.buckets.map_or("none".to_owned(), |n| format!("{n} in each partition"))),
            ("readers", list(&self.readers, "none")),
        ])?;
        self.notes.iter().try_for_each(|note| page.advice(note))
    }
}
