//! What a job states about a table that others write as well.

use lakebed::{Error, ErrorKind};
use lakebed_hudi::instant::{InstantTime, TimelineZone};

use super::*;

/// Changes a property of the place's table, as its other writers may have it.
fn set_property(place: &Place, key: &str, value: &str) {
    let path = place.path("t/.hoodie/hoodie.properties");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut lines: Vec<&str> =
        text.lines().filter(|l| !l.starts_with(&format!("{key}=")) && !l.contains("checksum")).collect();
    let line = format!("{key}={value}");
    lines.push(&line);
    std::fs::write(&path, lines.join("\n")).unwrap();
}

async fn run_with(place: &Place, table: &str, more: &str) -> Result<Summary, Error> {
    let text = format!(
        "pipeline: p\noperation: insert\ntable: {{uri: {}{table}}}\nsource: {{files: [\"{}/*\"]}}\n{more}",
        place.path("t").display(),
        place.path("in").display()
    );
    place.run(Job::from_yaml(&text).unwrap(), RunOptions::default()).await.map_err(Error::from)
}

#[tokio::test]
async fn a_metadata_table_is_refused_or_dropped_as_stated() {
    let place = Place::new().await;
    place.deliver("a.csv", &csv(0..3));
    set_property(&place, "hoodie.table.metadata.partitions", "files");
    std::fs::create_dir(place.path("t/.hoodie/metadata")).unwrap();
    let error = run_with(&place, "", "").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains("metadata_table: drop"), "{error}");
    assert!(place.ids().is_empty() && place.path("t/.hoodie/metadata").exists());
    assert_eq!(run_with(&place, ", metadata_table: drop", "").await.unwrap().rows, 3);
    assert!(!place.path("t/.hoodie/metadata").exists());
    let properties = std::fs::read_to_string(place.path("t/.hoodie/hoodie.properties")).unwrap();
    assert!(properties.lines().any(|line| line == "hoodie.table.metadata.partitions="), "{properties}");
}

#[tokio::test]
async fn a_timeline_in_local_time_needs_its_zone() {
    let place = Place::new().await;
    place.deliver("a.csv", &csv(0..3));
    set_property(&place, "hoodie.table.timeline.timezone", "LOCAL");
    let error = run_with(&place, "", "").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains("timeline_timezone"), "{error}");
    assert_eq!(run_with(&place, ", timeline_timezone: Asia/Tokyo", "").await.unwrap().rows, 3);
    let names = std::fs::read_dir(place.path("t/.hoodie/timeline")).unwrap();
    let names: Vec<String> = names.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    let completed = names.iter().find(|name| name.ends_with(".commit") && name.contains('_')).unwrap();
    let instant: InstantTime = completed.split('_').next().unwrap().parse().unwrap();
    let tokyo = TimelineZone::Named(chrono_tz::Asia::Tokyo);
    let age = place.environment.clock.unix_millis() - instant.to_unix_millis(tokyo).unwrap();
    assert!((0..3_600_000).contains(&age), "{names:?}");
}

#[tokio::test]
async fn a_lock_that_somebody_holds_is_waited_for_as_long_as_stated() {
    let place = Place::new().await;
    place.deliver("a.csv", &csv(0..3));
    std::fs::write(place.path("t/.hoodie/lock"), "").unwrap();
    let error = run_with(&place, ", shared: true, lock: {wait: 10ms}", "").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    std::fs::remove_file(place.path("t/.hoodie/lock")).unwrap();
    let wrong = run_with(&place, ", lock: {validity: 5s}", "").await;
    let error = wrong.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::FixInput);
    assert!(error.to_string().contains("hoodie.write.lock.storage.validity.timeout.secs is 5"), "{error}");
    assert!(place.ids().is_empty());
    assert_eq!(run_with(&place, ", shared: true", "").await.unwrap().rows, 3);
}

#[tokio::test]
async fn empty_checkpoints_are_committed_when_told_to() {
    let place = Place::new().await;
    place.deliver("0.csv", "id,v\n");
    assert_eq!(run_with(&place, "", "").await.unwrap().commits, 0);
    assert_eq!(run_with(&place, "", "commit: {empty: true}\n").await.unwrap().commits, 1);
    place.deliver("a.csv", &csv(0..3));
    let full = run_with(&place, "", "commit: {empty: true, rows: 3}\n").await.unwrap();
    assert_eq!((full.commits, full.rows), (1, 3));
    let source = format!("{{files: [\"{}/*\"], follow: true, poll: 5ms}}", place.path("in").display());
    let following = place.job(&source, "commit: {interval: 10ms, empty: true}\n");
    let summary = place.run_one_commit(following, RunOptions::default()).await.unwrap();
    assert_eq!(summary.records, 0);
    assert!(summary.commits >= 1, "{summary:?}");
    let after = run_with(&place, "", "").await.unwrap();
    assert_eq!((after.records, place.ids().len()), (0, 3), "an empty commit keeps the place in the source");
}

#[tokio::test]
async fn the_index_of_a_table_of_sparks_is_taken_from_the_job() {
    let place = Place::new().await;
    let table = crate::fixtures::unpack("bucket_mor");
    place.deliver("a.csv", "id,p,ts,v\nk0,a,90,ours\nk7,b,1,new\n");
    let job = |index: &str| {
        let text = format!(
            "pipeline: p\ntable: {{uri: {}{index}}}\nsource: {{files: [\"{}/*\"]}}\n",
            table.path().display(),
            place.path("in").display()
        );
        Job::from_yaml(&text).unwrap()
    };
    let run = async |index| place.run(job(index), RunOptions::default()).await.map_err(Error::from);
    for (index, problem) in [
        ("", "state the index"),
        (", index: none", "state the index"),
        (", index: {buckets: 5}", "an index of 5 buckets by id"),
    ] {
        let error = run(index).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused);
        assert!(error.to_string().contains(problem), "{error}");
    }
    assert_eq!(run(", index: {buckets: 3, hash_field: [id]}").await.unwrap().rows, 2);
}
