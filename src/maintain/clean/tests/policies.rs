//! What each policy keeps.

use std::time::Duration;

use lakebed_hudi::timeline_file::{Action, TimelineFile};
use lakebed_hudi::timeline_metadata::{
    CommitMetadata, SavepointMetadata, SavepointPartitionMetadata, WriteStat,
};

use super::scene::{Scene, at, group, minutes};
use crate::commit::News;
use crate::maintain::clean::{
    CleanDraft, CleanPolicy, CleanRules, Hold, Horizon, LastClean, NothingDue, Scope, plan,
};
use crate::timeline::{Instant, Timeline};

use Action::{Clustering, Commit, Compaction, DeltaCommit, ReplaceCommit};
use CleanPolicy::{KeepLatestByHours, KeepLatestCommits, KeepLatestFileVersions};

fn rules(policy: CleanPolicy) -> CleanRules {
    CleanRules { policy, reader_window: Duration::ZERO }
}

fn commits(kept: usize) -> CleanRules {
    rules(KeepLatestCommits(kept))
}

fn versions(kept: usize) -> CleanRules {
    rules(KeepLatestFileVersions(kept))
}

/// Base files of group 0 at minutes 10, 20, … 60, and one of group 1 at minute 11.
fn copies() -> Scene {
    let mut scene = Scene::default();
    for minute in [10, 20, 30, 40, 50, 60] {
        scene.write(Commit, minute, minute + 2, &[group("p", 0)]);
        if minute == 10 {
            scene.write(Commit, 13, 14, &[group("p", 1)]);
        }
    }
    scene.now = 70;
    scene
}

fn earliest(scene: &Scene, rules: CleanRules) -> Option<u32> {
    let horizon = Horizon::of(&scene.facts(), &rules).ok()?;
    let earliest = horizon.earliest?.time;
    (0..scene.now).find(|minute| at(*minute) == earliest)
}

#[test]
fn commits_that_stay_are_read_as_they_were_and_so_is_what_was_there_before() {
    let scene = copies();
    for (kept, left_from, gone) in [
        (1, Some(60), vec![(0, 10), (0, 20), (0, 30), (0, 40)]),
        (2, Some(50), vec![(0, 10), (0, 20), (0, 30)]),
        (4, Some(30), vec![(0, 10)]),
        (5, Some(20), vec![]),
        (6, Some(13), vec![]),
        (7, None, vec![]),
        (8, None, vec![]),
    ] {
        assert_eq!(earliest(&scene, commits(kept)), left_from, "{kept} commits");
        assert_eq!(scene.cleaned_minutes(commits(kept)), gone, "{kept} commits");
    }
    let nothing = Horizon::of(&scene.facts(), &commits(7)).unwrap_err();
    assert_eq!(nothing, NothingDue::Commits { commits: 7, kept: 7 });
}

#[test]
fn hours_begin_with_the_first_commit_in_them() {
    let mut scene = copies();
    scene.now = 10 + 60;
    assert_eq!(earliest(&scene, rules(KeepLatestByHours(1))), Some(10));
    scene.now = 25 + 60;
    assert_eq!(earliest(&scene, rules(KeepLatestByHours(1))), Some(30));
    assert_eq!(scene.cleaned_minutes(rules(KeepLatestByHours(1))), [(0, 10)]);
    assert_eq!(earliest(&scene, rules(KeepLatestByHours(2))), Some(10));
    scene.now = 61 + 60;
    let nothing = Horizon::of(&scene.facts(), &rules(KeepLatestByHours(1))).unwrap_err();
    assert_eq!(nothing, NothingDue::Hours { hours: 1 });
}

#[test]
fn versions_are_counted_in_each_group() {
    let scene = copies();
    for (kept, gone) in [
        (1, vec![(0, 10), (0, 20), (0, 30), (0, 40), (0, 50)]),
        (2, vec![(0, 10), (0, 20), (0, 30), (0, 40)]),
        (6, vec![]),
    ] {
        assert_eq!(scene.cleaned_minutes(versions(kept)), gone, "{kept} versions");
        assert_eq!(earliest(&scene, versions(kept)), None);
    }
}

#[test]
fn log_files_go_with_the_base_file_that_they_lie_on() {
    let mut scene = Scene::default();
    let zero = [group("p", 0)];
    scene.write(DeltaCommit, 10, 12, &zero);
    scene.write(DeltaCommit, 20, 22, &zero);
    scene.plan(Compaction, 30, 45, &zero);
    // It completes after the compaction began: it lies on the new base file.
    scene.write(DeltaCommit, 25, 35, &zero);
    scene.write(DeltaCommit, 50, 52, &zero);
    scene.plan(Compaction, 60, 62, &zero);
    scene.write(DeltaCommit, 70, 72, &zero);
    scene.now = 80;
    assert_eq!(scene.cleaned_minutes(commits(2)), [(0, 10)]);
    let [slice] = plan(&scene.survey(commits(2))).slices.try_into().unwrap();
    assert_eq!(slice.files.len(), 2, "{slice:?}");
    assert_eq!(scene.cleaned_minutes(commits(1)), [(0, 10), (0, 30)]);
}

#[test]
fn what_is_not_completed_holds_all_policies_of_commits_back() {
    let mut scene = copies();
    scene.write(Commit, 35, 99, &[group("p", 2)]);
    scene.now = 95;
    for rules in [commits(1), rules(KeepLatestByHours(1))] {
        let horizon = Horizon::of(&scene.facts(), &rules).unwrap();
        assert_eq!(horizon.earliest.unwrap().time, at(30), "{rules:?}");
        assert!(matches!(horizon.held_by, Some(Hold::Pending(Instant { time, .. })) if time == at(35)));
        assert_eq!(scene.cleaned_minutes(rules), [(0, 10)], "{rules:?}");
    }
    // Files that it has written are nobody's yet.
    assert!(scene.cleaned(versions(1)).iter().all(|path| !path.contains(at(35).as_str())));
    scene.done.last_mut().unwrap().requested = 5;
    let nothing = Horizon::of(&scene.facts(), &commits(1)).unwrap_err();
    assert_eq!(nothing, NothingDue::Pending { action: Commit, instant: at(5) });
}

#[test]
fn what_readers_may_be_about_stays_whatever_the_policy_says() {
    let scene = copies();
    for policy in [KeepLatestCommits(1), KeepLatestFileVersions(1)] {
        let window = |minutes_ago| CleanRules { policy, reader_window: minutes(minutes_ago) };
        // The file of minute 40 ceased to be current at minute 52.
        let survey = scene.survey(window(19));
        assert_eq!(survey.horizon.as_ref().unwrap().held_by, Some(Hold::Readers));
        let stays = plan(&survey).slices.iter().all(|slice| slice.base_instant != at(40));
        assert!(stays, "{policy:?}");
        assert!(scene.cleaned_minutes(window(18)).contains(&(0, 40)), "{policy:?}");
        assert_eq!(scene.cleaned_minutes(window(60)), [], "{policy:?}");
    }
    // Of commits, the one before those that stay is left, too.
    assert_eq!(earliest(&scene, CleanRules { reader_window: minutes(19), ..commits(1) }), Some(50));
    assert_eq!(earliest(&scene, CleanRules { reader_window: minutes(18), ..commits(1) }), Some(60));
}

/// An active timeline that is shorter than the window does not tell what readers may be about.
#[test]
fn what_readers_may_be_about_stays_when_the_writes_since_are_archived() {
    let mut scene = copies();
    scene.archive_before(45);
    for policy in [KeepLatestCommits(1), KeepLatestFileVersions(1)] {
        let window = |minutes_ago| CleanRules { policy, reader_window: minutes(minutes_ago) };
        // The file of minute 20 ceased to be current at minute 32.
        assert_eq!(scene.cleaned_minutes(window(45)), [(0, 10)], "{policy:?}");
        assert_eq!(scene.cleaned_minutes(window(38)), [(0, 10), (0, 20)], "{policy:?}");
    }
    let rules = CleanRules { reader_window: minutes(45), ..commits(1) };
    assert_eq!(earliest(&scene, rules), Some(30), "later cleans come back to what is left");
}

#[test]
fn replaced_groups_go_when_nothing_reads_before_their_replacement() {
    let mut scene = copies();
    scene.replace(ReplaceCommit, 52, 54, &[group("p", 2)], &[group("p", 0)]);
    scene.now = 70;
    let all = [(0, 10), (0, 20), (0, 30), (0, 40), (0, 50)];
    // The commit of minute 60 is another group's here.
    scene.done.iter_mut().find(|done| done.requested == 60).unwrap().writes = vec![group("p", 3)];
    assert_eq!(scene.cleaned_minutes(commits(1)), all);
    assert_eq!(scene.cleaned_minutes(commits(2)), []);
    assert_eq!(scene.cleaned_minutes(versions(9)), all);
}

#[test]
fn a_clean_of_versions_names_an_instant_only_for_what_it_leaves_of_replaced_groups() {
    let mut scene = copies();
    scene.replace(ReplaceCommit, 63, 64, &[group("p", 2)], &[group("p", 1)]);
    scene.now = 70;
    let window = |minutes_ago| CleanRules { reader_window: minutes(minutes_ago), ..versions(1) };
    assert_eq!(earliest(&scene, window(5)), None);
    assert!(scene.cleaned_minutes(window(5)).contains(&(1, 13)));
    assert_eq!(earliest(&scene, window(7)), Some(63));
    assert!(!scene.cleaned_minutes(window(7)).contains(&(1, 13)));
    // The files that it may replace are still to be archived past.
    scene.replace(ReplaceCommit, 65, 99, &[group("p", 4)], &[group("p", 0)]);
    assert_eq!(earliest(&scene, window(0)), Some(65));
    let earliest = plan(&scene.survey(window(0))).earliest.unwrap();
    assert_eq!((earliest.action, earliest.state.as_str()), (ReplaceCommit, "INFLIGHT"));
}

#[test]
fn slices_of_savepoints_stay_as_a_whole() {
    let mut scene = copies();
    scene.now = 43;
    scene.savepoint(20);
    scene.now = 70;
    assert_eq!(scene.cleaned_minutes(commits(1)), [(0, 10), (0, 30), (0, 40)]);
    assert_eq!(scene.cleaned_minutes(versions(1)), [(0, 10), (0, 30), (0, 40), (0, 50)]);
    // Of a group that was replaced as well.
    scene.replace(ReplaceCommit, 61, 62, &[group("p", 2)], &[group("p", 0)]);
    assert_eq!(scene.cleaned_minutes(versions(1)), [(0, 10), (0, 30), (0, 40), (0, 50), (0, 60)]);
    assert_eq!(plan(&scene.survey(versions(1))).savepoints, [at(20)].into());
}

#[test]
fn what_a_pending_service_reads_stays() {
    let zero = [group("p", 0)];
    let pending = |action| {
        let mut scene = Scene::default();
        scene.write(DeltaCommit, 10, 12, &zero);
        scene.plan(action, 20, 999, &zero);
        // Nobody should write base files to a group that is being rewritten; should they be there all the same:
        scene.write(Commit, 30, 32, &zero);
        scene.write(Commit, 40, 42, &zero);
        scene.now = 50;
        scene
    };
    let mut scene = pending(Compaction);
    assert_eq!(scene.cleaned_minutes(versions(1)), [(0, 30)]);
    scene.done[1].reads.clear();
    assert_eq!(scene.cleaned_minutes(versions(1)), [(0, 10), (0, 30)]);
    // What is to be replaced is read until then.
    assert_eq!(pending(Clustering).cleaned_minutes(versions(1)), []);
}

#[test]
fn a_partition_goes_with_its_last_file() {
    let mut scene = Scene::default();
    scene.write(Commit, 10, 12, &[group("p", 0), group("q", 1)]);
    scene.replace(ReplaceCommit, 20, 22, &[], &[group("p", 0)]);
    scene.write(Commit, 30, 32, &[group("q", 1)]);
    scene.now = 40;
    let partitions = |scene: &Scene| plan(&scene.survey(commits(1))).partitions;
    assert_eq!(partitions(&scene), ["p".to_owned()].into());
    // Nobody knows where a write will put its rows.
    scene.write(DeltaCommit, 31, 999, &[group("q", 2)]);
    assert_eq!(partitions(&scene), [].into());
    assert_eq!(scene.cleaned_minutes(commits(1)), [(0, 10)], "its file goes all the same");
    // A file of a write that was rolled back.
    scene.done.pop();
    let mut survey = scene.survey(commits(1));
    survey.partitions[0].others.insert("p/notes.txt".parse().unwrap());
    assert_eq!(plan(&survey).partitions, [].into());
    // The one folder of a table without partitions is the table's.
    let mut scene = Scene::default();
    scene.write(Commit, 10, 12, &[group("", 0)]);
    scene.replace(ReplaceCommit, 20, 22, &[], &[group("", 0)]);
    scene.write(Commit, 30, 32, &[]);
    scene.now = 40;
    assert_eq!(scene.cleaned_minutes(commits(1)), [(0, 10)]);
    assert_eq!(partitions(&scene), [].into());
}

fn cleaned_up_to(minute: u32) -> LastClean {
    LastClean { instant: at(69), earliest: Some(at(minute)), savepoints: [].into(), by_versions: false }
}

#[test]
fn a_clean_never_goes_back_behind_an_earlier_one() {
    let mut scene = copies();
    scene.last_clean = Some(cleaned_up_to(50));
    let nothing = Horizon::of(&scene.facts(), &commits(3)).unwrap_err();
    assert_eq!(nothing, NothingDue::Cleaned { clean: at(69), left: at(50), kept: at(40) });
    assert_eq!(earliest(&scene, commits(2)), Some(50));
    assert_eq!(earliest(&scene, commits(1)), Some(60));
}

#[test]
fn only_what_was_written_since_an_earlier_clean_is_looked_at_where_that_is_enough() {
    let mut scene = copies();
    let scope = |scene: &Scene, rules: CleanRules| Scope::of(&scene.facts(), &rules);
    assert_eq!(scope(&scene, commits(1)), Scope::All);
    scene.last_clean = Some(cleaned_up_to(30));
    assert_eq!(scope(&scene, commits(1)), Scope::Since(at(30)));
    assert_eq!(scope(&scene, versions(1)), Scope::All);
    let last = scene.last_clean.as_mut().unwrap();
    last.savepoints = [at(20)].into();
    assert_eq!(scope(&scene, commits(1)), Scope::All, "that savepoint is gone");
    scene.savepoint(20);
    assert_eq!(scope(&scene, commits(1)), Scope::Since(at(30)));
    let counted = LastClean { by_versions: true, ..cleaned_up_to(30) };
    scene.last_clean = Some(counted);
    assert_eq!(scope(&scene, commits(1)), Scope::All);
    scene.last_clean = Some(cleaned_up_to(5));
    assert_eq!(scope(&scene, commits(1)), Scope::All, "commits since then are archived");
}

#[test]
fn a_clean_that_deletes_nothing_is_made_if_it_spares_the_next_one_a_look_at_everything() {
    let mut scene = copies();
    let draft = plan(&scene.survey(commits(6)));
    assert!(draft.slices.is_empty() && draft.is_due());
    scene.last_clean = Some(cleaned_up_to(13));
    assert!(!plan(&scene.survey(commits(6))).is_due());
    scene.savepoint(20);
    assert!(plan(&scene.survey(commits(6))).is_due(), "it says which savepoints there are");
    assert!(!plan(&scene.survey(versions(9))).is_due());
    assert!(!plan(&scene.survey(commits(7))).is_due());
}

/// The plan of a draft, the names of its files by partition, and its partitions.
fn settled(draft: &CleanDraft, news: &News) -> Option<(Vec<String>, Vec<String>)> {
    let plan = draft.settled(news, &"s3://lake/t".parse().unwrap()).unwrap()?;
    let files = plan.file_paths_to_be_deleted_per_partition.into_values().flatten();
    Some((files.map(|file| file.file_path).collect(), plan.partitions_to_be_deleted))
}

#[test]
fn what_happened_meanwhile_is_left_out_of_a_plan() {
    let mut scene = Scene::default();
    scene.write(Commit, 10, 12, &[group("p", 0), group("q", 1)]);
    scene.replace(ReplaceCommit, 20, 22, &[], &[group("p", 0)]);
    scene.write(Commit, 30, 32, &[group("q", 1)]);
    scene.now = 40;
    let draft = plan(&scene.survey(versions(1)));
    let name = |number| format!("{}_0-0-0_{}.parquet", group("", number).file_id, at(10));
    let path = |partition: &str, number| format!("s3://lake/t/{partition}/{}", name(number));
    let none = News::default();
    let (both, p) = (vec![path("p", 0), path("q", 1)], vec!["p".to_owned()]);
    assert_eq!(settled(&draft, &none), Some((both.clone(), p)));

    let mut savepointed = none.clone();
    let kept = SavepointPartitionMetadata { savepoint_data_file: vec![name(0)], ..Default::default() };
    let partition_metadata = [("p".to_owned(), kept)].into();
    savepointed.savepoints.insert(at(10), SavepointMetadata { partition_metadata, ..Default::default() });
    assert_eq!(settled(&draft, &savepointed), Some((vec![path("q", 1)], vec![])));
    let said = draft.settled(&savepointed, &"s3://lake/t".parse().unwrap()).unwrap().unwrap().extra_metadata;
    assert_eq!(said.get("savepointed_timestamps").map(String::as_str), Some(at(10).as_str()));

    let mut planned = none.clone();
    planned.planned.insert(group("q", 1), at(40));
    assert_eq!(settled(&draft, &planned), Some((vec![path("p", 0)], vec!["p".to_owned()])));
    planned.planned.insert(group("p", 0), at(40));
    assert_eq!(settled(&draft, &planned), None);

    let mut written = none;
    let stats = [("p".to_owned(), vec![WriteStat::default()])].into();
    let metadata = CommitMetadata { partition_to_write_stats: stats, ..CommitMetadata::default() };
    let commit = Timeline::from_files([TimelineFile::completed(at(41), Commit, at(42))]);
    written.commits.push((*commit.instants().next().unwrap(), metadata));
    assert_eq!(settled(&draft, &written), Some((both, vec![])), "the partition is in use again");
}
