//! Points in the past, as Spark's `as.of.instant` takes them.

use lakebed_hudi::instant::{InstantTime, TimelineZone};

/// A text that is no point in time of a table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AsOfError {
    /// A text of another form, or a date that does not exist.
    #[error(
        "{found:?} is no point in time: expected an instant (17 or 14 digits), yyyy-MM-dd, \
         or yyyy-MM-dd HH:mm with or without :ss and .SSS, and with Z for UTC"
    )]
    Form {
        /// The text.
        found: String,
    },
    /// A time in UTC, of a timeline that does not say what its times are in UTC.
    #[error(
        "{found:?} is in UTC, and the timeline of the table is in the local time of its writers, which it does \
         not record: leave out the Z, and give the time as `lakebed timeline` shows it"
    )]
    Zone {
        /// The text.
        found: String,
    },
}

/// Reads an instant, or a date or time in the zone of the table's timeline. A time that ends in `Z` is
/// in UTC: it takes that `zone`, which a timeline in local time does not tell.
///
/// A date is its first millisecond, a time without seconds or milliseconds the first of its minute or
/// second.
///
/// Source: `HoodieSqlCommonUtils.formatQueryInstant`, which wants seconds and knows no `Z`.
///
/// # Errors
/// Texts of another form, dates that do not exist, and `Z` without a zone.
pub fn parse_as_of(text: &str, zone: Option<TimelineZone>) -> Result<InstantTime, AsOfError> {
    let found = || text.chars().take(60).collect();
    let text = text.trim();
    let (digits, is_utc) = match text.strip_suffix(['Z', 'z']) {
        Some(time) if time.contains(':') => (digits(time), true),
        _ => (digits(text), false),
    };
    let time: Option<InstantTime> = digits.and_then(|digits| digits.parse().ok());
    let Some((time, millis)) = time.and_then(|time| Some((time, time.to_unix_millis(TimelineZone::Utc)?)))
    else {
        return Err(AsOfError::Form { found: found() });
    };
    match (is_utc, zone) {
        (false, _) => Ok(time),
        (true, Some(zone)) => Ok(InstantTime::from_unix_millis(millis, zone)),
        (true, None) => Err(AsOfError::Zone { found: found() }),
    }
}

/// The digits of the instant that `text` is or begins.
fn digits(text: &str) -> Option<String> {
    let pattern = match text.len() {
        14 | 17 => "d".repeat(text.len()),
        10 => "dddd-dd-dd".to_owned(),
        16 => "dddd-dd-dd dd:dd".to_owned(),
        19 => "dddd-dd-dd dd:dd:dd".to_owned(),
        23 => "dddd-dd-dd dd:dd:dd.ddd".to_owned(),
        _ => return None,
    };
    let fits = |(found, wanted): (char, char)| match wanted {
        'd' => found.is_ascii_digit(),
        ' ' => matches!(found, ' ' | 'T'),
        other => found == other,
    };
    if text.chars().count() != pattern.len() || !text.chars().zip(pattern.chars()).all(fits) {
        return None;
    }
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    Some(if text.len() == 14 { digits } else { format!("{digits:0<17}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_times_are_instants() {
        let text = |text: &str| parse_as_of(text, None).unwrap().to_string();
        assert_eq!(text("20260102030405678"), "20260102030405678");
        assert_eq!(text("20260102030405"), "20260102030405");
        assert_eq!(text("2026-01-02"), "20260102000000000");
        assert_eq!(text("2026-01-02 03:04:05"), "20260102030405000");
        assert_eq!(text(" 2026-01-02T03:04:05.678 "), "20260102030405678");
        assert_eq!(text("2026-01-02 03:04"), "20260102030400000");
        for wrong in [
            "",
            "now",
            "2026-13-02",
            "2026-01-02 25:00:00",
            "2026/01/02",
            "2026-01-02 03",
            "2026-01-02Z",
            "20260102030405678Z",
            "é026-01-0",
        ] {
            let error = parse_as_of(wrong, Some(TimelineZone::Utc)).unwrap_err();
            assert_eq!(error, AsOfError::Form { found: wrong.to_owned() });
        }
    }

    #[test]
    fn times_in_utc_are_those_of_the_timeline() {
        let chicago = TimelineZone::Named(chrono_tz::America::Chicago);
        let in_zone = |zone| parse_as_of("2026-03-07T22:25:57.587Z", zone).map(|time| time.to_string());
        assert_eq!(in_zone(Some(TimelineZone::Utc)).unwrap(), "20260307222557587");
        assert_eq!(in_zone(Some(chicago)).unwrap(), "20260307162557587");
        assert!(in_zone(None).unwrap_err().to_string().contains("leave out the Z"));
        let minutes = parse_as_of("2026-03-07 22:25z", Some(chicago)).unwrap();
        assert_eq!(minutes.to_string(), "20260307162500000");
    }
}
