//! The name of a log file.

use std::fmt;
use std::str::FromStr;

use super::{FileId, FileNameError, WriteToken};
use crate::instant::InstantTime;

/// The name of a log file: `.<file id>_<instant>.log.<version>_<write token>[.cdc]`.
///
/// Ordered as readers order the files of one slice: by instant, version, then token as text.
///
/// Source: `FSUtils.LOG_FILE_PATTERN`, `HoodieLogFile.LogFileComparator`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LogFileName {
    /// The file group.
    pub file_id: FileId,
    /// The delta commit that wrote it (version 8 on), or the base instant (version 6).
    pub instant: InstantTime,
    /// Rises where one slice (version 6) or one commit (later) needs several files.
    pub version: u32,
    /// The attempt that wrote it; files of Hudi before 0.5 have none.
    pub write_token: Option<WriteToken>,
    /// Whether it holds change data instead of rows.
    pub cdc: bool,
}

impl LogFileName {
    /// The name of the first log file that `instant` adds to a group.
    pub fn new(file_id: FileId, instant: InstantTime, write_token: WriteToken) -> Self {
        Self { file_id, instant, version: 1, write_token: Some(write_token), cdc: false }
    }
}

impl Ord for LogFileName {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let key = |n: &Self| (n.instant, n.version, n.write_token.clone(), n.cdc, n.file_id.clone());
        key(self).cmp(&key(other))
    }
}

impl PartialOrd for LogFileName {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl FromStr for LogFileName {
    type Err = FileNameError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let error =
            || FileNameError::new(name, "log file name (.<file id>_<instant>.log.<version>_<write token>)");
        let rest = name.strip_prefix('.').ok_or_else(error)?;
        let (rest, cdc) = match rest.strip_suffix(".cdc") {
            Some(rest) => (rest, true),
            None => (rest, false),
        };
        let (stem, tail) = rest.split_once(".log.").ok_or_else(error)?;
        let (file_id, instant) = stem.split_once('_').ok_or_else(error)?;
        let (version, token) = match tail.split_once('_') {
            Some((version, token)) => (version, Some(token.parse().map_err(|_| error())?)),
            None => (tail, None),
        };
        if !version.bytes().all(|b| b.is_ascii_digit()) {
            return Err(error());
        }
        Ok(Self {
            file_id: file_id.parse().map_err(|_| error())?,
            instant: instant.parse().map_err(|_| error())?,
            version: version.parse().map_err(|_| error())?,
            write_token: token,
            cdc,
        })
    }
}

impl fmt::Display for LogFileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ".{}_{}.log.{}", self.file_id, self.instant, self.version)?;
        if let Some(token) = &self.write_token {
            write!(f, "_{token}")?;
        }
        f.write_str(if self.cdc { ".cdc" } else { "" })
    }
}
