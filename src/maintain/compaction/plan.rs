//! From a table to what is worth compacting in it.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::draft::CompactionDraft;
use super::rules::CompactionRules;
use crate::maintain::{SliceFiles, Survey};
use crate::table::FileSlice;

/// What a byte of log files costs a reader, over what one of a base file costs: it is decoded, folded, and
/// looked up in the base rows.
const LOG_BYTE_COST: u64 = 4;

/// What opening a log file costs a reader, in bytes of a base file.
const LOG_FILE_COST: u64 = 256 << 10;

/// What is worth compacting in a table, by `rules`.
///
/// Groups that a pending service is about to rewrite are passed by.
pub fn plan(survey: &Survey, rules: &CompactionRules) -> CompactionDraft {
    let is_asked_for =
        |partition: &str| rules.partitions.as_ref().is_none_or(|asked| asked.contains(partition));
    let (mut due, mut left_out) = (Vec::new(), BTreeSet::new());
    for group in survey.groups.iter().filter(|group| !survey.busy.contains_key(&group.id)) {
        let Some(slice) = group.latest().filter(|slice| !slice.logs.is_empty()) else { continue };
        let age_millis = age_millis(survey, slice);
        let drafted = SliceFiles::of(group.id.clone(), slice);
        match Due::of(&drafted, age_millis, rules).filter(|_| is_asked_for(&group.id.partition)) {
            Some(due_by) => due.push((due_by, drafted)),
            None => _ = left_out.insert(group.id.partition.clone()),
        }
    }
    due.sort_by_key(|(due_by, _)| due_by.order());
    let mut draft = CompactionDraft { groups: Vec::new(), left_out };
    let mut read_bytes = 0_u64;
    for (_, drafted) in due {
        let with = read_bytes.saturating_add(drafted.read_bytes());
        let fits = draft.groups.is_empty() || with <= rules.max_read_bytes;
        if fits && draft.groups.len() < rules.max_groups {
            read_bytes = with;
            draft.groups.push(drafted);
        } else {
            draft.left_out.insert(drafted.group.partition);
        }
    }
    draft
}

/// In how long the first group is due by age that is not due yet, in milliseconds, if nothing is written meanwhile;
/// `None` if no group will be.
pub fn due_in_millis(survey: &Survey, rules: &CompactionRules) -> Option<u64> {
    let due_age = u64::try_from(rules.due_log_age.as_millis()).unwrap_or(u64::MAX);
    let latest = survey.groups.iter().filter_map(|group| group.latest());
    let with_logs = latest.filter(|slice| !slice.logs.is_empty());
    with_logs
        .filter_map(|slice| due_age.checked_sub(age_millis(survey, slice)))
        .filter(|left| *left > 0)
        .min()
}

/// What compacting a group saves each of its readers, in bytes of a base file.
pub fn saved_bytes(drafted: &SliceFiles) -> u64 {
    drafted.log_bytes() * LOG_BYTE_COST + drafted.logs.len() as u64 * LOG_FILE_COST
}

/// Of the oldest log file.
fn age_millis(survey: &Survey, slice: &FileSlice) -> u64 {
    slice.logs.iter().map(|log| survey.age_millis(log.name.instant)).max().unwrap_or_default()
}

/// Why a group is due.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Due {
    ByAge {
        millis: u64,
    },
    /// What readers save for each byte that is rewritten.
    ByValue {
        saved: f64,
    },
}

impl Due {
    fn of(drafted: &SliceFiles, age_millis: u64, rules: &CompactionRules) -> Option<Self> {
        if u128::from(age_millis) >= rules.due_log_age.as_millis() {
            return Some(Self::ByAge { millis: age_millis });
        }
        let ratio = drafted.log_bytes() as f64 / drafted.base_bytes().max(1) as f64;
        let is_due = drafted.logs.len() >= rules.due_log_files || ratio >= rules.due_log_ratio;
        is_due.then(|| Self::ByValue {
            saved: saved_bytes(drafted) as f64 / drafted.read_bytes().max(1) as f64,
        })
    }

    /// Least first.
    fn order(self) -> (bool, Reverse<u64>) {
        match self {
            Self::ByAge { millis } => (false, Reverse(millis)),
            // Positive floats order as their bits do.
            Self::ByValue { saved } => (true, Reverse(saved.to_bits())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use lakebed_hudi::file_name::FileId;
    use lakebed_hudi::instant::{InstantTime, TimelineZone};
    use lakebed_hudi::table_config::TableType;
    use proptest::prelude::*;

    use super::*;
    use crate::maintain::scene::{base_file, empty_table, log_file};
    use crate::table::{FileGroup, FileGroupId, TableSnapshot};

    const NOW: i64 = 1_790_000_000_000;
    const MIB: u64 = 1 << 20;

    /// A file group: its partition and number, bytes of its base file, ages in seconds and bytes of its log
    /// files.
    #[derive(Debug, Clone, PartialEq, Eq)]
    struct Spec {
        partition: &'static str,
        number: u32,
        base_bytes: u64,
        logs: Vec<(u32, u64)>,
    }

    fn spec(partition: &'static str, number: u32, base_bytes: u64, logs: &[(u32, u64)]) -> Spec {
        Spec { partition, number, base_bytes, logs: logs.to_vec() }
    }

    impl Spec {
        fn id(&self) -> FileGroupId {
            FileGroupId { partition: self.partition.into(), file_id: FileId::of_bucket(self.number) }
        }

        fn read_bytes(&self) -> u64 {
            self.base_bytes + self.logs.iter().map(|(_, bytes)| bytes).sum::<u64>()
        }

        fn age(&self) -> u32 {
            self.logs.iter().map(|(age, _)| *age).max().unwrap_or_default()
        }

        fn group(&self) -> FileGroup {
            let id = self.id();
            let logs = self.logs.iter().zip(0..);
            let logs = logs.map(|((age, bytes), attempt)| log_file(&id, instant(*age), attempt, *bytes));
            let base_instant = instant(1_000_000);
            let base = (self.base_bytes > 0).then(|| base_file(&id, base_instant, self.base_bytes));
            FileGroup { slices: vec![FileSlice { base_instant, base, logs: logs.collect() }], id: id.clone() }
        }
    }

    fn instant(age_seconds: u32) -> InstantTime {
        InstantTime::from_unix_millis(NOW - i64::from(age_seconds) * 1_000, TimelineZone::Utc)
    }

    fn snapshot() -> TableSnapshot {
        empty_table(TableType::MergeOnRead)
    }

    fn survey(snapshot: &TableSnapshot, specs: &[Spec], busy: &[Spec]) -> Survey {
        let groups = specs.iter().map(Spec::group).collect();
        let busy = busy.iter().map(|spec| (spec.id(), instant(0))).collect();
        Survey { snapshot: snapshot.clone(), groups, busy, unix_millis: NOW }
    }

    /// Nothing is due.
    fn never() -> CompactionRules {
        CompactionRules {
            due_log_files: usize::MAX,
            due_log_ratio: f64::INFINITY,
            due_log_age: Duration::MAX,
            ..CompactionRules::everything()
        }
    }

    /// The numbers of the planned groups, in order, and the partitions that are left out.
    fn planned(specs: &[Spec], rules: &CompactionRules) -> (Vec<u32>, Vec<String>) {
        told(&plan(&survey(&snapshot(), specs, &[]), rules))
    }

    fn told(draft: &CompactionDraft) -> (Vec<u32>, Vec<String>) {
        let number = |drafted: &SliceFiles| drafted.group.file_id.bucket().unwrap();
        (draft.groups.iter().map(number).collect(), draft.left_out.iter().cloned().collect())
    }

    #[test]
    fn a_group_is_due_as_soon_as_one_threshold_is_met() {
        let specs = [
            spec("p", 0, 100 * MIB, &[(60, 9 * MIB), (60, MIB)]),
            spec("p", 1, 0, &[(60, 1)]),
            spec("p", 2, 100 * MIB, &[(7_200, 1)]),
            spec("p", 3, 100 * MIB, &[]),
        ];
        let none = never();
        let files = |due_log_files| CompactionRules { due_log_files, ..never() };
        let ratio = |due_log_ratio| CompactionRules { due_log_ratio, ..never() };
        let age = |seconds| CompactionRules { due_log_age: Duration::from_secs(seconds), ..never() };
        for (rules, due) in [
            (none, vec![]),
            (files(3), vec![]),
            (files(2), vec![0]),
            (files(1), vec![1, 0, 2]),
            // A group without a base file has infinitely many times the bytes of one.
            (ratio(0.1001), vec![1]),
            (ratio(0.1), vec![1, 0]),
            (ratio(0.0), vec![1, 0, 2]),
            (age(7_201), vec![]),
            (age(7_200), vec![2]),
            (CompactionRules { due_log_files: 2, ..age(7_200) }, vec![2, 0]),
            (CompactionRules::everything(), vec![2, 0, 1]),
        ] {
            assert_eq!(planned(&specs, &rules).0, due, "{rules:?}");
        }
    }

    #[test]
    fn the_oldest_come_first_and_then_what_saves_most_for_each_byte() {
        let specs = [
            spec("p", 0, 100 * MIB, &[(60, MIB)]),
            spec("p", 1, 10 * MIB, &[(60, MIB)]),
            // Many small files cost more to read than one of the same bytes.
            spec("p", 2, 10 * MIB, &[(60, MIB / 2), (60, MIB / 2)]),
            spec("p", 3, 1_000 * MIB, &[(60, MIB), (3_601, MIB)]),
            spec("p", 4, 1_000 * MIB, &[(3_602, MIB)]),
        ];
        let rules = CompactionRules { due_log_age: Duration::from_secs(3_600), due_log_files: 1, ..never() };
        assert_eq!(planned(&specs, &rules).0, [4, 3, 2, 1, 0]);
    }

    #[test]
    fn no_more_is_planned_than_is_asked_for_but_one_group_at_least() {
        let specs = [
            spec("p", 0, 30 * MIB, &[(5, MIB)]),
            spec("q", 1, 20 * MIB, &[(4, MIB)]),
            spec("q", 2, 2 * MIB, &[(3, MIB)]),
            spec("r", 3, 0, &[(2, MIB)]),
        ];
        let bytes = |mib| CompactionRules { max_read_bytes: mib * MIB, ..CompactionRules::everything() };
        let groups = |max_groups| CompactionRules { max_groups, ..CompactionRules::everything() };
        let of = |partitions: &[&str]| partitions.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>();
        assert_eq!(planned(&specs, &groups(4)), (vec![0, 1, 2, 3], of(&[])));
        assert_eq!(planned(&specs, &groups(2)), (vec![0, 1], of(&["q", "r"])));
        assert_eq!(planned(&specs, &groups(0)), (vec![], of(&["p", "q", "r"])));
        assert_eq!(planned(&specs, &bytes(0)), (vec![0], of(&["q", "r"])));
        assert_eq!(planned(&specs, &bytes(52)), (vec![0, 1], of(&["q", "r"])));
        // What does not fit makes room for what comes after it.
        assert_eq!(planned(&specs, &bytes(35)), (vec![0, 2, 3], of(&["q"])));
    }

    #[test]
    fn groups_of_pending_services_and_other_partitions_are_passed_by() {
        let specs = [
            spec("p", 0, MIB, &[(5, 1)]),
            spec("p", 1, MIB, &[(5, 1)]),
            spec("q", 2, MIB, &[(5, 1)]),
            spec("r", 3, MIB, &[(5, 1)]),
            spec("s", 4, MIB, &[]),
        ];
        let partitions = Some(["p".to_owned(), "q".to_owned(), "s".to_owned()].into());
        let rules = CompactionRules { partitions, ..CompactionRules::everything() };
        let busy = [specs[1].clone(), specs[2].clone()];
        // Nobody needs to come back to a partition for what somebody else does.
        let draft = plan(&survey(&snapshot(), &specs, &busy), &rules);
        assert_eq!(told(&draft), (vec![0], vec!["r".to_owned()]));
    }

    fn any_spec(number: u32) -> impl Strategy<Value = Spec> {
        let partition = prop_oneof![Just("p"), Just("q"), Just("r")];
        let base = prop_oneof![Just(0), 1..200 * MIB];
        let logs = prop::collection::vec((0..20_000_u32, 1..50 * MIB), 0..5);
        (partition, base, logs).prop_map(move |(partition, base_bytes, logs)| Spec {
            partition,
            number,
            base_bytes,
            logs,
        })
    }

    /// Groups, and whether somebody is to rewrite each.
    fn any_groups() -> impl Strategy<Value = Vec<(Spec, bool)>> {
        (1..12_u32).prop_flat_map(|count| {
            (0..count).map(|number| (any_spec(number), prop::bool::weighted(0.1))).collect::<Vec<_>>()
        })
    }

    fn any_rules() -> impl Strategy<Value = CompactionRules> {
        let files = prop_oneof![Just(usize::MAX), 1..5_usize];
        let ratio = prop_oneof![Just(f64::INFINITY), 0.0..2.0];
        let age = prop_oneof![Just(Duration::MAX), (0..20_000_u64).prop_map(Duration::from_secs)];
        let groups = prop_oneof![Just(usize::MAX), 0..6_usize];
        let bytes = prop_oneof![Just(u64::MAX), 0..500 * MIB];
        let some = prop::collection::btree_set(prop_oneof!["p", "q", "r"], 0..3);
        (files, ratio, age, groups, bytes, prop::option::of(some)).prop_map(
            |(due_log_files, due_log_ratio, due_log_age, max_groups, max_read_bytes, partitions)| {
                CompactionRules {
                    due_log_files,
                    due_log_ratio,
                    due_log_age,
                    max_groups,
                    max_read_bytes,
                    partitions,
                }
            },
        )
    }

    fn is_due(spec: &Spec, rules: &CompactionRules) -> bool {
        let log_bytes: u64 = spec.logs.iter().map(|(_, bytes)| bytes).sum();
        spec.logs.len() >= rules.due_log_files
            || log_bytes as f64 >= rules.due_log_ratio * spec.base_bytes.max(1) as f64
            || is_old(spec, rules)
    }

    fn is_old(spec: &Spec, rules: &CompactionRules) -> bool {
        Duration::from_secs(spec.age().into()) >= rules.due_log_age
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
            let may_be = |spec: &&Spec| !spec.logs.is_empty() && !busy.contains(spec);
            let is_asked = |spec: &&Spec| rules.partitions.as_ref().is_none_or(|p| p.contains(spec.partition));
            let due: Vec<&Spec> =
                specs.iter().filter(may_be).filter(is_asked).filter(|spec| is_due(spec, &rules)).collect();
            let taken: Vec<&Spec> = draft.groups.iter().map(|drafted| {
                due.iter().find(|spec| spec.id() == drafted.group).copied().expect("only what is due")
            }).collect();
            prop_assert!(!taken.is_empty() || due.is_empty() || rules.max_groups == 0);
            for (spec, drafted) in taken.iter().zip(&draft.groups) {
                prop_assert_eq!(&SliceFiles::of(spec.id(), &spec.group().slices[0]), drafted);
            }
            let left = specs.iter().filter(may_be).filter(|spec| !taken.contains(spec));
            prop_assert_eq!(left.map(|spec| spec.partition.to_owned()).collect::<BTreeSet<_>>(), draft.left_out);

            // Old ones first, by age.
            let old: Vec<bool> = taken.iter().map(|spec| is_old(spec, &rules)).collect();
            prop_assert!(old.is_sorted_by(|a, b| a >= b));
            prop_assert!(taken.iter().filter(|spec| is_old(spec, &rules)).is_sorted_by(|a, b| a.age() >= b.age()));
            // The first of all is in any plan.
            let oldest = due.iter().filter(|spec| is_old(spec, &rules)).map(|spec| spec.age()).max();
            if let (Some(oldest), Some(first)) = (oldest, taken.first()) {
                prop_assert_eq!(first.age(), oldest);
            }
        }

        /// However much is written to others meanwhile, and however little is done at a time.
        #[test]
        fn no_group_waits_for_ever(
            groups in any_groups(),
            news in prop::collection::vec((0..12_usize, 1..50 * MIB), 120),
            max_groups in 1..3_usize,
        ) {
            const ROUND_SECONDS: u32 = 600;
            let snapshot = snapshot();
            let due_log_age = Duration::from_secs(3_600);
            let rules = CompactionRules { due_log_files: 1, due_log_age, max_groups, max_read_bytes: MIB, ..never() };
            let mut specs: Vec<Spec> = groups.into_iter().map(|(spec, _)| spec).collect();
            let mut waited = vec![0; specs.len()];
            for round in news.chunks(4) {
                let draft = plan(&survey(&snapshot, &specs, &[]), &rules);
                for (spec, waited) in specs.iter_mut().zip(&mut waited) {
                    if draft.groups.iter().any(|drafted| drafted.group == spec.id()) {
                        spec.base_bytes = spec.read_bytes();
                        spec.logs.clear();
                    }
                    *waited = if is_old(spec, &rules) { *waited + 1 } else { 0 };
                    spec.logs.iter_mut().for_each(|(age, _)| *age += ROUND_SECONDS);
                }
                prop_assert!(waited.iter().all(|rounds| *rounds < specs.len()), "{waited:?}: {specs:?}");
                for (number, bytes) in round {
                    let number = number % specs.len();
                    specs[number].logs.push((0, *bytes));
                }
            }
        }
    }
}
