//! `lakebed clean`.

use std::fs;

use lakebed::maintain::clean::{CleanPolicy, CleanRules};
use lakebed::sink::{Sink, SinkOptions};
use lakebed_hudi::table_config::{NewTable, TableType};
use serde_json::{Value, json};

use super::{Ran, lakebed};
use crate::test_table::*;

/// A copy-on-write table of which the one file was written so often.
async fn written(times: u64) -> (TestTable, Sink) {
    let new = NewTable { table_type: TableType::CopyOnWrite, ..bucket_table() };
    let table = TestTable::create(&new).await;
    let mut sink = table.sink("p", SinkOptions::default()).await;
    for number in 1..=times {
        write(&mut sink, "k", number as i64).await;
        assert!(is_committed(&checkpoint(&mut sink, number).await));
    }
    (table, sink)
}

fn clean(table: &TestTable, arguments: &[&str]) -> Ran {
    let uri = table.path("t");
    lakebed(&[&["clean", uri.as_str()], arguments].concat())
}

/// Cleans for scripts: what is read now is not waited for.
fn told(table: &TestTable, arguments: &[&str]) -> (i32, Value) {
    let ran = clean(table, &[&["--format", "json", "--reader-window", "0"], arguments].concat());
    (ran.code, ran.json())
}

fn files(table: &TestTable) -> usize {
    table.files_named(".parquet").len()
}

#[tokio::test]
async fn what_is_due_is_told_and_then_deleted() {
    let (table, _sink) = written(4).await;
    let (code, plan) = told(&table, &["--retain-commits", "2", "--dry-run"]);
    assert_eq!((code, &plan["files"], &plan["is_due"]), (0, &json!(1), &json!(true)), "{plan}");
    assert_eq!(
        (plan["slices"].as_array().unwrap().len(), &plan["policy"]),
        (1, &json!("KEEP_LATEST_COMMITS"))
    );
    assert_eq!((files(&table), table.files_named(".clean").len()), (4, 0));

    let (code, done) = told(&table, &["--retain-commits", "2"]);
    let [clean_done] = &done["cleans"].as_array().unwrap()[..] else { panic!("{done}") };
    assert_eq!((code, &clean_done["outcome"], &clean_done["deleted"]), (0, &json!("committed"), &json!(1)));
    assert_eq!(clean_done["earliest"], plan["earliest"]);
    assert_eq!(clean_done["freed_bytes"], plan["bytes"]);
    assert_eq!(files(&table), 3);

    let (code, idle) = told(&table, &["--retain-commits", "2"]);
    assert_eq!((code, &idle["cleans"], &idle["idle"]), (3, &json!([]), &Value::Null));
    let (code, idle) = told(&table, &["--dry-run"]);
    assert_eq!((code, &idle["idle"]), (3, &json!("the active timeline has 4 commits, and 10 stay")));
    let (code, _) = told(&table, &["--policy", "keep_latest_file_versions", "--retain-file-versions", "1"]);
    assert_eq!((code, files(&table)), (0, 1));
    assert_eq!(table.texts().await, ["k x 4 -"]);
}

#[tokio::test]
async fn people_are_told_why_nothing_is_due_or_less_than_they_asked_for() {
    let (table, _sink) = written(4).await;
    let idle = clean(&table, &[]);
    assert_eq!((idle.code, idle.err.as_str()), (3, ""), "{idle:?}");
    assert_eq!(idle.out, "t: nothing is due: the active timeline has 4 commits, and 10 stay\n");
    let held = clean(&table, &["--retain-file-versions", "1", "--dry-run"]);
    assert_eq!(held.code, 3, "all of it is younger than an hour: {held:?}");
    assert!(
        held.out.contains("more stays than KEEP_LATEST_FILE_VERSIONS asks for: somebody may"),
        "{held:?}"
    );
    let plan = clean(&table, &["--retain-commits", "1", "--reader-window", "0", "--dry-run"]);
    assert!(plan.out.starts_with("PARTITION  SLICES  FILES") && plan.out.contains("2 files · "), "{plan:?}");
    let done = clean(&table, &["--retain-commits", "1", "--reader-window", "0"]);
    assert!(done.out.starts_with("CLEAN ") && done.out.contains("committed at "), "{done:?}");
}

#[tokio::test]
async fn a_plan_in_a_file_is_carried_out_unless_the_table_has_moved_on() {
    let (table, mut sink) = written(4).await;
    let file = table.path("plan.json");
    let (code, _) = told(&table, &["--retain-commits", "1", "--plan", &file]);
    assert_eq!((code, files(&table), table.files_named(".clean").len()), (0, 4, 0));
    let plan: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!((&plan["service"], plan["slices"].as_array().unwrap().len()), (&json!("clean"), 2));
    // What comes later is no matter.
    write(&mut sink, "k", 5).await;
    assert!(is_committed(&checkpoint(&mut sink, 5).await));
    let done = clean(&table, &["--apply", &file]);
    assert_eq!((done.code, files(&table)), (0, 3), "{done:?}");

    let again = clean(&table, &["--apply", &file]);
    again.refused(4, "the plan is stale: clean ");
    assert!(again.err.contains("was made since; nothing was changed: plan anew"), "{again:?}");

    let (_, _) = told(&table, &["--retain-file-versions", "1", "--plan", &file]);
    // Somebody savepoints what is to go.
    let now = table.snapshot().await;
    let commit = now.timeline.completed_writes().nth(3).unwrap().time;
    let kept = now.table.snapshot(Some(commit)).await.unwrap().all_file_groups().await.unwrap();
    let base = kept[0].1[0].latest().unwrap().base.clone().unwrap();
    let partition = lakebed_hudi::timeline_metadata::SavepointPartitionMetadata {
        partition_path: "p=x".into(),
        savepoint_data_file: vec![base.path.file_name().to_owned()],
    };
    let savepoint = lakebed_hudi::timeline_metadata::SavepointMetadata {
        partition_metadata: [("p=x".to_owned(), partition)].into(),
        ..Default::default()
    };
    let path = format!(".hoodie/timeline/{commit}_29990101000000000.savepoint");
    table.storage.put(&path.parse().unwrap(), savepoint.to_avro().unwrap().into()).await.unwrap();
    clean(&table, &["--apply", &file]).refused(4, "is gone, or is needed now");
    assert_eq!(files(&table), 3);

    for (bad, problem) in [
        ("{}", "it is no plan of a clean"),
        (&plan.to_string().replace("\"clean\"", "\"compaction\""), "it is a plan of a compaction"),
        (&plan.to_string().replace("\"version\":1", "\"version\":9"), "version 9 of plans is not known"),
        (&plan.to_string().replace("/t\"", "/u\""), "and not for"),
    ] {
        fs::write(&file, bad).unwrap();
        clean(&table, &["--apply", &file]).refused(2, problem);
    }
}

#[tokio::test]
async fn pending_cleans_come_first() {
    let (table, _sink) = written(4).await;
    let (code, scheduled) = told(&table, &["--retain-commits", "2", "--schedule"]);
    assert_eq!(code, 0);
    let instant = scheduled["scheduled"].as_str().unwrap().to_owned();
    assert_eq!(files(&table), 4);
    let (code, plan) = told(&table, &["--retain-commits", "1", "--dry-run"]);
    assert_eq!((code, &plan["pending"], &plan["is_due"]), (0, &json!([instant]), &json!(false)));
    clean(&table, &["--run", "20200101000000000"]).refused(2, &format!("is no pending clean: {instant} is"));
    let (code, done) = told(&table, &["--retain-commits", "1"]);
    let cleans = done["cleans"].as_array().unwrap();
    assert_eq!((code, cleans.len(), files(&table)), (0, 2, 2), "{done}");
    assert_eq!(cleans[0]["instant"].as_str(), Some(instant.as_str()));
}

#[tokio::test]
async fn somebody_else_at_work_is_worth_another_try() {
    let (table, _sink) = written(4).await;
    let maintainer = services::maintainer(&table.snapshot().await.table).await;
    let rules = CleanRules { policy: CleanPolicy::KeepLatestFileVersions(1), ..CleanRules::default() };
    let rules = CleanRules { reader_window: std::time::Duration::ZERO, ..rules };
    let instant = services::schedule_clean(&maintainer, rules).await.unwrap().unwrap();
    let lakebed::commit::Taken::Run(run) =
        maintainer.committer().take(instant, lakebed_hudi::timeline_file::Action::Clean).await.unwrap()
    else {
        panic!()
    };
    let (code, done) = told(&table, &["--retain-commits", "1"]);
    assert_eq!((code, &done["cleans"][0]["outcome"], files(&table)), (5, &json!("at_work"), 4));
    maintainer.committer().release(run).await.unwrap();
    let done = clean(&table, &["--run", instant.as_str()]);
    assert_eq!((done.code, files(&table)), (0, 1), "{done:?}");
}

#[tokio::test]
async fn settings_of_another_policy_are_refused() {
    let (table, _sink) = written(1).await;
    let other = &["--policy", "KEEP_LATEST_BY_HOURS", "--retain-commits", "3"];
    clean(&table, other).refused(2, "retain_commits is no setting of policy KEEP_LATEST_BY_HOURS");
    for bad in [
        &["--retain-commits", "3", "--retain-hours", "3"][..],
        &["--retain-commits", "0"],
        &["--reader-window", "soon"],
        &["--apply", "x", "--retain-hours", "1"],
        &["--plan", "x", "--dry-run"],
        &["--policy", "KEEP_ALL"],
    ] {
        assert_eq!(clean(&table, bad).code, 2, "{bad:?}");
    }
}
