//! File groups and their slices: which files of a partition hold its rows.

use std::collections::BTreeMap;

use lakebed_hudi::file_name::{BaseFileName, DataFileName, FileId, LogFileName};
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_file::TimelineLayout;
use serde::{Deserialize, Serialize};

use crate::storage::{Entry, TablePath};
use crate::timeline::Timeline;

/// The name of a file group within its table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FileGroupId {
    /// The partition path, empty in a table without partitions.
    pub partition: String,
    /// The group within its partition.
    pub file_id: FileId,
}

/// A base file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseFile {
    /// What its name says.
    pub name: BaseFileName,
    /// Where it lies.
    pub path: TablePath,
    /// Its size.
    pub size_bytes: u64,
}

/// A log file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFile {
    /// What its name says.
    pub name: LogFileName,
    /// Where it lies.
    pub path: TablePath,
    /// Its size.
    pub size_bytes: u64,
}

/// A base file and the log files that lie on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSlice {
    /// The instant of the base file, or of the first log file where there is none.
    pub base_instant: InstantTime,
    /// The base file.
    pub base: Option<BaseFile>,
    /// The log files in the order in which they are read.
    pub logs: Vec<LogFile>,
}

impl FileSlice {
    /// Where its files lie, the base file first.
    pub fn paths(&self) -> impl Iterator<Item = &TablePath> {
        self.base.iter().map(|base| &base.path).chain(self.logs.iter().map(|log| &log.path))
    }

    /// Bytes of all log files.
    pub fn log_bytes(&self) -> u64 {
        self.logs.iter().map(|log| log.size_bytes).sum()
    }

    /// Bytes of all files.
    pub fn total_bytes(&self) -> u64 {
        self.base.as_ref().map_or(0, |base| base.size_bytes) + self.log_bytes()
    }
}

/// The slices of one group, oldest first; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileGroup {
    /// The group.
    pub id: FileGroupId,
    /// Its slices.
    pub slices: Vec<FileSlice>,
}

impl FileGroup {
    /// The slice that readers see.
    pub fn latest(&self) -> Option<&FileSlice> {
        self.slices.last()
    }
}

/// What decides which files count.
#[derive(Debug, Clone, Copy)]
pub struct SliceRules<'a> {
    /// The whole timeline.
    pub timeline: &'a Timeline,
    /// The layout of the timeline.
    pub layout: TimelineLayout,
    /// Completion times of archived instants, as far as log files need them.
    pub archived: &'a BTreeMap<InstantTime, InstantTime>,
    /// Groups that were replaced, which are left out, with the instants that replaced them.
    pub replaced: &'a BTreeMap<FileGroupId, InstantTime>,
    /// Whether log files of captured changes count, which have no rows of the table.
    pub changes: bool,
    /// The greatest instant that a query sees.
    pub as_of: Option<InstantTime>,
}

/// The file groups of `partition`, from a listing of its folder.
///
/// Files of instants that did not complete are left out, and so are groups that were replaced.
/// A log file lies on the base file with the greatest instant that is not after the log file's
/// *completion*; in layout 1 on the base file that its name gives. A base file that a pending
/// compaction is yet to write takes no part: readers see the slice before it with all its logs.
///
/// Of two attempts at a base file the one that is last in `files` counts, of two attempts at a log
/// file both do: nothing but the commit says which of them is meant, and Hudi does not ask it.
///
/// Source: `AbstractTableFileSystemView`, `HoodieFileGroup.getBaseInstantTime`; for two attempts
/// `HoodieFileGroup.addBaseFile`, which sets the base file of its instant's slice anew, and
/// `addLogFile`, which adds.
pub fn file_groups(partition: &str, files: &[Entry], rules: &SliceRules<'_>) -> Vec<FileGroup> {
    let mut groups: BTreeMap<FileId, (Vec<BaseFile>, Vec<LogFile>)> = BTreeMap::new();
    for entry in files {
        let Some(name) = DataFileName::parse(entry.path.file_name()) else { continue };
        if !rules.counts(&name) {
            continue;
        }
        let (path, size_bytes) = (entry.path.clone(), entry.size);
        let (bases, logs) = groups.entry(name.file_id().clone()).or_default();
        match name {
            DataFileName::Base(name) => bases.push(BaseFile { name, path, size_bytes }),
            DataFileName::Log(name) => logs.push(LogFile { name, path, size_bytes }),
        }
    }
    groups
        .into_iter()
        .map(|(file_id, (bases, logs))| {
            let id = FileGroupId { partition: partition.to_owned(), file_id };
            FileGroup { slices: rules.slices(bases, logs), id }
        })
        .filter(|group| !rules.replaced.contains_key(&group.id))
        .collect()
}

impl SliceRules<'_> {
    fn counts(&self, name: &DataFileName) -> bool {
        let instant = name.instant();
        if self.as_of.is_some_and(|as_of| instant > as_of) {
            return false;
        }
        match name {
            DataFileName::Log(name) if name.cdc && !self.changes => false,
            // In layout 1 the name says on which base file it lies; which blocks count is in them.
            DataFileName::Log(_) if self.layout == TimelineLayout::One => true,
            _ => self.timeline.is_committed(instant),
        }
    }

    fn slices(&self, bases: Vec<BaseFile>, mut logs: Vec<LogFile>) -> Vec<FileSlice> {
        logs.sort_by(|a, b| a.name.cmp(&b.name));
        let mut slices: BTreeMap<InstantTime, FileSlice> = BTreeMap::new();
        for base in bases {
            let base_instant = base.name.instant;
            // Of two attempts at one base file the one listed last stays.
            slices.insert(base_instant, FileSlice { base_instant, base: Some(base), logs: Vec::new() });
        }
        for log in logs {
            let lies_on = match self.layout {
                TimelineLayout::One => log.name.instant,
                TimelineLayout::Two => self.completion(log.name.instant),
            };
            match slices.range_mut(..=lies_on).next_back() {
                Some((_, slice)) => slice.logs.push(log),
                None => {
                    let base_instant = log.name.instant;
                    let slice = FileSlice { base_instant, base: None, logs: vec![log] };
                    slices.insert(base_instant, slice);
                }
            }
        }
        slices.into_values().collect()
    }

    fn completion(&self, instant: InstantTime) -> InstantTime {
        let active = self.timeline.write_at(instant).and_then(crate::timeline::Instant::completion);
        active.or_else(|| self.archived.get(&instant).copied()).unwrap_or(instant)
    }
}

#[cfg(test)]
mod tests {
    use lakebed_hudi::timeline_file::TimelineFile;

    use super::*;

    fn t(n: u32) -> String {
        format!("202601010000000{n:02}")
    }

    fn timeline(names: &[String]) -> Timeline {
        Timeline::from_files(
            names.iter().map(|n| TimelineFile::parse(n, TimelineLayout::Two).unwrap().unwrap()),
        )
    }

    fn base(n: u32) -> Entry {
        entry(&format!("f-0_0-0-0_{}.parquet", t(n)))
    }

    fn log(n: u32) -> Entry {
        entry(&format!(".f-0_{}.log.1_0-0-0", t(n)))
    }

    fn entry(name: &str) -> Entry {
        Entry { path: format!("p/{name}").parse().unwrap(), size: 10, modified_unix_millis: 0 }
    }

    fn groups(names: &[String], files: &[Entry], as_of: Option<InstantTime>) -> Vec<(Option<String>, usize)> {
        let timeline = timeline(names);
        let rules = SliceRules {
            timeline: &timeline,
            layout: TimelineLayout::Two,
            archived: &BTreeMap::new(),
            replaced: &BTreeMap::new(),
            changes: false,
            as_of,
        };
        let groups = file_groups("p", files, &rules);
        let slices = groups.into_iter().flat_map(|g| g.slices);
        slices.map(|s| (s.base.map(|b| b.name.instant.to_string()), s.logs.len())).collect()
    }

    fn done(n: u32, completed: u32, action: &str) -> String {
        format!("{}_{}.{action}", t(n), t(completed))
    }

    #[test]
    fn a_log_lies_on_the_last_base_before_its_completion() {
        let names = [
            done(1, 2, "deltacommit"),
            done(3, 8, "deltacommit"),
            done(4, 5, "deltacommit"),
            done(6, 9, "commit"),
        ];
        // Requested before the compaction of 06 and completed after it began: the new slice's.
        let files = [base(1), base(6), log(3), log(4)];
        assert_eq!(groups(&names, &files, None), [(Some(t(1)), 1), (Some(t(6)), 1)]);
    }

    #[test]
    fn files_of_pending_and_unknown_instants_are_left_out() {
        let names = [done(1, 2, "commit"), format!("{}.deltacommit.inflight", t(3))];
        let files = [base(1), log(3), log(4), entry("notes.txt")];
        assert_eq!(groups(&names, &files, None), [(Some(t(1)), 0)]);
    }

    #[test]
    fn a_pending_compaction_opens_no_slice_for_readers() {
        let names = [
            done(1, 2, "deltacommit"),
            format!("{}.compaction.requested", t(3)),
            format!("{}.compaction.inflight", t(3)),
            done(4, 5, "deltacommit"),
        ];
        let files = [base(1), base(3), log(4)];
        assert_eq!(groups(&names, &files, None), [(Some(t(1)), 1)]);
    }

    #[test]
    fn logs_without_a_base_file_are_a_slice_of_their_own() {
        let names = [done(1, 2, "deltacommit"), done(3, 4, "deltacommit")];
        assert_eq!(groups(&names, &[log(3), log(1)], None), [(None, 2)]);
    }

    #[test]
    fn the_past_has_the_slices_of_its_time() {
        let names = [done(1, 2, "deltacommit"), done(3, 4, "deltacommit"), done(5, 6, "commit")];
        let files = [base(1), log(3), base(5)];
        let as_of = t(4).parse().ok();
        assert_eq!(groups(&names, &files, as_of), [(Some(t(1)), 1)]);
    }

    #[test]
    fn of_two_attempts_the_last_base_file_and_every_log_file_count() {
        let timeline = timeline(&[done(1, 2, "deltacommit"), done(3, 4, "deltacommit")]);
        let rules = SliceRules {
            timeline: &timeline,
            layout: TimelineLayout::Two,
            archived: &BTreeMap::new(),
            replaced: &BTreeMap::new(),
            changes: false,
            as_of: None,
        };
        let bases = ["1-2-3", "1-2-4"].map(|token| entry(&format!("f-0_{token}_{}.parquet", t(1))));
        let logs = ["1-2-3", "1-2-4"].map(|token| entry(&format!(".f-0_{}.log.1_{token}", t(3))));
        for order in [[0, 1], [1, 0]] {
            let files: Vec<Entry> =
                order.iter().flat_map(|at| [bases[*at].clone(), logs[*at].clone()]).collect();
            let [group] = file_groups("p", &files, &rules).try_into().unwrap();
            let [slice] = group.slices.try_into().unwrap();
            assert_eq!(slice.base.unwrap().path, bases[order[1]].path);
            let found: Vec<_> = slice.logs.into_iter().map(|log| log.path).collect();
            assert_eq!(found, logs.clone().map(|log| log.path), "whatever the order of the listing");
        }
    }

    #[test]
    fn captured_changes_lie_on_the_base_file_of_their_commit_and_have_no_rows() {
        let timeline = timeline(&[done(1, 2, "commit"), done(3, 4, "commit")]);
        let changes = entry(&format!(".f-0_{}.log.1_0-0-0.cdc", t(1)));
        let rules = SliceRules {
            timeline: &timeline,
            layout: TimelineLayout::Two,
            archived: &BTreeMap::new(),
            replaced: &BTreeMap::new(),
            changes: false,
            as_of: None,
        };
        for (changed, logs) in [(false, [0, 0]), (true, [1, 0])] {
            let rules = SliceRules { changes: changed, ..rules };
            let [group] = file_groups("p", &[base(1), base(3), changes.clone()], &rules).try_into().unwrap();
            assert_eq!(group.slices.iter().map(|slice| slice.logs.len()).collect::<Vec<_>>(), logs);
        }
    }

    #[test]
    fn replaced_groups_are_gone() {
        let timeline = timeline(&[done(1, 2, "commit")]);
        let id = FileGroupId { partition: "p".into(), file_id: "f-0".parse().unwrap() };
        let rules = SliceRules {
            timeline: &timeline,
            layout: TimelineLayout::Two,
            archived: &BTreeMap::new(),
            replaced: &[(id, t(1).parse().unwrap())].into(),
            changes: false,
            as_of: None,
        };
        assert!(file_groups("p", &[base(1)], &rules).is_empty());
    }
}
