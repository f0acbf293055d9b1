//! `lakebed maintain`, run as people and scripts run it.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::written::{insert, write};
use super::{Place, Ran, command, lakebed};

/// A folder of tables, with a fleet file that names them all.
struct Lake {
    place: Place,
}

impl Lake {
    /// Makes `tables`, each with two log files in its one group.
    async fn of(tables: &[&str]) -> Self {
        let lake = Self { place: Place::new() };
        for table in tables {
            lake.create(table);
            write(&lake.uri(table), &["mon"], 1, 1..4).await;
        }
        lake.fleet("tables: [{uri: 'lake/*/*'}]");
        lake
    }

    fn create(&self, table: &str) {
        let (uri, schema) = (self.uri(table), self.place.path("events.avsc").display().to_string());
        let arguments = ["--key", "id", "--partition", "day", "--ordering", "ts", "--buckets", "1"];
        let created = lakebed(&[&["table", "create", &uri, "--schema", &schema], &arguments[..]].concat());
        assert_eq!(created.code, 0, "{created:?}");
    }

    fn uri(&self, table: &str) -> String {
        self.place.path(&format!("lake/{table}")).display().to_string()
    }

    /// Writes the fleet file: what is known of tables is kept beside it.
    fn fleet(&self, settings: &str) {
        fs::write(self.place.path("fleet.yaml"), format!("cache: known\n{settings}\n")).unwrap();
    }

    fn maintain(&self, arguments: &[&str]) -> Ran {
        let fleet = self.place.path("fleet.yaml").display().to_string();
        lakebed(&[&["maintain", &fleet], arguments].concat())
    }

    /// What it says to scripts of each table, by the end of its address.
    #[track_caller]
    fn told(&self, code: i32, arguments: &[&str]) -> Vec<(String, Value)> {
        let ran = self.maintain(&[&["--format", "json"], arguments].concat());
        assert_eq!((ran.code, ran.err.as_str()), (code, ""), "{ran:?}");
        let of = |table: &Value| {
            let uri = table["uri"].as_str().unwrap();
            (uri.rsplit_once("/lake/").unwrap().1.to_owned(), table.clone())
        };
        ran.json()["tables"].as_array().unwrap().iter().map(of).collect()
    }

    fn states(told: &[(String, Value)]) -> Vec<(&str, &str)> {
        told.iter().map(|(name, table)| (name.as_str(), table["state"].as_str().unwrap())).collect()
    }
}

#[tokio::test]
async fn what_is_due_in_all_tables_is_told_and_done_and_then_nothing_is() {
    let lake = Lake::of(&["a/one", "a/two", "b/one"]).await;
    let names = ["a/one", "a/two", "b/one"];
    let told = lake.told(0, &["--dry-run"]);
    assert_eq!(Lake::states(&told), names.map(|name| (name, "due")));
    assert_eq!(told[0].1["due"][0]["service"], json!("compaction"));
    assert_eq!(told[0].1["done"], Value::Null);

    let done = lake.told(0, &[]);
    assert_eq!(Lake::states(&done), names.map(|name| (name, "done")));
    assert_eq!(done[2].1["done"]["compacted_groups"], json!(1));
    let read = lakebed(&["read", &lake.uri("b/one"), "--format", "csv", "--columns", "id,ts"]);
    assert_eq!(read.out, "id,ts\nk0,3\n");
    assert_eq!(Lake::states(&lake.told(3, &[])), names.map(|name| (name, "idle")));
    // What is known of a table does not hide what comes.
    write(&lake.uri("a/two"), &["mon"], 1, 4..7).await;
    assert_eq!(Lake::states(&lake.told(0, &[])), [("a/one", "idle"), ("a/two", "done"), ("b/one", "idle")]);
}

#[tokio::test]
async fn files_that_are_known_from_before_are_looked_for_before_they_are_planned_for() {
    let lake = Lake::of(&["a/one"]).await;
    lake.told(0, &["--dry-run"]);
    let known = fs::read_dir(lake.place.path("known")).unwrap().map(|file| file.unwrap().path());
    let known = known.filter(|file| file.to_str().unwrap().ends_with(".files.json")).collect::<Vec<_>>();
    let text = fs::read_to_string(&known[0]).unwrap();
    assert!(text.contains(".log.1_"), "{text}");
    let partition = lake.place.path("lake/a/one/day=mon");
    let files = fs::read_dir(&partition).unwrap().map(|file| file.unwrap().path()).collect::<Vec<_>>();
    let log = files.iter().find(|file| file.to_str().unwrap().contains(".log.1_")).unwrap();
    let kept = lake.place.path("kept");
    fs::rename(log, &kept).unwrap();
    for _ in 0..2 {
        let ran = lake.maintain(&[]);
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(ran.out.contains(log.file_name().unwrap().to_str().unwrap()), "{ran:?}");
    }
    fs::rename(&kept, log).unwrap();
    // What cannot be understood is as if it were not there.
    fs::write(&known[0], text.replace("deltacommit", "deltacommitted")).unwrap();
    assert_eq!(Lake::states(&lake.told(0, &[])), [("a/one", "done")]);
}

#[tokio::test]
async fn a_table_that_fails_or_is_refused_does_not_stop_the_others() {
    let lake = Lake::of(&["a/good"]).await;
    lake.create("a/mdt");
    let properties = lake.place.path("lake/a/mdt/.hoodie/hoodie.properties");
    let text = fs::read_to_string(&properties).unwrap();
    fs::write(&properties, text + "hoodie.table.metadata.partitions=files\n").unwrap();
    lake.create("a/broken");
    fs::write(lake.place.path("lake/a/broken/.hoodie/timeline/20260101.commit"), "").unwrap();
    let told = lake.told(8, &[]);
    assert_eq!(Lake::states(&told), [("a/broken", "failed"), ("a/good", "done"), ("a/mdt", "refused")]);
    assert!(told[2].1["error"].as_str().unwrap().contains("metadata table"), "{told:?}");
    lake.fleet("tables: [{uri: 'lake/**'}, {uri: lake/a/broken, skip: true}]");
    assert_eq!(Lake::states(&lake.told(3, &[])), [("a/good", "idle"), ("a/mdt", "refused")]);
}

#[tokio::test]
async fn settings_of_later_entries_lie_over_those_of_earlier_ones() {
    let lake = Lake::of(&["a/one", "b/one"]).await;
    lake.fleet(
        "services: {compaction: {min_log_files: 2}}\n\
         tables:\n  - {uri: 'lake/*/*', services: {compaction: {min_log_ratio: 1e9}}}\n\
         \x20 - {uri: lake/b/one, services: {compaction: {min_log_files: 9}}}",
    );
    assert_eq!(Lake::states(&lake.told(0, &["--dry-run"])), [("a/one", "due"), ("b/one", "idle")]);
    lake.fleet(
        "services: {compaction: {enabled: false}}\n\
         tables:\n  - uri: 'lake/*/*'\n  - {uri: lake/b/one, services: {compaction: {enabled: true}}}",
    );
    assert_eq!(Lake::states(&lake.told(0, &["--dry-run"])), [("a/one", "idle"), ("b/one", "due")]);
}

/// Rows that are only added need nobody's leave; where rows are updated it has to be said.
#[tokio::test]
async fn small_files_are_clustered_where_rows_are_only_added_or_it_is_asked_for() {
    let lake = Lake::of(&["a/buckets"]).await;
    let keyed = ["--key", "id", "--buckets", "none"];
    for (table, arguments) in [("b/added", &[][..]), ("b/keyed", &keyed)] {
        let (uri, schema) = (lake.uri(table), lake.place.path("events.avsc").display().to_string());
        let create =
            ["table", "create", &uri, "--schema", &schema, "--partition", "day", "--type", "copy-on-write"];
        let created = lakebed(&[&create[..], arguments].concat());
        assert_eq!(created.code, 0, "{created:?}");
        insert(&uri, &["mon"], 1, 1..12).await;
    }
    let services = |more: &str| {
        let others = "compaction: {enabled: false}, clean: {enabled: false}";
        lake.fleet(&format!("services: {{{others}, {more}}}\ntables: [{{uri: 'lake/*/*'}}]"));
    };
    services("clustering: {min_small_files: 12}");
    assert_eq!(Lake::states(&lake.told(3, &["--dry-run"])).len(), 3);
    services("clustering: {}");
    let told = lake.told(0, &["--dry-run"]);
    assert_eq!(Lake::states(&told), [("a/buckets", "idle"), ("b/added", "due"), ("b/keyed", "idle")]);
    let due = &told[1].1["due"][0];
    assert_eq!((&due["service"], &due["count"]), (&json!("clustering"), &json!(11)));
    let price = &due["price"];
    assert_eq!((&price["files_before"], &price["files_after"]), (&json!(11), &json!(1)), "{price}");
    assert_eq!((&price["read_bytes"], &price["read_amplification_after"]), (&due["read_bytes"], &json!(1.0)));
    services("clustering: {enabled: false}");
    assert_eq!(lake.maintain(&["--dry-run"]).code, 3);

    services("clustering: {enabled: true}");
    let done = lake.told(0, &[]);
    assert_eq!(Lake::states(&done), [("a/buckets", "idle"), ("b/added", "done"), ("b/keyed", "done")]);
    for (_, table) in &done[1..] {
        assert_eq!(table["done"]["clustered_groups"], json!(11));
        let (found, expected) = (&table["done"]["read_bytes"], &table["due"][0]["price"]["read_bytes"]);
        assert!(found.as_u64() > Some(0) && found == expected, "{table}");
    }
    let read = lakebed(&["read", &lake.uri("b/added"), "--format", "csv", "--columns", "ts"]);
    assert_eq!(read.out.lines().count(), 12);
    assert_eq!(lake.maintain(&[]).code, 3, "nothing is due any more");
}

#[tokio::test]
async fn what_is_wrong_with_a_fleet_file_is_said_with_its_place() {
    let lake = Lake::of(&[]).await;
    for (settings, problem) in [
        ("tables: []", "tables: it is empty"),
        ("tables: [{uri: a, service: {}}]", "unknown setting \"service\"; did you mean \"services\"?"),
        (
            "services: {clean: {policy: keep_latest_by_hours, retain_commits: 3}}\ntables: [{uri: a}]",
            "retain_commits is no setting of policy KEEP_LATEST_BY_HOURS",
        ),
        (
            "services: {clustering: {small_file_bytes: 2GiB}}\ntables: [{uri: a}]",
            "services.clustering: files of 2.0 GiB are no small ones",
        ),
        (
            "services: {compaction: {max_groups: 0}}\ntables: [{uri: a}]",
            "compaction.max_groups: 0 file groups",
        ),
        ("budget: {threads: many}\ntables: [{uri: a}]", "expected a whole number from 0 on"),
        ("tables: [{uri: a, heartbeat: {misses: 0}}]", "tables[0].heartbeat.misses: it must be at least 1,"),
        (
            "tables: [{uri: a, heartbeat: {interval: 1ms}}]",
            "tables[0].heartbeat.interval: it must be at least 1s,",
        ),
        (
            "services: {archive: {min_commits: 40}}\ntables: [{uri: a, services: {archive: {max_commits: 40}}}]",
            "tables[0].services.archive",
        ),
    ] {
        lake.fleet(settings);
        lake.maintain(&[]).refused(2, problem);
        lake.maintain(&[]).refused(2, "fleet.yaml: ");
    }
    lakebed(&["maintain", "/nowhere/fleet.yaml"])
        .refused(2, "/nowhere/fleet.yaml: the fleet file cannot be read");
    for arguments in [["--once", "--metrics"], ["--dry-run", "--metrics"]] {
        assert_eq!(lake.maintain(&[&arguments[..], &["9101"]].concat()).code, 2);
    }
}

#[tokio::test]
async fn patterns_that_match_no_table_at_all_are_refused_and_looked_for_by_rounds() {
    let lake = Lake::of(&[]).await;
    lake.fleet("tables: [{uri: 'lake/*'}]");
    for arguments in [&[][..], &["--dry-run"]] {
        lake.maintain(arguments).refused(2, "there is no table: nothing matches ");
    }
    let fleet = lake.place.path("fleet.yaml").display().to_string();
    let arguments = ["maintain", &fleet, "--every", "50ms", "--format", "json"];
    let mut running = command(&arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut rounds =
        serde_json::Deserializer::from_reader(running.stdout.take().unwrap()).into_iter::<Value>();
    let mut next = || rounds.next().unwrap().unwrap();
    let first = next();
    assert_eq!(first["unmatched"].as_array().unwrap().len(), 1);
    assert!(next()["ended_unix_millis"].as_i64() > first["ended_unix_millis"].as_i64());
    lake.create("late");
    assert!((0..100).any(|_| !next()["tables"].as_array().unwrap().is_empty()));
    kill_process(Pid::from_child(&running), Signal::TERM).unwrap();
    rounds.for_each(drop);
    assert!(running.wait().unwrap().success());
}

#[tokio::test]
async fn too_little_memory_is_told_before_anything_is_planned() {
    let lake = Lake::of(&["a/one"]).await;
    lake.fleet("budget: {memory: 1MiB}\ntables: [{uri: 'lake/*/*'}]");
    let is_told = || {
        for arguments in [&["--dry-run"][..], &[]] {
            let (_, table) = &lake.told(2, arguments)[0];
            assert_eq!(table["state"], json!("failed"));
            assert!(table["error"].as_str().unwrap().contains("of memory is too little"), "{table}");
        }
    };
    is_told();
    let uri = lake.uri("a/one");
    let pending = lakebed(&["compact", &uri, "--dry-run", "--format", "json"]);
    assert_eq!(pending.json()["pending"], json!([]));
    assert_eq!(lakebed(&["compact", &uri, "--schedule"]).code, 0);
    is_told();
    let begun = fs::read_dir(Path::new(&uri).join(".hoodie/timeline")).unwrap();
    let begun = begun.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(begun.filter(|name| name.ends_with(".compaction.inflight")).count(), 0);
}

#[tokio::test]
async fn what_a_round_did_is_written_for_prometheus() {
    let lake = Lake::of(&["a/one", "a/two"]).await;
    let file = lake.place.path("lakebed.prom");
    assert_eq!(lake.maintain(&["--metrics-file", &file.display().to_string()]).code, 0);
    let text = fs::read_to_string(&file).unwrap();
    let uri = format!("file:{}", lake.uri("a/one"));
    for line in [
        "# TYPE lakebed_maintain_tables gauge".to_owned(),
        "lakebed_maintain_tables{state=\"done\"} 2".to_owned(),
        "lakebed_maintain_tables{state=\"failed\"} 0".to_owned(),
        format!("lakebed_maintain_table_failed{{table=\"{uri}\"}} 0"),
        format!("lakebed_maintain_compacted_file_groups{{table=\"{uri}\"}} 1"),
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in {text}");
    }
    let dashboard = include_str!("../../tools/grafana/maintain.json");
    let words = dashboard.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let asked: BTreeSet<&str> = words.filter(|word| word.starts_with("lakebed_maintain_")).collect();
    assert!(asked.len() > 10, "{asked:?}");
    for name in asked {
        assert!(text.contains(&format!("# TYPE {name} ")), "{name} is not in {text}");
    }
    // No series ends where nothing was done, and all come in one order.
    let names = |text: &str| -> Vec<String> {
        let numbers = text.lines().filter(|line| !line.starts_with('#'));
        numbers.map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
    };
    let before = names(&text);
    assert_eq!(lake.maintain(&["--metrics-file", &file.display().to_string()]).code, 3);
    let idle = fs::read_to_string(&file).unwrap();
    assert_eq!(names(&idle), before);
    let none = format!("lakebed_maintain_compacted_file_groups{{table=\"{uri}\"}} 0");
    assert!(idle.lines().any(|line| line == none), "{idle}");

    let nowhere = lake.place.path("no/such/folder").display().to_string();
    let ran = lake.maintain(&["--metrics-file", &nowhere]);
    ran.refused(2, &format!("--metrics-file {nowhere}: there is no such folder"));
}

#[tokio::test]
async fn rounds_go_on_until_a_signal() {
    let lake = Lake::of(&["a/one"]).await;
    let fleet = lake.place.path("fleet.yaml").display().to_string();
    let arguments = ["maintain", &fleet, "--every", "100ms", "--metrics", "0", "--format", "json"];
    let mut running = command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut notes = BufReader::new(running.stderr.take().unwrap()).lines();
    let note: Value = serde_json::from_str(&notes.next().unwrap().unwrap()).unwrap();
    let address = note["note"].as_str().unwrap().split('/').nth(2).unwrap().to_owned();
    let mut rounds =
        serde_json::Deserializer::from_reader(running.stdout.take().unwrap()).into_iter::<Value>();
    assert_eq!(rounds.next().unwrap().unwrap()["tables"][0]["state"], json!("done"));
    assert_eq!(rounds.next().unwrap().unwrap()["tables"][0]["state"], json!("idle"));
    write(&lake.uri("a/one"), &["mon"], 1, 4..7).await;
    let worked = |round: &Value| round["tables"][0]["state"] == json!("done");
    assert!(rounds.by_ref().take(100).any(|round| worked(&round.unwrap())));
    assert!(get(&address).contains("lakebed_maintain_tables{state="));
    kill_process(Pid::from_child(&running), Signal::TERM).unwrap();
    rounds.for_each(drop);
    assert!(running.wait().unwrap().success());
}

fn get(address: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[tokio::test]
async fn what_the_read_budget_does_not_reach_is_left() {
    let lake = Lake::of(&["a/one", "a/two"]).await;
    lake.fleet("budget: {read: 1}\ntables: [{uri: 'lake/*/*'}]");
    let mut states = BTreeSet::new();
    for _ in 0..2 {
        let done = lake.told(0, &[]);
        states.extend(done.iter().map(|(_, table)| table["state"].as_str().unwrap().to_owned()));
        assert_eq!(done.iter().filter(|(_, table)| table["done"]["compacted_groups"] == json!(1)).count(), 1);
    }
    assert!(states.contains("left"), "{states:?}");
    lake.told(3, &[]);
}

#[tokio::test]
async fn what_somebody_else_is_at_is_told_of_and_left_to_them() {
    let lake = Lake::of(&["a/one"]).await;
    let scheduled = lakebed(&["compact", &lake.uri("a/one"), "--schedule", "--min-log-files", "1"]);
    assert_eq!(scheduled.code, 0, "{scheduled:?}");
    let timeline = lake.place.path("lake/a/one/.hoodie/timeline");
    let names = fs::read_dir(timeline).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let names: Vec<String> = names.collect();
    let instant = names.iter().find_map(|name| name.strip_suffix(".compaction.requested")).unwrap();
    let heartbeats = lake.place.path("lake/a/one/.hoodie/.heartbeat");
    fs::create_dir_all(&heartbeats).unwrap();
    fs::write(heartbeats.join(instant), "").unwrap();
    let told = lake.told(5, &[]);
    assert_eq!(Lake::states(&told), [("a/one", "conflict")]);
    let error = told[0].1["error"].as_str().unwrap();
    assert!(error.contains(&format!("at work on compaction {instant}")), "{error}");
    fs::remove_file(heartbeats.join(instant)).unwrap();
    assert_eq!(Lake::states(&lake.told(0, &[])), [("a/one", "done")]);
}
