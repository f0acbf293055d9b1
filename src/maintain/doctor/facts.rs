//! What the doctor knows of a table: plain values.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lakebed_hudi::instant::{InstantTime, TimelineZone};

use crate::storage::{Entry, TablePath};
use crate::table::FileGroup;
use crate::timeline::{Instant, Timeline};

/// A file, by its partition and its name in there.
pub type FileInPartition = (String, String);

/// What the doctor knows of a table.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Where it is.
    pub uri: String,
    /// In which zone its times are.
    pub zone: TimelineZone,
    /// The time, in milliseconds since the epoch.
    pub now_unix_millis: i64,
    /// After which silence a writer is dead.
    pub expiry: Duration,
    /// Its active timeline.
    pub timeline: Timeline,
    /// The archived writes, from the oldest data file on.
    pub archived: BTreeSet<InstantTime>,
    /// All data files, by partition, sorted by name.
    pub files: BTreeMap<String, Vec<Entry>>,
    /// The folders that are partitions.
    pub partitions: BTreeSet<String>,
    /// The file groups that readers see.
    pub groups: Vec<FileGroup>,
    /// How many buckets a partition has, if there is a bucket index.
    pub buckets: Option<u32>,
    /// The files that completed writes of the active timeline name.
    pub named: BTreeMap<InstantTime, BTreeSet<FileInPartition>>,
    /// The files that cleans have deleted, or are about to.
    pub cleaned: BTreeSet<FileInPartition>,
    /// The partitions that cleans have deleted.
    pub cleaned_partitions: BTreeSet<String>,
    /// The instants, on the timeline or not, that somebody may be at.
    pub alive: BTreeSet<InstantTime>,
    /// What pending rollbacks undo.
    pub rollbacks: BTreeMap<InstantTime, Option<InstantTime>>,
    /// The pending restore, and where it goes.
    pub restore: Option<(InstantTime, InstantTime)>,
    /// The files that pending compactions and clusterings read, or why nobody knows.
    pub plans: Vec<(Instant, Result<BTreeSet<FileInPartition>, String>)>,
    /// The instants with markers.
    pub markers: BTreeSet<InstantTime>,
    /// The instants with a heartbeat.
    pub heartbeats: BTreeSet<InstantTime>,
    /// The file of the table lock, if it is there.
    pub lock: Option<Entry>,
}

impl Facts {
    /// Whether a file is there.
    pub(super) fn is_there(&self, (partition, name): &FileInPartition) -> bool {
        let is_of = |file: &Entry| file.path.file_name().cmp(name);
        self.files.get(partition).is_some_and(|files| files.binary_search_by(is_of).is_ok())
    }

    /// How long ago something happened.
    pub(super) fn age(&self, unix_millis: i64) -> Duration {
        let age = self.now_unix_millis.saturating_sub(unix_millis);
        Duration::from_millis(u64::try_from(age).unwrap_or_default())
    }

    /// How long ago an instant was begun.
    pub(super) fn age_of(&self, instant: InstantTime) -> Duration {
        self.age(instant.to_unix_millis(self.zone).unwrap_or(self.now_unix_millis))
    }
}

/// A path for people.
pub(super) fn shown((partition, name): &FileInPartition) -> String {
    if partition.is_empty() { name.clone() } else { format!("{partition}/{name}") }
}

/// The partition and the name of a file.
pub(super) fn in_partition(path: &TablePath) -> FileInPartition {
    let partition = path.parent().map(|parent| parent.to_string()).unwrap_or_default();
    (partition, path.file_name().to_owned())
}
