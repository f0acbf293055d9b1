//! The date patterns of timestamp key generators.

use std::fmt::Write as _;

use chrono::{Datelike as _, NaiveDate, NaiveDateTime, Timelike as _};

/// Far more digits than a field has.
const FIELD_LETTERS_MAX: usize = 100;

/// A pattern with letters that have no meaning here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "date pattern {pattern:?} has {found:?}: only the numeric fields y M d H m s S of at most {FIELD_LETTERS_MAX} \
     letters, Z for an offset and quoted text are supported"
)]
pub struct DatePatternError {
    /// The pattern, cut to a bounded length.
    pub pattern: String,
    /// The field that is not supported, cut to a bounded length.
    pub found: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Field(char, usize),
}

/// A Joda date pattern of numeric fields, such as `yyyy/MM/dd` or `yyyy-MM-dd'T'HH:mm:ss.SSSZ`.
///
/// Source: `org.joda.time.format.DateTimeFormat`, as `TimestampBasedAvroKeyGenerator` uses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatePattern {
    pieces: Vec<Piece>,
}

impl DatePattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// Fields of text (month names, weekdays, zone names), unknown letters, and fields of absurd length.
    pub fn parse(pattern: &str) -> Result<Self, DatePatternError> {
        let mut pieces: Vec<Piece> = Vec::new();
        let mut chars = pattern.chars().peekable();
        while let Some(c) = chars.next() {
            if c == '\'' {
                let mut text = String::new();
                for quoted in chars.by_ref().take_while(|c| *c != '\'') {
                    text.push(quoted);
                }
                pieces.push(Piece::Literal(if text.is_empty() { "'".to_owned() } else { text }));
            } else if c.is_ascii_alphabetic() {
                let mut count = 1;
                while chars.next_if_eq(&c).is_some() {
                    count += 1;
                }
                let numeric =
                    matches!(c, 'y' | 'Y' | 'd' | 'H' | 'm' | 's' | 'S' | 'Z') || (c == 'M' && count < 3);
                if !numeric || count > FIELD_LETTERS_MAX {
                    let found = c.to_string().repeat(count.min(FIELD_LETTERS_MAX));
                    return Err(DatePatternError { pattern: pattern.chars().take(200).collect(), found });
                }
                pieces.push(Piece::Field(if c == 'Y' { 'y' } else { c }, count));
            } else {
                pieces.push(Piece::Literal(c.to_string()));
            }
        }
        Ok(Self { pieces })
    }

    /// Spells `time`, whose offset from UTC is `offset_seconds`.
    pub fn format(&self, time: NaiveDateTime, offset_seconds: i32) -> String {
        let mut out = String::new();
        for piece in &self.pieces {
            // Writing to a String cannot fail.
            let _ = match piece {
                Piece::Literal(text) => write!(out, "{text}"),
                Piece::Field('y', 2) => write!(out, "{:02}", time.year().rem_euclid(100)),
                Piece::Field('y', n) => write!(out, "{:0n$}", time.year()),
                Piece::Field('M', n) => write!(out, "{:0n$}", time.month()),
                Piece::Field('d', n) => write!(out, "{:0n$}", time.day()),
                Piece::Field('H', n) => write!(out, "{:0n$}", time.hour()),
                Piece::Field('m', n) => write!(out, "{:0n$}", time.minute()),
                Piece::Field('s', n) => write!(out, "{:0n$}", time.second()),
                Piece::Field('S', n) => {
                    let nanos = format!("{:09}", time.nanosecond());
                    write!(out, "{:0<n$.n$}", nanos)
                }
                Piece::Field(_, n) => write_offset(&mut out, offset_seconds, *n),
            };
        }
        out
    }

    /// Reads `text`: the local time and the offset from UTC in seconds, if the text has one.
    ///
    /// `None` where the text does not match the pattern to its end.
    pub fn read(&self, text: &str) -> Option<(NaiveDateTime, Option<i32>)> {
        let (mut year, mut month, mut day, mut hour, mut minute, mut second) = (1970, 1, 1, 0, 0, 0);
        let mut nanos = 0;
        let mut offset = None;
        let mut rest = text;
        let mut pieces = self.pieces.iter().peekable();
        while let Some(piece) = pieces.next() {
            let (field, count) = match piece {
                Piece::Literal(literal) => {
                    rest = rest.strip_prefix(literal.as_str())?;
                    continue;
                }
                Piece::Field(field, count) => (*field, *count),
            };
            if field == 'Z' {
                let (seconds, after) = take_offset(rest)?;
                offset = Some(seconds);
                rest = after;
                continue;
            }
            // Fields that touch each other have exactly as many digits as letters.
            let exact = matches!(pieces.peek(), Some(Piece::Field(next, _)) if *next != 'Z');
            let (digits, after) = take_digits(rest, if exact { count } else { 9.max(count) })?;
            rest = after;
            let number: u32 = digits.parse().ok()?;
            match field {
                'y' if count == 2 && digits.len() == 2 => year = two_digit_year(number),
                'y' => year = i32::try_from(number).ok()?,
                'M' => month = number,
                'd' => day = number,
                'H' => hour = number,
                'm' => minute = number,
                's' => second = number,
                _ => nanos = format!("{digits:0<9.9}").parse().ok()?,
            }
        }
        let date = NaiveDate::from_ymd_opt(year, month, day)?;
        let time = date.and_hms_nano_opt(hour, minute, second, nanos)?;
        rest.is_empty().then_some((time, offset))
    }
}

/// Joda reads two digits as the year within fifty of 2000.
fn two_digit_year(digits: u32) -> i32 {
    let year = i32::try_from(digits).unwrap_or(0);
    if year < 50 { 2000 + year } else { 1900 + year }
}

fn take_digits(text: &str, most: usize) -> Option<(&str, &str)> {
    let count = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
    (count > 0).then(|| text.split_at_checked(count)).flatten()
}

fn take_offset(text: &str) -> Option<(i32, &str)> {
    if let Some(rest) = text.strip_prefix('Z') {
        return Some((0, rest));
    }
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+')?),
    };
    let (hours, rest) = take_digits(rest, 2)?;
    let rest = rest.strip_prefix(':').unwrap_or(rest);
    let (minutes, rest) = take_digits(rest, 2)?;
    let seconds = hours.parse::<i32>().ok()? * 3600 + minutes.parse::<i32>().ok()? * 60;
    Some((sign * seconds, rest))
}

fn write_offset(out: &mut String, seconds: i32, letters: usize) -> std::fmt::Result {
    let sign = if seconds < 0 { '-' } else { '+' };
    let minutes = seconds.abs() / 60;
    let colon = if letters > 1 { ":" } else { "" };
    write!(out, "{sign}{:02}{colon}{:02}", minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn time(text: &str) -> NaiveDateTime {
        text.parse().unwrap()
    }

    #[test]
    fn usual_patterns_spell_and_read() {
        let t = time("2024-03-07T09:05:01.250");
        for (pattern, text) in [
            ("yyyy/MM/dd", "2024/03/07"),
            ("yyyy-MM-dd HH:mm:ss.SSS", "2024-03-07 09:05:01.250"),
            ("yyyyMMddHH", "2024030709"),
            ("yyyy-MM-dd'T'HH:mm:ssZ", "2024-03-07T09:05:01+0200"),
            ("'year'=yy, d.M", "year=24, 7.3"),
        ] {
            assert_eq!(DatePattern::parse(pattern).unwrap().format(t, 7200), text);
        }
        let read = |pattern: &str, text| DatePattern::parse(pattern).unwrap().read(text);
        assert_eq!(read("yyyyMMddHH", "2024030709"), Some((time("2024-03-07T09:00:00"), None)));
        assert_eq!(
            read("yyyy-MM-dd'T'HH:mm:ssZ", "2024-03-07T09:05:01-02:30"),
            Some((time("2024-03-07T09:05:01"), Some(-9000)))
        );
        assert_eq!(read("yyyy-MM-dd", "2024-03-07 rest"), None);
        assert_eq!(read("yyyy-MM-dd", "2024-02-30"), None);
    }

    #[test]
    fn text_fields_are_refused_by_name() {
        let error = DatePattern::parse("dd MMM yyyy").unwrap_err();
        assert_eq!(error.found, "MMM");
        assert!(DatePattern::parse("EEE").is_err());
    }

    #[test]
    fn fields_longer_than_any_number_are_refused() {
        let spelled = DatePattern::parse(&"y".repeat(100)).unwrap().format(time("2024-03-07T09:05:01"), 0);
        assert_eq!((spelled.len(), spelled.trim_start_matches('0')), (100, "2024"));
        let error = DatePattern::parse(&"y".repeat(65_536)).unwrap_err();
        assert!(error.to_string().len() < 600, "{error}");
    }

    proptest! {
        #[test]
        fn a_time_reads_as_it_was_spelled(
            seconds in -2_000_000_000..200_000_000_000_i64,
            nanos in 0..1_000_000_000_u32,
            offset_minutes in -18 * 60..=18 * 60_i32,
        ) {
            let time = chrono::DateTime::from_timestamp(seconds, nanos).unwrap().naive_utc();
            let pattern = DatePattern::parse("yyyy-MM-dd'T'HH:mm:ss.SSSSSSSSSZZ").unwrap();
            let text = pattern.format(time, offset_minutes * 60);
            prop_assert_eq!(pattern.read(&text), Some((time, Some(offset_minutes * 60))));
        }

        #[test]
        fn any_pattern_and_text_are_survived(
            pattern in "[yYMdHmsSZ' :/\\-\u{e9}]{0,30}",
            text in "[0-9+:/ \\-Z\u{e9}]{0,30}",
            seconds in -9_000_000_000_000..9_000_000_000_000_i64,
        ) {
            if let Ok(pattern) = DatePattern::parse(&pattern) {
                let _ = pattern.read(&text);
                if let Some(time) = chrono::DateTime::from_timestamp(seconds, 0) {
                    let _ = pattern.read(&pattern.format(time.naive_utc(), 5400));
                }
            }
        }
    }
}
