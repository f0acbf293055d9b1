use std::io::Cursor;

use lakebed::ingest::dry_run;

use super::*;

fn given(text: &str) -> RunOptions {
    RunOptions { stdin: Some(Box::new(Cursor::new(text.to_owned().into_bytes()))), ..RunOptions::default() }
}

#[tokio::test]
async fn standard_input_goes_on_behind_a_prefix_that_is_verified() {
    let place = Place::new().await;
    let job = |more: &str| place.job("{stdin: true}", &format!("format: {{type: csv}}\n{more}"));
    let summary = place.run_one_commit(job("commit: {rows: 3}\n"), given(&csv(0..8))).await.unwrap();
    assert!(summary.commits >= 1);
    let other = csv(0..8).replacen("v1", "w1", 1);
    let error = place.run(job(""), given(&other)).await.unwrap_err().to_string();
    assert!(error.starts_with("standard input does not begin with the "), "{error}");
    let error = place.run(job(""), given("id,v\n0,v0\n")).await.unwrap_err().to_string();
    assert!(error.contains("it was cut or replaced"), "{error}");
    let summary = place.run(job(""), given(&csv(0..10))).await.unwrap();
    assert_eq!(summary.inputs, 1, "the stream is one");
    assert_eq!(place.ids(), (0..10).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_dry_run_that_is_interrupted_says_so() {
    let place = Place::new().await;
    let job = || place.job("{stdin: true}", "format: {type: csv}\n");
    for stopped in [false, true] {
        let (_keep, stop) = watch::channel(stopped);
        let events = Arc::new(|_: &Event| ());
        let dry = dry_run(job(), given(&csv(0..8)), &place.environment, stop, events).await.unwrap();
        assert_eq!((dry.interrupted, dry.records == 0), (stopped, stopped), "{dry:?}");
        assert_eq!(dry.inputs, u64::from(!stopped));
    }
}
