//! The columns of an input, told from a sample.

use std::fs::File;
use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;

use arrow::csv::reader::Format as ArrowCsv;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::json::reader::infer_json_schema;

use super::csv::{fields, nulls};
use super::guard::guarded;
use super::reader::{open_file, open_sample};
use super::text_reader::TextReader;
use super::{CsvOptions, DecodeError, DecodeProblem, Format, FormatKind, Meter};

/// A sample ends with the block that reaches so many bytes.
const SAMPLE_BYTES: usize = 16 << 20;

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
        && text.len() < SAMPLE_BYTES
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
    let schema = if kind == FormatKind::Csv { refined(&schema, &text, &format.csv)? } else { schema };
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

/// The columns of CSV by what the library does not look at: whole numbers with leading zeros are
/// texts, or the zeros would be lost; times that all have an offset are instants.
fn refined(schema: &Schema, text: &[u8], csv: &CsvOptions) -> Result<Schema, DecodeProblem> {
    let nulls = nulls(&csv.nulls)?;
    let mut refined: Vec<(bool, bool)> = vec![(false, true); schema.fields().len()];
    for record in fields(text, csv).records().map_while(Result::ok) {
        let values = refined.iter_mut().zip(&record).filter(|(_, value)| !nulls.is_match(value));
        for ((has_zeros, all_offsets), value) in values {
            let digits = value.trim_start_matches(['-', '+']);
            *has_zeros |= digits.len() > 1 && digits.starts_with('0');
            *all_offsets &= has_offset(value);
        }
    }
    let columns = schema.fields().iter().zip(refined).map(|(field, (has_zeros, all_offsets))| {
        let data_type = match field.data_type() {
            DataType::Int64 if has_zeros => DataType::Utf8,
            DataType::Timestamp(unit, None) if all_offsets => DataType::Timestamp(*unit, Some("UTC".into())),
            other => other.clone(),
        };
        field.as_ref().clone().with_data_type(data_type)
    });
    Ok(Schema::new(columns.collect::<Vec<_>>()))
}

/// Whether a time ends in `Z` or in hours and minutes of offset.
fn has_offset(time: &str) -> bool {
    let clock = time.split_once(['T', ' ']).map_or("", |(_, clock)| clock);
    clock.ends_with(['Z', 'z']) || clock.contains(['+', '-'])
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
