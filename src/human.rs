//! Numbers and times as people read them.

use std::time::Duration;

use lakebed_hudi::instant::{InstantTime, TimelineZone};

/// `1234567` as `1,234,567`.
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count with its noun: `1 file`, `3 files`.
pub(crate) fn counted(n: u64, noun: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{} {noun}{s}", count(n))
}

/// `1536` as `1.5 KiB`.
pub(crate) fn bytes(n: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    let mut size = n as f64;
    let mut unit = "B";
    for larger in UNITS {
        if size < 1023.95 {
            break;
        }
        size /= 1024.0;
        unit = larger;
    }
    format!("{size:.1} {unit}")
}

/// Milliseconds as `45 ms`, `1.2 s`, `3 min 5 s`, `2 h 7 min` or `5 d 3 h`.
pub(crate) fn duration(millis: u64) -> String {
    let seconds = millis / 1000;
    let two = |large: u64, unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{large} {unit}"),
        small => format!("{large} {unit} {small} {small_unit}"),
    };
    match seconds {
        0 => format!("{millis} ms"),
        1..60 => format!("{}.{} s", seconds, millis % 1000 / 100),
        60..3600 => two(seconds / 60, "min", seconds % 60, "s"),
        3600..86_400 => two(seconds / 3600, "h", seconds % 3600 / 60, "min"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3600, "h"),
    }
}

/// A time as [`duration`] has it.
pub(crate) fn lasting(time: Duration) -> String {
    duration(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

/// An instant as a date and a time, in the zone of its timeline.
pub(crate) fn moment(time: InstantTime) -> String {
    let digits = time.as_str();
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    let (date, clock) = (
        format!("{}-{}-{}", part(0, 4), part(4, 6), part(6, 8)),
        format!("{}:{}:{}", part(8, 10), part(10, 12), part(12, 14)),
    );
    format!("{date} {clock}")
}

/// An instant as [`moment`] has it, with its milliseconds where it has any.
pub(crate) fn exact_moment(time: InstantTime) -> String {
    match time.as_str().get(14..17) {
        Some(millis) => format!("{}.{millis}", moment(time)),
        None => moment(time),
    }
}

/// An event time, milliseconds since the epoch, as [`moment`] has it in UTC.
pub(crate) fn event_time(millis: i64) -> String {
    moment(InstantTime::from_unix_millis(millis, TimelineZone::Utc))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        let all = [0, 999, 1000, 1_234_567].map(count);
        assert_eq!(all, ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([counted(1, "file"), counted(2, "file")], ["1 file", "2 files"]);
    }

    #[test]
    fn sizes_keep_one_digit() {
        let all = [0, 1023, 1536, 1_048_575, 1 << 20, u64::MAX].map(bytes);
        assert_eq!(all, ["0 B", "1023 B", "1.5 KiB", "1.0 MiB", "1.0 MiB", "16.0 EiB"]);
    }

    #[test]
    fn durations_have_two_units() {
        let all = [45, 1_250, 60_000, 185_000, 7_620_000, 443_000_000].map(duration);
        assert_eq!(all, ["45 ms", "1.2 s", "1 min", "3 min 5 s", "2 h 7 min", "5 d 3 h"]);
    }

    #[test]
    fn instants_are_dates() {
        assert_eq!(moment("20260307162557587".parse().unwrap()), "2026-03-07 16:25:57");
        assert_eq!(exact_moment("20260307162557587".parse().unwrap()), "2026-03-07 16:25:57.587");
        assert_eq!(exact_moment("20260307162557".parse().unwrap()), "2026-03-07 16:25:57");
        assert_eq!(event_time(1_356_998_400_000), "2013-01-01 00:00:00");
    }
}
