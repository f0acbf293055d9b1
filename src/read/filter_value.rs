//! How the values of filters are written.

use std::borrow::Cow;

use arrow::datatypes::{DataType, TimeUnit};

/// A time without seconds with them, as the cast wants it.
pub(super) fn with_seconds<'a>(value: &'a str, data_type: &DataType) -> Cow<'a, str> {
    let is_clock = |minutes: &str| matches!(minutes.as_bytes(), [.., b' ' | b'T', _, _, b':', _, _]);
    match value.trim().split_at_checked("2026-03-07 16:25".len()) {
        Some((minutes, zone))
            if matches!(data_type, DataType::Timestamp(..))
                && is_clock(minutes)
                && (zone.is_empty() || zone.starts_with(['Z', 'z', '+', '-', ' '])) =>
        {
            Cow::Owned(format!("{minutes}:00{zone}"))
        }
        _ => Cow::Borrowed(value),
    }
}

/// Whether the cast of `value` would round it, or cut it off, and the filter ask for something else.
pub(super) fn would_be_cut(value: &str, data_type: &DataType) -> bool {
    let decimals = value.trim().split_once('.').map_or("", |(_, decimals)| decimals);
    let (decimals, digits_max) = match data_type {
        DataType::Decimal32(_, scale) | DataType::Decimal64(_, scale) => (decimals, usize::try_from(*scale)),
        DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => {
            (decimals, usize::try_from(*scale))
        }
        DataType::Timestamp(unit, _) | DataType::Time32(unit) | DataType::Time64(unit) => {
            // A zone may follow.
            let end = decimals.find(|c: char| !c.is_ascii_digit()).unwrap_or(decimals.len());
            (decimals.split_at(end).0, Ok(second_digits(*unit)))
        }
        // A time of the day.
        DataType::Date32 | DataType::Date64 => return value.contains(':'),
        _ => return false,
    };
    decimals.trim_end_matches('0').len() > digits_max.unwrap_or_default()
}

/// How many digits of a second there are.
fn second_digits(unit: TimeUnit) -> usize {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    }
}

/// What a value of that type is written like.
pub(super) fn value_form(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Boolean => "true or false",
        DataType::Date32 | DataType::Date64 => "a date such as 2026-03-07",
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            "a date or a time such as '2026-03-07 16:25:57.123', with no more digits"
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            "a date or a time such as '2026-03-07 16:25:57.123456', with no more digits"
        }
        DataType::Timestamp(_, _) => "a date or a time such as '2026-03-07 16:25:57'",
        data_type if data_type.is_integer() => "a whole number in the range of that type",
        data_type if data_type.is_decimal() => "a number with no more digits than that type has",
        data_type if data_type.is_nested() => "`is null` or `is not null`, as its parts are not compared",
        _ => "a number that fits",
    }
}
