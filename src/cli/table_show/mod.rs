//! `lakebed table show`: what a table is, how large, and who can share it.

mod content;
mod sharing;

use std::io;

use clap::Args;
use lakebed_hudi::partition_path::PartitionKind;
use lakebed_hudi::record_key::RecordKeyRule;
use lakebed_hudi::table_config::{DeclaredZone, MergeMode, PartialUpdateMode, TableConfig, key};
use serde::Serialize;

use super::column::Column;
use super::output::{Page, Report};
use super::{Context, Exit};
use crate::error::Error;
use crate::sink::{SinkError, StatedIndex, check_undeclared};
use crate::storage::{self, TableUri};
use crate::table::{Engine, Table, check_readable, check_writable, properties, writer_options};

use content::{Content, look_into};
use sharing::{sharing_notes, write_conditions};

const EXAMPLES: &str = "\
Examples:
  lakebed table show /lake/flights                 columns, files, and how Spark can write it too
  lakebed table show s3://lake/flights             the same of a table in a bucket
  lakebed table show /lake/flights --format json   for scripts

Tables that Lakebed does not read or write are shown as well, with the reason.";

/// The arguments of `lakebed table show`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ShowArgs {
    /// The table.
    uri: String,
}

/// What a table is.
#[derive(Debug, Serialize)]
struct ShowReport {
    table: String,
    uri: String,
    version: u8,
    timezone: &'static str,
    table_type: &'static str,
    record_key: Vec<String>,
    partition: Vec<PartitionColumn>,
    hive_style: bool,
    url_encode: bool,
    merge_mode: String,
    ordering: Vec<String>,
    partial_update: Option<String>,
    buckets: Option<u32>,
    bucket_engine: Option<String>,
    hash_fields: Vec<String>,
    readers: Vec<String>,
    metadata_table: Vec<String>,
    /// Why Lakebed does not read it.
    read_refusal: Option<String>,
    /// Why Lakebed does not write it.
    write_refusal: Option<String>,
    /// What a job must state to write it.
    write_conditions: Vec<String>,
    /// What is in it; absent where it cannot be read.
    content: Option<Content>,
    /// What other writers must be told; empty where Lakebed does not write the table.
    spark_options: Vec<WriterOption>,
    flink_options: Vec<WriterOption>,
    /// What they must know besides.
    sharing_notes: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
struct PartitionColumn {
    column: String,
    /// Whether paths are made from a time by a pattern.
    timestamp: bool,
}

#[derive(Debug, Serialize)]
struct WriterOption {
    key: &'static str,
    value: String,
}

/// Runs `lakebed table show`.
pub(super) async fn run(context: &Context, args: ShowArgs) -> Result<Exit, Error> {
    let uri: TableUri = args.uri.parse()?;
    let storage = storage::open(&uri, &context.environment).await?;
    let config = properties::load(storage.as_ref()).await?;
    let mut report = describe(&config, &uri);
    if report.read_refusal.is_none() {
        let table = Table::open(storage, &context.environment, None).await?;
        let snapshot = table.snapshot(None).await?;
        match check_undeclared(&table, &snapshot.timeline, &StatedIndex::None).await {
            Err(SinkError::Refused(refusal)) => report.refuse_writing(refusal.to_string()),
            checked => checked?,
        }
        report.content = Some(look_into(&snapshot).await?);
    }
    context.output.report(&report)?;
    Ok(Exit::Done)
}

/// What the properties say.
fn describe(config: &TableConfig, uri: &TableUri) -> ShowReport {
    let list = |key: &str| config.properties.get(key).unwrap_or_default().split(',').map(str::trim);
    let parts = config.partition_path.parts.iter();
    let read_refusal = check_readable(config).err().map(|refusal| refusal.to_string());
    let write_refusal = check_writable(config).err().map(|refusal| refusal.to_string());
    let options = |engine| {
        let options = writer_options(config, uri.scheme(), engine).into_iter();
        options.map(|(key, value)| WriterOption { key, value }).collect()
    };
    let mut report = ShowReport {
        table: config.name.clone(),
        uri: uri.to_string(),
        version: config.version.number(),
        timezone: if config.zone == DeclaredZone::Utc { "UTC" } else { "LOCAL" },
        table_type: config.table_type.as_str(),
        record_key: config.record_key.iter().flat_map(RecordKeyRule::columns).cloned().collect(),
        partition: parts
            .map(|part| PartitionColumn {
                column: part.column.clone(),
                timestamp: !matches!(part.kind, PartitionKind::Simple),
            })
            .collect(),
        hive_style: config.partition_path.hive_style,
        url_encode: config.partition_path.url_encode,
        merge_mode: merge_mode(&config.merge_mode),
        ordering: config.ordering_fields.clone(),
        partial_update: config.partial_update.as_ref().map(partial_update_mode),
        buckets: config.bucket_index.as_ref().map(|index| index.buckets),
        bucket_engine: config.properties.get(key::BUCKET_ENGINE).map(str::to_owned),
        hash_fields: config.bucket_index.as_ref().map_or_else(Vec::new, |i| i.hash_fields.clone()),
        readers: list(key::READERS).filter(|name| !name.is_empty()).map(str::to_owned).collect(),
        metadata_table: config.metadata_partitions(),
        write_conditions: write_conditions(config),
        content: None,
        spark_options: options(Engine::Spark),
        flink_options: options(Engine::Flink),
        sharing_notes: sharing_notes(config, uri.scheme()),
        read_refusal,
        write_refusal: None,
    };
    if let Some(refusal) = report.read_refusal.clone().or(write_refusal) {
        report.refuse_writing(refusal);
    }
    report
}

fn merge_mode(mode: &MergeMode) -> String {
    match mode {
        MergeMode::CommitTime => "COMMIT_TIME_ORDERING".to_owned(),
        MergeMode::EventTime => "EVENT_TIME_ORDERING".to_owned(),
        MergeMode::Custom(class) => format!("CUSTOM ({class})"),
    }
}

fn partial_update_mode(mode: &PartialUpdateMode) -> String {
    match mode {
        PartialUpdateMode::IgnoreDefaults => "IGNORE_DEFAULTS".to_owned(),
        PartialUpdateMode::FillUnavailable { .. } => "FILL_UNAVAILABLE".to_owned(),
    }
}

impl Report for ShowReport {
    fn render(&self, page: &mut Page<'_>) -> io::Result<()> {
        page.heading(&format!("{}  {}", self.table, self.uri))?;
        let mut pairs = self.properties();
        pairs.extend(self.content.iter().flat_map(Content::pairs));
        page.pairs(&pairs)?;
        if let Some(content) = &self.content {
            page.line("")?;
            page.rows(&Column::HEADING, content.columns.iter().map(Column::row).collect())?;
        }
        for (heading, options) in [
            ("To write it with Spark as well (jobs then say table.shared: true)", &self.spark_options),
            (
                "To write it with Flink as well (not tested; jobs then say table.shared: true)",
                &self.flink_options,
            ),
        ] {
            if !options.is_empty() {
                page.line("")?;
                page.heading(heading)?;
                options.iter().try_for_each(|o| page.line(&format!("  {}={}", o.key, o.value)))?;
            }
        }
        self.sharing_notes.iter().try_for_each(|note| page.advice(note))
    }
}

impl ShowReport {
    /// Says why the table is not written: other writers need not be told then how to share it.
    fn refuse_writing(&mut self, refusal: String) {
        self.write_refusal = Some(refusal);
        self.spark_options.clear();
        self.flink_options.clear();
        self.sharing_notes.clear();
    }

    /// What the properties say, a line each.
    fn properties(&self) -> Vec<(&'static str, String)> {
        let or = |text: String, none: &str| if text.is_empty() { none.to_owned() } else { text };
        let readable =
            self.read_refusal.as_ref().map_or("yes".to_owned(), |refusal| format!("no: {refusal}"));
        vec![
            ("version", format!("{}, times in {}", self.version, self.timezone)),
            ("type", self.table_type.to_owned()),
            ("key", or(self.record_key.join(", "), "none")),
            ("partition", self.partition_text()),
            ("merge", self.merge_text()),
            ("index", self.index_text()),
            ("readers", or(self.readers.join(", "), "none declared")),
            ("metadata", or(self.metadata_table.join(", "), "no metadata table")),
            ("readable", readable),
            ("writable", self.writable_text()),
        ]
    }

    fn partition_text(&self) -> String {
        if self.partition.is_empty() {
            return "none".to_owned();
        }
        let column = |part: &PartitionColumn| match part.timestamp {
            true => format!("{} (time)", part.column),
            false => part.column.clone(),
        };
        let columns: Vec<String> = self.partition.iter().map(column).collect();
        let mut paths = vec![if self.hive_style { "column=value" } else { "value" }];
        paths.extend(self.url_encode.then_some("escaped"));
        format!("{} ({})", columns.join(", "), paths.join(", "))
    }

    fn merge_text(&self) -> String {
        let mut merge = self.merge_mode.clone();
        if !self.ordering.is_empty() {
            merge.push_str(&format!(" by {}", self.ordering.join(", ")));
        }
        if let Some(mode) = &self.partial_update {
            merge.push_str(&format!(", partial update {mode}"));
        }
        merge
    }

    fn index_text(&self) -> String {
        let fields = self.hash_fields.join(", ");
        match (self.buckets, self.bucket_engine.as_deref()) {
            (None, _) => "none declared".to_owned(),
            (Some(buckets), None | Some("SIMPLE")) => format!("{buckets} buckets by {fields}"),
            (Some(_), Some(engine)) => format!("{engine} by {fields}"),
        }
    }

    fn writable_text(&self) -> String {
        match (&self.write_refusal, self.write_conditions.as_slice()) {
            (None, []) => "yes".to_owned(),
            (None, conditions) => format!("if the job states\n- {}", conditions.join("\n- ")),
            (refusal, _) if *refusal == self.read_refusal => "no, as it is not read".to_owned(),
            (Some(refusal), _) => format!("no: {refusal}"),
        }
    }
}
