//! Whether two sets of rows are the same, and where they differ.
//!
//! Rows are compared as a bag: their order does not count, how often each comes does. Columns
//! are found by name. Values are compared exactly, after what Arrow can say in several ways was
//! brought to one:
//!
//! - text and binary of every layout, and dictionaries, are their values;
//! - timestamps are microseconds, with a zone (UTC) or without one;
//! - lists are lists of any layout, maps are maps in any order of entries, and the names of
//!   inner fields of both do not count;
//! - whether a field may be null does not count.
//!
//! Everything else counts: widths of integers, precision and scale of decimals, `-0.0` and `0.0`
//! differ; every NaN is the same NaN.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float32Type, Float64Type, TimeUnit};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};

/// How many differing rows a report shows of each side.
const SHOWN_ROWS: usize = 12;

/// How found rows differ from expected ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// Columns that differ in name or type, a line each.
    pub columns: Vec<String>,
    /// Names of the compared columns, in the order of the rows below.
    pub names: Vec<String>,
    /// Rows that are missing, as text.
    pub missing: Vec<String>,
    /// Rows that should not be there, as text.
    pub unexpected: Vec<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for column in &self.columns {
            writeln!(f, "{column}")?;
        }
        let rows = self.missing.len() + self.unexpected.len();
        if rows == 0 {
            return Ok(());
        }
        writeln!(f, "{} rows missing (-), {} unexpected (+)", self.missing.len(), self.unexpected.len())?;
        writeln!(f, "  {}", self.names.join(" | "))?;
        let side = |sign: char, rows: &[String]| -> Vec<(String, char)> {
            rows.iter().take(SHOWN_ROWS).map(|row| (row.clone(), sign)).collect()
        };
        let mut shown = [side('-', &self.missing), side('+', &self.unexpected)].concat();
        shown.sort();
        for (row, sign) in &shown {
            writeln!(f, "{sign} {row}")?;
        }
        if shown.len() < rows {
            writeln!(f, "  and {} more", rows - shown.len())?;
        }
        Ok(())
    }
}

/// Compares rows; `None` if they are the same.
///
/// # Errors
/// Values that Arrow cannot put into words.
pub fn difference(expected: &[RecordBatch], found: &[RecordBatch]) -> Result<Option<Difference>, ArrowError> {
    let (expected_types, found_types) = (column_types(expected), column_types(found));
    let mut difference =
        Difference { columns: compare_types(&expected_types, &found_types), ..Default::default() };
    let both = |name: &&String| found_types.iter().any(|(other, _)| other == *name);
    difference.names = expected_types.iter().map(|(name, _)| name).filter(both).cloned().collect();
    let mut counts: BTreeMap<String, i64> = BTreeMap::new();
    for (batches, sign) in [(expected, 1), (found, -1)] {
        for row in texts(batches, &difference.names)? {
            *counts.entry(row).or_default() += sign;
        }
    }
    for (row, count) in counts {
        let times = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
        let rows = if count > 0 { &mut difference.missing } else { &mut difference.unexpected };
        rows.extend(std::iter::repeat_n(row, times));
    }
    let same =
        difference.columns.is_empty() && difference.missing.is_empty() && difference.unexpected.is_empty();
    Ok((!same).then_some(difference))
}

fn column_types(batches: &[RecordBatch]) -> Vec<(String, String)> {
    let Some(first) = batches.first() else { return Vec::new() };
    let schema = first.schema();
    schema.fields().iter().map(|f| (f.name().clone(), type_text(f.data_type()))).collect()
}

fn compare_types(expected: &[(String, String)], found: &[(String, String)]) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, wanted) in expected {
        match found.iter().find(|(other, _)| other == name) {
            None => lines.push(format!("column {name} ({wanted}) is missing")),
            Some((_, is)) if is != wanted => lines.push(format!("column {name} is {is}, expected {wanted}")),
            Some(_) => {}
        }
    }
    for (name, is) in found.iter().filter(|(name, _)| !expected.iter().any(|(other, _)| other == name)) {
        lines.push(format!("column {name} ({is}) is unexpected"));
    }
    lines
}

/// A type in words that leave out what does not count.
fn type_text(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "string".into(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "binary".into(),
        DataType::Dictionary(_, values) => type_text(values),
        DataType::Timestamp(_, None) => "timestamp without zone".into(),
        DataType::Timestamp(_, Some(_)) => "timestamp".into(),
        DataType::List(item) | DataType::LargeList(item) => format!("list<{}>", type_text(item.data_type())),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) => {
                let parts: Vec<_> = fields.iter().map(|f| type_text(f.data_type())).collect();
                format!("map<{}>", parts.join(", "))
            }
            other => format!("map<{other}>"),
        },
        DataType::Struct(fields) => {
            let part = |f: &arrow::datatypes::FieldRef| format!("{}: {}", f.name(), type_text(f.data_type()));
            format!("struct<{}>", fields.iter().map(part).collect::<Vec<_>>().join(", "))
        }
        DataType::Decimal128(precision, scale) => format!("decimal({precision}, {scale})"),
        other => other.to_string(),
    }
}

fn texts(batches: &[RecordBatch], names: &[String]) -> Result<Vec<String>, ArrowError> {
    let mut rows = Vec::new();
    for batch in batches {
        let columns =
            names.iter().map(|name| plain(batch.column_by_name(name))).collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            let mut text = String::new();
            for (number, column) in columns.iter().enumerate() {
                text.push_str(if number == 0 { "" } else { " | " });
                write_value(&mut text, column, row)?;
            }
            rows.push(text);
        }
    }
    Ok(rows)
}

/// The column in the layout that values are put into words from.
fn plain(column: Option<&ArrayRef>) -> Result<ArrayRef, ArrowError> {
    let column = column.ok_or_else(|| ArrowError::SchemaError("batches with different columns".into()))?;
    plain_array(column)
}

fn plain_array(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let target = match array.data_type() {
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView => DataType::Binary,
        DataType::Dictionary(_, values) => values.as_ref().clone(),
        DataType::Timestamp(_, zone) => {
            DataType::Timestamp(TimeUnit::Microsecond, zone.as_ref().map(|_| "+00:00".into()))
        }
        DataType::LargeList(item) => DataType::List(item.clone()),
        _ => return Ok(array.clone()),
    };
    if target == *array.data_type() {
        return Ok(array.clone());
    }
    plain_array(&arrow::compute::cast(array, &target)?)
}

fn write_value(text: &mut String, array: &ArrayRef, row: usize) -> Result<(), ArrowError> {
    if array.is_null(row) {
        text.push_str("null");
        return Ok(());
    }
    let written = match array.data_type() {
        DataType::Utf8 => write!(text, "{:?}", array.as_string::<i32>().value(row)),
        DataType::Binary => write!(text, "x{}", hex(array.as_binary::<i32>().value(row))),
        DataType::Float32 => write!(text, "{:?}", array.as_primitive::<Float32Type>().value(row)),
        DataType::Float64 => write!(text, "{:?}", array.as_primitive::<Float64Type>().value(row)),
        DataType::List(_) => return write_list(text, &array.as_list::<i32>().value(row)),
        DataType::Map(..) => return write_map(text, &array.as_map().value(row)),
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns();
            text.push('{');
            for (number, (field, column)) in fields.iter().zip(columns).enumerate() {
                text.push_str(if number == 0 { "" } else { ", " });
                text.push_str(field.name());
                text.push_str(": ");
                write_value(text, &plain_array(column)?, row)?;
            }
            text.push('}');
            return Ok(());
        }
        _ => {
            let options = FormatOptions::default();
            write!(text, "{}", ArrayFormatter::try_new(array.as_ref(), &options)?.value(row))
        }
    };
    written.map_err(|error| ArrowError::ExternalError(Box::new(error)))
}

fn write_list(text: &mut String, items: &ArrayRef) -> Result<(), ArrowError> {
    let items = plain_array(items)?;
    text.push('[');
    for item in 0..items.len() {
        text.push_str(if item == 0 { "" } else { ", " });
        write_value(text, &items, item)?;
    }
    text.push(']');
    Ok(())
}

fn write_map(text: &mut String, entries: &arrow::array::StructArray) -> Result<(), ArrowError> {
    let [keys, values] = entries.columns() else {
        return Err(ArrowError::SchemaError("a map without keys and values".into()));
    };
    let (keys, values) = (plain_array(keys)?, plain_array(values)?);
    let mut parts = Vec::new();
    for entry in 0..keys.len() {
        let mut part = String::new();
        write_value(&mut part, &keys, entry)?;
        part.push_str(": ");
        write_value(&mut part, &values, entry)?;
        parts.push(part);
    }
    parts.sort();
    text.push('{');
    text.push_str(&parts.join(", "));
    text.push('}');
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a string does not fail.
        write!(text, "{byte:02x}").ok();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float64Array, Int32Array, Int64Array, LargeStringArray, StringArray};

    use super::*;

    fn batch(columns: &[(&str, ArrayRef)]) -> RecordBatch {
        RecordBatch::try_from_iter(columns.iter().cloned()).unwrap()
    }

    #[test]
    fn order_layout_and_batches_do_not_count() {
        let a: ArrayRef = Arc::new(StringArray::from(vec![Some("x"), None, Some("x")]));
        let b: ArrayRef = Arc::new(LargeStringArray::from(vec![None, Some("x"), Some("x")]));
        let b = batch(&[("s", b)]);
        let parts = [b.slice(0, 1), b.slice(1, 2)];
        assert_eq!(difference(&[batch(&[("s", a)])], &parts).unwrap(), None);
    }

    #[test]
    fn values_types_and_counts_count() {
        let floats = |values: Vec<f64>| batch(&[("f", Arc::new(Float64Array::from(values)) as ArrayRef)]);
        let nan = f64::from_bits(f64::NAN.to_bits() | 1);
        assert_eq!(difference(&[floats(vec![f64::NAN])], &[floats(vec![nan])]).unwrap(), None);
        let found = difference(&[floats(vec![0.0, 1.0])], &[floats(vec![-0.0, 1.0, 1.0])]).unwrap().unwrap();
        assert_eq!(
            (found.missing, found.unexpected),
            (vec!["0.0".into()], vec!["-0.0".into(), "1.0".into()])
        );

        let long = batch(&[("n", Arc::new(Int64Array::from(vec![1])) as ArrayRef)]);
        let int = batch(&[("n", Arc::new(Int32Array::from(vec![1])) as ArrayRef)]);
        let found = difference(&[long], &[int]).unwrap().unwrap();
        assert_eq!(found.columns, ["column n is Int32, expected Int64"]);
        assert!(found.missing.is_empty());
    }
}
