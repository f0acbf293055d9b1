//! What the timeline tells a cleaner.

use std::collections::{BTreeMap, BTreeSet};

use lakebed_hudi::history::{HistoryColumns, HistoryEntry};
use lakebed_hudi::instant::{InstantTime, TimelineZone};
use lakebed_hudi::timeline_file::{Action, State};
use lakebed_hudi::timeline_metadata::{CleanMetadata, SavepointMetadata};

use super::{CleanPolicy, CleanRules};
use crate::commit::{CommitError, Committer};
use crate::table::{FileGroupId, TableSnapshot};
use crate::timeline::{Instant, Timeline};

/// What the timeline tells a cleaner.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The active timeline.
    pub timeline: Timeline,
    /// Writes that completed within the reader window and are archived, oldest first.
    pub archived: Vec<Instant>,
    /// The zone of its times.
    pub zone: TimelineZone,
    /// When this was, in milliseconds since the epoch.
    pub unix_millis: i64,
    /// The groups that were replaced, with the newest instant that did.
    pub replaced: BTreeMap<FileGroupId, InstantTime>,
    /// The names of the files that pending services read.
    pub planned: BTreeMap<FileGroupId, BTreeSet<String>>,
    /// What savepoints keep, by the instant that they keep.
    pub savepoints: BTreeMap<InstantTime, SavepointMetadata>,
    /// The newest clean of the active timeline.
    pub last_clean: Option<LastClean>,
}

/// What the newest clean says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastClean {
    /// Its instant.
    pub instant: InstantTime,
    /// The oldest instant that it left readable.
    pub earliest: Option<InstantTime>,
    /// The savepoints of which it left the files.
    pub savepoints: BTreeSet<InstantTime>,
    /// Whether it counted versions, and not commits.
    pub by_versions: bool,
}

/// No write takes longer, of those that are looked for in the archive.
const WRITE_MILLIS_MAX: i64 = 24 * 60 * 60 * 1000;

/// Under this name a clean lists savepoints in its extra metadata, separated by commas.
///
/// Source: `CleanerUtils.SAVEPOINTED_TIMESTAMPS`.
pub(super) const SAVEPOINTS_KEY: &str = "savepointed_timestamps";

impl Facts {
    /// Reads them, for the table as it is in `snapshot`, but for what is archived.
    ///
    /// # Errors
    /// Savepoints, cleans and plans that cannot be read.
    pub async fn read(committer: &Committer, snapshot: &TableSnapshot) -> Result<Self, CommitError> {
        let store = &snapshot.table.timeline;
        let timeline = snapshot.timeline.clone();
        let mut savepoints = BTreeMap::new();
        for savepoint in timeline.completed().filter(|i| i.action == Action::Savepoint) {
            savepoints.insert(savepoint.time, store.savepoint_metadata(savepoint).await?);
        }
        let last_clean = match timeline.completed().rfind(|i| i.action == Action::Clean) {
            Some(clean) => Some(LastClean::of(clean, &store.clean_metadata(clean).await?)),
            None => None,
        };
        Ok(Self {
            zone: snapshot.table.zone,
            unix_millis: snapshot.table.environment.clock.unix_millis(),
            replaced: snapshot.replaced().clone(),
            planned: committer.planned_files(&timeline).await?,
            archived: Vec::new(),
            savepoints,
            last_clean,
            timeline,
        })
    }

    /// The archived writes that completed within the reader window. None are where the active timeline goes
    /// farther back.
    pub(super) async fn archived_in_window(
        &self,
        committer: &Committer,
        rules: &CleanRules,
    ) -> Result<Vec<Instant>, CommitError> {
        let start = self.window_start(rules);
        let is_within = |instant: &Instant| self.completed_unix_millis(instant).is_none_or(|at| at > start);
        if self.timeline.completed_writes().next().is_some_and(|first| !is_within(first)) {
            return Ok(Vec::new());
        }
        let begun = InstantTime::from_unix_millis(start.saturating_sub(WRITE_MILLIS_MAX), self.zone);
        let entries = committer.table().timeline.archived(begun, HistoryColumns::Instants).await?;
        let mut archived: Vec<Instant> =
            entries.iter().map(instant_of).filter(|i| i.action.writes_data() && is_within(i)).collect();
        archived.sort_by_key(|instant| instant.time);
        Ok(archived)
    }

    /// When the reader window begins, in milliseconds since the epoch.
    pub(super) fn window_start(&self, rules: &CleanRules) -> i64 {
        let window_millis = i64::try_from(rules.reader_window.as_millis()).unwrap_or(i64::MAX);
        self.unix_millis.saturating_sub(window_millis)
    }

    /// When an instant completed, in milliseconds since the epoch.
    pub(super) fn completed_unix_millis(&self, instant: &Instant) -> Option<i64> {
        instant.completion()?.to_unix_millis(self.zone)
    }
}

fn instant_of(entry: &HistoryEntry) -> Instant {
    let HistoryEntry { instant: time, action, completion, .. } = *entry;
    Instant { time, action, requested_as: action, state: State::Completed(Some(completion)) }
}

impl LastClean {
    fn of(clean: &Instant, metadata: &CleanMetadata) -> Self {
        let savepoints = metadata.extra_metadata.get(SAVEPOINTS_KEY).map(String::as_str).unwrap_or_default();
        let mut policies = metadata.partition_metadata.values().map(|partition| &partition.policy);
        Self {
            instant: clean.time,
            earliest: metadata.earliest_retained(),
            savepoints: savepoints.split(',').filter_map(|time| time.parse().ok()).collect(),
            by_versions: policies.any(|policy| policy == CleanPolicy::FILE_VERSIONS),
        }
    }
}

/// What is kept by name.
pub(super) struct Kept<'a> {
    savepoints: BTreeMap<&'a str, BTreeSet<&'a str>>,
    planned: &'a BTreeMap<FileGroupId, BTreeSet<String>>,
}

impl<'a> Kept<'a> {
    pub(super) fn of(
        savepoints: &'a BTreeMap<InstantTime, SavepointMetadata>,
        planned: &'a BTreeMap<FileGroupId, BTreeSet<String>>,
    ) -> Self {
        let mut by_partition: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (partition, of_partition) in
            savepoints.values().flat_map(|savepoint| &savepoint.partition_metadata)
        {
            let names = of_partition.savepoint_data_file.iter().map(String::as_str);
            by_partition.entry(partition).or_default().extend(names);
        }
        Self { savepoints: by_partition, planned }
    }

    /// Whether a savepoint keeps, or a pending service reads, any of `files` of a group: then it does so
    /// with the whole slice.
    pub(super) fn any<'b>(&self, group: &FileGroupId, files: impl IntoIterator<Item = &'b str>) -> bool {
        let (savepoints, planned) = (self.savepoints.get(group.partition.as_str()), self.planned.get(group));
        if savepoints.is_none() && planned.is_none() {
            return false;
        }
        files.into_iter().any(|name| {
            savepoints.is_some_and(|names| names.contains(name))
                || planned.is_some_and(|names| names.contains(name))
        })
    }
}
