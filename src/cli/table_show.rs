//! `lakebed table show`: what a table is, how large, and who can share it.

use std::collections::BTreeMap;
use std::io;

use clap::Args;
use lakebed_hudi::partition_path::PartitionKind;
use lakebed_hudi::record_key::RecordKeyRule;
use lakebed_hudi::table_config::{DeclaredZone, MergeMode, PartialUpdateMode, TableConfig, key};
use serde::Serialize;

use super::column::Column;
use super::output::{Page, Report};
use super::{Context, Exit, human};
use crate::error::Error;
use crate::sink::{SinkError, StatedIndex, check_undeclared};
use crate::storage::{self, Scheme, TableUri};
use crate::table::{
    Engine, Table, TableError, TableSnapshot, check_readable, check_writable, properties, writer_options,
};
use crate::timeline::Timeline;

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

/// What is in a table.
#[derive(Debug, Serialize)]
struct Content {
    columns: Vec<Column>,
    timeline: TimelineSummary,
    files: FileSummary,
}

#[derive(Debug, Serialize)]
struct TimelineSummary {
    /// Completed instants by action.
    completed: BTreeMap<String, u64>,
    last_commit: Option<String>,
    last_completed: Option<String>,
    pending: Vec<Pending>,
}

#[derive(Debug, Serialize)]
struct Pending {
    instant: String,
    action: String,
    age_ms: Option<u64>,
}

/// Counts of the files that readers see.
#[derive(Debug, Default, Serialize)]
struct FileSummary {
    partitions: u64,
    file_groups: u64,
    base_files: u64,
    log_files: u64,
    base_bytes: u64,
    log_bytes: u64,
}

/// Runs `lakebed table show`.
pub(super) async fn run(context: &Context, args: ShowArgs) -> Result<Exit, Error> {
    let uri: TableUri = args.uri.parse()?;
    let storage = storage::open(&uri, &context.environment).await?;
    let config = properties::load(storage.as_ref()).await?;
    let mut report = describe(&config, &uri);
    if report.read_refusal.is_none() {
        let table = Table::open(storage, &context.environment, None).await?;
        match check_undeclared(&table, &StatedIndex::None).await {
            Err(SinkError::Refused(refusal)) => report.refuse_writing(refusal.to_string()),
            checked => checked?,
        }
        let snapshot = table.snapshot(None).await?;
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

/// What other writers must know besides their options.
fn sharing_notes(config: &TableConfig, scheme: Scheme) -> Vec<&'static str> {
    let mut notes = Vec::new();
    if config.record_key.is_none() {
        notes.push("the table has no record key: rows can only be added to it");
    } else if config.bucket_index.is_none() {
        notes.push(
            "the table's properties declare no index: each writer must be told the one that the others use, or \
             rows of one key come to be there twice",
        );
    }
    if scheme != Scheme::File {
        notes.push("the lock of a table in a bucket needs Hudi's AWS bundle on the other side");
    }
    notes
}

/// What a job must state to write a table.
fn write_conditions(config: &TableConfig) -> Vec<String> {
    let mut conditions = Vec::new();
    if config.zone == DeclaredZone::Local {
        let zone = "the zone of the JVMs that write to it (timeline_timezone): its timeline is in LOCAL time";
        conditions.push(zone.to_owned());
    }
    if !config.metadata_partitions().is_empty() {
        let drop =
            "that its metadata table is dropped (metadata_table: drop): Lakebed does not keep it up to date";
        conditions.push(drop.to_owned());
    }
    if config.bucket_index.is_none() && config.record_key.is_some() {
        let index = "the index that its other writers use (index): to update or delete rows, and where its file \
                     groups are buckets";
        conditions.push(index.to_owned());
    }
    conditions
}

async fn look_into(snapshot: &TableSnapshot) -> Result<Content, Error> {
    let columns = match snapshot.schema().await {
        Ok(schema) => Column::all(&schema),
        Err(TableError::NoSchema { .. }) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let mut files = FileSummary::default();
    for (_, groups) in snapshot.all_file_groups().await? {
        files.partitions += 1;
        files.file_groups += groups.len() as u64;
        for slice in groups.iter().filter_map(|group| group.latest()) {
            files.base_files += u64::from(slice.base.is_some());
            files.base_bytes += slice.base.as_ref().map_or(0, |base| base.size_bytes);
            files.log_files += slice.logs.len() as u64;
            files.log_bytes += slice.log_bytes();
        }
    }
    Ok(Content { columns, timeline: summary(&snapshot.table, &snapshot.timeline), files })
}

fn summary(table: &Table, timeline: &Timeline) -> TimelineSummary {
    let mut completed = BTreeMap::new();
    for instant in timeline.completed() {
        *completed.entry(instant.requested_as.to_string()).or_insert(0) += 1;
    }
    let last = timeline.completed_writes().next_back();
    let now = table.environment.clock.unix_millis();
    let pending = timeline.pending().map(|instant| Pending {
        instant: instant.time.to_string(),
        action: instant.requested_as.to_string(),
        age_ms: instant.time.to_unix_millis(table.zone).and_then(|time| u64::try_from(now - time).ok()),
    });
    TimelineSummary {
        completed,
        last_commit: last.map(|instant| instant.time.to_string()),
        last_completed: last.and_then(|i| i.completion()).map(|time| time.to_string()),
        pending: pending.collect(),
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

    fn properties(&self) -> Vec<(&'static str, String)> {
        let or = |text: String, none: &str| if text.is_empty() { none.to_owned() } else { text };
        let yes =
            |refusal: &Option<String>| refusal.as_ref().map_or("yes".to_owned(), |r| format!("no: {r}"));
        let mut paths = vec![if self.hive_style { "column=value" } else { "value" }];
        paths.extend(self.url_encode.then_some("escaped"));
        let partition: Vec<String> = self
            .partition
            .iter()
            .map(|part| if part.timestamp { format!("{} (time)", part.column) } else { part.column.clone() })
            .collect();
        let mut merge = self.merge_mode.clone();
        if !self.ordering.is_empty() {
            merge.push_str(&format!(" by {}", self.ordering.join(", ")));
        }
        if let Some(mode) = &self.partial_update {
            merge.push_str(&format!(", partial update {mode}"));
        }
        let write = match (&self.write_refusal, self.write_conditions.as_slice()) {
            (None, []) => "yes".to_owned(),
            (None, conditions) => format!("if the job states\n- {}", conditions.join("\n- ")),
            (refusal, _) if *refusal == self.read_refusal => "no, as it is not read".to_owned(),
            (refusal, _) => yes(refusal),
        };
        vec![
            ("version", format!("{}, times in {}", self.version, self.timezone)),
            ("type", self.table_type.to_owned()),
            ("key", or(self.record_key.join(", "), "none")),
            (
                "partition",
                match partition.is_empty() {
                    true => "none".to_owned(),
                    false => format!("{} ({})", partition.join(", "), paths.join(", ")),
                },
            ),
            ("merge", merge),
            (
                "index",
                match (self.buckets, self.bucket_engine.as_deref()) {
                    (None, _) => "none declared".to_owned(),
                    (Some(buckets), None | Some("SIMPLE")) => {
                        format!("{buckets} buckets by {}", self.hash_fields.join(", "))
                    }
                    (Some(_), Some(engine)) => format!("{engine} by {}", self.hash_fields.join(", ")),
                },
            ),
            ("readers", or(self.readers.join(", "), "none declared")),
            ("metadata", or(self.metadata_table.join(", "), "no metadata table")),
            ("readable", yes(&self.read_refusal)),
            ("writable", write),
        ]
    }
}

impl Content {
    fn pairs(&self) -> Vec<(&'static str, String)> {
        let Self { timeline, files, .. } = self;
        let completed: Vec<String> =
            timeline.completed.iter().map(|(action, n)| human::counted(*n, action)).collect();
        let last = match (&timeline.last_commit, &timeline.last_completed) {
            (Some(commit), Some(completed)) => {
                let moment = completed.parse().map_or_else(|_| completed.clone(), human::moment);
                format!("{commit}, completed {moment}")
            }
            _ => "none yet".to_owned(),
        };
        let pending = timeline.pending.iter().map(|pending| {
            let age = pending.age_ms.map_or_else(String::new, |age| format!(" for {}", human::duration(age)));
            format!("{} {}{age}", pending.action, pending.instant)
        });
        let pending: Vec<String> = pending.collect();
        let counts = [
            human::counted(files.partitions, "partition"),
            human::counted(files.file_groups, "file group"),
            format!("{} ({})", human::counted(files.base_files, "base file"), human::bytes(files.base_bytes)),
            format!("{} ({})", human::counted(files.log_files, "log file"), human::bytes(files.log_bytes)),
        ];
        vec![
            ("timeline", if completed.is_empty() { "empty".to_owned() } else { completed.join(", ") }),
            ("last write", last),
            ("pending", if pending.is_empty() { "none".to_owned() } else { pending.join("\n") }),
            ("files", counts.join(", ")),
        ]
    }
}
