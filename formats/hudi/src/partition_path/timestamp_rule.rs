//! Partition columns that are times, and how their folders are spelled.

use chrono::{DateTime, Offset as _, TimeZone as _, Utc};
use chrono_tz::Tz;

use crate::date_pattern::{DatePattern, DatePatternError};

/// The settings `hoodie.keygen.timebased.*` of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimestampRule {
    /// What the column's values are.
    pub input: TimestampInput,
    /// How the folder is spelled.
    pub output: DatePattern,
    /// The zone of the folder's text.
    pub output_zone: Option<Tz>,
}

/// What the values of a time partition column are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimestampInput {
    /// Numbers that count units of so many nanoseconds since the epoch.
    Number {
        /// The unit in nanoseconds.
        unit_nanos: i64,
    },
    /// Text by the first pattern that fits.
    Text {
        /// Patterns in the order in which they are tried.
        patterns: Vec<DatePattern>,
        /// The zone of text without an offset.
        zone: Option<Tz>,
    },
}

impl TimestampRule {
    /// Reads `hoodie.keygen.timebased.*` settings through `get`, which takes the name after that
    /// prefix, for example `timestamp.type`.
    ///
    /// # Errors
    /// Missing, unknown and contradictory settings, by key.
    pub fn from_settings<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Result<Self, TimestampRuleError> {
        let missing = |key| TimestampRuleError::Missing { key };
        let zone = |own: &str| match get("timezone").or_else(|| get(own)).map(str::trim) {
            None | Some("") => Ok(None),
            Some(name) => {
                parse_zone(name).map(Some).ok_or_else(|| TimestampRuleError::Zone { found: name.to_owned() })
            }
        };
        let unit = |unit_nanos| TimestampInput::Number { unit_nanos };
        let input = match get("timestamp.type").ok_or_else(|| missing("timestamp.type"))? {
            "UNIX_TIMESTAMP" => unit(1_000_000_000),
            "EPOCHMILLISECONDS" => unit(1_000_000),
            "EPOCHMICROSECONDS" => unit(1_000),
            "SCALAR" => unit(scalar_unit(get("timestamp.scalar.time.unit").unwrap_or("SECONDS"))?),
            "DATE_STRING" | "MIXED" => {
                let list = get("input.dateformat").ok_or_else(|| missing("input.dateformat"))?;
                let patterns =
                    list.split(',').map(|p| DatePattern::parse(p.trim())).collect::<Result<_, _>>()?;
                TimestampInput::Text { patterns, zone: zone("input.timezone")? }
            }
            other => return Err(TimestampRuleError::Type { found: other.to_owned() }),
        };
        let output = get("output.dateformat").ok_or_else(|| missing("output.dateformat"))?;
        Ok(Self { input, output: DatePattern::parse(output)?, output_zone: zone("output.timezone")? })
    }

    /// The folder of `value`; null is the first second (numbers) of the epoch.
    pub(super) fn spell(&self, value: Option<&str>) -> Option<String> {
        let (utc, own_offset) = match (&self.input, value) {
            (TimestampInput::Number { unit_nanos }, value) => {
                let count: i128 = value.map_or(Some(1), whole_number)?;
                let millis = count.checked_mul(i128::from(*unit_nanos))?.div_euclid(1_000_000);
                (DateTime::<Utc>::from_timestamp_millis(i64::try_from(millis).ok()?)?, 0)
            }
            (TimestampInput::Text { .. }, None) => (DateTime::<Utc>::from_timestamp_millis(1)?, 0),
            (TimestampInput::Text { patterns, zone }, Some(text)) => {
                let (local, offset) = patterns.iter().find_map(|p| p.read(text))?;
                let (utc, own) = to_utc(local, offset, *zone)?;
                (utc, own)
            }
        };
        let offset = match self.output_zone {
            Some(zone) => zone.offset_from_utc_datetime(&utc.naive_utc()).fix().local_minus_utc(),
            None => own_offset,
        };
        let local = utc.naive_utc().checked_add_signed(chrono::TimeDelta::seconds(i64::from(offset)))?;
        Some(self.output.format(local, offset))
    }

    pub(super) fn expected(&self) -> String {
        match &self.input {
            TimestampInput::Number { unit_nanos } => format!("number of {unit_nanos} ns units since 1970"),
            TimestampInput::Text { .. } => {
                "time of the pattern in hoodie.keygen.timebased.input.dateformat".into()
            }
        }
    }
}

/// Settings of a timestamp key generator that cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimestampRuleError {
    /// A required setting is not there.
    #[error("hoodie.keygen.timebased.{key} is missing from hoodie.properties")]
    Missing {
        /// The key after `hoodie.keygen.timebased.`.
        key: &'static str,
    },
    /// An unknown kind of input.
    #[error(
        "hoodie.keygen.timebased.timestamp.type is {found:?}: expected UNIX_TIMESTAMP, EPOCHMILLISECONDS, EPOCHMICROSECONDS, SCALAR, DATE_STRING or MIXED"
    )]
    Type {
        /// The value found.
        found: String,
    },
    /// An unknown unit of a scalar.
    #[error(
        "hoodie.keygen.timebased.timestamp.scalar.time.unit is {found:?}: expected a java.util.concurrent.TimeUnit"
    )]
    Unit {
        /// The value found.
        found: String,
    },
    /// An unknown time zone.
    #[error("time zone {found:?} of the key generator is not in the tz database")]
    Zone {
        /// The value found.
        found: String,
    },
    /// A pattern that is not supported.
    #[error(transparent)]
    Pattern(#[from] DatePatternError),
}

fn parse_zone(name: &str) -> Option<Tz> {
    match name {
        "GMT" | "UTC" | "Z" => Some(Tz::UTC),
        other => other.parse().ok(),
    }
}

fn scalar_unit(name: &str) -> Result<i64, TimestampRuleError> {
    Ok(match name.to_ascii_uppercase().as_str() {
        "NANOSECONDS" => 1,
        "MICROSECONDS" => 1_000,
        "MILLISECONDS" => 1_000_000,
        "SECONDS" => 1_000_000_000,
        "MINUTES" => 60_000_000_000,
        "HOURS" => 3_600_000_000_000,
        "DAYS" => 86_400_000_000_000,
        _ => return Err(TimestampRuleError::Unit { found: name.to_owned() }),
    })
}

/// Numbers, floating point cut off, dates as days since the epoch: what Java's conversions give.
fn whole_number(text: &str) -> Option<i128> {
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    if let Ok(day) = text.parse::<chrono::NaiveDate>() {
        return Some(i128::from(day.signed_duration_since(chrono::NaiveDate::default()).num_days()));
    }
    let number: f64 = text.parse().ok()?;
    number.is_finite().then_some(number as i64 as i128)
}

fn to_utc(
    local: chrono::NaiveDateTime,
    offset: Option<i32>,
    zone: Option<Tz>,
) -> Option<(DateTime<Utc>, i32)> {
    match (offset, zone) {
        (Some(offset), _) => {
            let utc = local.checked_sub_signed(chrono::TimeDelta::seconds(i64::from(offset)))?;
            Some((utc.and_utc(), offset))
        }
        (None, Some(zone)) => {
            let time = zone.from_local_datetime(&local).earliest()?;
            Some((time.to_utc(), time.offset().fix().local_minus_utc()))
        }
        (None, None) => Some((local.and_utc(), 0)),
    }
}
