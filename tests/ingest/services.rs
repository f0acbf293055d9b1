//! The services of the table, run beside a job.

use std::sync::Mutex;

use lakebed_hudi::timeline_file::Action;

use super::*;

/// A job that upserts into a table of one bucket, in checkpoints of ten records.
fn job(place: &Place, services: &str) -> Job {
    let text = format!(
        "pipeline: p\ntable: {{uri: {}, create: {{key: [id], buckets: 1}}}}\nsource: {{files: [\"{}/*\"]}}\ncommit: \
         {{rows: 10}}\nservices: {services}\n",
        place.path("keyed").display(),
        place.path("in").display()
    );
    Job::from_yaml(&text).unwrap()
}

async fn run_all(place: &Place, job: Job) -> (Summary, Vec<Event>) {
    let (_keep, stop) = watch::channel(false);
    let events = Arc::new(Mutex::new(Vec::new()));
    let told = events.clone();
    let tell = Arc::new(move |event: &Event| told.lock().unwrap().push(event.clone()));
    let summary = run(job, RunOptions::default(), &place.environment, stop, tell).await.unwrap();
    let events = events.lock().unwrap().clone();
    (summary, events)
}

async fn keyed(place: &Place) -> Table {
    let uri = place.path("keyed").display().to_string().parse().unwrap();
    let storage = storage::open(&uri, &place.environment).await.unwrap();
    Table::open(storage, &place.environment, None).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn services_run_beside_a_job_and_once_more_at_its_end() {
    let place = Place::new().await;
    for file in 0..30 {
        place.deliver(&format!("{file:02}.csv"), &csv(0..10));
    }
    let settings =
        "{interval: 1ms, compaction: {min_log_files: 2}, archive: {min_commits: 3, max_commits: 5}}";
    let (summary, events) = run_all(&place, job(&place, settings)).await;
    assert_eq!((summary.commits, summary.rows), (30, 300));
    let failed: Vec<&Event> =
        events.iter().filter(|event| matches!(event, Event::ServicesFailed { .. })).collect();
    assert!(failed.is_empty(), "{failed:?}");
    let rounds: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Served { totals, .. } => Some(*totals),
            _ => None,
        })
        .collect();
    assert!(rounds.len() >= 2 && rounds.iter().any(|totals| totals.compacted_groups > 0), "{rounds:?}");
    let archived: usize = rounds.iter().map(|totals| totals.archived_instants).sum();
    let timeline = keyed(&place).await.timeline.load().await.unwrap();
    assert!(archived > 0, "{timeline:?}");
    assert!(timeline.completed().any(|instant| instant.action == Action::Commit), "a compaction");
    let progress = lakebed::ingest::committed_progress(&job(&place, settings), &place.environment).await;
    assert_eq!(progress.unwrap().pipelines["p"].checkpoint, 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn services_that_fail_do_not_stop_a_job() {
    let place = Place::new().await;
    place.deliver("a.csv", &csv(0..40));
    // As much as no table can do with.
    let (summary, events) =
        run_all(&place, job(&place, "{interval: 1ms, memory: 1MiB, compaction: {min_log_files: 1}}")).await;
    assert_eq!(summary.rows, 40);
    let is_told = |event: &Event| matches!(event, Event::ServicesFailed { reason } if reason.contains("of memory is too little"));
    assert!(events.iter().any(is_told), "{events:?}");
}

#[test]
fn services_that_contradict_themselves_are_refused_at_the_start() {
    let text = "pipeline: p\ntable: {uri: /t}\nsource: {files: [a]}\nservices: {archive: {min_commits: 9, max_commits: 5}}\n";
    let error = Job::from_yaml(text).unwrap_err().to_string();
    assert!(error.contains("services.archive"), "{error}");
}
