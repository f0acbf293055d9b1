//! The text of a value in record keys and partition paths.

use std::fmt::Write as _;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Float32Array, Float64Array, Int64Array,
    LargeStringArray, StringArray, StringViewArray, StructArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use chrono::{DateTime, Datelike as _};

use crate::schema::sql_type;

/// Why a column cannot make keys.
#[derive(Debug, thiserror::Error)]
pub enum ValueTextError {
    /// The schema has no such column.
    #[error("column {column:?} is not in the rows; they have {}", known.join(", "))]
    Missing {
        /// The column asked for, nested fields joined by `.`.
        column: String,
        /// The columns there are.
        known: Vec<String>,
    },
    /// Values of the column's type have no text in keys.
    #[error(
        "column {column:?} of type {} cannot be part of a record key or partition path",
        sql_type(data_type)
    )]
    Type {
        /// The column.
        column: String,
        /// Its type.
        data_type: DataType,
    },
    /// The values could not be brought into the type that makes the text.
    #[error("column {column:?} cannot be read as a key: {source}")]
    Cast {
        /// The column.
        column: String,
        /// What went wrong.
        source: ArrowError,
    },
}

/// The values of one column, ready to be spelled as Hudi spells them in keys.
///
/// Numbers are decimal, dates `yyyy-MM-dd`, timestamps microseconds since the epoch (milliseconds
/// where the column has that unit), decimals keep their scale, floating point is Java's, booleans
/// are `true` and `false`.
///
/// Source: `HoodieAvroUtils.getNestedFieldValAsString` with
/// `hoodie.datasource.write.keygenerator.consistent.logical.timestamp.enabled=false`.
#[derive(Debug)]
pub enum ValueTexts {
    /// Text as it is.
    Utf8(StringArray),
    /// Text as it is, with wide offsets.
    LargeUtf8(LargeStringArray),
    /// Text as it is, in views.
    Utf8View(StringViewArray),
    /// Integers and timestamps.
    Long(Int64Array),
    /// Days since the epoch.
    Day(Int64Array),
    /// Single precision.
    Float(Float32Array),
    /// Double precision.
    Double(Float64Array),
    /// Decimals, with their scale.
    Decimal(Decimal128Array, i8),
    /// Booleans.
    Bool(BooleanArray),
}

impl ValueTexts {
    /// Finds `column` in `batch`; `a.b` is field `b` of struct column `a`.
    ///
    /// # Errors
    /// A column that is not there, or whose type has no text in keys.
    pub fn of_column(batch: &RecordBatch, column: &str) -> Result<Self, ValueTextError> {
        let array = find_column(batch, column).ok_or_else(|| ValueTextError::Missing {
            column: column.to_owned(),
            known: batch.schema_ref().fields().iter().map(|f| f.name().clone()).collect(),
        })?;
        Self::of_array(&array, column)
    }

    /// The texts of `array`, called `column` in errors.
    ///
    /// # Errors
    /// A type whose values have no text in keys.
    pub fn of_array(array: &ArrayRef, column: &str) -> Result<Self, ValueTextError> {
        let longs = |array: &ArrayRef| {
            cast(array, &DataType::Int64)
                .map(|longs| longs.as_primitive().clone())
                .map_err(|source| ValueTextError::Cast { column: column.to_owned(), source })
        };
        Ok(match array.data_type() {
            DataType::Utf8 => Self::Utf8(array.as_string().clone()),
            DataType::LargeUtf8 => Self::LargeUtf8(array.as_string().clone()),
            DataType::Utf8View => Self::Utf8View(array.as_string_view().clone()),
            DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => Self::Long(longs(array)?),
            DataType::Timestamp(TimeUnit::Millisecond | TimeUnit::Microsecond, _) => {
                Self::Long(longs(array)?)
            }
            DataType::Date32 => {
                let days = cast(array, &DataType::Int32)
                    .map_err(|source| ValueTextError::Cast { column: column.to_owned(), source })?;
                Self::Day(longs(&days)?)
            }
            DataType::Float32 => Self::Float(array.as_primitive().clone()),
            DataType::Float64 => Self::Double(array.as_primitive().clone()),
            DataType::Decimal128(_, scale) => Self::Decimal(array.as_primitive().clone(), *scale),
            DataType::Boolean => Self::Bool(array.as_boolean().clone()),
            other => {
                return Err(ValueTextError::Type { column: column.to_owned(), data_type: other.clone() });
            }
        })
    }

    /// Appends the text of row `row` to `out`; `false`, and nothing appended, where it is null.
    pub fn append(&self, row: usize, out: &mut String) -> bool {
        if self.array().is_null(row) {
            return false;
        }
        match self {
            Self::Utf8(values) => out.push_str(values.value(row)),
            Self::LargeUtf8(values) => out.push_str(values.value(row)),
            Self::Utf8View(values) => out.push_str(values.value(row)),
            Self::Long(values) => push(out, values.value(row)),
            Self::Day(values) => push_day(out, values.value(row)),
            Self::Float(values) => push_java_float(out, f64::from(values.value(row)), &values.value(row)),
            Self::Double(values) => push_java_float(out, values.value(row), &values.value(row)),
            Self::Decimal(values, scale) => push_decimal(out, values.value(row), *scale),
            Self::Bool(values) => out.push_str(if values.value(row) { "true" } else { "false" }),
        }
        true
    }

    fn array(&self) -> &dyn Array {
        match self {
            Self::Utf8(values) => values,
            Self::LargeUtf8(values) => values,
            Self::Utf8View(values) => values,
            Self::Long(values) | Self::Day(values) => values,
            Self::Float(values) => values,
            Self::Double(values) => values,
            Self::Decimal(values, _) => values,
            Self::Bool(values) => values,
        }
    }
}

/// The column called `name`; `a.b` is field `b` of struct column `a`, null where `a` is.
pub fn find_column(batch: &RecordBatch, name: &str) -> Option<ArrayRef> {
    if let Some(array) = batch.column_by_name(name) {
        return Some(array.clone());
    }
    let mut parts = name.split('.');
    let mut array = batch.column_by_name(parts.next()?)?.clone();
    for part in parts {
        let parent = array.as_any().downcast_ref::<StructArray>()?.clone();
        let child = parent.column_by_name(part)?.clone();
        array = match parent.nulls() {
            Some(nulls) => {
                let valid = BooleanArray::new(nulls.inner().clone(), None);
                let hidden = arrow::compute::not(&valid).ok()?;
                arrow::compute::nullif(&child, &hidden).ok()?
            }
            None => child,
        };
    }
    Some(array)
}

fn push(out: &mut String, value: impl std::fmt::Display) {
    // Writing to a String cannot fail.
    let _ = write!(out, "{value}");
}

fn push_day(out: &mut String, days: i64) {
    match DateTime::from_timestamp(days.saturating_mul(86_400), 0) {
        Some(day) => {
            let _ = write!(out, "{:04}-{:02}-{:02}", day.year(), day.month(), day.day());
        }
        None => push(out, days),
    }
}

/// `java.math.BigDecimal.toString`: plain, or scientific where there are many leading zeros.
fn push_decimal(out: &mut String, unscaled: i128, scale: i8) {
    let digits = unscaled.unsigned_abs().to_string();
    let sign = if unscaled < 0 { "-" } else { "" };
    let (scale, count) = (i64::from(scale), digits.len() as i64);
    let exponent = count - 1 - scale;
    if scale >= 0 && exponent >= -6 {
        let padded = format!("{digits:0>width$}", width = scale as usize + 1);
        let (whole, fraction) = padded.split_at(padded.len() - scale as usize);
        let point = if scale > 0 { "." } else { "" };
        let _ = write!(out, "{sign}{whole}{point}{fraction}");
        return;
    }
    let (first, rest) = digits.split_at(1);
    let point = if rest.is_empty() { "" } else { "." };
    let _ = write!(out, "{sign}{first}{point}{rest}E{exponent:+}");
}

/// `java.lang.Double.toString` and `Float.toString`, with the shortest digits that read back.
///
/// Java before 19 prints a digit more for a few values; keys made of such values are rare enough
/// that the shortest form is what all later versions agree on.
fn push_java_float(out: &mut String, value: f64, shortest: &dyn std::fmt::LowerExp) {
    if value.is_nan() {
        return out.push_str("NaN");
    }
    if value.is_infinite() {
        return out.push_str(if value > 0.0 { "Infinity" } else { "-Infinity" });
    }
    let text = format!("{shortest:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa),
    };
    let digits: String = mantissa.chars().filter(|c| *c != '.').collect();
    out.push_str(sign);
    if value == 0.0 {
        out.push_str("0.0");
    } else if (-3..7).contains(&exponent) {
        push_plain(out, &digits, exponent);
    } else {
        let (first, rest) = digits.split_at(1);
        let rest = if rest.is_empty() { "0" } else { rest };
        let _ = write!(out, "{first}.{rest}E{exponent}");
    }
}

fn push_plain(out: &mut String, digits: &str, exponent: i32) {
    if exponent < 0 {
        let zeros = exponent.unsigned_abs() as usize - 1;
        let _ = write!(out, "0.{:0>width$}", digits, width = digits.len() + zeros);
        return;
    }
    let whole = exponent as usize + 1;
    let padded = format!("{digits:0<whole$}");
    let (whole, fraction) = padded.split_at(whole);
    let fraction = if fraction.is_empty() { "0" } else { fraction };
    let _ = write!(out, "{whole}.{fraction}");
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Date32Array, Int32Array, TimestampMicrosecondArray};
    use proptest::prelude::*;

    use super::*;

    fn text(array: impl Array + 'static) -> Vec<Option<String>> {
        let array: ArrayRef = Arc::new(array);
        let texts = ValueTexts::of_array(&array, "c").unwrap();
        (0..array.len())
            .map(|row| {
                let mut out = String::new();
                texts.append(row, &mut out).then_some(out)
            })
            .collect()
    }

    fn some(texts: &[&str]) -> Vec<Option<String>> {
        texts.iter().map(|t| Some((*t).to_owned())).collect()
    }

    #[test]
    fn doubles_are_spelled_as_java_spells_them() {
        let values =
            [1.0, 1e20, 0.1, -0.0, 0.001, 0.0001, 9_999_999.0, 1e7, 123.456, f64::NAN, f64::INFINITY];
        let got = text(Float64Array::from_iter_values(values));
        let want = some(&[
            "1.0",
            "1.0E20",
            "0.1",
            "-0.0",
            "0.001",
            "1.0E-4",
            "9999999.0",
            "1.0E7",
            "123.456",
            "NaN",
            "Infinity",
        ]);
        assert_eq!(got, want);
        assert_eq!(text(Float32Array::from(vec![0.1, 1.1e10])), some(&["0.1", "1.1E10"]));
    }

    #[test]
    fn decimals_keep_their_scale() {
        let array = Decimal128Array::from(vec![1500, -5, 0]).with_precision_and_scale(10, 3).unwrap();
        assert_eq!(text(array), some(&["1.500", "-0.005", "0.000"]));
        let array = Decimal128Array::from(vec![0, 12]).with_precision_and_scale(10, 9).unwrap();
        assert_eq!(text(array), some(&["0E-9", "1.2E-8"]));
    }

    #[test]
    fn times_are_numbers_and_days_are_dates() {
        let micros = TimestampMicrosecondArray::from(vec![1_704_164_645_678_901]).with_timezone("UTC");
        assert_eq!(text(micros), some(&["1704164645678901"]));
        assert_eq!(text(Date32Array::from(vec![19724, -1])), some(&["2024-01-02", "1969-12-31"]));
    }

    #[test]
    fn nulls_and_nested_nulls_have_no_text() {
        let inner =
            StructArray::try_from(vec![("b", Arc::new(Int32Array::from(vec![1, 2])) as ArrayRef)]).unwrap();
        let outer = StructArray::new(
            inner.fields().clone(),
            inner.columns().to_vec(),
            Some(vec![true, false].into()),
        );
        let batch = RecordBatch::try_from_iter([("a", Arc::new(outer) as ArrayRef)]).unwrap();
        let texts = ValueTexts::of_column(&batch, "a.b").unwrap();
        let mut out = String::new();
        assert!(texts.append(0, &mut out));
        assert!(!texts.append(1, &mut out));
        assert_eq!(out, "1");
        assert!(matches!(ValueTexts::of_column(&batch, "a.c"), Err(ValueTextError::Missing { .. })));
        assert!(matches!(ValueTexts::of_column(&batch, "a"), Err(ValueTextError::Type { .. })));
    }

    /// What `java.math.BigDecimal` reads from a text: the number without its point, and its scale.
    fn read_decimal(text: &str) -> (i128, i64) {
        let (mantissa, exponent) = text.split_once('E').unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let scale = fraction.len() as i64 - exponent.parse::<i64>().unwrap();
        (format!("{whole}{fraction}").parse().unwrap(), scale)
    }

    fn one(array: impl Array + 'static) -> String {
        text(array).remove(0).unwrap()
    }

    proptest! {
        #[test]
        fn the_text_of_a_number_is_that_number(long: i64, double: f64, float: f32, bits: u64) {
            prop_assert_eq!(one(Int64Array::from(vec![long])).parse(), Ok(long));
            for double in [double, f64::from_bits(bits)].into_iter().filter(|double| !double.is_nan()) {
                let text = one(Float64Array::from(vec![double]));
                // Java's infinity is spelled out.
                prop_assert_eq!(text.replace("Infinity", "inf").parse::<f64>().unwrap().to_bits(), double.to_bits());
                // Java writes a point and a digit behind it, and none of a plus.
                prop_assert!(double.is_infinite() || text.contains('.') && !text.contains('+'), "{}", text);
            }
            prop_assert_eq!(one(Float32Array::from(vec![float])).parse::<f32>().unwrap().to_bits(), float.to_bits());
        }

        #[test]
        fn the_text_of_a_decimal_is_its_number_and_scale(unscaled in -(10_i128.pow(38) - 1)..10_i128.pow(38), shift in 0..38_u32, scale in 0..=38_i8) {
            let unscaled = unscaled / 10_i128.pow(shift);
            let array = Decimal128Array::from(vec![unscaled]).with_precision_and_scale(38, scale).unwrap();
            prop_assert_eq!(read_decimal(&one(array)), (unscaled, i64::from(scale)));
        }

        #[test]
        fn the_text_of_a_day_is_that_day(days in -719_162..2_932_896_i32) {
            let day: chrono::NaiveDate = one(Date32Array::from(vec![days])).parse().unwrap();
            prop_assert_eq!(day.signed_duration_since(chrono::NaiveDate::default()).num_days(), i64::from(days));
        }

        #[test]
        fn any_value_of_any_type_has_a_text(bits: i128, scale in -5..=38_i8) {
            let (long, int) = (bits as i64, bits as i32);
            for text in [
                one(Date32Array::from(vec![int])),
                one(TimestampMicrosecondArray::from(vec![long])),
                one(Float32Array::from(vec![f32::from_bits(int as u32)])),
                one(Decimal128Array::from(vec![bits % 10_i128.pow(38)]).with_precision_and_scale(38, scale).unwrap()),
            ] {
                prop_assert!(!text.is_empty());
            }
        }
    }
}
