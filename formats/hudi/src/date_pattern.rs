//! The date patterns of timestamp key generators.

use std::fmt::Write as _;

use chrono::{Datelike as _, NaiveDate, NaiveDateTime, Timelike as _};

/// A pattern with letters that have no meaning here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "date pattern {pattern:?} has {found:?}: only the numeric fields y M d H m s S, Z for an offset and quoted text are supported"
)]
pub struct DatePatternError {
    /// The whole pattern.
    pub pattern: String,
    /// The field that is not supported.
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
    /// Fields of text (month names, weekdays, zone names) and unknown letters.
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
                if !numeric {
                    let found = c.to_string().repeat(count);
                    return Err(DatePatternError { pattern: pattern.to_owned(), found });
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
}
