//! The planner against a model of what can be reached: who may read what, by reading it.

use std::collections::BTreeSet;

use lakebed_hudi::timeline_file::Action;
use proptest::prelude::*;

use super::scene::{Scene, at, group, minutes, paths_of, unix_millis};
use crate::maintain::clean::{CleanPolicy, CleanRules, Horizon, LastClean, plan};
use crate::table::FileGroupId;

/// Something that may be done to a table; it is left out where it does not fit what is going on.
#[derive(Debug, Clone)]
enum Op {
    Base { groups: Vec<(u8, u8)>, lasts: u32 },
    Log { groups: Vec<(u8, u8)>, lasts: u32 },
    Replace { old: Vec<(u8, u8)>, new: Vec<(u8, u8)>, lasts: u32 },
    Service { cluster: bool, groups: Vec<(u8, u8)>, lasts: u32 },
    Savepoint { commits_ago: usize },
}

fn any_group() -> impl Strategy<Value = (u8, u8)> {
    (0..3_u8, 0..3_u8)
}

fn any_op() -> impl Strategy<Value = Op> {
    let some = || prop::collection::vec(any_group(), 1..4);
    let lasts = || prop_oneof![8 => 1..4_u32, 2 => 4..40_u32];
    prop_oneof![
        4 => (some(), lasts()).prop_map(|(groups, lasts)| Op::Base { groups, lasts }),
        4 => (some(), lasts()).prop_map(|(groups, lasts)| Op::Log { groups, lasts }),
        2 => (some(), prop::collection::vec(any_group(), 0..3), lasts())
            .prop_map(|(old, new, lasts)| Op::Replace { old, new, lasts }),
        2 => (any::<bool>(), some(), prop_oneof![1..4_u32, 10..60_u32])
            .prop_map(|(cluster, groups, lasts)| Op::Service { cluster, groups, lasts }),
        1 => (0..8_usize).prop_map(|commits_ago| Op::Savepoint { commits_ago }),
    ]
}

fn any_rules() -> impl Strategy<Value = CleanRules> {
    let policy = prop_oneof![
        (1..8_usize).prop_map(CleanPolicy::KeepLatestCommits),
        (1..3_u32).prop_map(CleanPolicy::KeepLatestByHours),
        (1..4_usize).prop_map(CleanPolicy::KeepLatestFileVersions),
    ];
    let window = prop_oneof![Just(0), 0..90_u32];
    (policy, window).prop_map(|(policy, window)| CleanRules { policy, reader_window: minutes(window) })
}

/// Does what fits: base files and services are the only ones of their groups, and none writes to a group that
/// was replaced. A group that is written anew after that is another one.
fn apply(scene: &mut Scene, ops: &[Op]) {
    for op in ops {
        let minute = scene.now + 1;
        scene.now = minute;
        match op {
            Op::Base { groups, lasts } => {
                let groups = free(scene, groups);
                scene.write(Action::Commit, minute, minute + lasts, &groups);
            }
            Op::Log { groups, lasts } => {
                let mut alive = named(scene, groups);
                alive.retain(|group| !is_ending(scene, group));
                scene.write(Action::DeltaCommit, minute, minute + lasts, &alive);
            }
            Op::Replace { old, new, lasts } => {
                let mut old = named(scene, old);
                old.retain(|group| !is_ending(scene, group) && !is_written(scene, group));
                let new = new.iter().map(|(p, n)| group(&partition(*p), u32::from(*n) + 100 * minute));
                scene.replace(Action::ReplaceCommit, minute, minute + lasts, &new.collect::<Vec<_>>(), &old);
            }
            Op::Service { cluster, groups, lasts } => {
                let action = if *cluster { Action::Clustering } else { Action::Compaction };
                let mut groups = free(scene, groups);
                groups.retain(|group| !cluster || !is_written(scene, group));
                scene.plan(action, minute, minute + lasts, &groups);
            }
            Op::Savepoint { commits_ago } => {
                let done = scene.done.iter().filter(|done| done.completed <= minute);
                let mut commits: Vec<u32> = done.map(|done| done.requested).collect();
                commits.sort_unstable();
                if let Some(commit) = commits.iter().rev().nth(*commits_ago).copied() {
                    scene.savepoint(commit);
                }
            }
        }
    }
}

fn partition(number: u8) -> String {
    ["", "p", "q/r"].get(usize::from(number)).map(|name| (*name).to_owned()).unwrap_or_default()
}

fn named(scene: &Scene, groups: &[(u8, u8)]) -> Vec<FileGroupId> {
    let groups: BTreeSet<FileGroupId> =
        groups.iter().map(|(p, n)| group(&partition(*p), u32::from(*n))).collect();
    let is_replaced = |group: &FileGroupId| {
        scene.done.iter().any(|done| done.completed <= scene.now && done.replaces.contains(group))
    };
    groups.into_iter().filter(|group| !is_replaced(group)).collect()
}

/// Those of `groups` of which nobody is writing a base file, or is to rewrite or end them.
fn free(scene: &Scene, groups: &[(u8, u8)]) -> Vec<FileGroupId> {
    let is_busy = |group: &FileGroupId| {
        scene.done.iter().filter(|done| done.completed > scene.now).any(|done| {
            done.replaces.contains(group)
                || done.reads.contains_key(group)
                || done.action != Action::DeltaCommit && done.writes.contains(group)
        })
    };
    named(scene, groups).into_iter().filter(|group| !is_busy(group)).collect()
}

/// Whether a write of a group is not completed that is no service: what a service is to rewrite may be replaced
/// before it does.
fn is_written(scene: &Scene, group: &FileGroupId) -> bool {
    let mut pending = scene.done.iter().filter(|done| done.completed > scene.now && done.reads.is_empty());
    pending.any(|done| done.writes.contains(group))
}

fn is_ending(scene: &Scene, group: &FileGroupId) -> bool {
    scene.done.iter().any(|done| done.completed > scene.now && done.replaces.contains(group))
}

/// Paths that somebody may read, by the promises of `rules` alone.
fn promised(scene: &Scene, rules: &CleanRules) -> BTreeSet<String> {
    let mut needed = scene.read(scene.now, None);
    // Who began to read within the window.
    let window = u32::try_from(rules.reader_window.as_secs() / 60).unwrap();
    for began in scene.now.saturating_sub(window)..=scene.now {
        needed.extend(scene.read(began, None));
    }
    // Who reads as of an instant from which on the clean says that everything is left.
    if let Ok(Horizon { earliest: Some(earliest), .. }) = Horizon::of(&scene.facts(), rules) {
        for done in scene.done.iter().filter(|done| at(done.requested) >= earliest.time) {
            needed.extend(scene.read(scene.now, Some(at(done.requested))));
        }
    }
    needed
}

/// Paths that a savepoint or a pending service names.
fn named_by_others(scene: &Scene) -> BTreeSet<String> {
    let mut named: BTreeSet<String> = scene.savepoints.values().flatten().cloned().collect();
    for done in scene.done.iter().filter(|done| done.completed > scene.now) {
        for (group, files) in &done.reads {
            let folder =
                if group.partition.is_empty() { String::new() } else { format!("{}/", group.partition) };
            named.extend(files.iter().map(|name| format!("{folder}{name}")));
        }
    }
    named
}

/// What the policies keep beyond that: what was current just before the horizon, and so many versions.
fn kept_besides(scene: &Scene, rules: &CleanRules) -> BTreeSet<String> {
    let mut kept = BTreeSet::new();
    let Ok(horizon) = Horizon::of(&scene.facts(), rules) else { return kept };
    if let Some(from) = horizon.keep_from {
        let before = (0..scene.now).rev().find(|minute| at(*minute) < from).unwrap_or_default();
        kept.extend(scene.read(scene.now, Some(at(before))));
        for done in scene.done.iter().filter(|done| at(done.requested) >= from) {
            kept.extend(scene.read(scene.now, Some(at(done.requested))));
        }
    }
    for group in scene.groups(scene.now, None) {
        kept.extend(group.slices.iter().rev().take(horizon.versions).flat_map(paths_of));
    }
    kept
}

/// All files but those of slices of which somebody reads or names a file, and of replaced groups of which
/// somebody reads one.
fn unreachable(scene: &Scene, read: &BTreeSet<String>, named: &BTreeSet<String>) -> BTreeSet<String> {
    let replaced = scene.facts().replaced;
    let mut unreachable = BTreeSet::new();
    for group in scene.all_groups() {
        let is_replaced = replaced.contains_key(&group.id);
        if is_replaced && group.slices.iter().any(|slice| !paths_of(slice).is_disjoint(read)) {
            continue;
        }
        for paths in group.slices.iter().map(paths_of) {
            if paths.is_disjoint(read) && paths.is_disjoint(named) {
                unreachable.extend(paths);
            }
        }
    }
    unreachable
}

fn any_ops(most: usize) -> impl Strategy<Value = Vec<Op>> {
    prop::collection::vec(any_op(), 1..most)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn nothing_goes_that_can_be_reached_and_all_else_that_is_old_does(
        ops in any_ops(60), rules in any_rules(), later in 0..50_u32, archived in prop_oneof![2 => Just(0), 1 => 0..60_u32],
    ) {
        let mut scene = Scene::default();
        apply(&mut scene, &ops);
        scene.now += later;
        scene.archive_before(archived);
        let cleaned = scene.cleaned(rules);
        let (mut read, named) = (promised(&scene, &rules), named_by_others(&scene));
        let harmed: Vec<&String> = cleaned.iter().filter(|path| read.contains(*path) || named.contains(*path)).collect();
        prop_assert!(harmed.is_empty(), "{harmed:?}");
        if Horizon::of(&scene.facts(), &rules).is_err() {
            prop_assert!(cleaned.is_empty());
            return Ok(());
        }
        read.extend(kept_besides(&scene, &rules));
        prop_assert_eq!(cleaned, unreachable(&scene, &read, &named));
    }

    #[test]
    fn the_instant_that_a_clean_names_is_one_that_archivers_may_go_by(
        ops in any_ops(60), rules in any_rules(),
    ) {
        let mut scene = Scene::default();
        apply(&mut scene, &ops);
        let survey = scene.survey(rules);
        let draft = plan(&survey);
        let Ok(horizon) = survey.horizon else { return Ok(()) };
        let earliest = horizon.earliest.map(|earliest| earliest.time);
        // Of a group that was replaced before it nothing is left, but for savepoints.
        scene.deleted.extend(scene.cleaned(rules));
        let kept: BTreeSet<String> = scene.savepoints.values().flatten().cloned().collect();
        let facts = scene.facts();
        for group in scene.all_groups() {
            let is_old = facts.replaced.get(&group.id).is_some_and(|by| earliest.is_none_or(|e| *by < e));
            for slice in group.slices.iter().filter(|_| is_old) {
                let is_kept = paths_of(slice).iter().any(|path| kept.contains(path));
                prop_assert!(is_kept, "{:?} is left: {slice:?}", group.id);
            }
        }
        // No replacement that is still to complete is before it, and no write at all where commits count.
        for done in scene.done.iter().filter(|done| done.completed > scene.now) {
            let replaces = done.action.completed() == Action::ReplaceCommit;
            if replaces || !rules.policy.counts_versions() {
                prop_assert!(earliest.is_some_and(|earliest| earliest <= at(done.requested)), "{done:?}");
            }
        }
        prop_assert_eq!(draft.earliest.map(|earliest| earliest.timestamp), earliest);
    }

    #[test]
    fn where_nothing_was_written_since_the_last_clean_there_is_nothing_to_clean(
        first in any_ops(40), then in any_ops(40), policy in 1..6_usize, more in 0..3_usize, window in 0..60_u32,
    ) {
        let rules = |kept| CleanRules {
            policy: CleanPolicy::KeepLatestCommits(kept),
            reader_window: minutes(window),
        };
        let mut scene = Scene::default();
        apply(&mut scene, &first);
        let survey = scene.survey(rules(policy));
        let Ok(Horizon { earliest: Some(since), .. }) = survey.horizon else { return Ok(()) };
        scene.deleted.extend(scene.cleaned(rules(policy)));
        scene.last_clean = Some(LastClean {
            instant: since.time,
            earliest: Some(since.time),
            savepoints: survey.facts.savepoints.keys().copied().collect(),
            by_versions: false,
        });
        apply(&mut scene, &then);
        let survey = scene.survey(rules(policy + more));
        let Ok(Horizon { earliest: Some(earliest), .. }) = survey.horizon else { return Ok(()) };
        let between = scene.done.iter().filter(|done| {
            (since.time..earliest.time).contains(&at(done.requested)) && unix_millis(done.completed) <= survey.facts.unix_millis
        });
        let touched: BTreeSet<&str> = between
            .flat_map(|done| done.writes.iter().chain(&done.replaces))
            .map(|group| group.partition.as_str())
            .collect();
        for slice in plan(&survey).slices {
            prop_assert!(touched.contains(slice.group.partition.as_str()), "{slice:?}");
        }
    }
}
