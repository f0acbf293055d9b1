//! The settings of a job file.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de};

use super::{ServiceSettings, TableSettings};
use crate::ingest::decode::{CsvOptions, Format, FormatKind, Limits, Packing};
use crate::settings::{Size, TimeSpan};
use crate::table::WriteOperation;

/// A job: one pipeline from a source to a table. Paths that are relative start at the folder of the
/// job file. Values with a name are described by one spelling, which editors complete and check; with
/// dashes, in capitals, as `cow`, `mor` or as Hudi spells merge modes a run takes them as well.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// The name under which the table keeps this pipeline's progress.
    pub pipeline: String,
    /// The table.
    pub table: TableSettings,
    /// Where records come from.
    pub source: SourceSettings,
    /// How records are written.
    #[serde(default)]
    pub format: FormatSettings,
    /// How records become rows.
    #[serde(default)]
    pub mapping: MappingSettings,
    /// What rows do in the table.
    #[serde(default)]
    pub operation: Operation,
    /// When to commit.
    #[serde(default)]
    pub commit: CommitSettings,
    /// What happens to records that cannot be taken.
    #[serde(default)]
    pub bad_records: BadRecordSettings,
    /// The services of the table, run beside the job; none if not set.
    #[serde(default)]
    pub services: Option<ServiceSettings>,
    /// Memory for input, buffers, encoding, merging and uploads; a quarter of the machine's or the
    /// control group's, at most 2 GiB, if not set. What does not fit waits in the folder that TMPDIR names.
    /// A page of Parquet, a message of Arrow or a block of Avro that does not fit is refused.
    #[serde(default)]
    pub memory: Option<Size>,
}

/// Where records come from: files or standard input.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceSettings {
    /// Files, by patterns with *, ** and ?, or by their names. They are read once, in the order of
    /// their full names. A file that is named must be there until it is read; a pattern must name one
    /// when a pipeline begins, unless new files are followed.
    #[serde(default, deserialize_with = "at_least_one")]
    #[schemars(length(min = 1))]
    pub files: Vec<String>,
    /// Read standard input instead of files: any format but Parquet.
    #[serde(default)]
    pub stdin: bool,
    /// Go on when all files are read, and wait for new ones.
    #[serde(default)]
    pub follow: bool,
    /// How often to look for new files; 10s if not set.
    #[serde(default)]
    pub poll: Option<TimeSpan>,
    /// What to do with a file that is new, or written anew, and sorts before files that were read.
    #[serde(default)]
    pub late_names: LateNames,
}

fn at_least_one<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let list = Vec::deserialize(deserializer)?;
    if list.is_empty() { Err(de::Error::custom("it is empty; name at least one file")) } else { Ok(list) }
}

/// What to do with a file that is new, or written anew, and sorts before files that were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LateNames {
    /// Stop with an error that names it.
    #[default]
    Fail,
    /// Leave it out.
    Ignore,
}

/// How records are written.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FormatSettings {
    /// The format; told by the extension of a file if not set.
    #[serde(default, rename = "type")]
    pub kind: Option<FormatKind>,
    /// The compression; told by the extension and the first bytes if not set.
    #[serde(default)]
    pub compression: Option<Packing>,
    /// For csv: whether the first record names the columns; true if not set.
    #[serde(default)]
    pub header: Option<bool>,
    /// For csv without header: the names of the columns.
    #[serde(default)]
    pub columns: Option<Vec<String>>,
    /// For csv: between fields; a comma if not set.
    #[serde(default)]
    pub delimiter: Option<char>,
    /// For csv: around fields that contain delimiters; a double quote if not set.
    #[serde(default)]
    pub quote: Option<char>,
    /// For csv: before a quote that stands for itself, beside doubling it.
    #[serde(default)]
    pub escape: Option<char>,
    /// For csv: the texts that mean null; the empty one if not set.
    #[serde(default)]
    pub nulls: Option<Vec<String>>,
    /// For csv and jsonl: the longest record; 16 MiB if not set.
    #[serde(default)]
    pub record_bytes: Option<Size>,
}

/// How records become rows.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MappingSettings {
    /// Column of the input: column of the table.
    #[serde(default)]
    pub rename: BTreeMap<String, String>,
    /// Column of the table: how its values are had from the input's.
    #[serde(default)]
    pub cast: BTreeMap<String, Cast>,
    /// A text column that is made of a time; a partition column if the table is made by the job.
    #[serde(default)]
    pub partition: Option<PartitionExpression>,
    /// A column of the input that says of each record what it does: by default I, U, insert, update,
    /// upsert, c, u and r upsert, and D, delete and d delete.
    #[serde(default)]
    pub operation: Option<OperationColumn>,
    /// What to do with columns of the input that the table lacks.
    #[serde(default)]
    pub unknown_columns: ColumnPolicy,
    /// What to do with columns of the table that the input lacks.
    #[serde(default)]
    pub missing_columns: MissingColumns,
}

/// How values of a column are had from the input's. Empty: by Arrow's rules, from text.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cast {
    /// For texts that are times: how they are written, for example `yyyy-MM-dd HH:mm:ss`. Letters:
    /// y M d H m s S (digits) and Z (offset such as +0100); other text in single quotes.
    #[serde(default)]
    pub pattern: Option<String>,
    /// For numbers that are times: what they count since 1970-01-01 UTC.
    #[serde(default)]
    pub unit: Option<CastUnit>,
}

/// What a number counts that is a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CastUnit {
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Millis,
    /// Microseconds.
    Micros,
}

/// A text column that is made of a time.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PartitionExpression {
    /// The column of the table that is made.
    pub column: String,
    /// The column of the table that it is made of: a date or a timestamp.
    pub from: String,
    /// How it is written, for example yyyy-MM. Letters: y M d H m s S; other text in single quotes.
    pub pattern: String,
}

/// A column of the input that says of each record what it does.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OperationColumn {
    /// The column; it does not become one of the table.
    pub column: String,
    /// Its values that mean an upsert; I, U, insert, update, upsert, c, u, r if not set.
    #[serde(default)]
    pub upsert: Option<Vec<String>>,
    /// Its values that mean a delete; D, delete, d if not set.
    #[serde(default)]
    pub delete: Option<Vec<String>>,
}

/// What to do with columns of the input that the table lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ColumnPolicy {
    /// Stop, or take the record for a bad one.
    #[default]
    Fail,
    /// Leave them out.
    Ignore,
}

/// What to do with columns of the table that the input lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MissingColumns {
    /// Stop.
    #[default]
    Fail,
    /// Write nulls.
    Null,
}

/// What rows do in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Replace the row of the same key, or add one.
    #[default]
    Upsert,
    /// Delete the row of the same key.
    Delete,
    /// Add rows, whatever their keys, but none that `_hoodie_is_deleted` flags.
    Insert,
    /// Replace all rows of the partitions that rows are in, in one commit.
    InsertOverwrite,
    /// Replace all rows of the table, in one commit.
    InsertOverwriteTable,
}

impl From<Operation> for WriteOperation {
    fn from(operation: Operation) -> Self {
        match operation {
            Operation::Upsert => Self::Upsert,
            Operation::Delete => Self::Delete,
            Operation::Insert => Self::Insert,
            Operation::InsertOverwrite => Self::InsertOverwrite,
            Operation::InsertOverwriteTable => Self::InsertOverwriteTable,
        }
    }
}

/// When to commit: at whichever comes first. One minute and no other limit if nothing is set.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CommitSettings {
    /// Time since the first record of the checkpoint.
    #[serde(default)]
    pub interval: Option<TimeSpan>,
    /// Records of the input.
    #[serde(default)]
    pub rows: Option<u64>,
    /// Bytes of the input, unpacked; of rows in memory, where the input has types of its own. They are
    /// looked at after each part that is read: at most 8,192 records, or 1 MiB of text.
    #[serde(default)]
    pub bytes: Option<Size>,
    /// Commit also when no record came within the interval, and once in a run that finds none.
    #[serde(default)]
    pub empty: bool,
}

/// What happens to records that cannot be taken.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BadRecordSettings {
    /// The policy.
    #[serde(default)]
    pub policy: BadRecordPolicy,
    /// For dead_letter: the folder or bucket address of the files, one per commit, named by instant. Each
    /// table needs one of its own. They stay when the table is restored to a state before their commits.
    #[serde(default)]
    pub path: Option<String>,
    /// For dead_letter: more bad records than that in one run end it; no limit if not set.
    #[serde(default)]
    pub limit: Option<u64>,
}

/// What happens to records that cannot be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BadRecordPolicy {
    /// Stop at the first, with exit code 6.
    #[default]
    Fail,
    /// Write them to a file and go on.
    DeadLetter,
}

impl Job {
    /// How inputs are read.
    pub fn format(&self) -> Format {
        let settings = &self.format;
        let byte = |c: Option<char>, default: u8| c.and_then(|c| u8::try_from(c).ok()).unwrap_or(default);
        let csv = CsvOptions {
            header: settings.header.unwrap_or(true),
            columns: settings.columns.clone().unwrap_or_default(),
            delimiter: byte(settings.delimiter, b','),
            quote: byte(settings.quote, b'"'),
            escape: settings.escape.and_then(|c| u8::try_from(c).ok()),
            nulls: settings.nulls.clone().unwrap_or_else(|| vec![String::new()]),
        };
        let mut limits = Limits::default();
        if let Some(Size(bytes)) = settings.record_bytes {
            limits.record_bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        }
        Format { kind: settings.kind, packing: settings.compression, csv, limits }
    }
}

impl OperationColumn {
    /// The values that mean an upsert.
    pub fn upserts(&self) -> Vec<String> {
        let default = ["I", "U", "insert", "update", "upsert", "c", "u", "r"];
        self.upsert.clone().unwrap_or_else(|| default.map(str::to_owned).into())
    }

    /// The values that mean a delete.
    pub fn deletes(&self) -> Vec<String> {
        self.delete.clone().unwrap_or_else(|| ["D", "delete", "d"].map(str::to_owned).into())
    }
}
