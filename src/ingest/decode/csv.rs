//! CSV records.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::csv::ReaderBuilder;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use lakebed_hudi::schema::sql_type;
use regex::Regex;

use super::record::Fault;
use super::text_block::RecordDecoder;
use super::{CsvOptions, DecodeProblem, Wanted, brief};

/// Decodes the CSV of one header.
#[derive(Debug)]
pub(super) struct CsvDecoder {
    options: CsvOptions,
    nulls: Regex,
    /// All columns of the text; those that are not asked for as text.
    columns: SchemaRef,
    /// Which of them are asked for.
    projection: Vec<usize>,
    wanted: SchemaRef,
}

impl CsvDecoder {
    /// A decoder of the columns `names` of a text.
    pub(super) fn new(
        names: &[String],
        options: &CsvOptions,
        wanted: &Wanted,
    ) -> Result<Self, DecodeProblem> {
        if let Some(twice) = names.iter().enumerate().find(|(i, n)| names.iter().take(*i).any(|m| m == *n)) {
            return Err(DecodeProblem::Header {
                found: format!("column {:?} is there twice", brief(twice.1)),
            });
        }
        wanted.check(names)?;
        let data_type = |name: &str| wanted.column(name).map_or(DataType::Utf8, |c| c.data_type.clone());
        let fields: Vec<Field> = names.iter().map(|name| Field::new(name, data_type(name), true)).collect();
        let projection: Vec<usize> =
            (0..names.len()).filter(|i| names.get(*i).is_some_and(|n| wanted.column(n).is_some())).collect();
        if let Some(field) = fields.iter().find(|field| !is_text_type(field.data_type())) {
            let (column, data_type) = (field.name().clone(), field.data_type().clone());
            return Err(DecodeProblem::Unsupported { column, data_type, kind: "csv" });
        }
        let columns = Schema::new(fields);
        let wanted =
            columns.project(&projection).map_err(|e| DecodeProblem::Header { found: e.to_string() })?;
        Ok(Self {
            options: options.clone(),
            nulls: nulls(&options.nulls)?,
            columns: Arc::new(columns),
            projection,
            wanted: Arc::new(wanted),
        })
    }

    fn decode_columns(
        &self,
        text: &[u8],
        records: usize,
        projection: Vec<usize>,
    ) -> Result<RecordBatch, ArrowError> {
        let mut builder = ReaderBuilder::new(self.columns.clone())
            .with_batch_size(records + 1)
            .with_delimiter(self.options.delimiter)
            .with_quote(self.options.quote)
            .with_null_regex(self.nulls.clone())
            .with_projection(projection);
        if let Some(escape) = self.options.escape {
            builder = builder.with_escape(escape);
        }
        let mut decoder = builder.build_decoder();
        let mut rest = text;
        while !rest.is_empty() {
            let count = decoder.decode(rest)?;
            rest = rest.get(count..).unwrap_or_default();
            if count == 0 {
                return Err(ArrowError::CsvError("more records than expected".to_owned()));
            }
        }
        // Tells the decoder that the last record has ended.
        decoder.decode(&[])?;
        Ok(decoder.flush()?.unwrap_or_else(|| RecordBatch::new_empty(self.wanted.clone())))
    }
}

impl RecordDecoder for CsvDecoder {
    fn kind(&self) -> &'static str {
        "csv"
    }

    fn schema(&self) -> SchemaRef {
        self.wanted.clone()
    }

    fn decode(&self, text: &[u8], records: usize) -> Result<RecordBatch, ArrowError> {
        self.decode_columns(text, records, self.projection.clone())
    }

    fn explain(&self, record: &[u8], reason: &str) -> Fault {
        let Ok(text) = std::str::from_utf8(record) else {
            return Fault::of_record("it is not UTF-8");
        };
        let fields = match split(text.as_bytes(), &self.options) {
            Ok(fields) => fields,
            Err(error) => return Fault::of_record(error),
        };
        let (found, expected) = (fields.len(), self.columns.fields().len());
        if found != expected {
            return Fault::of_record(format!("it has {found} fields, expected {expected}"));
        }
        for column in &self.projection {
            if self.decode_columns(record, 1, vec![*column]).is_err() {
                let field = self.columns.field(*column);
                let value = fields.get(*column).map(String::as_str).unwrap_or_default();
                return Fault::of_value(
                    field.name(),
                    value,
                    format!("it is no {}", sql_type(field.data_type())),
                );
            }
        }
        Fault::of_record(reason)
    }
}

/// The names of the columns that a header gives.
pub(super) fn header_names(header: &[u8], options: &CsvOptions) -> Result<Vec<String>, DecodeProblem> {
    let broken = |found| DecodeProblem::Header { found };
    let names = split(header, options).map_err(broken)?;
    match names.iter().position(String::is_empty) {
        Some(index) => Err(broken(format!("its column {} has no name", index + 1))),
        None => Ok(names),
    }
}

/// The fields of one record.
fn split(record: &[u8], options: &CsvOptions) -> Result<Vec<String>, String> {
    match fields(record, options).records().next() {
        Some(Ok(fields)) => Ok(fields.iter().map(str::to_owned).collect()),
        Some(Err(error)) => Err(error.to_string()),
        None => Ok(Vec::new()),
    }
}

/// Reads the fields of records as texts.
pub(super) fn fields<'a>(records: &'a [u8], options: &CsvOptions) -> csv::Reader<&'a [u8]> {
    csv::ReaderBuilder::new()
        .has_headers(false)
        .delimiter(options.delimiter)
        .quote(options.quote)
        .escape(options.escape)
        .flexible(true)
        .from_reader(records)
}

pub(super) fn nulls(texts: &[String]) -> Result<Regex, DecodeProblem> {
    let any: Vec<String> = texts.iter().map(|text| regex::escape(text)).collect();
    // No text at all means null where none is named: an alternative of nothing would match "".
    let pattern = if any.is_empty() { r"[^\s\S]".to_owned() } else { format!("^(?:{})$", any.join("|")) };
    Regex::new(&pattern).map_err(|error| DecodeProblem::Header { found: format!("format.nulls: {error}") })
}

fn is_text_type(data_type: &DataType) -> bool {
    use DataType::*;
    matches!(
        data_type,
        Boolean | Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 | UInt64 | Float32 | Float64 | Utf8
    ) || matches!(data_type, Date32 | Date64 | Timestamp(_, _) | Decimal128(_, _) | Decimal256(_, _))
}
