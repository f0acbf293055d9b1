//! The archived timeline of layout 2: instants that left the active timeline.
//!
//! In `.hoodie/timeline/history/`, as a log-structured merge tree:
//!
//! | file | content |
//! |---|---|
//! | `<min>_<max>_<level>.parquet` | one [`HistoryEntry`] for each completed instant, in instant order |
//! | `manifest_<n>` | the [`HistoryManifest`] of snapshot n: which of those files are valid |
//! | `_version_` | the number of the current snapshot, as text |
//!
//! An archival adds a file of level 0 and a snapshot; when enough files of a level exist, the
//! oldest are rewritten as one of the next level, in another snapshot. Snapshots count from 1.
//! Between the deletion and the creation of `_version_` the greatest `manifest_<n>` counts.
//!
//! Source: `LSMTimeline`, `LSMTimelineWriter`, `HoodieLSMTimelineManifest`; table versions 8
//! and 9.

use crate::timeline_metadata::evidence;

mod entries;
mod file_name;
mod footer;
mod manifest;
#[cfg(test)]
mod tests;
mod write;

pub use entries::{HistoryColumns, HistoryEntry, read_entries};
pub use file_name::HistoryFileName;
pub use footer::{TAIL_BYTES, greatest_completion};
pub use manifest::{
    HistoryFile, HistoryManifest, VERSION_FILE, manifest_name, manifest_version, parse_version,
};
pub use write::{merge_files, write_entries};

/// Why a file of the archived timeline could not be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    /// A name or a number of another form than it has to have.
    #[error("{found:?} is no {expected}")]
    Form {
        /// What was found.
        found: String,
        /// The form that was expected.
        expected: &'static str,
    },
    /// The manifest is no JSON of its form.
    #[error("the manifest of the archived timeline is broken: {problem}")]
    Manifest {
        /// What the parser says.
        problem: String,
    },
    /// The file is no Parquet file, or one that claims more than it can hold.
    #[error("the file of archived instants is broken: {problem}")]
    Parquet {
        /// What is wrong.
        problem: String,
    },
    /// A column is missing or of another type.
    #[error("the file of archived instants has no column {column:?} of type {expected}")]
    Column {
        /// The column.
        column: &'static str,
        /// Its Parquet type.
        expected: &'static str,
    },
    /// A row without what it must have.
    #[error("row {row} of the archived instants: {column} is {found:?}, expected {expected}")]
    Row {
        /// Which row, counted from 0.
        row: usize,
        /// The column.
        column: &'static str,
        /// What stands there; `"null"` for nothing.
        found: String,
        /// What it has to be.
        expected: &'static str,
    },
}

impl HistoryError {
    fn form(found: &str, expected: &'static str) -> Self {
        Self::Form { found: evidence(found), expected }
    }

    fn parquet(problem: &(impl ToString + ?Sized)) -> Self {
        Self::Parquet { problem: evidence(problem) }
    }
}
