use std::collections::BTreeSet;

use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::table_config::TableType;
use lakebed_hudi::timeline_file::{Action, TimelineFile};
use proptest::prelude::*;

use super::*;
use crate::timeline::{Instant, Timeline};

fn t(number: usize) -> InstantTime {
    format!("2026010100{number:07}").parse().unwrap()
}

fn done(number: usize, action: Action) -> TimelineFile {
    TimelineFile::completed(t(number), action, t(number + 1))
}

fn survey(files: impl IntoIterator<Item = TimelineFile>) -> ArchiveSurvey {
    ArchiveSurvey {
        timeline: Timeline::from_files(files),
        table_type: TableType::CopyOnWrite,
        archived: BTreeSet::new(),
        unswept: BTreeSet::new(),
        swept_before: BTreeSet::new(),
        cleaned: None,
    }
}

/// Commits at 10, 20, ….
fn commits(count: usize) -> impl Iterator<Item = TimelineFile> {
    (1..=count).map(|n| done(10 * n, Action::Commit))
}

fn rules(min: usize, max: usize) -> ArchiveRules {
    ArchiveRules::new(min, max).unwrap()
}

/// What goes of ten commits, of which two or three may stay, and what holds the rest.
fn of_ten(
    more: impl IntoIterator<Item = TimelineFile>,
    change: impl FnOnce(&mut ArchiveSurvey),
) -> (Vec<usize>, Option<HeldBy>) {
    let mut survey = survey(commits(10).chain(more));
    change(&mut survey);
    let plan = plan(&survey, &rules(2, 3));
    let writes: Vec<_> = plan.going.iter().filter(|i| i.action.writes_data()).map(|i| i.time).collect();
    assert_eq!(plan.going_commits(), writes.len());
    let numbers = (1..=10).filter(|n| writes.contains(&t(10 * n))).collect::<Vec<usize>>();
    let stays = survey.timeline.completed_writes().nth(writes.len()).filter(|_| !writes.is_empty());
    assert_eq!(plan.stays.as_ref(), stays);
    (numbers, plan.hold.map(|hold| hold.by))
}

#[test]
fn as_soon_as_there_are_too_many_all_but_the_newest_go() {
    let going = |count, rules: &ArchiveRules| plan(&survey(commits(count)), rules).going.len();
    let default = ArchiveRules::default();
    assert_eq!([29, 30, 31, 100].map(|count| going(count, &default)), [0, 0, 11, 80]);
    assert_eq!([0, 1, 2, 3].map(|count| going(count, &rules(1, 2))), [0, 0, 0, 2]);
    assert_eq!(of_ten([], |_| {}), ((1..=8).collect(), None));
}

#[test]
fn numbers_that_leave_nothing_are_refused() {
    for (min, max) in [(0, 3), (3, 3), (4, 3), (0, 0)] {
        assert!(ArchiveRules::new(min, max).is_err(), "{min} of {max}");
    }
}

#[test]
fn cleans_and_rollbacks_go_with_the_writes_around_them() {
    let more = [
        done(5, Action::Clean),
        done(15, Action::Rollback),
        done(18, Action::Restore),
        TimelineFile::requested(t(25), Action::Clean),
        done(75, Action::Clean),
        done(85, Action::Clean),
    ];
    let plan = plan(&survey(commits(10).chain(more)), &rules(2, 3));
    let going: Vec<_> = plan.going.iter().map(|i| i.time).collect();
    let want = [5, 10, 15, 20, 30, 40, 50, 60, 70, 75, 80].map(t);
    assert_eq!(
        going, want,
        "restores and what is pending stay, and so does what comes behind the last write"
    );
}

#[test]
fn a_savepoint_holds_what_comes_from_it_on() {
    let savepoint = TimelineFile::completed(t(40), Action::Savepoint, t(95));
    assert_eq!(of_ten([savepoint], |_| {}), (vec![1, 2, 3], Some(HeldBy::Savepoint { instant: t(40) })));
    let begun = TimelineFile::inflight(t(10), Action::Savepoint);
    assert_eq!(of_ten([begun], |_| {}), (vec![], Some(HeldBy::Savepoint { instant: t(10) })));
    let late = TimelineFile::completed(t(90), Action::Savepoint, t(95));
    assert_eq!(of_ten([late], |_| {}), ((1..=8).collect(), None));
}

#[test]
fn a_pending_write_or_service_holds_the_commit_before_it() {
    for action in [Action::Commit, Action::DeltaCommit, Action::Compaction, Action::Clustering] {
        let pending = TimelineFile::requested(t(45), action);
        let hold = HeldBy::Pending { action, instant: t(45) };
        assert_eq!(of_ten([pending], |_| {}), (vec![1, 2, 3], Some(hold)));
    }
    let first = TimelineFile::inflight(t(5), Action::Commit);
    let hold = HeldBy::Pending { action: Action::Commit, instant: t(5) };
    assert_eq!(of_ten([first], |_| {}), (vec![], Some(hold)));
    let last = TimelineFile::inflight(t(101), Action::Commit);
    assert_eq!(of_ten([last], |_| {}), ((1..=8).collect(), None));
}

#[test]
fn while_the_table_is_taken_back_nothing_goes() {
    let restore = TimelineFile::inflight(t(101), Action::Restore);
    assert_eq!(of_ten([restore], |_| {}), (vec![], Some(HeldBy::Restore { instant: t(101) })));
}

#[test]
fn an_instant_of_which_files_may_come_holds_the_commit_before_it() {
    let unswept = |number| move |survey: &mut ArchiveSurvey| survey.unswept = [t(number), t(102)].into();
    assert_eq!(of_ten([], unswept(45)), (vec![1, 2, 3], Some(HeldBy::Unswept { instant: t(45) })));
    // It is behind the active timeline as it is.
    assert_eq!(of_ten([], unswept(5)), ((1..=8).collect(), None));
}

#[test]
fn what_the_cleaner_left_stays_and_one_commit_more() {
    let cleaned = |kept| move |survey: &mut ArchiveSurvey| survey.cleaned = Some((t(95), t(kept)));
    let hold = |kept| Some(HeldBy::Clean { clean: t(95), kept: t(kept) });
    assert_eq!(of_ten([], cleaned(40)), (vec![1, 2], hold(40)));
    assert_eq!(of_ten([], cleaned(10)), (vec![], hold(10)));
    assert_eq!(of_ten([], cleaned(5)), ((1..=8).collect(), None), "others have archived past it");
}

#[test]
fn spark_is_left_what_it_counts_before_it_compacts() {
    let mor = |survey: &mut ArchiveSurvey| survey.table_type = TableType::MergeOnRead;
    let delta = (1..=4).map(|n| done(100 + n, Action::DeltaCommit));
    // The last commit is a compaction on a table of this kind.
    let held = of_ten([], mor);
    assert_eq!(held, ((1..=8).collect(), None), "the compaction is among those that stay");
    let (going, hold) = of_ten(delta.clone(), mor);
    assert_eq!((going, hold), ((1..=9).collect(), Some(HeldBy::Compaction { instant: t(100) })));
    let (going, hold) = of_ten(delta.chain([done(105, Action::DeltaCommit)]), mor);
    assert_eq!((going, hold), ((1..=10).collect(), Some(HeldBy::Compaction { instant: t(101) })));
}

#[test]
fn what_completed_last_stays() {
    let slow = |survey: &mut ArchiveSurvey| {
        let slow = TimelineFile::completed(t(35), Action::Commit, t(500));
        survey.timeline = Timeline::from_files(commits(10).chain([slow]));
    };
    assert_eq!(
        of_ten([], slow),
        (vec![1, 2, 3], Some(HeldBy::Newest { action: Action::Commit, instant: t(35) }))
    );
}

#[test]
fn what_is_in_the_archive_already_goes_however_few_there_are() {
    let entered = |upto: usize| (1..=upto).map(|n| (t(10 * n), Action::Commit)).collect::<BTreeSet<_>>();
    let going = |count, upto| {
        let survey = ArchiveSurvey { archived: entered(upto), ..survey(commits(count)) };
        plan(&survey, &rules(2, 30)).going.len()
    };
    assert_eq!([(10, 0), (10, 3), (10, 10), (2, 2)].map(|(count, upto)| going(count, upto)), [0, 3, 8, 0]);
    // It does not count for what is too many.
    assert_eq!([(33, 3), (34, 3)].map(|(count, upto)| going(count, upto)), [3, 32]);
}

#[test]
fn a_plan_is_cut_behind_a_write() {
    let more = [done(35, Action::Clean), done(45, Action::Clean), done(75, Action::Clean)];
    let whole = plan(&survey(commits(10).chain(more)), &rules(2, 3));
    let times = |plan: &ArchivePlan| plan.going.iter().map(|i| i.time).collect::<Vec<_>>();
    assert_eq!(whole.clone().first(99), whole);
    let first = whole.clone().first(5);
    let times_first = [10, 20, 30, 35, 40, 45, 50].map(t).into();
    assert_eq!((times(&first), first.stays.map(|i| i.time)), (times_first, Some(t(60))));
    let rollbacks = (1..=9).map(|n| done(n, Action::Rollback));
    let many = plan(&survey(commits(10).chain(rollbacks)), &rules(2, 3)).first(3);
    assert_eq!((many.going.len(), many.stays.map(|i| i.time)), (10, Some(t(20))), "there is always a write");
    let by = HeldBy::Replaced { instant: t(40), file: "p/x".parse().unwrap() };
    let hold = Hold { from: t(40), by };
    let held = whole.clone().held(hold.clone());
    assert_eq!((times(&held), held.stays.map(|i| i.time)), ([10, 20, 30].map(t).into(), Some(t(40))));
    assert_eq!(held.hold, Some(hold.clone()));
    let all = whole.held(Hold { from: t(10), ..hold });
    assert_eq!((all.going.len(), all.stays), (0, None));
}

/// The plainest archival: writes are tried from the most on until nothing is missed.
struct Model<'a> {
    survey: &'a ArchiveSurvey,
    rules: ArchiveRules,
}

impl Model<'_> {
    fn writes(&self) -> Vec<&Instant> {
        self.survey.timeline.completed_writes().collect()
    }

    fn going_commits(&self) -> usize {
        let writes = self.writes();
        let entered = |write: &&&Instant| self.survey.archived.contains(&(write.time, write.action));
        let fresh = writes.iter().filter(|write| !entered(write)).count();
        let most = writes.len().saturating_sub(self.rules.min_commits());
        let first_fresh = writes.iter().position(|write| !entered(&write)).unwrap_or(writes.len());
        let wanted = if fresh > self.rules.max_commits() { most } else { most.min(first_fresh) };
        (0..=wanted).rev().find(|count| self.is_right(*count)).unwrap_or(0)
    }

    /// Whether nobody misses the first `count` writes.
    fn is_right(&self, count: usize) -> bool {
        let Some(last) = self.writes().get(count.wrapping_sub(1)).map(|last| last.time) else { return true };
        let left: Vec<InstantTime> = self.writes()[count..].iter().map(|write| write.time).collect();
        let timeline = &self.survey.timeline;
        let of = |is: fn(&Instant) -> bool| timeline.instants().filter(move |i| is(i));
        // The active timeline begins before them.
        let begins_before = |time: InstantTime| left.first().is_some_and(|first| *first < time);
        let is_behind = |time: InstantTime| self.writes()[0].time > time;
        let saved = of(|i| i.action == Action::Savepoint).all(|savepoint| last < savepoint.time);
        let pending = of(|i| !i.is_completed() && i.action.writes_data()).all(|i| begins_before(i.time));
        let restored = of(|i| !i.is_completed() && i.action == Action::Restore).next().is_none();
        let swept = self.survey.unswept.iter().all(|time| is_behind(*time) || begins_before(*time));
        let cleaned = self.survey.cleaned.is_none_or(|(_, kept)| is_behind(kept) || begins_before(kept));
        let newest = timeline.completed().max_by_key(|i| i.completion()).map(|newest| newest.time);
        saved && pending && restored && swept && cleaned && newest > Some(last) && self.is_counted(last)
    }

    fn is_counted(&self, last: InstantTime) -> bool {
        if self.survey.table_type == TableType::CopyOnWrite {
            return true;
        }
        let timeline = &self.survey.timeline;
        let compaction = timeline.completed().filter(|i| i.action == Action::Commit).map(|i| i.time).max();
        let of_spark: Vec<InstantTime> = timeline
            .instants()
            .filter(|i| if i.is_completed() { i.action } else { i.requested_as } == Action::DeltaCommit)
            .filter(|i| compaction.is_none() || i.completion() > compaction)
            .map(|i| i.time)
            .collect();
        let needed = if of_spark.len() < 5 {
            compaction.into_iter().chain(of_spark).collect()
        } else {
            of_spark[of_spark.len() - 5..].to_vec()
        };
        let first = if compaction.is_some_and(|c| needed.contains(&c)) {
            compaction
        } else {
            needed.first().copied()
        };
        first.is_none_or(|first| last < first)
    }
}

/// An instant of any kind, in any state; most are completed writes.
fn some_instant(number: usize) -> impl Strategy<Value = Vec<TimelineFile>> {
    let slow = prop_oneof![9 => 1..9_usize, 1 => 1..300_usize];
    (0..40_u32, slow).prop_map(move |(kind, took)| {
        let time = t(10 * number);
        let done = |action| vec![TimelineFile::completed(time, action, t(10 * number + took))];
        match kind {
            0 => vec![TimelineFile::requested(time, Action::Compaction)],
            1 => vec![TimelineFile::inflight(time, Action::DeltaCommit)],
            2 => {
                [done(Action::Commit), vec![TimelineFile::completed(time, Action::Savepoint, time)]].concat()
            }
            3 => vec![TimelineFile::inflight(time, Action::Restore)],
            4 => vec![TimelineFile::requested(time, Action::Clean)],
            5 => done(Action::Restore),
            6..9 => done(Action::Clean),
            9..12 => done(Action::Rollback),
            12..14 => done(Action::ReplaceCommit),
            14..18 => done(Action::Commit),
            _ => done(Action::DeltaCommit),
        }
    })
}

fn some_survey() -> impl Strategy<Value = ArchiveSurvey> {
    let instants = (0..40_usize).prop_flat_map(|count| (1..=count).map(some_instant).collect::<Vec<_>>());
    let times = prop::collection::btree_set(1..450_usize, 0..2);
    let cleaned = prop::option::weighted(0.2, 1..450_usize);
    (instants, times, cleaned, 0..6_usize, any::<bool>()).prop_map(
        |(files, unswept, cleaned, entered, mor)| {
            let timeline = Timeline::from_files(files.into_iter().flatten());
            let first = timeline.completed_writes().take(entered).map(|i| (i.time, i.action)).collect();
            let is_there = |number: &usize| timeline.write_at(t(*number)).is_none_or(|i| !i.is_completed());
            ArchiveSurvey {
                unswept: unswept.into_iter().filter(is_there).map(t).collect(),
                swept_before: BTreeSet::new(),
                table_type: if mor { TableType::MergeOnRead } else { TableType::CopyOnWrite },
                archived: first,
                cleaned: cleaned.map(|kept| (t(999), t(kept))),
                timeline,
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn as_much_goes_as_nobody_misses(survey in some_survey(), min in 1..6_usize, more in 1..6_usize) {
        let rules = rules(min, min + more);
        let plan = plan(&survey, &rules);
        let model = Model { survey: &survey, rules };
        prop_assert_eq!(plan.going_commits(), model.going_commits(), "held by {:?}", plan.hold);
        let writes: Vec<&Instant> = model.writes();
        let stays = writes.get(plan.going_commits()).copied().filter(|_| !plan.going.is_empty());
        prop_assert_eq!(plan.stays.as_ref(), stays);
        for instant in &plan.going {
            prop_assert!(instant.is_completed() && !matches!(instant.action, Action::Savepoint | Action::Restore));
            prop_assert!(Some(instant.time) < plan.stays.map(|stays| stays.time));
        }
        // What the table consists of is the same: nothing appears and nothing is lost.
        let gone: BTreeSet<_> = plan.going.iter().map(|i| (i.time, i.action)).collect();
        let left = survey.timeline.instants().filter(|i| !gone.contains(&(i.time, i.action)));
        let left = Timeline::from_files(left.map(Instant::file));
        let written = survey.timeline.instants().filter(|i| i.action.writes_data()).map(|i| i.time);
        for time in written.chain(survey.unswept.iter().copied()) {
            prop_assert_eq!(left.is_committed(time), survey.timeline.is_committed(time), "{}", time);
        }
        prop_assert_eq!(left.latest_time(), survey.timeline.latest_time());
    }
}
