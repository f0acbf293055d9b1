//! How far event time has come, as commits say it.

use lakebed::commit::{PipelineProgress, Progress};

use super::*;

/// A job that makes its table of what is in the place's inputs, with rows of a key ordered by `order`.
fn job(place: &Place, order: &str, more: &str) -> Job {
    let (table, input) = (place.path("timed"), place.path("in"));
    let create = format!("{{key: [id], partition: [month], ordering: [{order}], buckets: 1}}");
    let mapping = "{cast: {at: {unit: seconds}}, partition: {column: month, from: at, pattern: yyyy-MM}}";
    let text = format!(
        "pipeline: p\ntable: {{uri: {}, create: {create}}}\nsource: {{files: [\"{}/*\"]}}\nmapping: {mapping}\n{more}",
        table.display(),
        input.display()
    );
    Job::from_yaml(&text).unwrap()
}

/// What each commit of the table says of the pipeline, oldest first.
async fn told(place: &Place) -> Vec<PipelineProgress> {
    let uri = place.path("timed").display().to_string().parse().unwrap();
    let storage = storage::open(&uri, &place.environment).await.unwrap();
    let table = Table::open(storage, &place.environment, None).await.unwrap();
    let mut told = Vec::new();
    for instant in table.timeline.load().await.unwrap().completed_writes() {
        let metadata = table.timeline.commit_metadata(instant).await.unwrap();
        told.push(Progress::of(&metadata).unwrap().unwrap().pipelines.remove("p").unwrap());
    }
    told
}

async fn watermarks(place: &Place) -> Vec<Option<i64>> {
    told(place).await.iter().map(|progress| progress.sources["files"].watermark).collect()
}

#[tokio::test]
async fn it_goes_on_with_each_commit_and_never_back() {
    let place = Place::new().await;
    place.deliver("a.csv", "id,at,seq\nk1,100,1\nk2,300,1\nk3,200,1\nk4,150,1\n");
    let letters = format!("bad_records: {{policy: dead_letter, path: {}}}\n", place.path("dead").display());
    let job = || job(&place, "at", &format!("commit: {{rows: 1}}\n{letters}"));
    place.run(job(), RunOptions::default()).await.unwrap();
    let first = [100_000, 300_000, 300_000, 300_000].map(Some);
    assert_eq!(watermarks(&place).await, first);
    // Another run, late rows only, and a row that is not taken.
    place.deliver("b.csv", "id,at,seq\nk5,50,1\n,900,1\n");
    place.run(job(), RunOptions::default()).await.unwrap();
    assert_eq!(watermarks(&place).await, [&first[..], &[Some(300_000); 2]].concat());
    place.deliver("c.csv", "id,at,seq\nk6,400,1\n");
    place.run(job(), RunOptions::default()).await.unwrap();
    assert_eq!(watermarks(&place).await.last(), Some(&Some(400_000)));
    // To forget everything is to forget this, too.
    place.deliver("d.csv", "id,at,seq\nk7,350,1\n");
    let reset = RunOptions { reset_progress: true, ..RunOptions::default() };
    place.run(job(), reset).await.unwrap();
    assert!(told(&place).await[7].sources.is_empty());
    assert_eq!(told(&place).await[8].watermark(), Some(100_000));
}

#[tokio::test]
async fn it_is_of_the_partitions_time_where_rows_are_ordered_by_a_number() {
    let place = Place::new().await;
    place.deliver("a.csv", "id,at,seq\nk1,100,7\nk2,300,5\n");
    place.run(job(&place, "seq", ""), RunOptions::default()).await.unwrap();
    assert_eq!(watermarks(&place).await, [Some(300_000)]);
}

#[tokio::test]
async fn there_is_none_where_rows_have_no_time() {
    let place = Place::new().await;
    place.deliver("a.csv", &csv(0..3));
    place.run(place.files_job(""), RunOptions::default()).await.unwrap();
    let uri = place.path("t").display().to_string().parse().unwrap();
    let storage = storage::open(&uri, &place.environment).await.unwrap();
    let table = Table::open(storage, &place.environment, None).await.unwrap();
    let timeline = table.timeline.load().await.unwrap();
    let commit = table.timeline.commit_metadata(timeline.completed_writes().next().unwrap()).await.unwrap();
    assert!(!commit.extra_metadata["lakebed.progress"].contains("watermark"));
}
