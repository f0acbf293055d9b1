//! Rows as text: CSV and JSON.

use std::io::{self, Write};
use std::sync::Arc;

use arrow::array::{Array as _, RecordBatch, StructArray};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use arrow::error::ArrowError;
use arrow::json::writer::{EncoderOptions, NullableEncoder, make_encoder};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::json_values;
use super::rows_error::RowsError;

/// Writes rows as JSON objects, one a line.
#[derive(Debug)]
pub(super) struct JsonRows {
    options: EncoderOptions,
    shape: JsonShape,
    rows: u64,
}

/// What stands around the objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JsonShape {
    /// Nothing.
    Lines,
    /// The brackets and commas of an array.
    Array,
}

impl JsonRows {
    pub(super) fn new(shape: JsonShape) -> Self {
        Self { options: json_values::options(), shape, rows: 0 }
    }

    pub(super) fn write(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> Result<(), RowsError> {
        let rows = StructArray::from(batch.clone());
        let field: FieldRef = Arc::new(Field::new_struct("", batch.schema().fields().clone(), false));
        let mut encoder = make_encoder(&field, &rows, &self.options)?;
        let mut text = Vec::new();
        for row in 0..batch.num_rows() {
            text.extend_from_slice(match (self.shape, self.rows) {
                (JsonShape::Lines, _) => b"",
                (JsonShape::Array, 0) => b"[\n",
                (JsonShape::Array, _) => b",\n",
            });
            encoder.encode(row, &mut text);
            text.extend_from_slice(if self.shape == JsonShape::Lines { b"\n" } else { b"" });
            self.rows += 1;
        }
        Ok(out.write_all(&text)?)
    }

    pub(super) fn finish(&self, out: &mut dyn Write) -> io::Result<()> {
        match (self.shape, self.rows) {
            (JsonShape::Lines, _) => Ok(()),
            (JsonShape::Array, 0) => out.write_all(b"[]\n"),
            (JsonShape::Array, _) => out.write_all(b"\n]\n"),
        }
    }
}

/// Writes the names of the columns as the header of CSV.
pub(super) fn write_csv_header(schema: &Schema, out: &mut dyn Write) -> io::Result<()> {
    let mut line = Vec::new();
    for (i, field) in schema.fields().iter().enumerate() {
        line.extend_from_slice(if i > 0 { b"," } else { b"" });
        push_field(&mut line, field.name().as_bytes());
    }
    line.push(b'\n');
    out.write_all(&line)
}

/// Writes rows as CSV, quoted by RFC 4180: null is an empty field and an empty text `""`; nested
/// values are JSON, binary ones hexadecimal.
pub(super) fn write_csv(batch: &RecordBatch, out: &mut dyn Write) -> Result<(), RowsError> {
    let options = json_values::options();
    let schema = batch.schema();
    let mut columns = Vec::new();
    for (field, array) in schema.fields().iter().zip(batch.columns()) {
        columns.push(match field.data_type() {
            DataType::List(_) | DataType::Struct(_) | DataType::Map(_, _) => {
                CsvColumn::Json(make_encoder(field, array.as_ref(), &options)?)
            }
            _ => CsvColumn::Text(ArrayFormatter::try_new(array.as_ref(), &PLAIN)?),
        });
    }
    let (mut line, mut value) = (Vec::new(), Vec::new());
    for row in 0..batch.num_rows() {
        for (i, (column, array)) in columns.iter_mut().zip(batch.columns()).enumerate() {
            line.extend_from_slice(if i > 0 { b"," } else { b"" });
            if array.is_valid(row) {
                value.clear();
                column.push(row, &mut value)?;
                push_field(&mut line, &value);
            }
        }
        line.push(b'\n');
    }
    Ok(out.write_all(&line)?)
}

const PLAIN: FormatOptions<'static> = FormatOptions::new().with_display_error(false);

enum CsvColumn<'a> {
    Text(ArrayFormatter<'a>),
    Json(NullableEncoder<'a>),
}

impl CsvColumn<'_> {
    fn push(&mut self, row: usize, value: &mut Vec<u8>) -> Result<(), ArrowError> {
        match self {
            Self::Text(texts) => value.extend_from_slice(texts.value(row).try_to_string()?.as_bytes()),
            Self::Json(encoder) => encoder.encode(row, value),
        }
        Ok(())
    }
}

fn push_field(line: &mut Vec<u8>, value: &[u8]) {
    let quoted = value.is_empty() || value.iter().any(|byte| matches!(byte, b',' | b'"' | b'\r' | b'\n'));
    if !quoted {
        line.extend_from_slice(value);
        return;
    }
    line.push(b'"');
    for byte in value {
        line.extend_from_slice(if *byte == b'"' { b"\"\"" } else { std::slice::from_ref(byte) });
    }
    line.push(b'"');
}
