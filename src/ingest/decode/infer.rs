//! The columns of an input, told from a sample.

use std::fs::File;
use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;

use arrow::csv::reader::Format as ArrowCsv;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::json::reader::infer_json_schema_from_iterator;
use serde_json::Value;

use super::csv::{fields, header_names, nulls};
use super::guard::guarded;
use super::reader::open_file;
use super::{
    BadRecord, ChunkBody, CsvOptions, DecodeError, DecodeProblem, Format, FormatKind, InputReader, Meter,
    PlainInput, Wanted, WantedColumn,
};

/// A sample ends with the block that reaches so many bytes.
const SAMPLE_BYTES: usize = 16 << 20;

/// The columns of an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inferred {
    /// Names and types; all may be null where the input has no types of its own.
    pub schema: SchemaRef,
    /// How many good records were looked at; 0 where the input states its types.
    pub records: usize,
    /// The first of the sample's bad records, which were left out.
    pub bad: Option<BadRecord>,
}

/// Tells the columns of a file: from its own schema, or by looking at its first `sample` records.
///
/// In text a column has the narrowest type that all good records of the sample fit. A later record
/// may not fit it, so state the types of columns that matter. Times become microseconds. A column
/// without any value has type `Null`, which no table takes: its type must be stated.
///
/// # Errors
/// A file that cannot be read, or without good records to tell columns by.
pub fn infer_schema(path: &Path, format: &Format, sample: usize) -> Result<Inferred, DecodeError> {
    let (name, kind, file) = open(path, format)?;
    if !kind.is_text() {
        let opened = open_file(&name, file, &Meter::default(), kind, format);
        let schema = opened.map_err(|problem| problem.of(&name))?.schema();
        return Ok(Inferred { schema: Arc::new(in_micros(&schema)), records: 0, bad: None });
    }
    let wanted = Wanted { columns: Vec::new(), unknown_allowed: true };
    let input = PlainInput::File(file, Meter::default());
    let mut reader = InputReader::open(&name, input, format, &wanted)?;
    let sample = Sample::of(&mut reader, sample)?;
    if sample.lines.is_empty() {
        return Err(DecodeProblem::NoSample { bad: sample.bad.map(Box::new) }.of(&name));
    }
    let schema = match kind {
        FormatKind::Jsonl => json_schema(&sample).map_err(|(line, found)| {
            let problem = DecodeProblem::NoTypes { found };
            problem.at(&name, sample.lines.get(line).copied(), line as u64)
        }),
        _ => csv_schema(&sample.text, reader.header(), &format.csv).map_err(|problem| problem.of(&name)),
    }?;
    Ok(Inferred { schema: Arc::new(in_micros(&schema)), records: sample.lines.len(), bad: sample.bad })
}

/// The first of a file's first `sample` records with a value that does not decode as `columns`, names
/// and types that were told from these records; none in formats that state their types.
///
/// # Errors
/// A file that cannot be read.
pub fn first_misfit(
    path: &Path,
    format: &Format,
    columns: impl IntoIterator<Item = (String, DataType)>,
    sample: usize,
) -> Result<Option<BadRecord>, DecodeError> {
    let (name, kind, file) = open(path, format)?;
    if !kind.is_text() {
        return Ok(None);
    }
    let told = |(name, data_type)| WantedColumn { name, data_type, required: false };
    let wanted = Wanted { columns: columns.into_iter().map(told).collect(), unknown_allowed: true };
    let mut reader = InputReader::open(&name, PlainInput::File(file, Meter::default()), format, &wanted)?;
    Ok(Sample::of(&mut reader, sample)?.misfit)
}

fn open(path: &Path, format: &Format) -> Result<(Arc<str>, FormatKind, File), DecodeError> {
    let name: Arc<str> = path.to_string_lossy().into();
    let kind = format.kind_of(&name).map_err(|problem| problem.of(&name))?;
    let file = File::open(path).map_err(|error| DecodeProblem::Io(error).of(&name))?;
    Ok((name, kind, file))
}

/// The first records of a text.
#[derive(Default)]
struct Sample {
    /// The good ones.
    text: Vec<u8>,
    /// The line of each of them, from 1.
    lines: Vec<u64>,
    /// The first that is bad as a whole.
    bad: Option<BadRecord>,
    /// The first with a value that is not as its column is wanted.
    misfit: Option<BadRecord>,
}

impl Sample {
    fn of(reader: &mut InputReader, records: usize) -> Result<Self, DecodeError> {
        let (mut sample, mut seen, mut bytes) = (Self::default(), 0, 0);
        while seen < records
            && bytes < SAMPLE_BYTES
            && let Some(chunk) = reader.next_chunk()?
        {
            let ChunkBody::Text(block, _) = &chunk.body else { break };
            let decoded = chunk.decode()?;
            let good = (0..decoded.rows.num_rows()).map(|row| decoded.record_of(row) as usize);
            for record in good.take_while(|record| seen + record < records) {
                sample.text.extend_from_slice(block.text(record..record + 1));
                sample.lines.push(block.place(record).line + 1);
            }
            let bad = decoded.bad.into_iter().take_while(|(record, _)| seen + (*record as usize) < records);
            for (_, bad) in bad {
                let first = if bad.column.is_some() { &mut sample.misfit } else { &mut sample.bad };
                first.get_or_insert(bad);
            }
            (seen, bytes) = (seen + chunk.records(), bytes + chunk.bytes());
        }
        Ok(sample)
    }
}

/// The columns of JSON, or the record that does not go with those before it, and why.
fn json_schema(sample: &Sample) -> Result<Schema, (usize, String)> {
    let mut seen = 0_usize;
    let objects = sample.text.split(|byte| *byte == b'\n').filter_map(|line| {
        let object = serde_json::from_slice::<Value>(line).ok().filter(Value::is_object)?;
        seen += 1;
        Some(Ok(object))
    });
    let inferred = guarded(FormatKind::Jsonl.as_str(), || infer_json_schema_from_iterator(objects));
    inferred.map_err(|problem| match problem {
        DecodeProblem::Unsound { found, .. } => (seen.saturating_sub(1), found),
        problem => (seen.saturating_sub(1), problem.to_string()),
    })
}

fn csv_schema(text: &[u8], header: &[u8], csv: &CsvOptions) -> Result<Schema, DecodeProblem> {
    let mut infer = ArrowCsv::default()
        .with_delimiter(csv.delimiter)
        .with_quote(csv.quote)
        .with_null_regex(nulls(&csv.nulls)?);
    if let Some(escape) = csv.escape {
        infer = infer.with_escape(escape);
    }
    let (schema, _) = guarded(FormatKind::Csv.as_str(), || infer.infer_schema(Cursor::new(text), None))?;
    let names = if csv.header { header_names(header, csv)? } else { csv.columns.clone() };
    let types = refined(&schema, text, csv)?;
    let named = names.into_iter().zip(types.fields());
    Ok(Schema::new(named.map(|(name, f)| Field::new(name, f.data_type().clone(), true)).collect::<Vec<_>>()))
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
