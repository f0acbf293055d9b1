//! Instant times: when an action began or completed, as the timeline spells it.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeZone, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

const MILLIS_DIGITS: usize = 17;
const SECONDS_DIGITS: usize = 14;

/// Why a text is no instant time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is no instant time: expected 17 digits (yyyyMMddHHmmssSSS) or 14 (yyyyMMddHHmmss)")]
pub struct InstantTimeError {
    /// The text found.
    pub found: String,
}

/// A point on a table's timeline: `yyyyMMddHHmmssSSS` in the timeline's zone.
///
/// Ordered as Hudi orders it: as text. Times with seconds only (14 digits, Hudi before 0.10)
/// are read and sort before every time of the same second.
///
/// Source: `HoodieInstantTimeGenerator`, timeline layouts 1 and 2.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InstantTime([u8; MILLIS_DIGITS]);

impl InstantTime {
    /// The time of `unix_millis`, as a clock in `zone` shows it.
    ///
    /// Years outside 0000-9999 saturate, so that the text keeps its 17 digits.
    pub fn from_unix_millis(unix_millis: i64, zone: TimelineZone) -> Self {
        let beyond = if unix_millis < 0 { DateTime::<Utc>::MIN_UTC } else { DateTime::<Utc>::MAX_UTC };
        let utc = DateTime::<Utc>::from_timestamp_millis(unix_millis).unwrap_or(beyond);
        let local = match zone {
            TimelineZone::Utc => utc.naive_utc(),
            TimelineZone::Named(zone) => zone.from_utc_datetime(&utc.naive_utc()).naive_local(),
        };
        Self::from_local(local)
    }

    /// Milliseconds since the epoch, or `None` where the digits are no date.
    ///
    /// A 14-digit time stands for the last millisecond of its second, as in Hudi. A local time
    /// that happened twice (the end of summer time) is taken as the earlier one.
    pub fn to_unix_millis(self, zone: TimelineZone) -> Option<i64> {
        let local = self.to_local()?;
        match zone {
            TimelineZone::Utc => Some(local.and_utc().timestamp_millis()),
            TimelineZone::Named(zone) => {
                zone.from_local_datetime(&local).earliest().map(|t| t.timestamp_millis())
            }
        }
    }

    /// The digits: 17, or 14 where the time came so.
    pub fn as_str(&self) -> &str {
        let digits = self.0.split(|b| *b == 0).next().unwrap_or_default();
        std::str::from_utf8(digits).unwrap_or_default()
    }

    fn from_local(local: NaiveDateTime) -> Self {
        let min = NaiveDate::from_ymd_opt(0, 1, 1).unwrap_or(NaiveDate::MIN).and_time(NaiveTime::MIN);
        let max = NaiveDate::from_ymd_opt(9999, 12, 31)
            .and_then(|d| d.and_hms_milli_opt(23, 59, 59, 999))
            .unwrap_or(NaiveDateTime::MAX);
        let text = local.clamp(min, max).format("%Y%m%d%H%M%S%3f").to_string();
        let mut digits = [b'0'; MILLIS_DIGITS];
        for (to, from) in digits.iter_mut().zip(text.bytes()) {
            *to = from;
        }
        Self(digits)
    }

    fn to_local(self) -> Option<NaiveDateTime> {
        let text = self.as_str();
        let (seconds, millis) = text.split_at_checked(SECONDS_DIGITS)?;
        let number = |from: usize, to: usize| seconds.get(from..to)?.parse::<u32>().ok();
        let millis = if millis.is_empty() { 999 } else { millis.parse().ok()? };
        NaiveDate::from_ymd_opt(i32::try_from(number(0, 4)?).ok()?, number(4, 6)?, number(6, 8)?)?
            .and_hms_milli_opt(number(8, 10)?, number(10, 12)?, number(12, 14)?, millis)
    }
}

impl FromStr for InstantTime {
    type Err = InstantTimeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let right_length = matches!(text.len(), SECONDS_DIGITS | MILLIS_DIGITS);
        if !right_length || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(InstantTimeError { found: text.chars().take(40).collect() });
        }
        let mut digits = [0; MILLIS_DIGITS];
        for (to, from) in digits.iter_mut().zip(text.bytes()) {
            *to = from;
        }
        Ok(Self(digits))
    }
}

impl TryFrom<String> for InstantTime {
    type Error = InstantTimeError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<InstantTime> for String {
    fn from(time: InstantTime) -> Self {
        time.as_str().to_owned()
    }
}

impl fmt::Display for InstantTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for InstantTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The zone in which a table's instant times are spelled.
///
/// Hudi's own default is the zone of the writing JVM, which the table does not record; only a
/// table with `hoodie.table.timeline.timezone=UTC` says what it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimelineZone {
    /// Coordinated universal time.
    #[default]
    Utc,
    /// A named zone of the tz database, stated by whoever opens a LOCAL table.
    Named(Tz),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn millis_round_trip_in_utc() {
        let time = InstantTime::from_unix_millis(1_772_922_357_587, TimelineZone::Utc);
        assert_eq!(time.as_str(), "20260307222557587");
        assert_eq!(time.to_unix_millis(TimelineZone::Utc), Some(1_772_922_357_587));
    }

    #[test]
    fn a_local_timeline_shows_local_digits() {
        // The instant and the moment of one commit of Hudi 1.1.1 by a writer in Chicago.
        let zone = TimelineZone::Named(chrono_tz::America::Chicago);
        let time: InstantTime = "20260307162557587".parse().unwrap();
        assert_eq!(time.to_unix_millis(zone), Some(1_772_922_357_587));
        assert_eq!(InstantTime::from_unix_millis(1_772_922_357_587, zone), time);
    }

    #[test]
    fn seconds_sort_before_the_milliseconds_of_their_second() {
        let old: InstantTime = "20200101000000".parse().unwrap();
        let new: InstantTime = "20200101000000000".parse().unwrap();
        assert!(old < new);
        assert_eq!(old.to_string(), "20200101000000");
    }

    #[test]
    fn other_texts_are_refused() {
        for text in
            ["", "2024", "2024010100000000x", "202401010000000000", "２０２４０１０１０００００００００"]
        {
            assert!(text.parse::<InstantTime>().is_err(), "{text}");
        }
    }

    #[test]
    fn extreme_clocks_keep_seventeen_digits() {
        for millis in [i64::MIN, i64::MAX, -62_167_219_200_001] {
            assert_eq!(InstantTime::from_unix_millis(millis, TimelineZone::Utc).as_str().len(), 17);
        }
    }
}
