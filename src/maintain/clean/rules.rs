//! How much of the past stays.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Which versions of files stay, besides the newest ones.
///
/// Source: `HoodieCleaningPolicy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CleanPolicy {
    /// What the newest so many commits read, and each commit's readers (`hoodie.clean.commits.retained`).
    KeepLatestCommits(usize),
    /// What was read within so many hours (`hoodie.clean.hours.retained`).
    KeepLatestByHours(u32),
    /// The newest so many versions of each file group (`hoodie.clean.fileversions.retained`).
    KeepLatestFileVersions(usize),
}

impl CleanPolicy {
    /// The name, as plans spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::KeepLatestCommits(_) => "KEEP_LATEST_COMMITS",
            Self::KeepLatestByHours(_) => "KEEP_LATEST_BY_HOURS",
            Self::KeepLatestFileVersions(_) => Self::FILE_VERSIONS,
        }
    }

    /// The name of the policy that counts versions, and not commits.
    pub const FILE_VERSIONS: &str = "KEEP_LATEST_FILE_VERSIONS";

    /// Whether versions are counted, and not commits.
    pub fn counts_versions(self) -> bool {
        matches!(self, Self::KeepLatestFileVersions(_))
    }
}

impl fmt::Display for CleanPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How much of the past stays.
///
/// Whatever the policy: the newest slice of each group stays, and what a savepoint keeps or a pending service
/// reads; files of instants that are not completed are none of a cleaner's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CleanRules {
    /// Which versions stay.
    pub policy: CleanPolicy,
    /// Files that were read by whoever began to read so long ago stay: somebody may be about it still.
    pub reader_window: Duration,
}

impl Default for CleanRules {
    /// Hudi's default policy, and an hour for readers.
    fn default() -> Self {
        Self { policy: CleanPolicy::KeepLatestCommits(10), reader_window: Duration::from_secs(3600) }
    }
}
