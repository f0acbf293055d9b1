//! The columns of an input, told from a sample.

use std::fs::File;
use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;

use arrow::csv::reader::Format as ArrowCsv;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::json::reader::infer_json_schema;

use super::csv::nulls;
use super::guard::guarded;
use super::reader::{open_file, open_sample};
use super::text_reader::TextReader;
use super::{DecodeError, DecodeProblem, Format, FormatKind, Meter};

/// The columns of an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inferred {
    /// Names and types; all may be null where the input has no types of its own.
    pub schema: SchemaRef,
    /// How many records were looked at; 0 where the input states its types.
    pub records: usize,
}

/// Tells the columns of a file: from its own schema, or by looking at its first `sample` records.
///
/// In text a column has the narrowest type that all of the sample fits. A later record may not fit
/// it, so state the types of columns that matter. Times become microseconds. A column without any
/// value has type `Null`, which no table takes: its type must be stated.
///
/// # Errors
/// A file that cannot be read, or without records to tell columns by.
pub fn infer_schema(path: &Path, format: &Format, sample: usize) -> Result<Inferred, DecodeError> {
    let name: Arc<str> = path.to_string_lossy().into();
    let inferred = format.kind_of(&name).and_then(|kind| {
        let file = File::open(path).map_err(DecodeProblem::Io)?;
        if kind.is_text() {
            let (read, header) = open_sample(&name, file, kind, format)?;
            infer_text(read, header, kind, format, sample)
        } else {
            let schema = open_file(&name, file, &Meter::default(), kind, format)?.schema();
            Ok(Inferred { schema: Arc::new(in_micros(&schema)), records: 0 })
        }
    });
    inferred.map_err(|problem| problem.of(&name))
}

fn infer_text(
    mut read: TextReader,
    header: Option<Vec<String>>,
    kind: FormatKind,
    format: &Format,
    sample: usize,
) -> Result<Inferred, DecodeProblem> {
    let (mut text, mut records) = (Vec::new(), 0);
    while records < sample
        && let Some(block) = read.next()?
    {
        let wanted = block.records().min(sample - records);
        text.extend_from_slice(block.text_before(wanted));
        records += wanted;
    }
    if records == 0 {
        return Err(DecodeProblem::NoSample);
    }
    let schema = guarded(kind.as_str(), || match kind {
        FormatKind::Jsonl => infer_json_schema(Cursor::new(&text), None).map(|(schema, _)| schema),
        _ => {
            let csv = &format.csv;
            let mut infer = ArrowCsv::default().with_delimiter(csv.delimiter).with_quote(csv.quote);
            if let Some(escape) = csv.escape {
                infer = infer.with_escape(escape);
            }
            if let Ok(nulls) = nulls(&csv.nulls) {
                infer = infer.with_null_regex(nulls);
            }
            infer.infer_schema(Cursor::new(&text), None).map(|(schema, _)| schema)
        }
    })?;
    let schema = match header {
        Some(names) if names.len() == schema.fields().len() => {
            let fields = schema.fields().iter().zip(names);
            Schema::new(
                fields.map(|(f, name)| Field::new(name, f.data_type().clone(), true)).collect::<Vec<_>>(),
            )
        }
        Some(names) => {
            let found = format!("{} names for {} fields", names.len(), schema.fields().len());
            return Err(DecodeProblem::Header { found });
        }
        None => schema,
    };
    Ok(Inferred { schema: Arc::new(in_micros(&schema)), records })
}

/// Times in the precision of a table.
fn in_micros(schema: &Schema) -> Schema {
    let fields: Vec<Field> = schema
        .fields()
        .iter()
        .map(|field| match field.data_type() {
            DataType::Timestamp(TimeUnit::Second | TimeUnit::Millisecond, zone) => {
                let micros = DataType::Timestamp(TimeUnit::Microsecond, zone.clone());
                field.as_ref().clone().with_data_type(micros)
            }
            _ => field.as_ref().clone(),
        })
        .collect();
    Schema::new(fields)
}
