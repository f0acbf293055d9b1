//! Names of the files of archived instants.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::HistoryError;
use crate::instant::InstantTime;

const FORM: &str = "file name of archived instants (<min instant>_<max instant>_<level>.parquet)";

/// The name of a file of archived instants: `<min>_<max>_<level>.parquet`.
///
/// Ordered by the least instant first, as Hudi orders the files that it merges.
///
/// Source: `LSMTimeline`, `LSMTimelineWriter.newFileName`; table versions 8 and 9.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HistoryFileName {
    /// The least instant in the file, by requested time.
    pub min: InstantTime,
    /// The greatest instant in the file, by requested time.
    pub max: InstantTime,
    /// 0 for a file of one archival, one more for each merge. Readers know one digit.
    pub level: u8,
}

impl FromStr for HistoryFileName {
    type Err = HistoryError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (min, rest) = name.strip_suffix(".parquet")?.split_once('_')?;
            let (max, level) = rest.split_once('_')?;
            let &[digit @ b'0'..=b'9'] = level.as_bytes() else { return None };
            Some(Self { min: min.parse().ok()?, max: max.parse().ok()?, level: digit - b'0' })
        };
        parse().ok_or_else(|| HistoryError::form(name, FORM))
    }
}

impl fmt::Display for HistoryFileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}_{}.parquet", self.min, self.max, self.level)
    }
}

impl TryFrom<String> for HistoryFileName {
    type Error = HistoryError;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        name.parse()
    }
}

impl From<HistoryFileName> for String {
    fn from(name: HistoryFileName) -> Self {
        name.to_string()
    }
}
