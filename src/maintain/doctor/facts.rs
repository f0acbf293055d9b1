//! What the doctor knows of a table: plain values.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lakebed_hudi::instant::{InstantTime, TimelineZone};
use lakebed_hudi::timeline_file::Action;

use crate::storage::{Entry, TablePath};
use crate::table::{FileGroup, FileGroupId};
use crate::timeline::{Instant, Timeline};

/// A file, by its partition and its name in there.
pub type FileInPartition = (String, String);

/// A file of the timeline, or of its archive, that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenFile {
    /// It.
    pub path: String,
    /// The instant that it completes; `None` of the archive.
    pub of: Option<Instant>,
    /// What is wrong with it.
    pub why: String,
}

/// What is known of the plan of something pending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// It is to read these files.
    Reads(BTreeSet<FileInPartition>),
    /// It names this file group twice.
    Repeats(FileGroupId),
    /// It cannot be read, and why.
    Broken(String),
}

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
    /// The files in the folder of the timeline that nobody knows, and why not.
    pub unknown: Vec<(String, String)>,
    /// Files of completed instants and of the archive that cannot be read.
    pub broken: Vec<BrokenFile>,
    /// The archived writes, from the oldest data file on; `None` if the archive cannot be read.
    pub archived: Option<BTreeSet<InstantTime>>,
    /// All data files, by partition, sorted by name.
    pub files: BTreeMap<String, Vec<Entry>>,
    /// The folders that are partitions.
    pub partitions: BTreeSet<String>,
    /// The file groups that readers see; none if the archive cannot be read.
    pub groups: Vec<FileGroup>,
    /// How many buckets a partition has, if there is a bucket index.
    pub buckets: Option<u32>,
    /// The files that completed writes of the active timeline name, with the bytes they are to have; 0 where a
    /// write does not say.
    pub named: BTreeMap<InstantTime, BTreeMap<FileInPartition, u64>>,
    /// The files that cleans have deleted, or are about to.
    pub cleaned: BTreeSet<FileInPartition>,
    /// The partitions that cleans have deleted.
    pub cleaned_partitions: BTreeSet<String>,
    /// The instants, on the timeline or not, that somebody may be at.
    pub alive: BTreeSet<InstantTime>,
    /// What pending rollbacks undo.
    pub rollbacks: BTreeMap<InstantTime, Option<InstantTime>>,
    /// The pending restore, and where it goes, if its plan can be read.
    pub restore: Option<(InstantTime, Option<InstantTime>)>,
    /// The plans of pending compactions and clusterings, and all others that cannot be read.
    pub plans: Vec<(Instant, Plan)>,
    /// Of commits and plans that name what is not there, or one thing twice, those that can be rolled back.
    pub undoable: BTreeSet<InstantTime>,
    /// Savepoints to which the table can be taken back, if one may have to be.
    pub restorable: BTreeSet<InstantTime>,
    /// The instants with markers.
    pub markers: BTreeSet<InstantTime>,
    /// The instants with a heartbeat.
    pub heartbeats: BTreeSet<InstantTime>,
    /// The file of the table lock, if it is there.
    pub lock: Option<Entry>,
}

impl Facts {
    /// The bytes of a file, if it is there.
    pub(super) fn size_of(&self, (partition, name): &FileInPartition) -> Option<u64> {
        let files = self.files.get(partition)?;
        let found = files.binary_search_by(|file| file.path.file_name().cmp(name)).ok()?;
        Some(files[found].size)
    }

    /// Whether it is known what cleans have deleted.
    pub(super) fn are_cleans_known(&self) -> bool {
        let is_clean = |instant: &Instant| instant.action == Action::Clean;
        let plans = self.plans.iter().map(|(instant, _)| instant);
        !self.broken.iter().filter_map(|file| file.of.as_ref()).chain(plans).any(is_clean)
    }

    /// The files that a commit names and that are not there, though no clean has deleted them.
    pub(super) fn lost(&self) -> impl Iterator<Item = (InstantTime, &FileInPartition)> {
        // What a restore deletes is gone before its commit is.
        let is_told = self.restore.is_none() && self.are_cleans_known();
        let named = self.named.iter().filter(move |_| is_told);
        let named = named.flat_map(|(commit, files)| files.keys().map(move |file| (*commit, file)));
        named.filter(|(_, file)| {
            self.size_of(file).is_none()
                && !self.cleaned.contains(*file)
                && !self.cleaned_partitions.contains(&file.0)
        })
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
