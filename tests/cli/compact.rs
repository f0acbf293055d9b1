//! `lakebed compact`, run as people and scripts run it.

use std::collections::BTreeMap;
use std::fs;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::written::write;
use super::{Place, command, files_below, lakebed, ran};

const DAYS: [&str; 3] = ["mon", "tue", "wed"];

/// A table of three partitions, each of so many buckets.
fn table(buckets: u32) -> Place {
    let place = Place::new();
    let buckets = buckets.to_string();
    let arguments = ["--key", "id", "--partition", "day", "--ordering", "ts", "--buckets", &buckets];
    assert_eq!(place.create(&arguments).code, 0);
    place
}

/// A table of three groups: of `mon` two log files, of `tue` one, of `wed` none.
async fn written() -> Place {
    let place = table(1);
    write(&place.table(), &DAYS, 1, 1..2).await;
    write(&place.table(), &DAYS[..2], 1, 2..3).await;
    write(&place.table(), &DAYS[..1], 1, 3..4).await;
    place
}

/// All files with their bytes.
fn contents(place: &Place) -> BTreeMap<String, Vec<u8>> {
    let folder = place.path("events");
    files_below(&folder)
        .into_iter()
        .map(|name| (name.clone(), fs::read(folder.join(name)).unwrap()))
        .collect()
}

#[tokio::test]
async fn every_group_with_log_files_is_compacted_and_then_nothing_is_due() {
    let place = written().await;
    let before = place.rows();
    assert_eq!(before, ["mon,k0,3", "tue,k0,2", "wed,k0,1"]);
    let done = place.told("compact", 0, &[]);
    let [compaction] = &done["compactions"].as_array().unwrap()[..] else { panic!("{done}") };
    let of = |name: &str| compaction[name].clone();
    assert_eq!(
        [of("outcome"), of("groups"), of("finished"), of("resumed"), of("rows")],
        [json!("committed"), json!(2), json!(2), json!(0), json!(2)]
    );
    assert!(of("read_bytes").as_u64() > Some(0) && of("written_bytes").as_u64() > Some(0), "{done}");
    assert_eq!((place.rows(), done["table"].as_str()), (before, Some("events")));
    let again = place.run("compact", &[]);
    assert_eq!((again.code, again.out.as_str()), (3, "events: nothing is due\n"), "{again:?}");
    assert_eq!(place.told("compact", 3, &[])["compactions"], json!([]));

    write(&place.table(), &DAYS[2..], 1, 5..6).await;
    let page = place.run("compact", &[]);
    assert_eq!((page.code, page.err.as_str()), (0, ""), "{page:?}");
    let lines: Vec<&str> = page.out.lines().collect();
    assert!(lines[0].starts_with("COMPACTION") && lines[1].contains("committed at 2"), "{page:?}");
}

#[tokio::test]
async fn a_dry_run_says_what_is_due_and_changes_nothing() {
    let place = written().await;
    let before = contents(&place);
    let plan = place.told("compact", 0, &["--dry-run"]);
    let groups = plan["groups"].as_array().unwrap();
    let of = |group: &Value| (group["partition"].as_str().unwrap().to_owned(), group["log_files"].clone());
    let mut found: Vec<_> = groups.iter().map(of).collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(found, [("day=mon".to_owned(), json!(2)), ("day=tue".to_owned(), json!(1))]);
    let nothing = json!([]);
    assert_eq!([&plan["scheduled"], &plan["pending"], &plan["left_out"]], [&Value::Null, &nothing, &nothing]);
    assert_eq!(plan["log_files"], 3);
    let page = place.run("compact", &["--dry-run", "--max-groups", "1"]);
    assert!(page.code == 0 && page.out.contains("1 file group · 2 log files"), "{page:?}");
    assert_eq!(place.told("compact", 0, &["--dry-run", "--max-groups", "1"])["left_out"], json!(["day=tue"]));
    assert_eq!(contents(&place), before);

    assert_eq!(place.run("compact", &[]).code, 0);
    let before = contents(&place);
    assert_eq!(place.told("compact", 3, &["--dry-run"])["groups"], json!([]));
    assert_eq!(contents(&place), before);
}

#[tokio::test]
async fn what_is_due_can_be_chosen() {
    let place = written().await;
    let due = |arguments: &[&str]| -> Vec<String> {
        let ran = place.run("compact", &[&["--format", "json", "--dry-run"], arguments].concat());
        assert_eq!(ran.err, "", "{ran:?}");
        let plan = ran.json();
        let groups = plan["groups"].as_array().unwrap().clone();
        assert_eq!(ran.code, if groups.is_empty() { 3 } else { 0 });
        groups.iter().map(|group| group["partition"].as_str().unwrap()[4..].to_owned()).collect()
    };
    assert_eq!(due(&["--min-log-files", "3"]), [""; 0]);
    assert_eq!(due(&["--min-log-files", "2"]), ["mon"]);
    assert_eq!(due(&["--min-log-ratio", "100"]), [""; 0]);
    assert_eq!(due(&["--min-log-ratio", "0.01"]), ["mon", "tue"]);
    assert_eq!(due(&["--min-log-age", "1h"]), [""; 0]);
    // The older log file before the one with more of them.
    assert_eq!(due(&["--min-log-age", "1ms"]).len(), 2);
    assert_eq!(due(&["--min-log-age", "1h", "--min-log-files", "2"]), ["mon"]);
    assert_eq!(due(&["--partition", "day=tue/"]), ["tue"]);
    assert_eq!(due(&["--partition", "day=tue", "--partition", "day=wed"]), ["tue"]);
    assert_eq!(due(&["--max-groups", "1"]), ["mon"]);
    assert_eq!(due(&["--max-bytes", "1KiB"]), ["mon"]);

    assert_eq!(place.told("compact", 3, &["--min-log-files", "3"])["compactions"], json!([]));
    assert_eq!(place.told("compact", 0, &["--min-log-files", "2"])["compactions"][0]["groups"], 1);
    assert_eq!(due(&[]), ["tue"]);
}

#[tokio::test]
async fn what_is_scheduled_is_carried_out_by_the_next_run() {
    let place = written().await;
    let scheduled = place.told("compact", 0, &["--schedule", "--partition", "day=mon"]);
    let instant = scheduled["scheduled"].as_str().unwrap().to_owned();
    assert_eq!(
        (scheduled["groups"].as_array().unwrap().len(), &scheduled["left_out"]),
        (1, &json!(["day=tue"]))
    );
    // Its group is spoken for.
    assert_eq!(place.told("compact", 3, &["--schedule", "--partition", "day=mon"])["scheduled"], Value::Null);
    let page = place.run("compact", &["--dry-run"]);
    assert!(page.out.starts_with(&format!("pending, and carried out first: {instant}\n")), "{page:?}");
    assert_eq!(place.told("compact", 0, &["--dry-run"])["pending"], json!([instant]));
    // A writer goes on, and what it adds now lies on what will be made.
    write(&place.table(), &DAYS[..1], 1, 7..8).await;

    let unknown = place.run("compact", &["--run", "20260101000000000"]);
    unknown.refused(2, &format!("20260101000000000 is no pending compaction: {instant} is"));
    let done = place.told("compact", 0, &["--run", &instant]);
    assert_eq!(done["compactions"].as_array().unwrap().len(), 1);
    assert_eq!(
        [&done["compactions"][0]["instant"], &done["compactions"][0]["groups"]],
        [&json!(instant), &json!(1)]
    );
    place.run("compact", &["--run", &instant]).refused(2, "is no pending compaction: none is");
    assert_eq!(place.rows(), ["mon,k0,7", "tue,k0,2", "wed,k0,1"]);

    place.told("compact", 0, &["--schedule", "--partition", "day=tue"]);
    let done = place.told("compact", 0, &[]);
    let groups: Vec<&Value> = done["compactions"].as_array().unwrap().iter().map(|c| &c["groups"]).collect();
    assert_eq!(groups, [1, 1], "what was pending, then what is due: {done}");
    assert_eq!(place.rows(), ["mon,k0,7", "tue,k0,2", "wed,k0,1"]);
    assert_eq!(place.run("compact", &[]).code, 3);
}

#[tokio::test]
async fn a_plan_in_a_file_is_applied_unless_its_groups_were_rewritten() {
    let place = written().await;
    let file = place.path("plan.json").display().to_string();
    let before = contents(&place);
    let planned = place.told("compact", 0, &["--plan", &file, "--partition", "day=mon"]);
    assert_eq!(planned["groups"].as_array().unwrap().len(), 1);
    assert_eq!(contents(&place), before);
    let plan: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!([&plan["version"], &plan["table"]], [&json!(1), &json!("events")]);

    // Log files that came since are taken in.
    write(&place.table(), &DAYS[..1], 1, 7..8).await;
    let done = place.told("compact", 0, &["--apply", &file]);
    assert_eq!(done["compactions"][0]["groups"], 1);
    assert_eq!(place.told("compact", 0, &["--dry-run"])["log_files"], 1, "that of tue alone is left");
    assert_eq!(place.rows(), ["mon,k0,7", "tue,k0,2", "wed,k0,1"]);

    write(&place.table(), &DAYS[..1], 1, 8..9).await;
    let before = contents(&place);
    let stale = place.run("compact", &["--apply", &file]);
    stale.refused(4, "of partition \"day=mon\" has been rewritten since; nothing was changed: plan anew");
    assert_eq!(contents(&place), before);
    // So is one whose group somebody else has planned for.
    assert_eq!(place.run("compact", &["--plan", &file]).code, 0);
    place.told("compact", 0, &["--schedule", "--partition", "day=mon"]);
    place.run("compact", &["--apply", &file]).refused(4, "is to be rewritten by 2");
    assert_eq!(place.run("compact", &[]).code, 0);
    let nothing = place.path("nothing.json").display().to_string();
    assert_eq!(place.told("compact", 3, &["--plan", &nothing])["groups"], json!([]));
    assert!(!place.path("nothing.json").exists());
}

#[tokio::test]
async fn a_file_that_is_no_plan_for_this_table_is_refused() {
    let (place, other) = (written().await, written().await);
    let file = place.path("plan.json").display().to_string();
    place.run("compact", &["--apply", &file]).refused(2, "plan.json: No such file");
    assert_eq!(other.run("compact", &["--plan", &file]).code, 0);
    place.run("compact", &["--apply", &file]).refused(2, "it is a plan for file:");
    let text = fs::read_to_string(&file).unwrap();
    for (text, told) in [
        (text.replace("\"version\": 1", "\"version\": 2"), "version 2 of plans is not known, only 1"),
        (text[..text.len() / 2].to_owned(), "it is no plan of a compaction"),
        ("{}".to_owned(), "missing field `version`"),
    ] {
        fs::write(&file, text).unwrap();
        place.run("compact", &["--apply", &file]).refused(2, told);
    }
    // What else is in a plan depends on the service.
    assert_eq!(place.run("compact", &["--plan", &file]).code, 0);
    place.run("clean", &["--apply", &file]).refused(2, "it is a plan of a compaction, and not of a clean");
}

#[tokio::test]
async fn a_plan_in_a_file_that_names_a_group_twice_is_refused() {
    let place = written().await;
    let file = place.path("plan.json").display().to_string();
    assert_eq!(place.run("compact", &["--plan", &file, "--partition", "day=mon"]).code, 0);
    let mut plan: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    let groups = plan["groups"].as_array_mut().unwrap();
    groups.push(groups[0].clone());
    fs::write(&file, plan.to_string()).unwrap();
    let refused = place.run("compact", &["--apply", &file]);
    refused.refused(2, "of partition \"day=mon\" twice, so that nobody could carry it out");
    refused.refused(2, "plan.json: ");
    assert_eq!(place.told("compact", 0, &["--dry-run"])["pending"], json!([]));
}

#[test]
fn arguments_that_contradict_each_other_are_usage_errors() {
    for arguments in [
        &["--dry-run", "--schedule"][..],
        &["--plan", "a", "--apply", "b"],
        &["--run", "20260101000000000", "--min-log-files", "3"],
        &["--apply", "a", "--max-groups", "3"],
        &["--schedule", "--max-time", "3m"],
        &["--run", "yesterday"],
        &["--max-bytes", "many"],
        &["--max-time", "0s"],
        &["--min-log-ratio", "nan"],
        &["--min-log-ratio=-1"],
        &["--max-groups", "0"],
    ] {
        let ran = lakebed(&[&["compact", "/nowhere"], arguments].concat());
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{arguments:?}: {ran:?}");
    }
    lakebed(&["compact", "/nowhere"]).refused(2, "file:/nowhere is no Hudi table: there is no such folder");
}

#[tokio::test]
async fn what_the_table_cannot_follow_is_refused_before_anything_is_planned() {
    let place = written().await;
    let before = contents(&place);
    for (arguments, problem) in [
        (
            &["--partition", "day=nope"][..],
            "the table has no partition \"day=nope\"; it has 3 of them, such as \"day=mon\"",
        ),
        (&["--memory", "1KiB"], "1.0 KiB of memory is too little for rows of this table"),
    ] {
        for more in [&[][..], &["--dry-run"], &["--schedule"]] {
            place.run("compact", &[arguments, more].concat()).refused(2, problem);
        }
    }
    assert_eq!(contents(&place), before);
}

#[test]
fn a_table_that_copies_on_write_has_nothing_to_compact() {
    let place = Place::new();
    assert_eq!(place.create(&["--key", "id", "--type", "copy-on-write", "--buckets", "1"]).code, 0);
    assert_eq!(place.told("compact", 3, &[])["compactions"], json!([]));
}

#[tokio::test]
async fn who_finds_somebody_at_work_says_so_and_leaves_it_alone() {
    let place = written().await;
    let scheduled = place.told("compact", 0, &["--schedule"]);
    let instant = scheduled["scheduled"].as_str().unwrap();
    let beat = place.path("events/.hoodie/.heartbeat").join(instant);
    fs::create_dir_all(beat.parent().unwrap()).unwrap();
    fs::write(&beat, "").unwrap();
    let before = contents(&place);
    for arguments in [&[][..], &["--run", instant]] {
        let done = place.told("compact", 5, arguments);
        let compaction = &done["compactions"][0];
        assert_eq!([&compaction["outcome"], &compaction["finished"]], [&json!("at_work"), &json!(0)]);
        let page = place.run("compact", arguments);
        assert!(page.code == 5 && page.out.contains("somebody else is at work on it"), "{page:?}");
        assert!(page.out.contains(" ago; if nothing more is, they count as dead in 1 min"), "{page:?}");
    }
    assert_eq!(contents(&place), before);
    // Something else is due, too: that is done.
    write(&place.table(), &DAYS[2..], 1, 5..6).await;
    let done = place.told("compact", 0, &[]);
    let outcomes: Vec<&Value> =
        done["compactions"].as_array().unwrap().iter().map(|c| &c["outcome"]).collect();
    assert_eq!(outcomes, ["at_work", "committed"]);

    let long_ago = std::time::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    fs::File::options().write(true).open(&beat).unwrap().set_modified(long_ago).unwrap();
    assert_eq!(place.told("compact", 0, &[])["compactions"][0]["outcome"], "committed");
    assert!(!beat.exists());
}

/// How many notes of finished groups there are.
fn notes(place: &Place) -> usize {
    files_below(&place.path("events/.hoodie/.aux/lakebed-services")).len()
}

#[tokio::test]
async fn a_signal_finishes_the_groups_that_are_begun_and_the_next_run_goes_on() {
    let place = table(16);
    write(&place.table(), &DAYS, 200, 1..3).await;
    let before = place.rows();
    let groups = files_below(&place.path("events")).iter().filter(|name| name.contains(".log.")).count();
    assert!(groups > 40, "{groups}");
    let table = place.table();
    let mut run = command(&["--format", "json", "compact", &table]);
    let mut child = run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while notes(&place) == 0 {
        assert!(child.try_wait().unwrap().is_none(), "it has ended");
        std::thread::sleep(Duration::from_millis(1));
    }
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let stopped = ran(child.wait_with_output().unwrap());
    assert_eq!((stopped.code, stopped.err.as_str()), (0, "{\"event\":\"stopping\"}\n"), "{stopped:?}");
    let report = stopped.json()["compactions"][0].clone();
    let of = |report: &Value, name: &str| report[name].as_u64().unwrap() as usize;
    let finished = of(&report, "finished");
    assert_eq!((&report["outcome"], of(&report, "groups")), (&json!("stopped"), groups));
    assert!((1..groups).contains(&finished), "{report}");
    assert_eq!((notes(&place), place.rows()), (finished, before.clone()));

    // So does one that is not to take long, and ends before it begins anything.
    let page = place.run("compact", &["--max-time", "1ms"]);
    assert!(page.code == 0 && page.out.contains("stopped, "), "{page:?}");
    let finished = notes(&place);
    let report = place.told("compact", 0, &[])["compactions"][0].clone();
    assert_eq!(of(&report, "resumed"), finished, "{report}");
    assert_eq!(of(&report, "finished"), groups - finished, "{report}");
    assert_eq!((report["outcome"].as_str(), notes(&place)), (Some("committed"), 0));
    assert_eq!(place.rows(), before);
    let names = files_below(&place.path("events"));
    let bases = names.iter().filter(|name| name.ends_with(".parquet")).count();
    assert_eq!(bases, 2 * groups, "one of the first commit and one of the compaction for each group");
    assert_eq!(place.run("compact", &["--dry-run"]).code, 3);
}
