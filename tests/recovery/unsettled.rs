//! A commit of which the storage does not tell whether it happened.

use std::sync::Arc;

use lakebed::commit::{CommitError, Outcome};
use lakebed::environment::Environment;
use lakebed::sink::{Prepared, Sink, SinkError};
use lakebed::storage::fault::{Fault, FaultKind, FaultStorage};
use lakebed::storage::{Operation, Storage, TablePath};
use lakebed::table::{Table, WriteOperation};

use super::clock::QuickClock;
use super::engine::options;
use super::faults::disk_of;
use crate::test_table::*;

/// A checkpoint that is ready to be committed.
struct Ready {
    storage: FaultStorage,
    sink: Sink,
    prepared: Prepared,
    /// The operation that puts the completed file.
    put: usize,
}

impl Ready {
    async fn new() -> Self {
        let environment: Environment = QuickClock::environment(1);
        let disk = disk_of(&Vec::new(), &environment).await;
        Table::create(disk.clone(), &environment, &bucket_table()).await.unwrap();
        let storage = FaultStorage::new(disk);
        let options = options(WriteOperation::Upsert);
        let mut sink =
            Sink::open(Arc::new(storage.clone()), &environment, "p", Vec::new(), options).await.unwrap();
        sink.write(&rows(&[("a", "x", 1, None)]), None).await.unwrap();
        let prepared = sink.prepare(progress(1)).await.unwrap().unwrap();
        Self { storage, sink, prepared, put: 0 }
    }

    /// Has the put of the completed file end so.
    async fn with(kind: FaultKind) -> Self {
        let dry = Self::new().await;
        let before = dry.storage.operations().len();
        dry.sink.committer().commit(&dry.prepared).await.unwrap();
        let operations = dry.storage.operations().split_off(before);
        let put = operations.iter().position(|o| o.path.as_str().ends_with(".deltacommit")).unwrap();
        assert_eq!(operations[put].operation, Operation::PutIfAbsent);
        let mut ready = Self::new().await;
        ready.put = ready.storage.operations().len() + put;
        ready.storage.add_fault(Fault { at: ready.put, kind });
        ready
    }

    async fn commit(&self) -> Result<Outcome, SinkError> {
        self.sink.committer().commit(&self.prepared).await
    }

    /// The files of the checkpoint's instant: of completed ones, and of data.
    async fn files(&self) -> (usize, usize) {
        let files = self.storage.list_all(&TablePath::root()).await.unwrap();
        let instant = self.prepared.task.instant.as_str();
        let names = files.iter().map(|file| file.path.file_name());
        let completed = |name: &&str| name.starts_with(instant) && name.ends_with(".deltacommit");
        let data =
            |name: &&str| name.contains(instant) && !name.starts_with(instant) && !name.contains(".marker.");
        (names.clone().filter(completed).count(), names.filter(data).count())
    }
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_looked_for_and_made_durable() {
    for kind in [FaultKind::FailAfter, FaultKind::FailBefore, FaultKind::Late { operations: 20 }] {
        let ready = Ready::with(kind).await;
        let outcome = ready.commit().await.unwrap();
        assert!(is_committed(&outcome), "{kind:?}: {outcome:?}");
        assert_eq!(ready.files().await, (1, 1), "{kind:?}");
        // On a local disk the file may be visible although its folder could not be synced.
        let synced = ready.storage.operations().iter().any(|o| o.operation == Operation::Sync);
        assert_eq!(synced, kind != FaultKind::FailBefore, "{kind:?}");
    }
}

#[tokio::test]
async fn a_commit_that_may_still_come_is_neither_given_up_nor_put_under_another_name() {
    let late = 120;
    let mut ready = Ready::with(FaultKind::Late { operations: late }).await;
    let put = ready.put;
    let looked = async {
        while ready.storage.operations().len() < put + 8 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        done = ready.commit() => panic!("{done:?}"),
        () = looked => {}
    }
    for _ in 0..2 {
        let rewound = ready.sink.rewind().await;
        assert!(matches!(rewound, Err(SinkError::Commit(CommitError::Unsettled { .. }))), "{rewound:?}");
        assert_eq!(ready.files().await, (0, 1));
    }
    let outcome = ready.commit().await.unwrap();
    while ready.storage.operations().len() <= put + late {
        ready.files().await;
    }
    assert!(is_committed(&outcome), "{outcome:?}");
    assert_eq!(ready.files().await, (1, 1), "{outcome:?}");
    ready.sink.rewind().await.unwrap();
    assert_eq!(ready.sink.progress().unwrap().checkpoint, 1);
}

#[tokio::test]
async fn a_commit_that_did_not_come_in_time_is_given_up_or_tried_anew() {
    for again in [false, true] {
        let mut ready = Ready::with(FaultKind::Late { operations: usize::MAX / 2 }).await;
        let unsettled = ready.commit().await;
        assert!(matches!(unsettled, Err(SinkError::Commit(CommitError::Unsettled { .. }))), "{unsettled:?}");
        if again {
            assert!(is_committed(&ready.commit().await.unwrap()));
        } else {
            ready.sink.rewind().await.unwrap();
        }
        assert_eq!(ready.files().await, if again { (1, 1) } else { (0, 0) });
    }
}
