//! How much of the past stays.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::near_match::near_match;

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

    /// The policy `named`, or the one of which it is said what it keeps; with Hudi's default of how much.
    ///
    /// # Errors
    /// What another policy keeps; says which setting that is.
    pub fn chosen(
        named: Option<PolicyName>,
        retain_commits: Option<u32>,
        retain_hours: Option<u32>,
        retain_file_versions: Option<u32>,
    ) -> Result<Self, String> {
        let said = [
            (PolicyName::KeepLatestCommits, "retain_commits", retain_commits),
            (PolicyName::KeepLatestByHours, "retain_hours", retain_hours),
            (PolicyName::KeepLatestFileVersions, "retain_file_versions", retain_file_versions),
        ];
        let mut said = said.into_iter().filter_map(|(of, setting, kept)| Some((of, setting, kept?)));
        let first = said.next();
        let name = named.or(first.map(|(of, ..)| of)).unwrap_or(PolicyName::KeepLatestCommits);
        let kept = |default| match first {
            Some((_, setting, 0)) => Err(format!("{setting} must be at least 1")),
            Some((_, _, kept)) => Ok(kept),
            None => Ok(default),
        };
        if let Some((_, setting, _)) = first.into_iter().chain(said).find(|(of, ..)| *of != name) {
            return Err(format!("{setting} is no setting of policy {}", name.policy(0)));
        }
        let default = match name {
            PolicyName::KeepLatestCommits => 10,
            PolicyName::KeepLatestByHours => 24,
            PolicyName::KeepLatestFileVersions => 3,
        };
        Ok(name.policy(kept(default)?))
    }

    /// Whether versions are counted, and not commits.
    pub fn counts_versions(self) -> bool {
        matches!(self, Self::KeepLatestFileVersions(_))
    }
}

/// A policy, without how much it keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PolicyName {
    /// What the newest commits read.
    KeepLatestCommits,
    /// What was read within some hours.
    KeepLatestByHours,
    /// The newest versions of each file group.
    KeepLatestFileVersions,
}

impl FromStr for PolicyName {
    type Err = String;

    /// Takes Hudi's names, in any case.
    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::KeepLatestCommits, Self::KeepLatestByHours, Self::KeepLatestFileVersions];
        let names = all.map(|name| name.policy(0).as_str());
        let found = all.iter().zip(names).find(|(_, name)| name.eq_ignore_ascii_case(text));
        found.map(|(name, _)| *name).ok_or_else(|| {
            let near = near_match(&text.to_uppercase(), names);
            let hint = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
            format!("{text:?} is none of {}{hint}", names.join(", "))
        })
    }
}

impl PolicyName {
    fn policy(self, kept: u32) -> CleanPolicy {
        match self {
            Self::KeepLatestCommits => CleanPolicy::KeepLatestCommits(kept as usize),
            Self::KeepLatestByHours => CleanPolicy::KeepLatestByHours(kept),
            Self::KeepLatestFileVersions => CleanPolicy::KeepLatestFileVersions(kept as usize),
        }
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
