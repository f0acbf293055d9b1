//! Ordering values as delete blocks hold them: a branch of a union and a value.

use crate::avro_rows::primitive::{Decoder, PrimitiveError, put_bytes, put_long};
use crate::ordering_value::{OrderingClass, OrderingValue};

/// Delete blocks hold decimals with 15 of at most 30 digits behind the point.
const DECIMAL_SCALE: i8 = 15;
const DECIMAL_LIMIT: u128 = 10_u128.pow(30);

const ARRAY: i64 = 12;
/// Within an array the last branch is a `LocalDate`.
const LOCAL_DATE: i64 = 12;

/// Why a value has no place in a delete block.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OrderingBranchError {
    /// A decimal that is not exact with 15 of 30 digits behind the point.
    #[error(
        "ordering value {unscaled}e-{scale} does not fit a delete block, which holds 15 digits before the \
         point and 15 behind it; delete without an ordering value instead"
    )]
    Decimal {
        /// The digits.
        unscaled: i128,
        /// How many of them stand behind the point.
        scale: i8,
    },
    /// A class that the union has no branch for at this place.
    #[error("an ordering value of class {class} cannot stand {place} in a delete block")]
    Class {
        /// The class.
        class: OrderingClass,
        /// Alone, or within an array.
        place: &'static str,
    },
}

/// Appends the branch and the value, as `HoodieAvroWrapperUtils.wrapValueIntoAvro` chooses them.
pub(super) fn put_ordering(out: &mut Vec<u8>, value: &OrderingValue) -> Result<(), OrderingBranchError> {
    match value {
        OrderingValue::Array(values) => {
            put_long(out, ARRAY);
            // The array itself is a union with null.
            put_long(out, 1);
            if !values.is_empty() {
                put_long(out, values.len() as i64);
            }
            for value in values {
                match value {
                    OrderingValue::LocalDate(day) => {
                        put_long(out, LOCAL_DATE);
                        put_long(out, i64::from(*day));
                    }
                    value => put_scalar(out, value, "within an array")?,
                }
            }
            put_long(out, 0);
            Ok(())
        }
        value => put_scalar(out, value, "alone"),
    }
}

fn put_numbers(out: &mut Vec<u8>, numbers: [i64; 2]) {
    for number in numbers {
        put_long(out, number);
    }
}

fn put_scalar(
    out: &mut Vec<u8>,
    value: &OrderingValue,
    place: &'static str,
) -> Result<(), OrderingBranchError> {
    match value {
        OrderingValue::Null => put_long(out, 0),
        OrderingValue::Bool(value) => {
            put_long(out, 1);
            out.push(u8::from(*value));
        }
        OrderingValue::Int(value) => put_numbers(out, [2, i64::from(*value)]),
        OrderingValue::Long(value) => put_numbers(out, [3, *value]),
        OrderingValue::Float(value) => {
            put_long(out, 4);
            out.extend_from_slice(&value.to_le_bytes());
        }
        OrderingValue::Double(value) => {
            put_long(out, 5);
            out.extend_from_slice(&value.to_le_bytes());
        }
        OrderingValue::Bytes(value) => {
            put_long(out, 6);
            put_bytes(out, value);
        }
        OrderingValue::String(value) => {
            put_long(out, 7);
            put_bytes(out, value.as_bytes());
        }
        OrderingValue::Date(day) => put_numbers(out, [8, i64::from(*day)]),
        OrderingValue::Decimal { unscaled, scale } => {
            let upcast = upcast(*unscaled, *scale);
            let unscaled =
                upcast.ok_or(OrderingBranchError::Decimal { unscaled: *unscaled, scale: *scale })?;
            put_long(out, 9);
            put_bytes(out, minimal_bytes(&unscaled.to_be_bytes()));
        }
        OrderingValue::Timestamp(micros) => put_numbers(out, [11, *micros]),
        OrderingValue::LocalDate(_) | OrderingValue::Array(_) => {
            return Err(OrderingBranchError::Class { class: value.class(), place });
        }
    }
    Ok(())
}

/// The digits at scale 15, where that takes no rounding and no more than 30 digits.
fn upcast(unscaled: i128, scale: i8) -> Option<i128> {
    let shift = i32::from(DECIMAL_SCALE) - i32::from(scale);
    let upcast = match 10_i128.checked_pow(shift.unsigned_abs()) {
        Some(power) if shift >= 0 => unscaled.checked_mul(power)?,
        Some(power) => (unscaled % power == 0).then_some(unscaled / power)?,
        None => (unscaled == 0).then_some(0)?,
    };
    (upcast.unsigned_abs() < DECIMAL_LIMIT).then_some(upcast)
}

/// Two's complement without leading bytes that only repeat the sign.
fn minimal_bytes(mut bytes: &[u8]) -> &[u8] {
    while let Some((first, rest)) = bytes.split_first() {
        let repeats_sign = match rest.first() {
            Some(second) => matches!((*first, *second), (0, ..0x80) | (0xff, 0x80..)),
            None => false,
        };
        if !repeats_sign {
            break;
        }
        bytes = rest;
    }
    bytes
}

/// Takes a branch and its value, as `HoodieAvroWrapperUtils.unwrapAvroValueWrapper` reads them.
pub(super) fn take_ordering(input: &mut Decoder<'_>) -> Result<OrderingValue, TakeOrderingError> {
    match input.long()? {
        ARRAY => take_array(input),
        branch => take_scalar(input, branch),
    }
}

/// Why bytes are no ordering value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TakeOrderingError {
    Primitive(PrimitiveError),
    Branch(i64),
    DecimalBytes(usize),
    NullArray,
    NullKey,
    Count(u64),
    Leftover(usize),
}

impl From<PrimitiveError> for TakeOrderingError {
    fn from(error: PrimitiveError) -> Self {
        Self::Primitive(error)
    }
}

fn take_array(input: &mut Decoder<'_>) -> Result<OrderingValue, TakeOrderingError> {
    match input.long()? {
        0 => return Err(TakeOrderingError::NullArray),
        1 => {}
        branch => return Err(TakeOrderingError::Branch(branch)),
    }
    let mut values = Vec::new();
    loop {
        let count = input.long()?;
        if count == 0 {
            break;
        }
        if count < 0 {
            // A negative count is followed by the bytes that the items take.
            input.long()?;
        }
        for _ in 0..count.unsigned_abs() {
            values.push(match input.long()? {
                LOCAL_DATE => OrderingValue::LocalDate(input.int()?),
                branch => take_scalar(input, branch)?,
            });
        }
    }
    // Hudi makes one value of an array of one.
    let single = if values.len() == 1 { values.pop() } else { None };
    Ok(single.unwrap_or(OrderingValue::Array(values)))
}

fn take_scalar(input: &mut Decoder<'_>, branch: i64) -> Result<OrderingValue, TakeOrderingError> {
    Ok(match branch {
        0 => OrderingValue::Null,
        1 => {
            let [byte] = input.array()?;
            OrderingValue::Bool(byte == 1)
        }
        2 => OrderingValue::Int(input.int()?),
        // Times of day come out as a plain long.
        3 | 10 => OrderingValue::Long(input.long()?),
        4 => OrderingValue::Float(f32::from_le_bytes(input.array()?)),
        5 => OrderingValue::Double(f64::from_le_bytes(input.array()?)),
        6 => OrderingValue::Bytes(input.bytes()?.to_vec()),
        7 => OrderingValue::String(input.string()?.to_owned()),
        8 => OrderingValue::Date(input.int()?),
        9 => {
            let bytes = input.bytes()?;
            let unscaled = sign_extend(bytes).ok_or(TakeOrderingError::DecimalBytes(bytes.len()))?;
            OrderingValue::Decimal { unscaled, scale: DECIMAL_SCALE }
        }
        11 => OrderingValue::Timestamp(input.long()?),
        other => return Err(TakeOrderingError::Branch(other)),
    })
}

fn sign_extend(bytes: &[u8]) -> Option<i128> {
    let bytes = minimal_bytes(bytes);
    let first = bytes.first()?;
    if bytes.len() > size_of::<i128>() {
        return None;
    }
    let sign = if *first < 0x80 { 0 } else { -1 };
    Some(bytes.iter().fold(sign, |number: i128, byte| number << 8 | i128::from(*byte)))
}
