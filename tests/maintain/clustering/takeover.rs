//! A clustering that somebody else is at, or was.

use std::sync::Arc;

use futures::future::join_all;
use lakebed::maintain::RunOutcome;
use lakebed::storage::Operation;
use lakebed::storage::fault::{Fault, FaultKind, FaultStorage};

use super::*;

/// Has a process that does group after group die when it has made so many files, the last of which is not noted.
async fn die_after_files(place: &Place, instant: InstantTime, files: usize) {
    let (again, again_planned, _) = with_plan().await;
    let counting = FaultStorage::new(again.disk.clone());
    run(&again.process(Arc::new(counting.clone()), 5), again_planned).await.unwrap();
    let operations = counting.operations();
    let finished = operations.iter().enumerate().filter(|(_, o)| o.operation == Operation::Finish);
    let (at, _) = finished.into_iter().nth(files - 1).unwrap();
    let storage = FaultStorage::with_fault(place.disk.clone(), Fault { at, kind: FaultKind::DieAfter });
    storage.outlive(run(&place.process(Arc::new(storage.clone()), 5), instant)).await;
    assert!(storage.has_died());
}

#[tokio::test]
async fn what_a_dead_executor_has_finished_is_taken_over_and_the_rest_done_again() {
    let (place, instant, model) = with_plan().await;
    die_after_files(&place, instant, 2).await;
    let early = run(&place, instant).await.unwrap();
    assert!(matches!(early.outcome, RunOutcome::AtWork { .. }), "{early:?}");
    assert_eq!((early.groups, early.finished), (0, 0));

    let report = run(&place.later(9), instant).await.unwrap();
    assert!(matches!(report.outcome, RunOutcome::Committed { .. }), "{report:?}");
    assert_eq!((report.resumed, report.finished), (GROUPS / 2, GROUPS / 2), "{report:?}");
    assert_eq!((report.rows, report.files), (model.0.len() as u64, 2));
    assert_eq!(place.later(10).problems(&model).await, [""; 0]);
}

#[tokio::test]
async fn a_finished_file_that_is_not_whole_any_more_is_made_again() {
    let (place, instant, model) = with_plan().await;
    die_after_files(&place, instant, 2).await;
    let notes = place.disk.list_all(&".hoodie/.aux/lakebed-services".parse().unwrap()).await.unwrap();
    let note = place.disk.get(&notes[0].path, u64::MAX).await.unwrap().bytes;
    let note: serde_json::Value = serde_json::from_slice(&note).unwrap();
    let path = note[0]["path"].as_str().unwrap().parse().unwrap();
    let bytes = place.disk.get(&path, u64::MAX).await.unwrap().bytes;
    place.disk.put(&path, bytes.slice(..bytes.len() / 2)).await.unwrap();
    let report = run(&place.later(9), instant).await.unwrap();
    assert_eq!((report.resumed, report.finished), (0, GROUPS), "{report:?}");
    assert_eq!(place.later(10).problems(&model).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_executors_at_once_one_does_it() {
    for seed in 0..8 {
        let (place, instant, model) = with_plan().await;
        let both = [seed * 2 + 20, seed * 2 + 21].map(|seed| place.process(place.disk.clone(), seed));
        let ran = join_all(both.iter().map(|process| run(process, instant))).await;
        let outcomes: Vec<RunOutcome> = ran.into_iter().map(|report| report.unwrap().outcome).collect();
        let committed = outcomes.iter().filter(|o| matches!(o, RunOutcome::Committed { .. })).count();
        assert_eq!(committed, 1, "{outcomes:?}");
        assert_eq!(place.problems(&model).await, [""; 0]);
        assert_eq!(place.clusterings().await.len(), 1);
    }
}
