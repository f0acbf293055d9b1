//! Clusterings beside writers, other services, and what else happens to a table.

use std::sync::Arc;
use std::time::Duration;

use lakebed::commit::{Outcome, Scheduled};
use lakebed::maintain::clustering::plan;
use lakebed::maintain::{RunOutcome, compaction};
use lakebed::storage::Operation;
use lakebed::storage::fault::{Fault, FaultKind, FaultStorage};
use lakebed_hudi::instant::TimelineZone;
use lakebed_hudi::timeline_file::{Action, TimelineFile};
use lakebed_hudi::timeline_metadata::WriteStat;

use super::*;
use crate::maintain::place::{prepare, publish};
use crate::recovery::audit;
use crate::test_table::is_committed;

#[tokio::test]
async fn inserts_go_on_beside_a_clustering() {
    let (place, instant, mut model) = with_plan().await;
    let mut sink = place.sink_for("beside", WriteOperation::Insert).await;
    let more = [Change::put("beside", "x", 9, "b")];
    let prepared = prepare(&mut sink, 1, &more).await;
    let report = run(&place, instant).await.unwrap();
    assert_eq!(report.left_out, []);
    assert!(is_committed(&publish(&sink, &prepared).await), "its groups are new ones");
    model.upsert(&more);
    assert_eq!(place.problems(&model).await, [""; 0]);
    assert_eq!(place.slices().await.len(), PARTITIONS.len() + 1);
}

#[tokio::test]
async fn an_overwrite_waits_for_a_planned_clustering_and_leaves_it_nothing_where_it_came_before() {
    let (place, instant, mut model) = with_plan().await;
    let mut sink = place.sink_for("over", WriteOperation::InsertOverwrite).await;
    let over = [Change::put("over", "x", 9, "o")];
    let prepared = prepare(&mut sink, 1, &over).await;
    let outcome = publish(&sink, &prepared).await;
    let Outcome::Conflicted { reason } = outcome else { panic!("{outcome:?}") };
    assert!(reason.contains("planned to be clustered"), "{reason}");
    run(&place, instant).await.unwrap();
    let mut sink = place.sink_for("over", WriteOperation::InsertOverwrite).await;
    commit(&mut sink, &over).await;
    model.overwrite(&over);
    assert_eq!(model.differences(&place.rows().await), [""; 0]);
}

/// A writer that has not heard of the plan writes to a group of `partition`, or ends one: one of Hudi's, as the
/// only writer of its table. Returns the group.
async fn written_by_others(place: &Place, partition: &str, replaces: bool) -> FileGroupId {
    let slices = place.slices().await;
    let (group, slice) = slices.iter().find(|(group, _)| group.partition == partition).unwrap();
    // Two of them are not at the same time.
    place.environment.clock.sleep(Duration::from_millis(9)).await;
    let now = place.environment.clock.unix_millis();
    let [begun, completed] = [1, 2].map(|n| InstantTime::from_unix_millis(now + n, TimelineZone::Utc));
    let mut metadata = CommitMetadata::default();
    if replaces {
        let replaced = (partition.to_owned(), vec![group.file_id.clone()]);
        metadata.partition_to_replace_file_ids = Some([replaced].into());
    } else {
        // The same rows in a new base file.
        let bytes = place.disk.get(&slice.base.as_ref().unwrap().path, u64::MAX).await.unwrap().bytes;
        let path = Some(format!("{partition}/{}_7-7-7_{begun}.parquet", group.file_id));
        place.disk.put(&path.as_ref().unwrap().parse().unwrap(), bytes).await.unwrap();
        let stat = WriteStat { file_id: group.file_id.to_string(), path, ..WriteStat::default() };
        metadata.partition_to_write_stats = [(partition.to_owned(), vec![stat])].into();
    }
    let action = if replaces { Action::ReplaceCommit } else { Action::Commit };
    let file = TimelineFile::completed(begun, action, completed);
    let path = place.table().await.timeline.path(&file);
    place.disk.put(&path, metadata.to_avro().unwrap().into()).await.unwrap();
    group.clone()
}

/// The operation with which a run has its first file done.
async fn first_file() -> usize {
    let (place, instant, _) = with_plan().await;
    let counting = FaultStorage::new(place.disk.clone());
    run(&place.process(Arc::new(counting.clone()), 5), instant).await.unwrap();
    counting.operations().iter().position(|o| o.operation == Operation::Finish).unwrap()
}

/// A run during which somebody else writes, when its first file is there.
async fn run_beside(place: &Place, instant: InstantTime, replaces: bool) -> (ClusteringReport, FileGroupId) {
    let fault = Fault { at: first_file().await + 1, kind: FaultKind::StandStill };
    let storage = FaultStorage::with_fault(place.disk.clone(), fault);
    let process = place.process(Arc::new(storage.clone()), 5);
    let running = tokio::spawn(async move { run(&process, instant).await });
    while !storage.stands_still() {
        assert!(!running.is_finished());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let group = written_by_others(place, "p=x", replaces).await;
    storage.wake();
    (running.await.unwrap().unwrap(), group)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_wrote_in_spite_of_the_plan_stays_and_so_does_what_was_planned_with_it() {
    for (replaces, within_the_run) in [(false, false), (true, false), (false, true), (true, true)] {
        let (place, instant, model) = with_plan().await;
        let (report, group) = if within_the_run {
            run_beside(&place, instant, replaces).await
        } else {
            let group = written_by_others(&place, "p=x", replaces).await;
            (run(&place, instant).await.unwrap(), group)
        };
        assert!(matches!(report.outcome, RunOutcome::Committed { .. }), "{report:?}");
        let told: Vec<&FileGroupId> = report.left_out.iter().map(|left| &left.group).collect();
        assert_eq!(told, [&group], "{report:?}");
        assert_eq!((report.groups, report.files, report.rows), (GROUPS / 2, 1, model.0.len() as u64 / 2));
        let slices = place.slices().await;
        let of = |partition| slices.keys().filter(|group| group.partition == partition).count();
        let left = COMMITS as usize - usize::from(replaces);
        assert_eq!((of("p=x"), of("p=y")), (left, 1), "replaces: {replaces}, within: {within_the_run}");
        if !replaces {
            assert_eq!(model.differences(&place.rows().await), [""; 0]);
        }
        let [done] = place.clusterings().await.try_into().unwrap();
        let replaced = done.partition_to_replace_file_ids.unwrap();
        assert_eq!(replaced.keys().collect::<Vec<_>>(), ["p=y"]);
        let strays = audit::strays(&place.table().await).await;
        assert_eq!(strays, [""; 0], "replaces: {replaces}, within: {within_the_run}");
    }
}

#[tokio::test]
async fn a_plan_of_which_nothing_is_left_ends_and_replaces_nothing() {
    let (place, instant, model) = with_plan().await;
    for partition in ["p=x", "p=y"] {
        written_by_others(&place, partition, false).await;
    }
    let report = run(&place, instant).await.unwrap();
    assert!(matches!(report.outcome, RunOutcome::Committed { .. }), "{report:?}");
    assert_eq!((report.groups, report.files, report.left_out.len()), (0, 0, 2));
    assert_eq!(place.problems(&model).await, [""; 0]);
    // Nothing stands against the next plan.
    run(&place, planned(&place.maintainer().await).await).await.unwrap();
    assert_eq!(place.slices().await.len(), PARTITIONS.len());
}

#[tokio::test]
async fn groups_of_a_pending_plan_are_planned_by_nobody_else() {
    let (place, _, _) = with_plan().await;
    let maintainer = place.maintainer().await;
    assert_eq!(services::schedule_clustering(&maintainer, &everything()).await.unwrap(), None);
    let survey = maintainer.survey().await.unwrap();
    assert_eq!(survey.busy.len(), GROUPS);
    let rules = compaction::CompactionRules::everything();
    assert_eq!(compaction::plan(&survey, &rules).groups, []);
}

/// A writer has begun to write to a group of partition `x`, and has not come to its end. Returns the group.
async fn begun_by_others(place: &Place) -> FileGroupId {
    let slices = place.slices().await;
    let group = slices.keys().find(|group| group.partition == "p=x").unwrap();
    let now = place.environment.clock.unix_millis();
    let begun = InstantTime::from_unix_millis(now + 1, TimelineZone::Utc);
    let marker = format!("{}/{}_0-1-2_{begun}.parquet.marker.MERGE", group.partition, group.file_id);
    for path in [
        format!(".hoodie/timeline/{begun}.commit.requested"),
        format!(".hoodie/timeline/{begun}.inflight"),
        format!(".hoodie/.temp/{begun}/{marker}"),
    ] {
        place.disk.put(&path.parse().unwrap(), "".into()).await.unwrap();
    }
    group.clone()
}

#[tokio::test]
async fn groups_that_somebody_is_writing_to_are_left_to_a_later_plan() {
    for before_the_look in [true, false] {
        let (place, _) = Place::small_files(&keyed_table()).await;
        let maintainer = place.maintainer().await;
        let early = maintainer.survey_for_clustering().await.unwrap();
        let group = begun_by_others(&place).await;
        let survey = if before_the_look { maintainer.survey_for_clustering().await.unwrap() } else { early };
        let drafted = plan(&survey, &everything());
        assert_eq!(drafted.slices(), GROUPS - usize::from(before_the_look));
        let scheduled = maintainer.schedule_clustering(&survey, &drafted).await.unwrap();
        assert!(matches!(scheduled, Scheduled::At(_)), "{scheduled:?}");
        let busy = maintainer.survey().await.unwrap().busy;
        assert!(busy.len() == GROUPS - 1 && !busy.contains_key(&group), "{busy:?}");
    }
}

/// It may not look for what happened meanwhile when it ends: its rows would be lost in a group that is replaced.
#[tokio::test]
async fn groups_that_somebody_is_writing_to_in_spite_of_the_plan_are_left_out() {
    let (place, instant, model) = with_plan().await;
    let group = begun_by_others(&place).await;
    let report = run(&place, instant).await.unwrap();
    let told: Vec<&FileGroupId> = report.left_out.iter().map(|left| &left.group).collect();
    assert_eq!(told, [&group], "{report:?}");
    let slices = place.slices().await;
    assert_eq!(slices.keys().filter(|group| group.partition == "p=x").count(), COMMITS as usize);
    assert_eq!(model.differences(&place.rows().await), [""; 0]);
}

#[tokio::test]
async fn what_happens_between_a_look_and_its_plan_is_taken_in() {
    let (place, model) = Place::small_files(&keyed_table()).await;
    let maintainer = place.maintainer().await;
    let survey = maintainer.survey_for_clustering().await.unwrap();
    let draft = plan(&survey, &everything());
    let group = written_by_others(&place, "p=x", false).await;
    let scheduled = maintainer.schedule_clustering(&survey, &draft).await.unwrap();
    let Scheduled::At(instant) = scheduled else { panic!("{scheduled:?}") };
    let busy = maintainer.survey().await.unwrap().busy;
    assert!(busy.len() == GROUPS - 1 && !busy.contains_key(&group), "{busy:?}");
    assert_eq!(run(&place, instant).await.unwrap().left_out, []);
    assert_eq!(place.problems(&model).await, [""; 0]);
    // The same draft once more is of no use.
    let again = maintainer.schedule_clustering(&survey, &draft).await.unwrap();
    assert_eq!(again, Scheduled::Nothing);
}
