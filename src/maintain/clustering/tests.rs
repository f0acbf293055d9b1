//! What is planned, against a simple model.

use std::collections::{BTreeMap, BTreeSet};

use lakebed_hudi::file_name::FileId;
use lakebed_hudi::instant::{InstantTime, TimelineZone};
use lakebed_hudi::table_config::TableType;
use lakebed_hudi::timeline_file::{Action, TimelineFile};
use lakebed_hudi::timeline_metadata::{ClusteringPlan, CommitMetadata, OperationType, WriteStat};
use proptest::prelude::*;

use super::*;
use crate::commit::News;
use crate::maintain::Survey;
use crate::maintain::scene::{base_file, empty_table, log_file};
use crate::table::one_column::of_one_column;
use crate::table::{FileGroup, FileGroupId, FileSlice, TableSnapshot};
use crate::timeline::Timeline;

const MIB: u64 = 1 << 20;

/// A file group: its partition and number, bytes of its base file and log files.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Spec {
    partition: &'static str,
    number: u32,
    base_bytes: u64,
    log_bytes: Vec<u64>,
}

fn spec(partition: &'static str, number: u32, base_bytes: u64) -> Spec {
    Spec { partition, number, base_bytes, log_bytes: Vec::new() }
}

fn instant(number: u32) -> InstantTime {
    InstantTime::from_unix_millis(1_790_000_000_000 + i64::from(number), TimelineZone::Utc)
}

impl Spec {
    fn id(&self) -> FileGroupId {
        let file_id = FileId::of_uuid(&format!("5f22{:04}-aaaa", self.number), 0);
        FileGroupId { partition: self.partition.into(), file_id }
    }

    fn bytes(&self) -> u64 {
        self.base_bytes + self.log_bytes.iter().sum::<u64>()
    }

    fn group(&self) -> FileGroup {
        let (id, base_instant) = (self.id(), instant(self.number));
        let base = (self.base_bytes > 0).then(|| base_file(&id, base_instant, self.base_bytes));
        let logs = self.log_bytes.iter().zip(0..);
        let logs = logs.map(|(bytes, attempt)| log_file(&id, base_instant, attempt, *bytes));
        FileGroup { slices: vec![FileSlice { base_instant, base, logs: logs.collect() }], id: id.clone() }
    }
}

fn snapshot() -> TableSnapshot {
    empty_table(TableType::CopyOnWrite)
}

fn survey(snapshot: &TableSnapshot, specs: &[Spec], busy: &[Spec]) -> Survey {
    let groups = specs.iter().map(Spec::group).collect();
    let busy = busy.iter().map(|spec| (spec.id(), instant(0))).collect();
    Survey { snapshot: snapshot.clone(), groups, busy, unix_millis: 0 }
}

fn planned(specs: &[Spec], rules: &ClusteringRules) -> ClusteringDraft {
    plan(&survey(&snapshot(), specs, &[]), rules)
}

/// The numbers of the file groups that are planned, by what is rewritten together.
fn numbers(draft: &ClusteringDraft) -> Vec<Vec<u32>> {
    let number = |slice: &crate::maintain::SliceFiles| slice.group.file_id.as_str()[4..8].parse().unwrap();
    draft.groups.iter().map(|group| group.slices.iter().map(number).collect()).collect()
}

#[test]
fn small_files_come_together_until_they_fill_one_the_smallest_first() {
    let sizes = [50, 99, 100, 101, 1, 60, 2, 30];
    let specs: Vec<Spec> = sizes.iter().zip(0..).map(|(mib, number)| spec("p", number, mib * MIB)).collect();
    let draft = planned(&specs, &ClusteringRules::default());
    assert_eq!(numbers(&draft), [vec![4, 6, 7, 0]], "what is left makes no fewer files");
    assert_eq!((draft.groups[0].files, draft.read_bytes()), (1, 83 * MIB));
    let draft = planned(&specs, &ClusteringRules::of_target(300 * MIB, Some(101 * MIB)).unwrap());
    assert_eq!(numbers(&draft), [vec![4, 6, 7, 0, 5, 1]]);
    assert!(ClusteringRules::of_target(100, Some(101)).is_err());
}

#[test]
fn files_that_came_together_stay_together() {
    let specs: Vec<Spec> = [7, 6, 5, 4, 3, 2, 1, 0].map(|number| spec("p", number, 40 * MIB)).into();
    let draft = planned(&specs, &ClusteringRules::default());
    assert_eq!(numbers(&draft), [vec![0, 1, 2], vec![3, 4, 5], vec![6, 7]]);
}

#[test]
fn sorted_rows_come_into_several_files() {
    let specs: Vec<Spec> = (0..8).map(|number| spec("p", number, 40 * MIB)).collect();
    let sort_columns = vec!["id".to_owned()];
    let rules = ClusteringRules { sort_columns, max_group_bytes: 290 * MIB, ..ClusteringRules::default() };
    let draft = planned(&specs, &rules);
    assert_eq!(numbers(&draft), [vec![0, 1, 2, 3, 4, 5, 6]]);
    assert_eq!((draft.groups[0].files, &draft.sort_columns), (3, &rules.sort_columns));
}

#[test]
fn no_more_is_planned_than_is_asked_for_but_one_group_at_least() {
    let specs = [
        spec("p", 0, 50 * MIB),
        spec("p", 1, 40 * MIB),
        spec("q", 2, MIB),
        spec("q", 3, MIB),
        spec("q", 4, MIB),
        spec("r", 5, 9 * MIB),
        spec("r", 6, 9 * MIB),
    ];
    let of = |rules: &ClusteringRules| {
        let draft = planned(&specs, rules);
        let left: Vec<String> = draft.left_out.iter().cloned().collect();
        (numbers(&draft), left.join(" "))
    };
    let all = ClusteringRules::default();
    let (p, q, r) = (vec![0, 1], vec![2, 3, 4], vec![5, 6]);
    assert_eq!(of(&all), (vec![q.clone(), r.clone(), p.clone()], String::new()));
    let groups = ClusteringRules { max_groups: 1, ..all.clone() };
    assert_eq!(of(&groups), (vec![q.clone()], "p r".to_owned()));
    let bytes = |max_read_bytes| ClusteringRules { max_read_bytes, ..all.clone() };
    assert_eq!(of(&bytes(0)), (vec![q.clone()], "p r".to_owned()));
    assert_eq!(of(&bytes(21 * MIB)), (vec![q.clone(), r], "p".to_owned()));
    let due = ClusteringRules { due_small_files: 3, ..all.clone() };
    assert_eq!(of(&due), (vec![q], "p r".to_owned()));
    let partitions = Some(["p".to_owned()].into());
    assert_eq!(of(&ClusteringRules { partitions, ..all }), (vec![p], "q r".to_owned()));
}

fn any_spec(number: u32) -> impl Strategy<Value = Spec> {
    let partition = prop_oneof![Just("p"), Just("q"), Just("r")];
    let base = prop_oneof![1 => Just(0), 9 => 1..150 * MIB, 9 => 1..20 * MIB];
    let logs = prop_oneof![3 => Just(Vec::new()), 1 => prop::collection::vec(1..50 * MIB, 1..3)];
    (partition, base, logs).prop_map(move |(partition, base_bytes, log_bytes)| Spec {
        partition,
        number,
        base_bytes,
        // There is no slice without a file.
        log_bytes: if base_bytes == 0 && log_bytes.is_empty() { vec![1] } else { log_bytes },
    })
}

/// Groups, and whether somebody is at each.
fn any_groups() -> impl Strategy<Value = Vec<(Spec, bool)>> {
    (1..25_u32).prop_flat_map(|count| {
        (0..count).map(|number| (any_spec(number), prop::bool::weighted(0.1))).collect::<Vec<_>>()
    })
}

fn any_rules() -> impl Strategy<Value = ClusteringRules> {
    let groups = prop_oneof![3 => Just(usize::MAX), 1 => 0..6_usize];
    let bytes = prop_oneof![3 => Just(u64::MAX), 1 => 0..500 * MIB];
    let sort = prop_oneof![Just(Vec::new()), Just(vec!["id".to_owned()])];
    (1..200 * MIB, 0..=6_u64, 1..400 * MIB, sort, 2..6_usize, groups, bytes).prop_map(
        |(
            target_file_bytes,
            sixths,
            max_group_bytes,
            sort_columns,
            due_small_files,
            max_groups,
            max_read_bytes,
        )| {
            ClusteringRules {
                small_file_bytes: target_file_bytes / 6 * sixths,
                target_file_bytes,
                max_group_bytes,
                sort_columns,
                due_small_files,
                max_groups,
                max_read_bytes,
                partitions: None,
            }
        },
    )
}

proptest! {
    #[test]
    fn a_plan_keeps_to_its_rules(groups in any_groups(), rules in any_rules()) {
        let specs: Vec<Spec> = groups.iter().map(|(spec, _)| spec.clone()).collect();
        let busy: Vec<Spec> = groups.into_iter().filter(|(_, busy)| *busy).map(|(spec, _)| spec).collect();
        let survey = survey(&snapshot(), &specs, &busy);
        let draft = plan(&survey, &rules);
        prop_assert_eq!(&plan(&survey, &rules), &draft, "the same again");
        prop_assert!(draft.groups.len() <= rules.max_groups);
        prop_assert!(draft.groups.len() <= 1 || draft.read_bytes() <= rules.max_read_bytes);

        let small = |spec: &&Spec| spec.base_bytes < rules.small_file_bytes && !busy.contains(spec);
        let mut seen = BTreeSet::new();
        for group in &draft.groups {
            let slices: Vec<&Spec> = group.slices.iter().map(|slice| {
                specs.iter().find(|spec| spec.id() == slice.group).unwrap()
            }).collect();
            for spec in &slices {
                prop_assert!(small(spec), "{spec:?}");
                prop_assert!(seen.insert(spec.id()), "{spec:?} twice");
                prop_assert_eq!(spec.partition, &group.partition);
            }
            let bytes: u64 = slices.iter().map(|spec| spec.bytes()).sum();
            let limit = match rules.sort_columns.is_empty() {
                true => rules.target_file_bytes,
                false => rules.max_group_bytes.max(rules.target_file_bytes),
            };
            prop_assert!(bytes <= limit, "{bytes} of {limit}: one file alone may be larger, and is never planned");
            prop_assert_eq!(group.read_bytes(), bytes);
            prop_assert!(u64::from(group.files) * rules.target_file_bytes >= bytes);
            prop_assert!((group.files as usize) < slices.len(), "there are fewer file groups after it");
        }
        // What is small and not planned is left to a later plan, where another one is there that it could go with.
        let mut of_partition: BTreeMap<&str, Vec<&Spec>> = BTreeMap::new();
        for spec in specs.iter().filter(small) {
            of_partition.entry(spec.partition).or_default().push(spec);
        }
        let limits = rules.max_groups == usize::MAX && rules.max_read_bytes == u64::MAX;
        for (partition, small) in of_partition {
            let is_due = small.len() >= rules.due_small_files;
            let planned = draft.groups.iter().any(|group| group.partition == partition);
            prop_assert!(is_due || !planned);
            prop_assert!(draft.left_out.contains(partition) || is_due || small.len() == 1);
            let mut bytes: Vec<u64> = small.iter().map(|spec| spec.bytes()).collect();
            bytes.sort_unstable();
            // Two slices of one magnitude that fit one file are never passed by side by side.
            let fits = bytes.len() > 1 && bytes[0] + bytes[1] <= rules.target_file_bytes
                && bytes[0].ilog2() == bytes[1].ilog2() && bytes.len() == 2;
            prop_assert!(!(limits && is_due && fits) || planned, "{small:?}");
        }
    }

    /// Whoever carries a plan out makes files of it, until nothing is left to gain.
    #[test]
    fn planning_again_after_it_was_done_comes_to_an_end(groups in any_groups(), target_file_bytes in MIB..200 * MIB) {
        let mut specs: Vec<Spec> = groups.into_iter().map(|(spec, _)| spec).collect();
        let rules = ClusteringRules::of_target(target_file_bytes, None).unwrap();
        let (snapshot, mut rounds) = (snapshot(), 0);
        loop {
            let draft = plan(&survey(&snapshot, &specs, &[]), &rules);
            if draft.groups.is_empty() {
                break;
            }
            rounds += 1;
            prop_assert!(rounds < 10);
            for group in &draft.groups {
                let replaced: Vec<&FileGroupId> = group.slices.iter().map(|slice| &slice.group).collect();
                let partition = specs.iter().find(|spec| spec.id() == *replaced[0]).unwrap().partition;
                specs.retain(|spec| !replaced.contains(&&spec.id()));
                let number = 100 + specs.iter().map(|spec| spec.number).max().unwrap_or_default();
                specs.push(spec(partition, number, group.read_bytes()));
            }
        }
    }
}

/// A commit that wrote to one group, and replaced another.
fn commit(written: &Spec, replaced: &Spec) -> News {
    let time = instant(900);
    let file = TimelineFile::completed(time, Action::ReplaceCommit, instant(901));
    let commit = *Timeline::from_files([file]).instants().next().unwrap();
    let stat = WriteStat { file_id: written.id().file_id.to_string(), ..WriteStat::default() };
    let replaced = (replaced.partition.to_owned(), vec![replaced.id().file_id]);
    let metadata = CommitMetadata {
        partition_to_write_stats: [(written.partition.to_owned(), vec![stat])].into(),
        partition_to_replace_file_ids: Some([replaced].into()),
        ..CommitMetadata::default()
    };
    News { commits: vec![(commit, metadata)], ..News::default() }
}

fn settled(specs: &[Spec], news: &News) -> Option<(Vec<String>, Vec<String>)> {
    let uri = "s3a://lake/t".parse().unwrap();
    let requested = planned(specs, &ClusteringRules::default()).settled(news, &uri).unwrap()?;
    assert_eq!(requested.operation_type, Some(OperationType::Cluster));
    let plan: ClusteringPlan = requested.clustering_plan.unwrap();
    let files = plan.input_groups.iter().map(|group| {
        let paths: Vec<&str> = group.slices.iter().map(|slice| slice.data_file_path.as_str()).collect();
        paths.join(" ")
    });
    Some((files.collect(), plan.missing_schedule_partitions))
}

#[test]
fn what_others_have_written_to_ended_or_planned_for_is_left_to_later_plans() {
    let specs: Vec<Spec> = (0..6).map(|number| spec("p", number, MIB)).collect();
    let path = |number: usize| {
        let group = specs[number].group();
        format!("s3a://lake/t/{}", group.slices[0].base.as_ref().unwrap().path)
    };
    let all: Vec<String> = (0..6).map(path).collect();
    assert_eq!(settled(&specs, &News::default()), Some((vec![all.join(" ")], vec![])));
    let mut news = commit(&specs[0], &specs[2]);
    news.planned = [(specs[4].id(), instant(800))].into();
    let left = [path(1), path(3), path(5)].join(" ");
    assert_eq!(settled(&specs, &news), Some((vec![left], vec!["p".to_owned()])));
    assert_eq!(settled(&specs[..3], &news), None, "one slice alone is not worth it");
}

#[test]
fn tables_with_buckets_are_refused() {
    let config = |index: &str| {
        let properties = of_one_column(TableType::CopyOnWrite).to_properties().to_bytes("");
        let text = format!("{}{index}", String::from_utf8(properties).unwrap());
        lakebed_hudi::table_config::TableConfig::from_properties(
            lakebed_hudi::properties::Properties::parse(text.as_bytes()).unwrap(),
        )
        .unwrap()
    };
    let (random, bucket) = (spec("p", 0, 1).id().file_id, FileId::of_bucket(7));
    let told = |index: &str, ids: &[&FileId]| {
        check_fit(&config(index), ids.iter().copied()).map_err(|refusal| refusal.feature)
    };
    assert_eq!(told("", &[&random]), Ok(()));
    assert_eq!(told("", &[&bucket, &random]), Ok(()), "random ids may begin as those of buckets do");
    assert!(told("", &[&bucket, &bucket]).unwrap_err().contains("look like buckets"));
    assert!(told("hoodie.index.type=BUCKET\n", &[&random]).unwrap_err().contains("bucket index"));
}
