//! `lakebed archive`.

use lakebed::sink::SinkOptions;
use lakebed_hudi::table_config::{NewTable, TableType};
use lakebed_hudi::timeline_file::{Action, TimelineFile};
use serde_json::{Value, json};

use super::{Ran, lakebed};
use crate::test_table::{TestTable, bucket_table, checkpoint, is_committed, write};

async fn with_commits(count: u64) -> (TestTable, Vec<String>) {
    let table = TestTable::create(&NewTable { table_type: TableType::CopyOnWrite, ..bucket_table() }).await;
    let mut sink = table.sink("p", SinkOptions::default()).await;
    for number in 1..=count {
        write(&mut sink, "a", number as i64).await;
        assert!(is_committed(&checkpoint(&mut sink, number).await));
    }
    let snapshot = table.snapshot().await;
    let times = snapshot.timeline.completed_writes().map(|write| write.time.to_string()).collect();
    (table, times)
}

fn archive(table: &TestTable, arguments: &[&str]) -> Ran {
    lakebed(&[&["archive", &table.path("t")], arguments].concat())
}

fn archive_json(table: &TestTable, arguments: &[&str]) -> (i32, Value) {
    let ran = archive(table, &[arguments, &["--format", "json"]].concat());
    assert_eq!(ran.err, "", "{ran:?}");
    (ran.code, ran.json())
}

#[tokio::test]
async fn old_commits_go_and_what_went_is_told() {
    let (table, times) = with_commits(6).await;
    let few = ["--min-commits", "2", "--max-commits", "3"];
    let dry = [&few[..], &["--dry-run"]].concat();
    let want = |dry_run: bool| {
        let mut want = json!({
            "table": "t", "instants": 4, "commits": 4, "first": times[0], "last": times[3], "active_commits": 2,
            "held": null,
        });
        let more = match dry_run {
            true => json!({"dry_run": true}),
            false => json!({"merged_files": 0, "stopped": false}),
        };
        want.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        want
    };
    let told = format!("4 instants (4 commits) would be archived, from {} to {}", times[0], times[3]);
    let page = archive(&table, &dry);
    assert_eq!((page.code, page.err.as_str()), (0, ""));
    assert_eq!(page.out, format!("t: {told} · 2 commits would be left on the active timeline\n"));
    assert_eq!(archive_json(&table, &dry), (0, want(true)));
    assert_eq!(table.snapshot().await.timeline.completed_writes().count(), 6, "nothing was changed");

    assert_eq!(archive_json(&table, &few), (0, want(false)));
    assert_eq!(table.snapshot().await.timeline.completed_writes().count(), 2);
    assert_eq!(table.texts().await, ["a x 6 -"]);
    for arguments in [&few[..], &dry] {
        let again = archive(&table, arguments);
        assert_eq!(again.code, 3, "{again:?}");
        assert!(again.out.starts_with("t: nothing to archive · 2 commits"), "{again:?}");
    }
    // All of it is still told of.
    let all = lakebed(&["--format", "json", "timeline", &table.path("t"), "--all"]).json();
    let told: Vec<_> =
        all["instants"].as_array().unwrap().iter().rev().map(|i| i["instant"].clone()).collect();
    assert_eq!(told, times);
    let archived = all["instants"].as_array().unwrap().iter().filter(|i| i["archived"] == true).count();
    assert_eq!(archived, 4);
}

#[tokio::test]
async fn what_holds_commits_back_is_named() {
    let (table, times) = with_commits(6).await;
    let at = times[2].parse().unwrap();
    let savepoint = TimelineFile::completed(at, Action::Savepoint, at);
    let path = table.snapshot().await.table.timeline.path(&savepoint);
    table.storage.put(&path, "".into()).await.unwrap();
    let few = ["--min-commits", "1"];
    let (code, told) = archive_json(&table, &[&few[..], &["--max-commits", "2", "--dry-run"]].concat());
    assert_eq!((code, &told["commits"]), (0, &json!(2)));
    assert_eq!(told["held"], json!({"from": times[2], "what": "savepoint", "instant": times[2]}));
    let page = archive(&table, &[&few[..], &["--max-commits", "2"]].concat());
    assert_eq!(page.code, 0, "{page:?}");
    let held = format!("more would have gone, but is held from {at} on by savepoint {at}: delete it");
    assert!(page.out.contains(&held), "{page:?}");
    // The next run has nothing to do, and still says why.
    let page = archive(&table, &[&few[..], &["--max-commits", "2"]].concat());
    assert_eq!(page.code, 3, "{page:?}");
    assert!(page.out.contains(&held), "{page:?}");
}

#[tokio::test]
async fn how_many_stay_is_what_is_asked_for() {
    let (table, _) = with_commits(6).await;
    let commits = |arguments: &[&str]| {
        archive_json(&table, &[arguments, &["--dry-run"]].concat()).1["commits"].as_u64().unwrap()
    };
    assert_eq!(commits(&[]), 0, "20 stay of 30");
    assert_eq!(commits(&["--max-commits", "3"]), 4);
    assert_eq!(commits(&["--min-commits", "1", "--max-commits", "5"]), 5);
    assert_eq!(commits(&["--min-commits", "1"]), 0, "11 may be there");
    for wrong in [
        &["--min-commits", "0"][..],
        &["--min-commits", "30", "--max-commits", "30"],
        &["--max-commits", "1"],
    ] {
        archive(&table, wrong).refused(2, "commits on the active timeline");
    }
    for max in ["0", "1"] {
        archive(&table, &["--max-commits", max])
            .refused(2, &format!("at most {max} commits on the active timeline"));
    }
    lakebed(&["archive", &table.path("none")]).refused(2, "none");
}

#[tokio::test]
async fn a_table_that_is_not_ours_to_maintain_is_refused() {
    let (table, _) = with_commits(3).await;
    let properties = table.path("t/.hoodie/hoodie.properties");
    let text = std::fs::read_to_string(&properties).unwrap();
    let kept: Vec<&str> = text.lines().filter(|line| !line.contains("checksum")).collect();
    std::fs::write(&properties, kept.join("\n") + "\nhoodie.table.metadata.partitions=files\n").unwrap();
    archive(&table, &["--max-commits", "2"]).refused(4, "metadata table");
    assert_eq!(table.snapshot().await.timeline.completed_writes().count(), 3);
}

#[test]
fn the_zone_of_a_timeline_in_local_time_is_asked_for() {
    let folder = crate::fixtures::unpack("local_time");
    let table = folder.path().display().to_string();
    let refused = lakebed(&["archive", &table]);
    refused.refused(4, "LOCAL time without its zone (hoodie.table.timeline.timezone is not UTC)");
    refused.refused(
        4,
        "as timeline_timezone in the file of a fleet or a job, to commands of one table as --timeline",
    );
    assert_eq!(lakebed(&["archive", &table, "--timeline-timezone", "UTC", "--dry-run"]).code, 3);
}
