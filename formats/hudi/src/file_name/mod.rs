//! Names of data files: base files, log files and the markers written before each.

mod base_file_name;
mod file_id;
mod log_file_name;
mod marker;
mod write_token;

pub use base_file_name::BaseFileName;
pub use file_id::FileId;
pub use log_file_name::LogFileName;
pub use marker::MarkerKind;
pub use write_token::WriteToken;

use crate::instant::InstantTime;

#[cfg(test)]
mod tests;

/// The name of the file that makes a folder a partition.
pub const PARTITION_METADATA: &str = ".hoodie_partition_metadata";

/// Why a name is none of Hudi's data file names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is no {expected}")]
pub struct FileNameError {
    /// The name found.
    pub found: String,
    /// The form that was expected.
    pub expected: &'static str,
}

impl FileNameError {
    fn new(found: &str, expected: &'static str) -> Self {
        Self { found: found.chars().take(300).collect(), expected }
    }
}

/// A name in a partition folder, as far as the table format gives it a meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataFileName {
    /// A base file.
    Base(BaseFileName),
    /// A log file.
    Log(LogFileName),
}

impl DataFileName {
    /// Reads a name in a partition folder; `None` for names that are no data file's.
    pub fn parse(name: &str) -> Option<Self> {
        if name.starts_with('.') {
            return name.parse().ok().map(Self::Log);
        }
        name.parse().ok().map(Self::Base)
    }

    /// The file group.
    pub fn file_id(&self) -> &FileId {
        match self {
            Self::Base(name) => &name.file_id,
            Self::Log(name) => &name.file_id,
        }
    }

    /// The instant in the name.
    pub fn instant(&self) -> InstantTime {
        match self {
            Self::Base(name) => name.instant,
            Self::Log(name) => name.instant,
        }
    }
}
