//! `lakebed ingest` on a table that somebody has taken back.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};

use super::ingest::{Place, SOURCE};
use super::{Ran, files_below, lakebed};

/// What is left of the table when it is restored to `before`, whoever does it. Returns the instant of
/// the restore.
fn restore(place: &Place, before: &BTreeSet<String>) -> String {
    let after = files_below(&place.path("t"));
    let new = after.iter().filter(|name| !before.contains(*name));
    for name in new.clone() {
        fs::remove_file(place.path("t").join(name)).unwrap();
    }
    let mut completed =
        new.filter_map(|name| name.strip_prefix(".hoodie/timeline/")?.strip_suffix(".deltacommit"));
    let (_, time) = completed.next_back().unwrap().split_once('_').unwrap();
    let file = format!("t/.hoodie/timeline/{time}_{time}.restore");
    fs::write(place.path(&file), "restored").unwrap();
    time.to_owned()
}

/// A table of which the second commit was taken back, the instant of the restore, and the next run.
fn next_run(format: &str) -> (Place, String, Ran) {
    let place = Place::new();
    let job = place.job(SOURCE, "");
    let ingest = || lakebed(&["--format", format, "ingest", &job]);
    place.deliver("a.csv", "id,p,ts\na,x,1\n");
    assert_eq!(ingest().code, 0);
    let before = files_below(&place.path("t")).into_iter().collect();
    place.deliver("b.csv", "id,p,ts\nb,x,1\n");
    assert_eq!(ingest().code, 0);
    let restored_at = restore(&place, &before);
    assert_eq!(place.rows(), ["a,x,1"]);
    let ran = ingest();
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(place.rows(), ["a,x,1", "b,x,1"]);
    (place, restored_at, ran)
}

#[test]
fn people_are_told_of_a_restore() {
    let (_place, restored_at, ran) = next_run("table");
    let told =
        format!("the table was restored at {restored_at}: what came after checkpoint 1 is read again\n");
    assert!(ran.err.starts_with(&told), "{ran:?}");
}

#[test]
fn scripts_are_told_of_a_restore_once() {
    let (place, restored_at, ran) = next_run("json");
    let events =
        |text: &str| -> Vec<Value> { text.lines().map(|l| serde_json::from_str(l).unwrap()).collect() };
    let told = events(&ran.err);
    assert_eq!(told[0], json!({"event": "restored", "instant": restored_at, "checkpoint": 1}), "{ran:?}");
    assert_eq!(told[1]["event"], "started");
    place.deliver("c.csv", "id,p,ts\nc,x,1\n");
    let next = lakebed(&["--format", "json", "ingest", &place.job(SOURCE, "")]);
    assert_eq!(events(&next.err)[0]["event"], "started", "{next:?}");
}
