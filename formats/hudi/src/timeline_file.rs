//! Names of timeline files: which action, begun when, in which state, completed when.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::instant::{InstantTime, InstantTimeError};

/// How a table lays out its timeline.
///
/// Source: `TimelineLayoutVersion`; version 6 tables use layout 1, versions 8 and 9 layout 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TimelineLayout {
    /// Files in `.hoodie/`; completion times are not recorded.
    One,
    /// Files in `.hoodie/timeline/`; completed names carry the completion time.
    Two,
}

/// What an instant does to the table.
///
/// Source: `HoodieTimeline` action names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// A write of base files, or a completed compaction.
    Commit,
    /// A write to a merge-on-read table, or a completed log compaction.
    DeltaCommit,
    /// A write that replaces file groups, or a completed clustering.
    ReplaceCommit,
    /// A pending compaction; completes as [`Action::Commit`].
    Compaction,
    /// A pending log compaction; completes as [`Action::DeltaCommit`].
    LogCompaction,
    /// A pending clustering (layout 2); completes as [`Action::ReplaceCommit`].
    Clustering,
    /// Removal of files that no query needs any more.
    Clean,
    /// Removal of a failed write.
    Rollback,
    /// Removal of everything after a savepoint.
    Restore,
    /// A commit kept from cleaning.
    Savepoint,
    /// Building of an index of the metadata table.
    Indexing,
}

impl Action {
    /// Every action, in no meaningful order.
    pub const ALL: [Self; 11] = [
        Self::Commit,
        Self::DeltaCommit,
        Self::ReplaceCommit,
        Self::Compaction,
        Self::LogCompaction,
        Self::Clustering,
        Self::Clean,
        Self::Rollback,
        Self::Restore,
        Self::Savepoint,
        Self::Indexing,
    ];

    /// The action as file names spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::DeltaCommit => "deltacommit",
            Self::ReplaceCommit => "replacecommit",
            Self::Compaction => "compaction",
            Self::LogCompaction => "logcompaction",
            Self::Clustering => "clustering",
            Self::Clean => "clean",
            Self::Rollback => "rollback",
            Self::Restore => "restore",
            Self::Savepoint => "savepoint",
            Self::Indexing => "indexing",
        }
    }

    /// The action under which this one appears once completed.
    pub fn completed(self) -> Self {
        match self {
            Self::Compaction => Self::Commit,
            Self::LogCompaction => Self::DeltaCommit,
            Self::Clustering => Self::ReplaceCommit,
            other => other,
        }
    }

    /// Whether a completed instant of this action adds rows or files to the table.
    pub fn writes_data(self) -> bool {
        matches!(self.completed(), Self::Commit | Self::DeltaCommit | Self::ReplaceCommit)
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == text)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How far an instant has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Planned; no file of it exists.
    Requested,
    /// Running; its files may exist.
    Inflight,
    /// Done; visible from the completion time on. Layout 1 records no completion time.
    Completed(Option<InstantTime>),
}

/// Why a name in the timeline folder could not be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimelineFileError {
    /// The text before the action is no instant time.
    #[error("timeline file {name:?}: {source}")]
    Time {
        /// The whole name.
        name: String,
        /// What is wrong with its time.
        source: InstantTimeError,
    },
    /// The name ends in no known action and state.
    #[error("timeline file {name:?} has no known action; known are {known}", known = known_actions())]
    Action {
        /// The whole name.
        name: String,
    },
    /// A completed file of layout 2 without a completion time, or of layout 1 with one.
    #[error("timeline file {name:?} does not belong to timeline layout {layout}")]
    Layout {
        /// The whole name.
        name: String,
        /// The layout of the table, 1 or 2.
        layout: u8,
    },
}

fn known_actions() -> String {
    Action::ALL.map(Action::as_str).join(", ")
}

/// One file of the timeline.
///
/// Source: `InstantFileNameGeneratorV1`, `InstantFileNameGeneratorV2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TimelineFile {
    /// When the action was requested; its identity.
    pub instant: InstantTime,
    /// What it does; for completed files the completed name of the action.
    pub action: Action,
    /// The state that this file records.
    pub state: State,
}

impl TimelineFile {
    /// The file that records a requested `action`.
    pub fn requested(instant: InstantTime, action: Action) -> Self {
        Self { instant, action, state: State::Requested }
    }

    /// The file that records a running `action`.
    pub fn inflight(instant: InstantTime, action: Action) -> Self {
        Self { instant, action, state: State::Inflight }
    }

    /// The file of layout 2 that makes `action` visible from `completion` on.
    pub fn completed(instant: InstantTime, action: Action, completion: InstantTime) -> Self {
        Self { instant, action: action.completed(), state: State::Completed(Some(completion)) }
    }

    /// When this file says the action completed.
    pub fn completion(&self) -> Option<InstantTime> {
        match self.state {
            State::Completed(completion) => completion,
            State::Requested | State::Inflight => None,
        }
    }

    /// Reads a name in the timeline folder.
    ///
    /// `Ok(None)` for names that are no instants: folders, `.crc` files, `hoodie.properties`
    /// and everything else that does not start with a digit; and for files that Hudi is writing
    /// and renames when they are whole (`<name>.<uuid>`).
    ///
    /// Source: `HoodieStorage.createImmutableFileInPath`.
    ///
    /// # Errors
    /// A name that starts like an instant and cannot be understood. Skipping it might hide a
    /// pending write of an engine newer than this library.
    pub fn parse(name: &str, layout: TimelineLayout) -> Result<Option<Self>, TimelineFileError> {
        let is_temporary = name.rsplit_once('.').is_some_and(|(_, last)| is_uuid(last));
        if is_temporary || !name.starts_with(|c: char| c.is_ascii_digit()) {
            return Ok(None);
        }
        let (times, suffix) =
            name.split_once('.').ok_or_else(|| TimelineFileError::Action { name: name.to_owned() })?;
        let time = |text: &str| {
            text.parse().map_err(|source| TimelineFileError::Time { name: name.to_owned(), source })
        };
        let (instant, completion) = match times.split_once('_') {
            Some((instant, completion)) => (time(instant)?, Some(time(completion)?)),
            None => (time(times)?, None),
        };
        let (action, state) = parse_suffix(suffix, completion)
            .ok_or_else(|| TimelineFileError::Action { name: name.to_owned() })?;
        let file = Self { instant, action, state };
        file.check_layout(name, layout, completion)?;
        Ok(Some(file))
    }

    fn check_layout(
        &self,
        name: &str,
        layout: TimelineLayout,
        completion: Option<InstantTime>,
    ) -> Result<(), TimelineFileError> {
        let wants_completion = layout == TimelineLayout::Two && matches!(self.state, State::Completed(_));
        // Savepoints take part in the rule as well: `<t>_<c>.savepoint`.
        if completion.is_some() == wants_completion {
            return Ok(());
        }
        let layout = if layout == TimelineLayout::One { 1 } else { 2 };
        Err(TimelineFileError::Layout { name: name.to_owned(), layout })
    }

    /// The name of this file within the timeline folder.
    pub fn name(&self) -> String {
        let Self { instant, action, state } = self;
        match state {
            State::Requested => format!("{instant}.{action}.requested"),
            State::Inflight if *action == Action::Commit => format!("{instant}.inflight"),
            State::Inflight => format!("{instant}.{action}.inflight"),
            State::Completed(Some(completion)) => format!("{instant}_{completion}.{action}"),
            State::Completed(None) => format!("{instant}.{action}"),
        }
    }
}

fn parse_suffix(suffix: &str, completion: Option<InstantTime>) -> Option<(Action, State)> {
    if suffix == "inflight" {
        return Some((Action::Commit, State::Inflight));
    }
    match suffix.split_once('.') {
        Some((action, "requested")) => Some((Action::parse(action)?, State::Requested)),
        Some((action, "inflight")) => Some((Action::parse(action)?, State::Inflight)),
        Some(_) => None,
        None => Some((Action::parse(suffix)?, State::Completed(completion))),
    }
}

/// Whether `text` is a UUID with its hyphens, as Java writes it.
fn is_uuid(text: &str) -> bool {
    let lengths = text.split('-').map(str::len);
    lengths.eq([8, 4, 4, 4, 12]) && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn time(text: &str) -> InstantTime {
        text.parse().unwrap()
    }

    #[test]
    fn every_state_of_every_action_round_trips() {
        let (t, c) = (time("20260307162557587"), time("20260307162559000"));
        for action in Action::ALL {
            for file in [
                TimelineFile::requested(t, action),
                TimelineFile::inflight(t, action),
                TimelineFile::completed(t, action, c),
            ] {
                assert_eq!(TimelineFile::parse(&file.name(), TimelineLayout::Two), Ok(Some(file)));
            }
            let old = TimelineFile { instant: t, action, state: State::Completed(None) };
            assert_eq!(TimelineFile::parse(&old.name(), TimelineLayout::One), Ok(Some(old)));
        }
    }

    #[test]
    fn a_running_commit_has_no_action_in_its_name() {
        let file = TimelineFile::inflight(time("20260307162557587"), Action::Commit);
        assert_eq!(file.name(), "20260307162557587.inflight");
    }

    #[test]
    fn pending_services_complete_under_another_name() {
        let (t, c) = (time("20260307162557587"), time("20260307162559000"));
        let name = TimelineFile::completed(t, Action::Compaction, c).name();
        assert_eq!(name, "20260307162557587_20260307162559000.commit");
    }

    #[test]
    fn other_files_are_passed_over_and_strange_instants_refused() {
        let unfinished = "20260307162557587.deltacommit.inflight.1d6f557d-50af-4deb-a685-e7d496f165a5";
        let names =
            ["history", "hoodie.properties", ".20260307162557587.commit.crc", "_version_", unfinished];
        for name in names {
            assert_eq!(TimelineFile::parse(name, TimelineLayout::Two), Ok(None), "{name}");
        }
        for name in [
            "20260307162557587",
            "2026.commit",
            "20260307162557587.commit.later",
            "20260307162557587.teleport",
            "20260307162557587.commit",
            "20260307162557587_20260307162559000.commit.requested",
        ] {
            assert!(TimelineFile::parse(name, TimelineLayout::Two).is_err(), "{name}");
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics(name in "\\PC{0,60}") {
            let _ = TimelineFile::parse(&name, TimelineLayout::Two);
            let _ = TimelineFile::parse(&name, TimelineLayout::One);
        }
    }
}
