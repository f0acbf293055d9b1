//! A table of which only names are there: what was done to it, minute by minute.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lakebed_hudi::file_name::FileId;
use lakebed_hudi::instant::{InstantTime, TimelineZone};
use lakebed_hudi::timeline_file::{Action, TimelineFile, TimelineLayout};
use lakebed_hudi::timeline_metadata::{SavepointMetadata, SavepointPartitionMetadata};

use crate::maintain::clean::{
    CleanRules, CleanSurvey, Facts, Horizon, LastClean, PartitionFiles, Scope, plan,
};
use crate::maintain::scene::{base_file, log_file};
use crate::storage::Entry;
use crate::table::{FileGroup, FileGroupId, SliceRules, file_groups};
use crate::timeline::Timeline;

const START: i64 = 1_790_000_000_000;

pub fn at(minute: u32) -> InstantTime {
    InstantTime::from_unix_millis(unix_millis(minute), TimelineZone::Utc)
}

pub fn unix_millis(minute: u32) -> i64 {
    START + i64::from(minute) * 60_000
}

pub fn group(partition: &str, number: u32) -> FileGroupId {
    FileGroupId { partition: partition.to_owned(), file_id: FileId::of_bucket(number) }
}

/// Something that was done to the table.
#[derive(Debug, Clone)]
pub struct Done {
    pub action: Action,
    pub requested: u32,
    /// Later than now, if it is not done yet.
    pub completed: u32,
    pub writes: Vec<FileGroupId>,
    pub replaces: Vec<FileGroupId>,
    /// Of a service, what it reads.
    pub reads: BTreeMap<FileGroupId, BTreeSet<String>>,
}

impl Done {
    fn file(&self, group: &FileGroupId) -> Entry {
        let path = match self.action {
            Action::DeltaCommit => log_file(group, at(self.requested), 0, 10).path,
            _ => base_file(group, at(self.requested), 10).path,
        };
        Entry { path, size: 10, modified_unix_millis: 0 }
    }

    fn timeline_files(&self, minute: u32) -> Vec<TimelineFile> {
        let instant = at(self.requested);
        let mut files = vec![TimelineFile::requested(instant, self.action)];
        if self.requested < minute {
            files.push(TimelineFile::inflight(instant, self.action));
        }
        if self.completed <= minute {
            files.push(TimelineFile::completed(instant, self.action, at(self.completed)));
        }
        files
    }
}

/// A table of which only names are there.
#[derive(Debug, Clone, Default)]
pub struct Scene {
    pub done: Vec<Done>,
    /// The commits that savepoints keep, and what they name.
    pub savepoints: BTreeMap<u32, BTreeSet<String>>,
    pub deleted: BTreeSet<String>,
    pub last_clean: Option<LastClean>,
    pub now: u32,
    /// What was begun before this minute and is done is archived.
    pub archived_before: u32,
}

impl Scene {
    /// Adds a write of `groups`, a base file or log file each.
    pub fn write(&mut self, action: Action, requested: u32, completed: u32, groups: &[FileGroupId]) {
        self.replace(action, requested, completed, groups, &[]);
    }

    /// Adds a write that replaces `old` groups as well.
    pub fn replace(
        &mut self,
        action: Action,
        requested: u32,
        completed: u32,
        new: &[FileGroupId],
        old: &[FileGroupId],
    ) {
        let (writes, replaces) = (new.to_vec(), old.to_vec());
        self.done.push(Done { action, requested, completed, writes, replaces, reads: BTreeMap::new() });
        self.now = self.now.max(requested + 1);
    }

    /// Adds a service that rewrites the newest slices of `groups`.
    pub fn plan(&mut self, action: Action, requested: u32, completed: u32, groups: &[FileGroupId]) {
        let newest = self.groups(requested, None);
        let reads = newest.into_iter().filter(|group| groups.contains(&group.id)).map(|group| {
            let files = group.slices.last().map(names_of).unwrap_or_default();
            (group.id, files)
        });
        let reads: BTreeMap<_, _> = reads.collect();
        let (writes, replaces) = match action {
            Action::Clustering => (Vec::new(), reads.keys().cloned().collect()),
            _ => (reads.keys().cloned().collect(), Vec::new()),
        };
        self.done.push(Done { action, requested, completed, writes, replaces, reads });
        self.now = self.now.max(requested + 1);
    }

    /// Savepoints the commit of `minute`, as it is now.
    pub fn savepoint(&mut self, minute: u32) {
        self.savepoints.insert(minute, self.read(self.now, Some(at(minute))));
    }

    pub fn timeline(&self, minute: u32) -> Timeline {
        let begun = self.done.iter().filter(|done| done.requested <= minute);
        Timeline::from_files(begun.flat_map(|done| done.timeline_files(minute)))
    }

    /// The groups that were replaced by `minute`, as a read as of an instant sees it.
    fn replaced(&self, minute: u32, as_of: Option<InstantTime>) -> BTreeMap<FileGroupId, InstantTime> {
        let is_seen =
            |done: &&Done| done.completed <= minute && as_of.is_none_or(|as_of| at(done.requested) <= as_of);
        let of = |done: &Done| {
            let instant = at(done.requested);
            done.replaces.iter().map(move |group| (group.clone(), instant)).collect::<Vec<_>>()
        };
        self.done.iter().filter(is_seen).flat_map(of).collect()
    }

    /// The files by partition, but for those that a clean deleted.
    pub fn files(&self, minute: u32) -> BTreeMap<String, Vec<Entry>> {
        let mut files: BTreeMap<String, Vec<Entry>> = BTreeMap::new();
        for done in self.done.iter().filter(|done| done.requested < minute) {
            for group in &done.writes {
                let file = done.file(group);
                if !self.deleted.contains(file.path.as_str()) {
                    files.entry(group.partition.clone()).or_default().push(file);
                }
            }
        }
        files
    }

    fn groups_of(
        &self,
        minute: u32,
        as_of: Option<InstantTime>,
        replaced: &BTreeMap<FileGroupId, InstantTime>,
    ) -> Vec<FileGroup> {
        let timeline = self.timeline(minute);
        let rules = SliceRules {
            timeline: &timeline,
            layout: TimelineLayout::Two,
            archived: &BTreeMap::new(),
            replaced,
            changes: true,
            as_of,
        };
        self.files(minute).iter().flat_map(|(path, files)| file_groups(path, files, &rules)).collect()
    }

    /// The groups that a read at `minute`, as of an instant, sees.
    pub fn groups(&self, minute: u32, as_of: Option<InstantTime>) -> Vec<FileGroup> {
        self.groups_of(minute, as_of, &self.replaced(minute, as_of))
    }

    /// All groups that are there, replaced or not.
    pub fn all_groups(&self) -> Vec<FileGroup> {
        self.groups_of(self.now, None, &BTreeMap::new())
    }

    /// The files that a read at `minute`, as of an instant, needs.
    pub fn read(&self, minute: u32, as_of: Option<InstantTime>) -> BTreeSet<String> {
        let groups = self.groups(minute, as_of);
        groups.iter().filter_map(|group| group.slices.last()).flat_map(paths_of).collect()
    }

    /// Archives what was begun before a minute, but what holds archival back: what is not done, savepoints, and
    /// replacements of groups that are not cleaned.
    pub fn archive_before(&mut self, minute: u32) {
        let stays = self.done.iter().filter(|done| done.completed > self.now || !done.replaces.is_empty());
        let first = stays.map(|done| done.requested).chain(self.savepoints.keys().copied()).min();
        self.archived_before = first.map_or(minute, |first| first.min(minute));
    }

    /// What is archived by now, and what is not.
    fn done_by_now(&self) -> (Vec<&Done>, Vec<&Done>) {
        let is_archived = |done: &&Done| done.requested < self.archived_before && done.completed <= self.now;
        self.done.iter().filter(|done| done.requested <= self.now).partition(is_archived)
    }

    pub fn facts(&self) -> Facts {
        let pending = self.done.iter().filter(|done| done.completed > self.now);
        let of_savepoint = |(minute, files): (&u32, &BTreeSet<String>)| (at(*minute), savepoint(files));
        let (archived, active) = self.done_by_now();
        let archived = archived.into_iter().flat_map(|done| done.timeline_files(self.now));
        Facts {
            timeline: Timeline::from_files(active.into_iter().flat_map(|done| done.timeline_files(self.now))),
            archived: Timeline::from_files(archived).instants().copied().collect(),
            zone: TimelineZone::Utc,
            unix_millis: unix_millis(self.now),
            replaced: self.replaced(self.now, None),
            planned: pending.flat_map(|done| done.reads.clone()).collect(),
            savepoints: self.savepoints.iter().map(of_savepoint).collect(),
            last_clean: self.last_clean.clone(),
        }
    }

    pub fn survey(&self, rules: CleanRules) -> CleanSurvey {
        let facts = self.facts();
        let mut groups = self.all_groups();
        let of_partition = |(path, files): (String, Vec<Entry>)| {
            let here = groups.extract_if(.., |group| group.id.partition == path).collect();
            PartitionFiles::of(path, &files, here)
        };
        let partitions = self.files(self.now).into_iter().map(of_partition).collect();
        let horizon = Horizon::of(&facts, &rules);
        CleanSurvey { rules, facts, horizon, scope: Scope::All, partitions }
    }

    /// The paths that a clean deletes.
    pub fn cleaned(&self, rules: CleanRules) -> BTreeSet<String> {
        let slices = plan(&self.survey(rules)).slices;
        let paths = |slice: &super::super::DraftedSlice| {
            let folder = match slice.group.partition.as_str() {
                "" => String::new(),
                partition => format!("{partition}/"),
            };
            slice.files.iter().map(|file| format!("{folder}{}", file.name)).collect::<Vec<_>>()
        };
        slices.iter().flat_map(paths).collect()
    }

    /// The minutes of the base instants of the slices that a clean deletes, by the numbers of their groups.
    pub fn cleaned_minutes(&self, rules: CleanRules) -> Vec<(u32, u32)> {
        let minute = |instant: InstantTime| {
            let millis = instant.to_unix_millis(TimelineZone::Utc).unwrap() - START;
            u32::try_from(millis / 60_000).unwrap()
        };
        let slices = plan(&self.survey(rules)).slices;
        let mut cleaned: Vec<_> = slices
            .iter()
            .map(|slice| (slice.group.file_id.bucket().unwrap(), minute(slice.base_instant)))
            .collect();
        cleaned.sort_unstable();
        cleaned
    }
}

fn savepoint(files: &BTreeSet<String>) -> SavepointMetadata {
    let mut metadata = SavepointMetadata::default();
    for path in files {
        let (partition, name) = path.rsplit_once('/').unwrap_or(("", path));
        let of_partition = metadata.partition_metadata.entry(partition.to_owned()).or_insert_with(|| {
            SavepointPartitionMetadata { partition_path: partition.to_owned(), ..Default::default() }
        });
        of_partition.savepoint_data_file.push(name.to_owned());
    }
    metadata
}

pub fn paths_of(slice: &crate::table::FileSlice) -> BTreeSet<String> {
    slice.paths().map(|path| path.as_str().to_owned()).collect()
}

fn names_of(slice: &crate::table::FileSlice) -> BTreeSet<String> {
    slice.paths().map(|path| path.file_name().to_owned()).collect()
}

/// A reader window of so many minutes.
pub fn minutes(minutes: u32) -> Duration {
    Duration::from_secs(u64::from(minutes) * 60)
}
