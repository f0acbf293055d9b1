//! Overwrites are one commit of all records, or none.

use std::sync::atomic::{AtomicU32, Ordering};

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use lakebed::commit::{Outcome, PipelineProgress};
use lakebed::ingest::dry_run;
use lakebed::ingest::job::Operation;
use lakebed::sink::{Sink, SinkOptions};
use lakebed::table::WriteOperation;
use lakebed::{Error, ErrorKind};

use super::*;

/// A table with the rows 0 to 4, and a job that replaces all of them.
async fn place() -> (Place, impl Fn(&str) -> Job) {
    place_at(Environment::real()).await
}

async fn place_at(environment: Environment) -> (Place, impl Fn(&str) -> Job) {
    let place = Place { environment, ..Place::new().await };
    place.deliver("a.csv", &csv(0..5));
    place.run(place.files_job(""), RunOptions::default()).await.unwrap();
    std::fs::remove_file(place.path("in/a.csv")).unwrap();
    let (table, input) = (place.path("t").display().to_string(), place.path("in").display().to_string());
    let job = move |more: &str| {
        let text =
            format!("pipeline: o\ntable: {{uri: {table}}}\nsource: {{files: [\"{input}/*\"]}}\n{more}");
        Job { operation: Operation::InsertOverwriteTable, ..Job::from_yaml(&text).unwrap() }
    };
    (place, job)
}

/// That nothing was changed, and nothing is left behind.
async fn assert_unchanged(place: &Place) {
    let pending = place.timeline().await.pending().count();
    assert_eq!((place.ids(), pending, place.markers()), ((0..5).collect(), 0, 0));
}

/// Why a run would stop, by a dry run.
async fn foreseen(place: &Place, job: Job) -> Option<IngestError> {
    let (_keep, stop) = watch::channel(false);
    let dry = dry_run(job, RunOptions::default(), &place.environment, stop, Arc::new(|_: &Event| ()));
    dry.await.unwrap().stopped_by
}

#[tokio::test]
async fn an_overwrite_that_is_stopped_changes_nothing() {
    let (place, job) = place().await;
    for (name, ids) in [("b.csv", 10..12), ("c.csv", 12..14), ("d.csv", 14..16)] {
        place.deliver(name, &csv(ids));
    }
    let (stopping, stop) = watch::channel(false);
    let events = Arc::new(move |event: &Event| {
        if matches!(event, Event::Written { .. }) {
            stopping.send_replace(true);
        }
    });
    let stopped = run(job(""), RunOptions::default(), &place.environment, stop, events).await;
    assert!(matches!(stopped, Err(IngestError::Interrupted)), "{stopped:?}");
    assert_unchanged(&place).await;
    let summary = place.run(job(""), RunOptions::default()).await.unwrap();
    assert_eq!((summary.rows, summary.commits), (6, 1));
}

#[tokio::test]
async fn an_overwrite_with_more_dead_letters_than_it_may_hold_changes_nothing() {
    let (place, job) = place().await;
    let bad = format!("{},v\n", "x".repeat(4000));
    place.deliver("b.csv", &format!("{}{}", csv(10..20), bad.repeat(2000)));
    let letters = format!(
        "memory: 100 MiB\nbad_records: {{policy: dead_letter, path: {}}}\n",
        place.path("dead").display()
    );
    let error = Error::from(place.run(job(&letters), RunOptions::default()).await.unwrap_err());
    assert_eq!(error.kind(), ErrorKind::DataQuality);
    assert!(error.to_string().contains("bad records take more than the "), "{error}");
    let foreseen = foreseen(&place, job(&letters)).await.unwrap();
    assert_eq!(foreseen.to_string(), error.to_string(), "a dry run tells it");
    assert_unchanged(&place).await;
    let mut dead = std::fs::read_dir(place.path("dead")).unwrap().map(|entry| entry.unwrap().path());
    assert!(!dead.any(|path| path.extension().is_some_and(|extension| extension == "jsonl")));
}

#[tokio::test]
async fn an_overwrite_without_a_good_record_changes_nothing() {
    let (place, job) = place().await;
    place.deliver("b.csv", "id,v\nx,a\ny,b\n");
    let letters = format!("bad_records: {{policy: dead_letter, path: {}}}\n", place.path("dead").display());
    for operation in [Operation::InsertOverwriteTable, Operation::InsertOverwrite] {
        let job = Job { operation, ..job(&letters) };
        let error = place.run(job.clone(), RunOptions::default()).await.unwrap_err();
        let text = error.to_string();
        assert!(
            text.starts_with("all 2 records are bad") && text.contains("b.csv:3, column \"id\""),
            "{text}"
        );
        assert_eq!(Error::from(error).kind(), ErrorKind::DataQuality);
        assert_unchanged(&place).await;
        let stopped_by = foreseen(&place, job).await;
        assert!(matches!(stopped_by, Some(IngestError::AllBad { found: 2, .. })), "{stopped_by:?}");
    }
    place.deliver("c.csv", &csv(10..12));
    assert_eq!(place.run(job(&letters), RunOptions::default()).await.unwrap().rows, 2);
}

#[tokio::test]
async fn an_overwrite_beside_a_write_that_does_not_end_is_given_up_in_the_end() {
    // The time of files is far ahead of this clock: nobody's signs of life grow old.
    let long_ago = Environment::real().clock.unix_millis() - 1_000 * 86_400_000;
    let (environment, clock) = Environment::replay(long_ago, 1);
    clock
        .run(async {
            let (place, job) = place_at(environment).await;
            place.deliver("b.csv", &csv(10..12));
            let uri = place.path("t").display().to_string().parse().unwrap();
            let storage = storage::open(&uri, &place.environment).await.unwrap();
            let options = SinkOptions { operation: WriteOperation::Insert, ..SinkOptions::default() };
            let mut other = Sink::open(storage, &place.environment, "q", vec![], options).await.unwrap();
            let ids: ArrayRef = Arc::new(Int64Array::from(vec![5]));
            other.write(&RecordBatch::try_from_iter([("id", ids)]).unwrap(), None).await.unwrap();
            let progress = PipelineProgress { checkpoint: 1, ..PipelineProgress::default() };
            let prepared = other.prepare(progress).await.unwrap().unwrap();

            let (_keep, stop) = watch::channel(false);
            let rewinds = Arc::new(AtomicU32::new(0));
            let counted = rewinds.clone();
            let events = Arc::new(move |event: &Event| {
                counted.fetch_add(matches!(event, Event::Rewound { .. }).into(), Ordering::Relaxed);
            });
            let ran = run(job(""), RunOptions::default(), &place.environment, stop, events).await;
            let Err(IngestError::Retryable { tries: 10, reason }) = ran else { panic!("{ran:?}") };
            assert!(reason.contains("begun to be written"), "{reason}");
            assert_eq!(rewinds.load(Ordering::Relaxed), 10);

            let outcome = other.committer().commit(&prepared).await.unwrap();
            assert!(matches!(outcome, Outcome::Committed { .. }), "{outcome:?}");
            assert_eq!(place.run(job(""), RunOptions::default()).await.unwrap().rows, 2);
        })
        .await;
}
