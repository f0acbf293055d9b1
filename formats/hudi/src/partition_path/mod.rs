//! Partition paths: the folder that a row belongs to.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{DictionaryArray, StringBuilder, UInt32Array};
use arrow::datatypes::UInt32Type;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use chrono::{DateTime, Offset as _, TimeZone as _, Utc};
use chrono_tz::Tz;

use crate::date_pattern::{DatePattern, DatePatternError};
use crate::value_text::{ValueTextError, ValueTexts};

/// The folder of null and empty partition values.
pub const DEFAULT_PARTITION: &str = "__HIVE_DEFAULT_PARTITION__";

/// Why partition paths could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PartitionPathError {
    /// A partition column is missing or of a type without text.
    #[error(transparent)]
    Column(#[from] ValueTextError),
    /// A value is no time of the form that the table's key generator expects.
    #[error("row {row}: {value:?} in column {column:?} is no {expected}")]
    Time {
        /// The row within its batch, counted from 0.
        row: usize,
        /// The partition column.
        column: String,
        /// The value found.
        value: String,
        /// What the table's settings ask for.
        expected: String,
    },
    /// Arrow could not hold the paths.
    #[error("partition paths could not be built: {0}")]
    Arrow(ArrowError),
    /// The value is a time and the table does not say how it is spelled.
    #[error(
        "partition column {column:?} is a time and hoodie.properties has no hoodie.keygen.timebased.timestamp.type \
         and output.dateformat: rows can be read, and written only after these settings were added"
    )]
    Undeclared {
        /// The partition column.
        column: String,
    },
}

/// How partition paths are made from columns.
///
/// Source: `KeyGenUtils.getRecordPartitionPath`, `TimestampBasedAvroKeyGenerator`,
/// `CustomAvroKeyGenerator`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionPathRule {
    /// One part of the path per entry; none in a table without partitions.
    pub parts: Vec<PartitionPart>,
    /// `column=value` instead of `value`.
    pub hive_style: bool,
    /// Escape characters that Hive escapes, such as `/`.
    pub url_encode: bool,
    /// Write `-` as `/` where there is one part.
    pub slash_separated_dates: bool,
}

/// One part of a partition path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionPart {
    /// The partition column.
    pub column: String,
    /// How its value becomes text.
    pub kind: PartitionKind,
}

/// How a partition column's value becomes text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartitionKind {
    /// The value's own text.
    Simple,
    /// The value is a time, spelled by a pattern.
    Timestamp(Box<TimestampRule>),
    /// The value is a time, spelled by a pattern that the table does not keep: Hudi 1.2.0 leaves
    /// the settings of CUSTOM key generators to every writer.
    Undeclared,
}

/// The paths of a batch, numbered as they come.
#[derive(Default)]
struct DistinctPaths {
    by_values: HashMap<String, u32>,
    by_path: HashMap<String, u32>,
    paths: StringBuilder,
}

impl DistinctPaths {
    /// Different values may share a path: null and empty ones do.
    fn add(&mut self, values: String, path: String) -> u32 {
        let next = self.by_path.len() as u32;
        let number = *self.by_path.entry(path).or_insert_with_key(|path| {
            self.paths.append_value(path);
            next
        });
        self.by_values.insert(values, number);
        number
    }
}

impl PartitionPathRule {
    /// The rule of a table without partitions.
    pub fn none() -> Self {
        Self { parts: Vec::new(), hive_style: false, url_encode: false, slash_separated_dates: false }
    }

    /// The partition path of every row of `batch`: numbers of paths, none of them null, and the
    /// paths, each of which occurs.
    ///
    /// # Errors
    /// A partition column that is missing, of a type without text, or not the time that the
    /// table's settings promise.
    pub fn paths(&self, batch: &RecordBatch) -> Result<DictionaryArray<UInt32Type>, PartitionPathError> {
        let texts: Vec<ValueTexts> =
            self.parts.iter().map(|p| ValueTexts::of_column(batch, &p.column)).collect::<Result<_, _>>()?;
        let mut distinct = DistinctPaths::default();
        let mut numbers: Vec<u32> = Vec::with_capacity(batch.num_rows());
        let (mut values, mut last) = (String::new(), String::new());
        for row in 0..batch.num_rows() {
            values.clear();
            for text in &texts {
                let start = values.len();
                let found = text.append(row, &mut values);
                // What ends a value makes values of several columns, nulls and empty ones distinct.
                let length = values.len() - start;
                values.push(if found { '\u{1}' } else { '\u{0}' });
                if texts.len() > 1 {
                    // Writing to a String cannot fail.
                    let _ = write!(values, "{length}");
                }
            }
            let number = match numbers.last() {
                Some(number) if values == last => *number,
                _ => match distinct.by_values.get(&values) {
                    Some(number) => *number,
                    None => distinct.add(values.clone(), self.path(&texts, row)?),
                },
            };
            numbers.push(number);
            std::mem::swap(&mut values, &mut last);
        }
        let paths = Arc::new(distinct.paths.finish());
        DictionaryArray::try_new(UInt32Array::from(numbers), paths).map_err(PartitionPathError::Arrow)
    }

    fn path(&self, texts: &[ValueTexts], row: usize) -> Result<String, PartitionPathError> {
        let (mut path, mut value) = (String::new(), String::new());
        for (i, (part, text)) in self.parts.iter().zip(texts).enumerate() {
            if i > 0 {
                path.push('/');
            }
            value.clear();
            let found = text.append(row, &mut value);
            self.append(part, found.then_some(value.as_str()), row, &mut path)?;
        }
        Ok(path)
    }

    fn append(
        &self,
        part: &PartitionPart,
        value: Option<&str>,
        row: usize,
        path: &mut String,
    ) -> Result<(), PartitionPathError> {
        let start = path.len();
        if self.hive_style {
            path.push_str(&part.column);
            path.push('=');
        }
        let text = match &part.kind {
            PartitionKind::Simple => value.unwrap_or_default().to_owned(),
            PartitionKind::Undeclared => {
                return Err(PartitionPathError::Undeclared { column: part.column.clone() });
            }
            PartitionKind::Timestamp(rule) => rule.spell(value).ok_or_else(|| PartitionPathError::Time {
                row,
                column: part.column.clone(),
                value: value.unwrap_or("null").chars().take(100).collect(),
                expected: rule.expected(),
            })?,
        };
        match text.as_str() {
            "" => path.push_str(DEFAULT_PARTITION),
            text if self.url_encode => escape_into(path, text),
            text => path.push_str(text),
        }
        let is_time = !matches!(part.kind, PartitionKind::Simple);
        if self.slash_separated_dates && self.parts.len() == 1 && !is_time {
            let slashed = path.get(start..).unwrap_or_default().replace('-', "/");
            path.truncate(start);
            path.push_str(&slashed);
        }
        Ok(())
    }

    /// The raw text of each partition column that `path` stands for, or `None` for the default
    /// partition; the whole answer is `None` where the path is not of this rule's form.
    ///
    /// The texts are unescaped. A value that holds a `/` in a table without URL encoding cannot be
    /// told from two parts.
    pub fn values<'a>(&self, path: &'a str) -> Option<Vec<Option<std::borrow::Cow<'a, str>>>> {
        if self.parts.is_empty() {
            return path.is_empty().then(Vec::new);
        }
        let single = self.parts.len() == 1;
        let texts: Vec<&str> = if single { vec![path] } else { path.split('/').collect() };
        if texts.len() != self.parts.len() {
            return None;
        }
        texts
            .into_iter()
            .zip(&self.parts)
            .map(|(text, part)| {
                let text = match text.split_once('=') {
                    Some((column, value)) if self.hive_style => (column == part.column).then_some(value)?,
                    _ if self.hive_style => return None,
                    _ => text,
                };
                Some((text != DEFAULT_PARTITION).then(|| unescape(text)))
            })
            .collect()
    }
}

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
    fn spell(&self, value: Option<&str>) -> Option<String> {
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

    fn expected(&self) -> String {
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

fn needs_escape(c: char) -> bool {
    c <= '\x1f'
        || matches!(
            c,
            '"' | '#' | '%' | '\'' | '*' | '/' | ':' | '=' | '?' | '\\' | '\x7f' | '{' | '[' | ']' | '^'
        )
}

fn escape_into(path: &mut String, text: &str) {
    for c in text.chars() {
        if needs_escape(c) {
            path.push_str(&format!("%{:02X}", u32::from(c)));
        } else {
            path.push(c);
        }
    }
}

/// Undoes Hive's escaping; a `%` that no two hex digits follow stays.
///
/// Source: `PartitionPathEncodeUtils.unescapePathName`.
pub fn unescape(text: &str) -> std::borrow::Cow<'_, str> {
    if !text.contains('%') {
        return text.into();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let code = after.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match code {
            Some(code) => {
                out.push(char::from(code));
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                out.push('%');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out.into()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Array as _, ArrayRef, Int64Array, StringArray};
    use proptest::prelude::*;

    use super::*;

    fn simple(columns: &[&str]) -> PartitionPathRule {
        let parts =
            columns.iter().map(|c| PartitionPart { column: (*c).into(), kind: PartitionKind::Simple });
        PartitionPathRule { parts: parts.collect(), ..PartitionPathRule::none() }
    }

    fn batch(values: Vec<Option<&str>>) -> RecordBatch {
        RecordBatch::try_from_iter([("p", Arc::new(StringArray::from(values)) as ArrayRef)]).unwrap()
    }

    fn paths(rule: &PartitionPathRule, values: Vec<Option<&str>>) -> Vec<String> {
        let paths = rule.paths(&batch(values)).unwrap();
        paths.downcast_dict::<StringArray>().unwrap().into_iter().map(|p| p.unwrap().to_owned()).collect()
    }

    #[test]
    fn values_become_folders() {
        let rule = simple(&["p"]);
        assert_eq!(
            paths(&rule, vec![Some("a"), None, Some("")]),
            ["a", DEFAULT_PARTITION, DEFAULT_PARTITION]
        );
        let hive = PartitionPathRule { hive_style: true, url_encode: true, ..rule.clone() };
        assert_eq!(
            paths(&hive, vec![Some("a/b"), Some("sp ace"), Some("\u{e9}\u{6f22}"), Some("50%"), None]),
            ["p=a%2Fb", "p=sp ace", "p=\u{e9}\u{6f22}", "p=50%25", "p=__HIVE_DEFAULT_PARTITION__"]
        );
        let both = batch(vec![None, Some(""), Some("a")]);
        assert_eq!(rule.paths(&both).unwrap().values().len(), 2, "null and empty share a path");
        let slashed = PartitionPathRule { slash_separated_dates: true, ..rule };
        assert_eq!(paths(&slashed, vec![Some("2024-01-02")]), ["2024/01/02"]);
    }

    #[test]
    fn folders_become_values() {
        let hive = PartitionPathRule { hive_style: true, ..simple(&["a", "b"]) };
        let got = hive.values("a=x%2Fy/b=__HIVE_DEFAULT_PARTITION__").unwrap();
        assert_eq!(got, [Some("x/y".into()), None]);
        assert_eq!(hive.values("a=x"), None);
        assert_eq!(hive.values("a=x/c=y"), None);
        assert_eq!(PartitionPathRule::none().values(""), Some(vec![]));
    }

    #[test]
    fn times_are_spelled_by_pattern() {
        let settings = |kind: &'static str| {
            TimestampRule::from_settings(move |key| match key {
                "timestamp.type" => Some(kind),
                "input.dateformat" => Some("yyyy-MM-dd'T'HH:mm:ssZ,yyyy-MM-dd"),
                "output.dateformat" => Some("yyyy/MM/dd"),
                _ => None,
            })
            .unwrap()
        };
        let seconds = settings("UNIX_TIMESTAMP");
        assert_eq!(seconds.spell(Some("1709802301")).as_deref(), Some("2024/03/07"));
        assert_eq!(seconds.spell(None).as_deref(), Some("1970/01/01"));
        assert_eq!(seconds.spell(Some("soon")), None);
        let text = settings("DATE_STRING");
        assert_eq!(text.spell(Some("2024-03-07T23:30:00-0200")).as_deref(), Some("2024/03/07"));
        assert_eq!(text.spell(Some("2024-03-07")).as_deref(), Some("2024/03/07"));
    }

    #[test]
    fn a_bad_time_names_row_and_value() {
        let rule = PartitionPathRule {
            parts: vec![PartitionPart {
                column: "t".into(),
                kind: PartitionKind::Timestamp(Box::new(TimestampRule {
                    input: TimestampInput::Number { unit_nanos: i64::MAX },
                    output: DatePattern::parse("yyyy").unwrap(),
                    output_zone: None,
                })),
            }],
            ..PartitionPathRule::none()
        };
        let times: ArrayRef = Arc::new(Int64Array::from(vec![0, i64::MAX]));
        let error = rule.paths(&RecordBatch::try_from_iter([("t", times)]).unwrap()).unwrap_err();
        assert!(matches!(error, PartitionPathError::Time { row: 1, .. }), "{error}");
    }

    proptest! {
        #[test]
        fn escaping_round_trips(text in "\\PC{1,20}|[\\x01-\\x1f/%=]{1,8}") {
            let mut path = String::new();
            escape_into(&mut path, &text);
            prop_assert!(!path.contains(['/', '=']));
            prop_assert_eq!(unescape(&path), text);
        }

        #[test]
        fn unescaping_never_panics(text in "[%0-9a-g\\PC]{0,20}") {
            let _ = unescape(&text);
        }
    }
}
