//! A compaction that is planned and has no instant yet.

use std::collections::{BTreeMap, BTreeSet};

use lakebed_hudi::file_name::DataFileName;
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_metadata::{CompactionOperation, CompactionPlan, WriteStat};
use serde::{Deserialize, Serialize};

use crate::commit::News;
use crate::maintain::slice_files::slice_metrics;
use crate::maintain::{SliceFile, SliceFiles};
use crate::table::FileGroupId;

/// A compaction that is planned and has no instant yet.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CompactionDraft {
    /// The slices, the most valuable first.
    pub groups: Vec<SliceFiles>,
    /// Partitions that have more groups with log files: Hudi's planners come back to them, who otherwise
    /// look only at partitions that were written to since the last compaction.
    pub left_out: BTreeSet<String>,
}

impl CompactionDraft {
    /// The plan, after what happened since it was drafted: log files that came are merged as well, since
    /// they lie on the old base file; groups that somebody else has rewritten, ended or planned for are
    /// left out. `None` if no group is left.
    ///
    /// Source: `BaseTableServicePlanActionExecutor.fetchMissingPartitions` for the partitions left out.
    pub fn settled(&self, news: &News) -> Option<CompactionPlan> {
        let mut changes = Changes::of(news);
        let mut left_out = self.left_out.clone();
        let mut operations = Vec::with_capacity(self.groups.len());
        for drafted in &self.groups {
            match changes.taken_in(drafted) {
                Some(drafted) => operations.push(operation(drafted)),
                None => _ = left_out.insert(drafted.group.partition.clone()),
            }
        }
        // Whatever came to other groups is theirs who look at what was written since this instant.
        (!operations.is_empty()).then(|| CompactionPlan {
            operations,
            version: CompactionPlan::VERSION,
            missing_schedule_partitions: left_out.into_iter().collect(),
            ..CompactionPlan::default()
        })
    }

    /// Bytes that it reads.
    pub fn read_bytes(&self) -> u64 {
        self.groups.iter().map(SliceFiles::read_bytes).sum()
    }
}

/// The operation of a plan, with the numbers that Hudi's strategies order by.
fn operation(slice: SliceFiles) -> CompactionOperation {
    let metrics = slice_metrics(std::slice::from_ref(&slice));
    CompactionOperation {
        base_instant_time: slice.base_instant,
        delta_file_paths: slice.logs.into_iter().map(|log| log.name).collect(),
        data_file_path: slice.base.map(|base| base.name),
        file_id: slice.group.file_id,
        partition_path: slice.group.partition,
        metrics,
        bootstrap_file_path: None,
    }
}

/// What happened to file groups.
struct Changes {
    /// Log files that came, in the order in which they were completed, each with its instant.
    logs: BTreeMap<FileGroupId, Vec<(InstantTime, SliceFile)>>,
    /// Groups that somebody else has rewritten, ended or planned for.
    gone: BTreeSet<FileGroupId>,
}

impl Changes {
    fn of(news: &News) -> Self {
        let mut changes = Self { logs: BTreeMap::new(), gone: news.planned.keys().cloned().collect() };
        for (commit, metadata) in &news.commits {
            for (partition, file_id) in metadata.replaced_groups() {
                let (partition, file_id) = (partition.to_owned(), file_id.clone());
                changes.gone.insert(FileGroupId { partition, file_id });
            }
            for (partition, stat) in metadata.write_stats() {
                let Some(file_id) = stat.group() else { continue };
                let group = FileGroupId { partition: partition.to_owned(), file_id };
                match written(commit.time, stat) {
                    Some(files) => {
                        let files = files.into_iter().map(|file| (commit.time, file));
                        changes.logs.entry(group).or_default().extend(files);
                    }
                    None => _ = changes.gone.insert(group),
                }
            }
        }
        changes
    }

    fn taken_in(&mut self, drafted: &SliceFiles) -> Option<SliceFiles> {
        if self.gone.contains(&drafted.group) {
            return None;
        }
        let mut taken_in = drafted.clone();
        for (instant, log) in self.logs.remove(&drafted.group).unwrap_or_default() {
            // Without a base file a slice begins with its first log file, which may be the last to complete.
            if taken_in.base.is_none() {
                taken_in.base_instant = taken_in.base_instant.min(instant);
            }
            if !taken_in.logs.iter().any(|known| known.name == log.name) {
                taken_in.logs.push(log);
            }
        }
        Some(taken_in)
    }
}

/// The log files that the write of `instant` made of a group; `None` if it made anything else, or does not
/// say what. Hudi's writers name those as well that were there before.
fn written(instant: InstantTime, stat: &WriteStat) -> Option<Vec<SliceFile>> {
    let own = stat.path.as_deref()?.rsplit('/').next()?;
    let of_write = |name: &str| match DataFileName::parse(name) {
        Some(DataFileName::Log(log)) => !log.cdc && log.instant == instant,
        _ => false,
    };
    if !of_write(own) {
        return None;
    }
    let bytes = u64::try_from(stat.file_size_in_bytes).unwrap_or_default();
    let mut files = vec![SliceFile { name: own.to_owned(), bytes }];
    let others = stat.log_files.iter().flatten().filter(|name| *name != own && of_write(name));
    files.extend(others.map(|name| SliceFile { name: name.clone(), bytes: 0 }));
    Some(files)
}

#[cfg(test)]
mod tests {
    use lakebed_hudi::file_name::FileId;
    use lakebed_hudi::instant::TimelineZone;
    use lakebed_hudi::timeline_file::{Action, TimelineFile, TimelineLayout};
    use lakebed_hudi::timeline_metadata::CommitMetadata;
    use proptest::prelude::*;

    use super::*;
    use crate::storage::Entry;
    use crate::table::{FileGroup, SliceRules, file_groups};
    use crate::timeline::Timeline;

    const GROUPS: u32 = 3;

    /// What somebody does to a group.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum What {
        /// Adds so many log files; Spark's stats name those as well that were there before.
        Logs {
            files: u32,
            by_spark: bool,
        },
        Base,
        Replace,
        /// Plans to rewrite it, and does not come to it.
        Plan,
    }

    /// What a writer does, from when to when.
    #[derive(Debug, Clone)]
    struct Write {
        begun: u32,
        completed: u32,
        group: u32,
        what: What,
    }

    fn instant(time: u32) -> InstantTime {
        InstantTime::from_unix_millis(1_790_000_000_000 + i64::from(time), TimelineZone::Utc)
    }

    /// Each group is a partition of its own.
    fn id(group: u32) -> FileGroupId {
        FileGroupId { partition: format!("p{group}"), file_id: FileId::of_bucket(group) }
    }

    impl Write {
        fn log_names(&self) -> Vec<String> {
            let What::Logs { files, .. } = self.what else { return Vec::new() };
            let (file_id, instant) = (id(self.group).file_id, instant(self.begun));
            (1..=files).map(|version| format!(".{file_id}_{instant}.log.{version}_0-0-0")).collect()
        }

        fn names(&self) -> Vec<String> {
            let base = format!("{}_0-0-0_{}.parquet", id(self.group).file_id, instant(self.begun));
            match self.what {
                What::Base => vec![base],
                // Change data is none of a slice's rows.
                What::Logs { by_spark: true, .. } => {
                    let cdc = self.log_names().pop().map(|name| format!("{name}.cdc"));
                    self.log_names().into_iter().chain(cdc).collect()
                }
                _ => self.log_names(),
            }
        }

        fn action(&self) -> Action {
            if self.what == What::Replace { Action::ReplaceCommit } else { Action::DeltaCommit }
        }

        fn file(&self) -> TimelineFile {
            TimelineFile::completed(instant(self.begun), self.action(), instant(self.completed))
        }

        /// What its commit says; `before` is what the group had of log files.
        fn metadata(&self, before: &[String]) -> CommitMetadata {
            let FileGroupId { partition, file_id } = id(self.group);
            let mut metadata = CommitMetadata::default();
            if self.what == What::Replace {
                metadata.partition_to_replace_file_ids = Some([(partition, vec![file_id])].into());
                return metadata;
            }
            let names = self.names();
            let all: Vec<String> = before.iter().chain(&names).cloned().collect();
            let stat = WriteStat {
                file_id: file_id.to_string(),
                path: Some(format!("{partition}/{}", names[0])),
                file_size_in_bytes: 7,
                log_files: match self.what {
                    What::Logs { by_spark: true, .. } => Some(all),
                    What::Logs { by_spark: false, .. } => Some(names),
                    _ => None,
                },
                ..WriteStat::default()
            };
            metadata.partition_to_write_stats = [(partition, vec![stat])].into();
            metadata
        }
    }

    /// The groups at a time.
    fn groups_at(writes: &[Write], time: u32) -> Vec<FileGroup> {
        let begun = writes.iter().filter(|write| write.what != What::Plan && write.begun < time);
        let inflight = begun.map(|write| TimelineFile::inflight(instant(write.begun), write.action()));
        let done: Vec<&Write> = writes.iter().filter(|write| write.completed < time).collect();
        let timeline = Timeline::from_files(inflight.chain(done.iter().map(|write| write.file())));
        let replaced = done.iter().filter(|write| write.what == What::Replace);
        let replaced = replaced.map(|write| (id(write.group), instant(write.begun)));
        let rules = SliceRules {
            timeline: &timeline,
            layout: TimelineLayout::Two,
            archived: &BTreeMap::new(),
            replaced: &replaced.collect(),
            changes: false,
            as_of: None,
        };
        let groups = (0..GROUPS).flat_map(|group| {
            let partition = id(group).partition;
            let of_group = writes.iter().filter(|write| write.group == group).flat_map(Write::names);
            let entry = |name| {
                let path = format!("{partition}/{name}").parse().unwrap();
                Entry { path, size: 7, modified_unix_millis: 0 }
            };
            let files: Vec<Entry> = of_group.map(entry).collect();
            file_groups(&partition, &files, &rules)
        });
        groups.collect()
    }

    /// Groups with log files that nobody is to rewrite.
    fn drafted_at(writes: &[Write], time: u32) -> CompactionDraft {
        let is_busy = |id: &FileGroupId| planned(writes, 0, time).contains_key(id);
        let groups = groups_at(writes, time).into_iter().filter(|group| !is_busy(&group.id));
        let drafted = groups.map(|group| SliceFiles::of(group.id.clone(), group.latest().unwrap()));
        let groups = drafted.filter(|drafted| !drafted.logs.is_empty()).collect();
        CompactionDraft { groups, left_out: ["before".to_owned()].into() }
    }

    fn planned(writes: &[Write], from: u32, to: u32) -> BTreeMap<FileGroupId, InstantTime> {
        let plans =
            writes.iter().filter(|write| write.what == What::Plan && (from..to).contains(&write.begun));
        plans.map(|write| (id(write.group), instant(write.begun))).collect()
    }

    /// What happened between two times.
    fn news(writes: &[Write], from: u32, to: u32) -> News {
        let mut done: Vec<&Write> = writes
            .iter()
            .filter(|write| write.what != What::Plan && (from..to).contains(&write.completed))
            .collect();
        done.sort_by_key(|write| write.completed);
        let commit = |write: &Write| {
            let before = writes.iter().filter(|w| w.group == write.group && w.completed < write.begun);
            let before: Vec<String> = before.flat_map(Write::log_names).collect();
            let commit = *Timeline::from_files([write.file()]).instants().next().unwrap();
            (commit, write.metadata(&before))
        };
        let (commits, planned) = (done.into_iter().map(commit).collect(), planned(writes, from, to));
        News { commits, planned, ..News::default() }
    }

    fn any_writes() -> impl Strategy<Value = Vec<Write>> {
        let what = prop_oneof![
            12 => (1..3_u32, any::<bool>()).prop_map(|(files, by_spark)| What::Logs { files, by_spark }),
            3 => Just(What::Base),
            1 => Just(What::Replace),
            1 => Just(What::Plan),
        ];
        let write = (0..GROUPS, what, 0..8_u32);
        prop::collection::vec(write, 1..25).prop_map(|writes| {
            let write = |((group, what, lasting), number): ((u32, What, u32), u32)| Write {
                begun: number * 100,
                completed: (number + lasting) * 100 + 1 + number,
                group,
                what,
            };
            writes.into_iter().zip(0..).map(write).collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        /// A plan that is made at one time and put at a later one is that of the later time.
        #[test]
        fn a_settled_plan_has_what_its_slices_have_then(
            writes in any_writes(), drafted in 0..25_u32, lasting in 0..10_u32,
        ) {
            let (then, now) = (drafted * 100 + 50, (drafted + lasting) * 100 + 50);
            let (draft, news) = (drafted_at(&writes, then), news(&writes, then, now));
            let plan = draft.settled(&news);

            let is_gone = |id: &FileGroupId| {
                let rewritten = writes.iter().any(|write| {
                    (then..now).contains(&write.completed) && matches!(write.what, What::Base | What::Replace)
                        && self::id(write.group) == *id
                });
                rewritten || news.planned.contains_key(id)
            };
            let mut left_out = draft.left_out.clone();
            let (mut expected, slices) = (Vec::new(), groups_at(&writes, now));
            for SliceFiles { group: id, .. } in &draft.groups {
                if is_gone(id) {
                    left_out.insert(id.partition.clone());
                } else {
                    let group = slices.iter().find(|group| group.id == *id).unwrap();
                    expected.push(SliceFiles::of(id.clone(), group.latest().unwrap()));
                }
            }
            prop_assert_eq!(plan.is_some(), !expected.is_empty());
            let Some(plan) = plan else { return Ok(()) };
            prop_assert_eq!(plan.missing_schedule_partitions, left_out.into_iter().collect::<Vec<_>>());
            prop_assert_eq!(plan.operations.len(), expected.len());
            for (found, expected) in plan.operations.into_iter().zip(expected) {
                let mut logs = found.delta_file_paths;
                logs.sort();
                let mut expected_logs: Vec<String> = expected.logs.into_iter().map(|log| log.name).collect();
                expected_logs.sort();
                prop_assert_eq!(found.metrics["TOTAL_LOG_FILES"], logs.len() as f64);
                prop_assert_eq!(logs, expected_logs);
                prop_assert_eq!((found.partition_path, found.file_id), (expected.group.partition, expected.group.file_id));
                prop_assert_eq!(found.data_file_path, expected.base.map(|base| base.name));
                prop_assert_eq!(found.base_instant_time, expected.base_instant);
            }
        }
    }

    #[test]
    fn log_files_of_a_commit_that_was_begun_before_the_draft_are_taken_in() {
        let logs = What::Logs { files: 2, by_spark: true };
        let writes = [
            Write { begun: 100, completed: 101, group: 0, what: What::Base },
            Write { begun: 200, completed: 400, group: 0, what: logs },
            Write { begun: 300, completed: 301, group: 0, what: logs },
        ];
        let draft = drafted_at(&writes, 350);
        assert_eq!(draft.groups[0].logs.len(), 2);
        let plan = draft.settled(&news(&writes, 350, 450)).unwrap();
        let expected = [writes[2].log_names(), writes[1].log_names()].concat();
        assert_eq!(plan.operations[0].delta_file_paths, expected, "and no change data");
        assert_eq!(plan.missing_schedule_partitions, ["before"]);
    }

    #[test]
    fn a_slice_without_a_base_file_begins_with_its_first_log_file_whenever_that_came() {
        let logs = What::Logs { files: 1, by_spark: false };
        let writes = [
            Write { begun: 100, completed: 301, group: 0, what: logs },
            Write { begun: 200, completed: 201, group: 0, what: logs },
        ];
        let draft = drafted_at(&writes, 250);
        assert_eq!(draft.groups[0].base_instant, instant(200));
        let plan = draft.settled(&news(&writes, 250, 350)).unwrap();
        assert_eq!(plan.operations[0].base_instant_time, instant(100));
    }

    #[test]
    fn what_somebody_else_has_rewritten_ended_or_planned_for_is_left_to_later_plans() {
        for what in [What::Base, What::Replace, What::Plan] {
            let logs = What::Logs { files: 1, by_spark: false };
            let writes = [
                Write { begun: 100, completed: 101, group: 0, what: logs },
                Write { begun: 110, completed: 111, group: 1, what: logs },
                Write { begun: 200, completed: 201, group: 0, what },
            ];
            let news = news(&writes, 150, 250);
            let plan = drafted_at(&writes, 150).settled(&news).unwrap();
            assert_eq!(plan.operations.iter().map(|o| o.partition_path.as_str()).collect::<Vec<_>>(), ["p1"]);
            assert_eq!(plan.missing_schedule_partitions, ["before", "p0"], "{what:?}");
            assert_eq!(drafted_at(&writes[..1], 150).settled(&news), None, "{what:?}: nothing is left");
        }
    }
}
