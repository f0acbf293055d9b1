//! Values as JSON that reads back as the same values.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{Array, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::datatypes::{
    DataType, Date32Type, FieldRef, Float32Type, Float64Type, TimeUnit, TimestampMicrosecondType,
};
use arrow::error::ArrowError;
use arrow::json::writer::{Encoder, EncoderFactory, EncoderOptions, NullableEncoder};
use arrow::util::display::{ArrayFormatter, FormatOptions};

/// How values are written: nulls too; what JSON has no form of its own for as [`Special`] says.
pub(super) fn options() -> EncoderOptions {
    EncoderOptions::default().with_explicit_nulls(true).with_encoder_factory(Arc::new(Special))
}

/// The library writes numbers that are not finite as null, and fails on times without a calendar
/// date. Here the former are texts, and the latter numbers of their unit.
#[derive(Debug)]
struct Special;

impl EncoderFactory for Special {
    fn make_default_encoder<'a>(
        &self,
        _: &'a FieldRef,
        array: &'a dyn Array,
        _: &'a EncoderOptions,
    ) -> Result<Option<NullableEncoder<'a>>, ArrowError> {
        let encoder: Box<dyn Encoder + 'a> = match array.data_type() {
            DataType::Float32 => Box::new(Float(array.as_primitive::<Float32Type>())),
            DataType::Float64 => Box::new(Float(array.as_primitive::<Float64Type>())),
            DataType::Date32 => Box::new(Time::of(array.as_primitive::<Date32Type>())?),
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                Box::new(Time::of(array.as_primitive::<TimestampMicrosecondType>())?)
            }
            _ => return Ok(None),
        };
        Ok(Some(NullableEncoder::new(encoder, array.nulls().cloned())))
    }
}

struct Float<'a, T: ArrowPrimitiveType>(&'a PrimitiveArray<T>);

impl<T: ArrowPrimitiveType> Encoder for Float<'_, T>
where
    T::Native: serde::Serialize + Into<f64>,
{
    fn encode(&mut self, index: usize, out: &mut Vec<u8>) {
        let value = self.0.value(index);
        let wide: f64 = value.into();
        if wide.is_finite() {
            // A finite number always encodes.
            let _ = serde_json::to_writer(out, &value);
        } else {
            out.extend_from_slice(not_finite(wide).as_bytes());
        }
    }
}

fn not_finite(value: f64) -> &'static str {
    if value.is_nan() {
        "\"NaN\""
    } else if value > 0.0 {
        "\"Infinity\""
    } else {
        "\"-Infinity\""
    }
}

struct Time<'a, T: ArrowPrimitiveType> {
    values: &'a PrimitiveArray<T>,
    texts: ArrayFormatter<'a>,
    text: String,
}

impl<'a, T: ArrowPrimitiveType> Time<'a, T> {
    fn of(values: &'a PrimitiveArray<T>) -> Result<Self, ArrowError> {
        let options = FormatOptions::new().with_display_error(false);
        Ok(Self { values, texts: ArrayFormatter::try_new(values, &options)?, text: String::new() })
    }
}

impl<T: ArrowPrimitiveType> Encoder for Time<'_, T>
where
    T::Native: Into<i64>,
{
    fn encode(&mut self, index: usize, out: &mut Vec<u8>) {
        self.text.clear();
        let written = self.texts.value(index).write(&mut self.text);
        // Only years of four digits are read back from a text.
        if written.is_ok() && self.text.starts_with(|c: char| c.is_ascii_digit()) {
            out.push(b'"');
            out.extend_from_slice(self.text.as_bytes());
            out.push(b'"');
        } else {
            let number: i64 = self.values.value(index).into();
            self.text.clear();
            // Writing to a string does not fail.
            let _ = write!(self.text, "{number}");
            out.extend_from_slice(self.text.as_bytes());
        }
    }
}
