//! `lakebed cluster`, run as people and scripts run it.

use std::fs;

use serde_json::json;

use super::written::{insert, write};
use super::{Place, files_below, lakebed};

const DAYS: [&str; 2] = ["mon", "tue"];

/// A table to which rows are added: three files of `mon`, two of `tue`.
async fn written() -> Place {
    let place = Place::new();
    assert_eq!(place.create(&["--partition", "day", "--type", "copy-on-write"]).code, 0);
    insert(&place.table(), &DAYS, 2, 1..3).await;
    insert(&place.table(), &DAYS[..1], 2, 3..4).await;
    place
}

/// How many file groups readers have to open, by what would be clustered if one were enough.
fn file_groups(place: &Place) -> usize {
    let ran = lakebed(&["files", &place.table()]);
    assert_eq!(ran.code, 0, "{ran:?}");
    ran.out.lines().filter(|line| line.contains("-0 ") || line.trim_end().ends_with("-0")).count()
}

#[tokio::test]
async fn small_files_become_one_in_each_partition_and_then_nothing_is_due() {
    let place = written().await;
    let before = place.rows();
    assert_eq!((before.len(), file_groups(&place)), (10, 5));
    let done = place.told("cluster", 0, &[]);
    let [clustering] = &done["clusterings"].as_array().unwrap()[..] else { panic!("{done}") };
    let of = |name: &str| clustering[name].clone();
    assert_eq!(
        [of("outcome"), of("groups"), of("finished"), of("resumed"), of("files"), of("rows"), of("left_out")],
        [json!("committed"), json!(5), json!(5), json!(0), json!(2), json!(10), json!([])]
    );
    assert_eq!((place.rows(), file_groups(&place)), (before, 2));
    let again = place.run("cluster", &[]);
    assert_eq!((again.code, again.out.as_str()), (3, "events: nothing is due\n"), "{again:?}");

    insert(&place.table(), &DAYS, 1, 9..10).await;
    let page = place.run("cluster", &["--sort", "ts,id"]);
    assert_eq!((page.code, page.err.as_str()), (0, ""), "{page:?}");
    let lines: Vec<&str> = page.out.lines().collect();
    assert!(lines[0].starts_with("CLUSTERING") && lines[1].contains("committed at 2"), "{page:?}");
    assert_eq!(file_groups(&place), 2);
}

#[tokio::test]
async fn a_dry_run_says_what_is_due_by_the_arguments_and_changes_nothing() {
    let place = written().await;
    let before = files_below(&place.path("events"));
    let plan = place.told("cluster", 0, &["--dry-run"]);
    assert_eq!((&plan["file_groups"], &plan["left_out"]), (&json!(5), &json!([])));
    let of_mon = plan["groups"].as_array().unwrap().iter().find(|g| g["partition"] == "day=mon").unwrap();
    let mon = json!({
        "partition": "day=mon", "file_groups": 3, "read_files": 3, "files": 1,
        "read_bytes": of_mon["read_bytes"],
    });
    assert_eq!(*of_mon, mon);
    let groups = |arguments: &[&str]| {
        let ran = place.run("cluster", &[&["--format", "json", "--dry-run"], arguments].concat());
        ran.json()["groups"].as_array().unwrap().len()
    };
    assert_eq!(groups(&["--min-small-files", "3"]), 1);
    assert_eq!(groups(&["--min-small-files", "4"]), 0);
    assert_eq!(groups(&["--max-groups", "1"]), 1);
    assert_eq!(groups(&["--max-bytes", "1"]), 1);
    assert_eq!(groups(&["--partition", "day=tue/"]), 1);
    assert_eq!(groups(&["--small-file-bytes", "1"]), 0);
    assert_eq!(groups(&["--target-file-bytes", "1KiB"]), 0);
    let page = place.run("cluster", &["--dry-run", "--sort", "id"]);
    assert!(page.out.contains("5 file groups") && page.out.contains("sorted by id"), "{page:?}");
    assert_eq!(files_below(&place.path("events")), before);
    let larger = ["--small-file-bytes", "2MiB", "--target-file-bytes", "1MiB"];
    place.run("cluster", &larger).refused(2, "are no small ones");
    for (columns, problem) in [
        ("nope", "\"nope\", which the table does not have"),
        ("id desc", "\"id desc\", which the table does not have"),
        ("", "\"\", which the table does not have"),
        ("id,ts,id", "by column \"id\" twice"),
    ] {
        // Be anything due or not.
        for more in [&[][..], &["--dry-run"], &["--min-small-files", "99"]] {
            place.run("cluster", &[&["--sort", columns], more].concat()).refused(2, problem);
        }
    }
    place.run("cluster", &["--partition", "day=nope"]).refused(2, "the table has no partition \"day=nope\"");
    place.run("cluster", &["--memory", "1KiB", "--dry-run"]).refused(2, "of memory is too little");
    assert_eq!(place.run("cluster", &["--max-groups", "0"]).code, 2);
    assert_eq!(files_below(&place.path("events")), before);
}

#[tokio::test]
async fn a_plan_is_scheduled_and_carried_out_later() {
    let place = written().await;
    let before = place.rows();
    let plan = place.told("cluster", 0, &["--schedule"]);
    let instant = plan["scheduled"].as_str().unwrap().to_owned();
    assert_eq!(place.told("cluster", 0, &["--dry-run"])["pending"], json!([instant]));
    place.run("cluster", &["--run", "20200101000000000"]).refused(2, &instant);
    let done = place.told("cluster", 0, &["--run", &instant]);
    assert_eq!(done["clusterings"][0]["instant"], json!(instant));
    assert_eq!((place.rows(), file_groups(&place)), (before, 2));
}

#[tokio::test]
async fn a_plan_is_taken_off_by_a_rollback() {
    let place = written().await;
    let before = (place.rows(), file_groups(&place));
    let plan = place.told("cluster", 0, &["--schedule"]);
    let instant = plan["scheduled"].as_str().unwrap().to_owned();
    let ran = place.run("rollback", &[&instant, "--yes"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(place.told("cluster", 0, &["--dry-run"])["pending"], json!([]));
    assert_eq!((place.rows(), file_groups(&place)), before);
    place.told("cluster", 0, &[]);
    assert_eq!((place.rows(), file_groups(&place)), (before.0, 2));
}

#[tokio::test]
async fn a_plan_in_a_file_is_carried_out_unless_the_table_has_moved_on() {
    let place = written().await;
    let file = place.path("plan.json").display().to_string();
    assert_eq!(place.run("cluster", &["--plan", &file, "--partition", "day=mon"]).code, 0);
    assert_eq!(file_groups(&place), 5);
    // What comes beside it does not matter.
    insert(&place.table(), &DAYS, 1, 7..8).await;
    assert_eq!(place.told("cluster", 0, &["--apply", &file])["clusterings"][0]["groups"], json!(3));
    let stale = place.run("cluster", &["--apply", &file]);
    stale.refused(4, "the plan is stale");
    let text = fs::read_to_string(&file).unwrap().replace("\"clustering\"", "\"compaction\"");
    fs::write(&file, text).unwrap();
    place
        .run("cluster", &["--apply", &file])
        .refused(2, "it is a plan of a compaction, and not of a clustering");
}

#[tokio::test]
async fn tables_with_buckets_are_refused_with_what_to_do() {
    let place = Place::new();
    let arguments = ["--key", "id", "--partition", "day", "--ordering", "ts", "--buckets", "2"];
    assert_eq!(place.create(&arguments).code, 0);
    write(&place.table(), &DAYS, 4, 1..3).await;
    let before = files_below(&place.path("events"));
    place.run("cluster", &[]).refused(4, "write the table anew with fewer buckets");
    assert_eq!(files_below(&place.path("events")), before);
}
