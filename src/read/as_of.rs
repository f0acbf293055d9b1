//! Points in the past, as Spark's `as.of.instant` takes them.

use lakebed_hudi::instant::InstantTime;

/// A text that is no point in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{found:?} is no point in time: expected an instant (17 or 14 digits), yyyy-MM-dd, \
     or yyyy-MM-dd HH:mm:ss with or without .SSS"
)]
pub struct AsOfError {
    /// The text.
    pub found: String,
}

/// Reads an instant, or a date or time in the zone of the table's timeline.
///
/// A date is its first millisecond, and a time without milliseconds the first of its second.
///
/// Source: `HoodieSqlCommonUtils.formatQueryInstant`.
///
/// # Errors
/// Texts of another form, and dates that do not exist.
pub fn parse_as_of(text: &str) -> Result<InstantTime, AsOfError> {
    let error = || AsOfError { found: text.chars().take(60).collect() };
    let text = text.trim();
    let pattern = match text.len() {
        14 | 17 => "d".repeat(text.len()),
        10 => "dddd-dd-dd".to_owned(),
        19 => "dddd-dd-dd dd:dd:dd".to_owned(),
        23 => "dddd-dd-dd dd:dd:dd.ddd".to_owned(),
        _ => return Err(error()),
    };
    let fits = |(found, wanted): (char, char)| match wanted {
        'd' => found.is_ascii_digit(),
        ' ' => matches!(found, ' ' | 'T'),
        other => found == other,
    };
    if text.chars().count() != pattern.len() || !text.chars().zip(pattern.chars()).all(fits) {
        return Err(error());
    }
    let mut digits: String = text.chars().filter(char::is_ascii_digit).collect();
    if digits.len() != 14 || text.len() != 14 {
        digits = format!("{digits:0<17}");
    }
    let instant: InstantTime = digits.parse().map_err(|_| error())?;
    let exists = instant.to_unix_millis(lakebed_hudi::instant::TimelineZone::Utc).is_some();
    if exists { Ok(instant) } else { Err(error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_times_are_instants() {
        let text = |text: &str| parse_as_of(text).unwrap().to_string();
        assert_eq!(text("20260102030405678"), "20260102030405678");
        assert_eq!(text("20260102030405"), "20260102030405");
        assert_eq!(text("2026-01-02"), "20260102000000000");
        assert_eq!(text("2026-01-02 03:04:05"), "20260102030405000");
        assert_eq!(text(" 2026-01-02T03:04:05.678 "), "20260102030405678");
        for wrong in
            ["", "now", "2026-13-02", "2026-01-02 25:00:00", "2026/01/02", "2026-01-02 03:04", "é026-01-0"]
        {
            assert!(parse_as_of(wrong).is_err(), "{wrong}");
        }
    }
}
