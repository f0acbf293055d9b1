//! The name of a marker.

use serde::{Deserialize, Serialize};

/// Why a writer creates a file; the ending of its marker.
///
/// Source: `IOType`. Version 8 on: `Create` for new base files and log files, `Merge` for a new
/// base file of an existing group. Version 6 marks log files with `Append`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MarkerKind {
    /// The first file of a group, or a log file.
    Create,
    /// A base file that takes the place of an older one.
    Merge,
    /// A log file of a version 6 table.
    Append,
}

impl MarkerKind {
    /// The kind as marker names spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Merge => "MERGE",
            Self::Append => "APPEND",
        }
    }

    /// The marker of a data file, relative to the marker folder of its instant.
    pub fn marker_path(self, data_path: &str) -> String {
        format!("{data_path}.marker.{}", self.as_str())
    }

    /// The data file that a marker names: the text before `.marker.<kind>`.
    pub fn parse_marker(marker: &str) -> Option<(&str, Self)> {
        let (data_path, kind) = marker.rsplit_once(".marker.")?;
        let kind = [Self::Create, Self::Merge, Self::Append].into_iter().find(|k| k.as_str() == kind)?;
        Some((data_path, kind))
    }
}
