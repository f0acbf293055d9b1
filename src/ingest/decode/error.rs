//! Why an input cannot be read.

use arrow::datatypes::DataType;
use lakebed_hudi::schema::sql_type;

use super::BadRecord;
use super::record::{brief, has_delimiter, near_match_note};
use crate::human;

/// An input that cannot be read on. Single bad records are no error, see
/// [`BadRecord`](super::BadRecord).
#[derive(Debug, thiserror::Error)]
#[error("{input}{}: {problem}", place(.line, .record))]
pub struct DecodeError {
    /// The file, or `standard input`.
    pub input: String,
    /// The line, from 1, where the input has lines.
    pub line: Option<u64>,
    /// The record, from 0, before which reading stopped.
    pub record: Option<u64>,
    /// What is wrong.
    pub problem: DecodeProblem,
}

fn place(line: &Option<u64>, record: &Option<u64>) -> String {
    match (line, record) {
        (Some(line), _) => format!(":{line}"),
        (None, Some(record)) => format!(" at record {record}"),
        (None, None) => String::new(),
    }
}

/// What is wrong with an input.
#[derive(Debug, thiserror::Error)]
pub enum DecodeProblem {
    /// Nothing says what the input is.
    #[error("its name does not tell the format: set format.type to csv, jsonl, parquet, avro or arrow")]
    UnknownFormat,
    /// Reading failed.
    #[error("it cannot be read: {0}")]
    Io(#[source] std::io::Error),
    /// Compressed bytes that are not what the name or the job says.
    #[error("it should be compressed with {expected}, but its first bytes are {found:02x?}")]
    NotPacked {
        /// The compression stated or told by the name.
        expected: &'static str,
        /// The first bytes.
        found: Vec<u8>,
    },
    /// Bytes that do not decompress.
    #[error("its {packing} compression is broken or cut off: {source}; have it delivered again")]
    Unpack {
        /// The compression.
        packing: &'static str,
        /// What the decompressor says.
        source: std::io::Error,
    },
    /// Compression around a format that has its own.
    #[error("{packing} around {kind} cannot be read: unpack the file, {kind} compresses by itself")]
    PackedBinary {
        /// The compression.
        packing: &'static str,
        /// The format.
        kind: &'static str,
    },
    /// Bytes of something else than the format that the name or the job says.
    #[error("it is no {kind}: {}; see format.type", beginning(.found))]
    OtherFormat {
        /// The format stated or told by the name.
        kind: &'static str,
        /// The first bytes.
        found: Vec<u8>,
    },
    /// A format that needs more than a stream.
    #[error("{kind} is read from its end and cannot come from a stream: save it to a file")]
    NotStreamable {
        /// The format.
        kind: &'static str,
    },
    /// A record without end.
    #[error(
        "a record is longer than {}{}; raise format.record_bytes if that is right",
        human::bytes(*limit as u64), hint(.quoted)
    )]
    RecordTooLong {
        /// The limit.
        limit: usize,
        /// Whether it ended within quotes.
        quoted: bool,
    },
    /// A quote that the end of the input leaves open.
    #[error(
        "a quote opens in this record and is not closed up to the end of the input: the file was cut, or the \
         quote is too many (in a file without quotes, set format.quote to a character that it does not have)"
    )]
    OpenQuote,
    /// One JSON value where lines of JSON are to be.
    #[error(
        "it begins with a JSON array, and one object a line is read: `jq -c '.[]'` makes that of an array"
    )]
    JsonArray,
    /// No columns.
    #[error("it has no header: {found}")]
    Header {
        /// What is wrong.
        found: String,
    },
    /// A column that the table does not have.
    #[error("column {:?} is not in the table{}; map it, or set mapping.unknown_columns to ignore", brief(.column), column_note(.column, .known))]
    UnknownColumn {
        /// The column.
        column: String,
        /// The columns that there are.
        known: Vec<String>,
    },
    /// A column that is not there.
    #[error("column {column:?} is missing{}; map it, or set mapping.missing_columns to null", column_note(.column, .found))]
    MissingColumn {
        /// The column.
        column: String,
        /// The columns that there are.
        found: Vec<String>,
    },
    /// Text that cannot be had as a type.
    #[error("column {column:?} has type {}, which {kind} cannot hold", sql_type(data_type))]
    Unsupported {
        /// The column.
        column: String,
        /// Its type.
        data_type: DataType,
        /// The format.
        kind: &'static str,
    },
    /// A file whose claims about itself do not hold.
    #[error("it is no sound {kind} file: {found}")]
    Unsound {
        /// The format.
        kind: &'static str,
        /// What was found.
        found: String,
    },
    /// An input that ends before where the last run had come to.
    #[error(
        "it has only {found} {unit}, but {expected} were read before: it was cut or replaced; give it as it \
         was, or run once with --reset-progress"
    )]
    Shorter {
        /// What is counted.
        unit: &'static str,
        /// As many were read before.
        expected: u64,
        /// As many there are.
        found: u64,
    },
    /// An input that was named and has nothing to tell columns by.
    #[error("it has no {}", no_sample(.bad))]
    NoSample {
        /// The first record, where there are only bad ones.
        bad: Option<Box<BadRecord>>,
    },
    /// Records whose types contradict each other.
    #[error(
        "no column types fit this record and those before it ({found}): state them in a schema file \
         (table.create.schema)"
    )]
    NoTypes {
        /// What was found.
        found: String,
    },
    /// A library panicked on the input.
    #[error("decoding it as {kind} panicked: {message}; this is a bug, please report it with the file")]
    Panicked {
        /// The format.
        kind: &'static str,
        /// What the panic said.
        message: String,
    },
}

/// What may be meant by the column `name`, which is none of `others`.
fn column_note(name: &str, others: &[String]) -> String {
    let several = match others {
        _ if has_delimiter(name) => Some(name),
        [only] if has_delimiter(only) => Some(only.as_str()),
        _ => None,
    };
    match several {
        Some(names) => {
            format!(" ({:?} looks like several columns: is format.delimiter right?)", brief(names))
        }
        None => near_match_note(name, others),
    }
}

fn no_sample(bad: &Option<Box<BadRecord>>) -> String {
    match bad {
        Some(bad) => {
            format!("good records to tell a schema by: state one (table.create.schema); the first: {bad}")
        }
        None => "records to tell a schema by".to_owned(),
    }
}

fn beginning(found: &[u8]) -> String {
    if found.is_empty() { "it is empty".to_owned() } else { format!("its first bytes are {found:02x?}") }
}

fn hint(quoted: &bool) -> &'static str {
    if *quoted { " and ends within quotes" } else { "" }
}

impl DecodeProblem {
    /// The problem at an input as a whole.
    pub fn of(self, input: &str) -> DecodeError {
        DecodeError { input: input.to_owned(), line: None, record: None, problem: self }
    }

    /// The problem before a record of an input.
    pub fn at(self, input: &str, line: Option<u64>, record: u64) -> DecodeError {
        DecodeError { input: input.to_owned(), line, record: Some(record), problem: self }
    }
}
