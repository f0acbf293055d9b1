//! The columns of a new table: stated in a file, or told from a sample of the records.

use std::fs::File;
use std::io::{self, Read, Seek as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use lakebed_hudi::schema::{SchemaError, TableSchema, arrow_of_avro};

use super::IngestError;
use super::decode::{
    BadRecord, DecodeError, Format, FormatKind, brief, first_misfit, has_delimiter, infer_schema,
};
use super::job::{BadRecordPolicy, Job};

/// A larger text is no schema.
const AVRO_BYTES_MAX: u64 = 16 << 20;

/// The first bytes of an Arrow stream: a continuation marker.
const STREAM_MAGIC: &[u8] = &[0xff; 4];

/// How many records are looked at to tell types by.
pub const SAMPLE_RECORDS: usize = 10_000;

/// Why a file gives no columns for a table.
#[derive(Debug, thiserror::Error)]
pub enum ColumnsError {
    /// It cannot be read.
    #[error("schema {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What stood in the way.
        source: io::Error,
    },
    /// It is something else.
    #[error("schema {}: expected an Avro schema (JSON), a Parquet file or an Arrow file", path.display())]
    Unknown {
        /// The file.
        path: PathBuf,
    },
    /// Its records cannot be read.
    #[error("schema {0}")]
    Decode(Box<DecodeError>),
    /// A bad record is among those that the columns were to be told from.
    #[error("schema {0}; correct it, or state the schema in a file")]
    BadRecord(Box<BadRecord>),
    /// A record does not fit the columns that it and others told.
    #[error(
        "schema {0}, the type that the first records together tell; correct it, or state the columns in a schema \
         file (table.create.schema, or --schema)"
    )]
    Misfit(Box<BadRecord>),
    /// Its column is an object that never has a field.
    #[error(
        "schema {}: column {:?} is an object without fields, which Parquet cannot hold: state its fields \
         in a schema file, or leave it out there",
        path.display(), brief(column)
    )]
    NoFields {
        /// The file.
        path: PathBuf,
        /// The column, nested fields joined by `.`.
        column: String,
    },
    /// No Hudi table can have its columns.
    #[error("schema {}: {}{}", path.display(), brief(&problem.to_string()), advice(*sampled, problem))]
    Columns {
        /// The file.
        path: PathBuf,
        /// Whether the columns were told from records.
        sampled: bool,
        /// The column that cannot be; it may repeat an input at any length, and so is no cause to be told.
        problem: SchemaError,
    },
}

/// What to do about columns that were told from records.
fn advice(sampled: bool, problem: &SchemaError) -> &'static str {
    match problem {
        _ if !sampled => "",
        SchemaError::Name { name } if has_delimiter(name) => "; if that parts fields, set format.delimiter",
        SchemaError::Name { .. } => "; give it another name (mapping.rename)",
        _ => "; state it in a schema file",
    }
}

/// The schema for the table `name` that `file` states: an Avro schema, or the schema of a Parquet
/// file, an Arrow file or an Arrow stream. What it is, its first bytes tell.
///
/// # Errors
/// A file that cannot be read, or is something else; columns that no Hudi table can have.
pub fn stated_columns(file: &Path, name: &str) -> Result<TableSchema, ColumnsError> {
    let failed = |source| ColumnsError::Io { path: file.to_owned(), source };
    let mut source = File::open(file).map_err(failed)?;
    let mut magic = Vec::new();
    (&mut source).take(6).read_to_end(&mut magic).map_err(failed)?;
    let schema = if magic.starts_with(b"PAR1") {
        stated_by(file, FormatKind::Parquet)?
    } else if magic.starts_with(b"ARROW1") || magic.starts_with(STREAM_MAGIC) {
        stated_by(file, FormatKind::Arrow)?
    } else {
        source.rewind().map_err(failed)?;
        Arc::new(avro_columns(source, file)?)
    };
    table_schema(&schema, name, file, false)
}

fn stated_by(file: &Path, kind: FormatKind) -> Result<SchemaRef, ColumnsError> {
    let format = Format { kind: Some(kind), ..Format::default() };
    Ok(infer_schema(file, &format, 0).map_err(|error| ColumnsError::Decode(Box::new(error)))?.schema)
}

fn avro_columns(source: File, file: &Path) -> Result<Schema, ColumnsError> {
    let path = file.to_owned();
    let mut text = String::new();
    match source.take(AVRO_BYTES_MAX).read_to_string(&mut text) {
        Ok(_) if text.trim_start().starts_with('{') => {
            arrow_of_avro(&text).map_err(|problem| ColumnsError::Columns { path, sampled: false, problem })
        }
        Ok(_) => Err(ColumnsError::Unknown { path }),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(ColumnsError::Unknown { path }),
        Err(source) => Err(ColumnsError::Io { path, source }),
    }
}

/// The schema for the table `name` that a file of records suggests, and how many records it was
/// told from; 0 where the file states its types. Columns of `required` must have values.
///
/// # Errors
/// A file that cannot be read, or with a bad record among the first; columns that no Hudi table can
/// have, without any value, or with values of several types.
pub fn sampled_columns(
    file: &Path,
    format: &Format,
    name: &str,
    required: &[String],
) -> Result<(TableSchema, usize), ColumnsError> {
    let (schema, records) =
        sampled(file, format, name, required, BadRecordPolicy::Fail, |schema| schema.as_ref().clone())?;
    let columns = schema.arrow().fields().iter();
    check_sample(file, format, columns.map(|field| (field.name().clone(), field.data_type().clone())))?;
    Ok((schema, records))
}

/// Refuses columns that were told from the first records of `file` if a run would find that one of
/// these does not decode as such.
pub(super) fn check_sample(
    file: &Path,
    format: &Format,
    columns: impl IntoIterator<Item = (String, DataType)>,
) -> Result<(), ColumnsError> {
    let misfit = first_misfit(file, format, columns, SAMPLE_RECORDS);
    match misfit.map_err(|error| ColumnsError::Decode(Box::new(error)))? {
        Some(record) => Err(ColumnsError::Misfit(Box::new(record))),
        None => Ok(()),
    }
}

/// The schema for the table `name` of a job whose first input is `file`: as mapped.
///
/// # Errors
/// As [`sampled_columns`]; bad records are passed over where the job collects them.
pub(super) fn mapped_columns(
    job: &Job,
    file: &Path,
    name: &str,
    required: &[String],
) -> Result<TableSchema, IngestError> {
    let policy = job.bad_records.policy;
    match sampled(file, &job.format(), name, required, policy, |schema| mapped(schema, job)) {
        Ok((schema, _)) => Ok(schema),
        Err(ColumnsError::BadRecord(bad)) => Err(IngestError::BadRecord(bad)),
        Err(ColumnsError::Decode(error)) => Err(IngestError::Decode(error)),
        Err(error) => Err(error.into()),
    }
}

fn sampled(
    file: &Path,
    format: &Format,
    name: &str,
    required: &[String],
    policy: BadRecordPolicy,
    map: impl FnOnce(&SchemaRef) -> Schema,
) -> Result<(TableSchema, usize), ColumnsError> {
    let failed = |error| ColumnsError::Decode(Box::new(error));
    let inferred = infer_schema(file, format, SAMPLE_RECORDS).map_err(failed)?;
    match (policy, inferred.bad) {
        (BadRecordPolicy::Fail, Some(bad)) => return Err(ColumnsError::BadRecord(Box::new(bad))),
        (BadRecordPolicy::Fail, None) | (BadRecordPolicy::DeadLetter, _) => {}
    }
    let mapped = map(&inferred.schema);
    let fields = mapped.fields().iter().map(|field| {
        let nullable = field.is_nullable() && !required.contains(field.name());
        field.as_ref().clone().with_nullable(nullable)
    });
    let schema = Schema::new(fields.collect::<Vec<_>>());
    Ok((table_schema(&schema, name, file, true)?, inferred.records))
}

fn table_schema(
    schema: &Schema,
    name: &str,
    file: &Path,
    sampled: bool,
) -> Result<TableSchema, ColumnsError> {
    if let Some(column) = schema.fields().iter().find_map(|field| without_fields(field, field.name())) {
        return Err(ColumnsError::NoFields { path: file.to_owned(), column });
    }
    TableSchema::from_arrow(schema, name).map_err(|problem| ColumnsError::Columns {
        path: file.to_owned(),
        sampled,
        problem,
    })
}

/// The first object without fields within the field called `name`.
fn without_fields(field: &Field, name: &str) -> Option<String> {
    match field.data_type() {
        DataType::Struct(fields) if fields.is_empty() => Some(name.to_owned()),
        DataType::Struct(fields) => {
            fields.iter().find_map(|field| without_fields(field, &format!("{name}.{}", field.name())))
        }
        DataType::List(items) | DataType::LargeList(items) | DataType::FixedSizeList(items, _) => {
            without_fields(items, name)
        }
        DataType::Map(entries, _) => without_fields(entries, name),
        _ => None,
    }
}

/// The columns of a table that gets records of `schema` by the job's mapping.
fn mapped(schema: &SchemaRef, job: &Job) -> Schema {
    let mapping = &job.mapping;
    let operation = mapping.operation.as_ref().map(|operation| &operation.column);
    let mut fields: Vec<Field> = schema
        .fields()
        .iter()
        .filter(|field| Some(field.name()) != operation)
        .map(|field| {
            let name = mapping.rename.get(field.name()).unwrap_or(field.name());
            let is_time = mapping.cast.get(name).is_some_and(|c| c.pattern.is_some() || c.unit.is_some());
            let field = field.as_ref().clone().with_name(name);
            let micros = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
            if is_time { field.with_data_type(micros) } else { field }
        })
        .collect();
    if let Some(partition) = &mapping.partition {
        fields.push(Field::new(&partition.column, DataType::Utf8, true));
    }
    Schema::new(fields)
}
