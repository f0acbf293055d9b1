use std::time::Duration;

use super::*;

#[tokio::test]
async fn runs_that_are_stopped_after_each_commit_take_every_record_once() {
    let place = Place::new().await;
    place.deliver("a.csv", &csv(0..10));
    place.deliver("b.jsonl", &jsonl(10..17));
    place.deliver("c.csv", "id,v\n");
    place.deliver("d.csv", &csv(17..20));
    let mut runs = 0;
    while place.ids().len() < 20 {
        let summary = place
            .run_one_commit(place.files_job("commit: {rows: 3}\n"), RunOptions::default())
            .await
            .unwrap();
        assert!(summary.commits >= 1, "{summary:?}");
        runs += 1;
    }
    assert!(runs > 1, "{runs}");
    assert_eq!(place.ids(), (0..20).collect::<Vec<_>>());
    let summary = place.run(place.files_job(""), RunOptions::default()).await.unwrap();
    assert_eq!((summary.records, summary.commits), (0, 0));
    for name in ["a.csv", "b.jsonl"] {
        std::fs::remove_file(place.path("in").join(name)).unwrap();
    }
    place.deliver("e.csv", &csv(20..22));
    let summary = place.run(place.files_job(""), RunOptions::default()).await.unwrap();
    assert_eq!((summary.records, summary.rows, summary.commits, summary.inputs), (2, 2, 1, 1));
    assert_eq!(place.ids(), (0..22).collect::<Vec<_>>());
    let reset = RunOptions { reset_progress: true, ..RunOptions::default() };
    assert_eq!(place.run(place.files_job(""), reset).await.unwrap().rows, 5);
}

#[tokio::test]
async fn bytes_and_rows_end_a_checkpoint_whichever_comes_first() {
    let place = Place::new().await;
    place.deliver("a.csv", &csv(0..100));
    let summary =
        place.run(place.files_job("commit: {rows: 40, bytes: 1 GiB}\n"), RunOptions::default()).await;
    assert_eq!(summary.unwrap().commits, 3);
    place.deliver("b.csv", &csv(100..110));
    place.deliver("c.csv", &csv(110..120));
    let summary = place.run(place.files_job("commit: {bytes: 20}\n"), RunOptions::default()).await.unwrap();
    assert_eq!((summary.commits, summary.records), (2, 20));
    assert_eq!(place.ids(), (0..120).collect::<Vec<_>>());
}

#[tokio::test]
async fn new_files_are_followed_until_the_run_is_stopped() {
    let place = Place::new().await;
    let source = format!("{{files: [\"{}/*\"], follow: true, poll: 5ms}}", place.path("in").display());
    let job = || place.job(&source, "commit: {interval: 20ms}\n");
    let (stopping, stop) = watch::channel(false);
    let running = run(job(), RunOptions::default(), &place.environment, stop, Arc::new(|_: &Event| ()));
    let delivering = async {
        for (name, ids) in [("a.csv", 0..3), ("b.csv", 3..5), ("d.csv", 5..9)] {
            let until = ids.end;
            place.deliver(name, &csv(ids));
            while place.ids().len() < usize::try_from(until).unwrap() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        stopping.send_replace(true);
    };
    let delivering = tokio::time::timeout(Duration::from_secs(60), delivering);
    let (summary, delivered) = tokio::join!(running, delivering);
    delivered.unwrap();
    let summary = summary.unwrap();
    assert_eq!((summary.records, summary.inputs), (9, 3));
    assert_eq!(place.ids(), (0..9).collect::<Vec<_>>());

    place.deliver("c.csv", &csv(9..10));
    let once = || RunOptions { once: true, ..RunOptions::default() };
    let error = place.run(job(), once()).await.unwrap_err().to_string();
    assert!(error.contains("c.csv: it is new, and sorts before") && error.contains("d.csv"), "{error}");
    let ignoring = job();
    let ignoring = Job {
        source: lakebed::ingest::job::SourceSettings {
            late_names: lakebed::ingest::job::LateNames::Ignore,
            ..ignoring.source
        },
        ..ignoring
    };
    assert_eq!(place.run(ignoring, once()).await.unwrap().records, 0);
}

#[tokio::test]
async fn files_that_change_or_vanish_while_they_are_read_are_named() {
    let place = Place::new().await;
    place.deliver("a.csv", &csv(0..9));
    let job = || place.files_job("commit: {rows: 4}\n");
    place.run_one_commit(job(), RunOptions::default()).await.unwrap();
    let taken = place.ids().len();
    if taken < 9 {
        let whole = std::fs::read_to_string(place.path("in/a.csv")).unwrap();
        place.deliver("a.csv", &csv(0..12));
        let error = place.run(job(), RunOptions::default()).await.unwrap_err().to_string();
        assert!(error.contains("a.csv: it has changed") && error.contains("the size was"), "{error}");
        std::fs::remove_file(place.path("in/a.csv")).unwrap();
        let error = place.run(job(), RunOptions::default()).await.unwrap_err().to_string();
        assert!(
            error.contains(&format!("a.csv: it is gone, and {taken} of its records were read")),
            "{error}"
        );
        place.deliver("a.csv", &whole);
        place.run(job(), RunOptions::default()).await.unwrap();
    }
    assert_eq!(place.ids(), (0..9).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_bad_record_stops_the_run_and_what_was_committed_stays() {
    let place = Place::new().await;
    place.deliver("a.csv", &format!("{}x,v9\n", csv(0..9)));
    let error = place
        .run(place.files_job("commit: {rows: 4}\n"), RunOptions::default())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.ends_with(
            "a.csv:11, column \"id\", value \"x\": it is no bigint; correct it, or set bad_records.policy to dead_letter"
        ),
        "{error}"
    );
    assert_eq!(place.ids().len() % 4, 0);
}
