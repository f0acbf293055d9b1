//! How far pipelines have come: shown, reset and dropped.

use std::fs;

use serde_json::json;

use super::{FIRST, Place, SOURCE};
use crate::cli::lakebed;

#[test]
fn progress_is_shown_of_all_pipelines_and_reset_of_one() {
    let place = Place::new();
    place.deliver("a.csv", FIRST);
    let job = place.job(SOURCE, "");
    let missing = lakebed(&["ingest", &job, "--show-progress"]);
    missing.refused(2, "is no Hudi table");
    assert_eq!(lakebed(&["ingest", &job]).code, 0);
    let text = fs::read_to_string(&job).unwrap();
    fs::write(place.path("other.yaml"), text.replace("pipeline: p\n", "pipeline: q\n")).unwrap();
    let other = place.text("other.yaml");
    let nothing = lakebed(&["ingest", &other, "--show-progress"]).out;
    assert!(
        nothing.starts_with(&format!("file:{}: pipeline q has committed nothing yet\n", place.text("t"))),
        "{nothing}"
    );
    assert_eq!(lakebed(&["ingest", &other]).code, 0);

    let shown = lakebed(&["ingest", &job, "--show-progress"]).out;
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines.len(), 3, "{shown}");
    let read = format!("all up to {}", place.text("in/a.csv"));
    assert!(lines[1].starts_with("p ") && lines[1].ends_with(&read), "{shown}");
    let told = lakebed(&["ingest", &job, "--show-progress", "--format", "json"]).json();
    assert_eq!([&told["pipeline"], &told["progress"]["checkpoint"]], [&json!("p"), &json!(1)]);
    assert_eq!(told["uri"], format!("file:{}", place.text("t")));
    assert_eq!(told["others"]["q"]["sources"]["files"]["position"]["files"]["done"]["names"], 1);

    let reset = lakebed(&["ingest", &job, "--reset-progress"]);
    assert_eq!(reset.code, 0, "{reset:?}");
    assert!(reset.err.contains("resetting the progress: everything is read again\n"), "{reset:?}");
    assert!(reset.err.contains("checkpoint 2 committed") && reset.err.contains("checkpoint 3 committed"));
    assert_eq!(place.rows(), ["a,x,1", "b,x,1", "c,y,1"]);
    let others = lakebed(&["ingest", &job, "--show-progress", "--format", "json"]).json();
    assert_eq!(others["others"], told["others"]);
    lakebed(&["ingest", &job, "--show-progress", "--once"]).refused(2, "cannot be used with");

    let unknown = "no progress of a pipeline \"r\"; it keeps that of p, q";
    lakebed(&["ingest", &job, "--drop-progress", "r"]).refused(2, unknown);
    let dropped = lakebed(&["ingest", &job, "--drop-progress", "q"]);
    assert_eq!((dropped.code, dropped.err.as_str()), (0, ""), "{dropped:?}");
    assert!(
        dropped.out.starts_with("file:/")
            && dropped.out.ends_with("the progress of pipeline q was dropped, at checkpoint 1\n"),
        "{dropped:?}"
    );
    for limit in ["1", "2"] {
        let page = lakebed(&["timeline", &place.text("t"), "--limit", limit]).out;
        assert!(page.lines().nth(1).is_some_and(|line| line.ends_with(" q dropped")), "{page}");
    }
    let left = lakebed(&["ingest", &job, "--show-progress", "--format", "json"]).json();
    assert_eq!([&left["progress"], &left["others"]], [&others["progress"], &json!({})]);
    assert_eq!(lakebed(&["ingest", &job]).code, 3, "p goes on where it was");
    assert_eq!(lakebed(&["ingest", &other]).code, 0, "q reads everything again");
    assert_eq!(place.rows(), ["a,x,1", "b,x,1", "c,y,1"]);
}

#[test]
fn progress_tells_how_far_event_time_has_come() {
    let place = Place::new();
    place.deliver("a.csv", "id,p,at\na,x,1356998400\nb,x,1356998401\n");
    let job = place.job(SOURCE, "mapping: {cast: {at: {unit: seconds}}}\n");
    let schema = fs::read_to_string(place.path("t.avsc")).unwrap();
    let time = r#"{"name":"at","type":["null",{"type":"long","logicalType":"timestamp-micros"}]"#;
    fs::write(place.path("t.avsc"), schema.replace(r#"{"name":"ts","type":["null","long"]"#, time)).unwrap();
    let text = fs::read_to_string(&job).unwrap();
    fs::write(&job, text.replace("ordering: [ts]", "ordering: [at]")).unwrap();
    assert_eq!(lakebed(&["ingest", &job]).code, 0);
    let shown = lakebed(&["ingest", &job, "--show-progress"]).out;
    let column = shown.lines().next().and_then(|heading| heading.find("WATERMARK")).unwrap();
    let told = shown.lines().nth(1).and_then(|line| line.get(column..));
    assert!(told.is_some_and(|line| line.starts_with("2013-01-01 00:00:01  all up to ")), "{shown}");
    let told = lakebed(&["ingest", &job, "--show-progress", "--format", "json"]).json();
    assert_eq!(told["progress"]["sources"]["files"]["watermark"], 1_356_998_401_000_i64);
}

#[test]
fn a_reset_overwrite_leaves_the_table_full_until_it_is_replaced() {
    let place = Place::new();
    place.deliver("a.csv", FIRST);
    let job = place.job(SOURCE, "operation: insert_overwrite_table\n");
    assert_eq!(lakebed(&["ingest", &job]).code, 0);
    assert_eq!(lakebed(&["ingest", &job]).code, 3);
    let broken = FIRST.replace("c,y,1", "c,y,one");
    fs::write(place.path("in/a.csv"), broken).unwrap();
    assert_eq!(lakebed(&["ingest", &job, "--reset-progress"]).code, 6);
    assert_eq!(place.rows(), ["a,x,1", "b,x,1", "c,y,1"]);
    fs::write(place.path("in/a.csv"), "id,p,ts\nd,x,1\n").unwrap();
    assert_eq!(lakebed(&["ingest", &job, "--reset-progress"]).code, 0);
    assert_eq!(place.rows(), ["d,x,1"]);
}
