//! `lakebed ingest`, run as people, schedulers and scripts run it.

mod dry_run;
mod progress;
mod running;

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::{command, files_below, lakebed, ran};

/// A folder with inputs and a job, and no table yet.
pub struct Place {
    folder: tempfile::TempDir,
}

pub const SOURCE: &str = "{files: [IN/*.csv]}";

impl Place {
    pub fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir(place.path("in")).unwrap();
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Puts a file where the job looks for it, as a whole.
    pub fn deliver(&self, name: &str, text: &str) {
        fs::write(self.path("hidden"), text).unwrap();
        fs::rename(self.path("hidden"), self.path("in").join(name)).unwrap();
    }

    /// Writes the job; `IN` stands for the folder of inputs. Returns its path.
    pub fn job(&self, source: &str, more: &str) -> String {
        let create = "{key: [id], partition: [p], ordering: [ts], buckets: 2, schema: SCHEMA}";
        let schema = r#"{"type":"record","name":"t","fields":[{"name":"id","type":"string"},
            {"name":"p","type":["null","string"],"default":null},
            {"name":"ts","type":["null","long"],"default":null}]}"#;
        fs::write(self.path("t.avsc"), schema).unwrap();
        let text = format!("pipeline: p\ntable: {{uri: TABLE, create: {create}}}\nsource: {source}\n{more}");
        let text = text.replace("IN/", &format!("{}/", self.text("in")));
        let text = text.replace("TABLE", &self.text("t")).replace("SCHEMA", &self.text("t.avsc"));
        fs::write(self.path("job.yaml"), text.replace("DEAD", &self.text("dead"))).unwrap();
        self.text("job.yaml")
    }

    /// The rows of the table, sorted.
    pub fn rows(&self) -> Vec<String> {
        let read = lakebed(&["read", &self.text("t"), "--format", "csv", "--columns", "id,p,ts"]);
        assert_eq!(read.code, 0, "{read:?}");
        let mut rows: Vec<String> = read.out.lines().skip(1).map(str::to_owned).collect();
        rows.sort();
        rows
    }
}

pub const FIRST: &str = "id,p,ts\na,x,1\nb,x,1\nc,y,1\n";

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn scripts_get_events_and_a_summary_as_json() {
    let place = Place::new();
    place.deliver("a.csv", FIRST);
    let ran = lakebed(&["--format", "json", "ingest", &place.job(SOURCE, "commit: {rows: 2}\n")]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let events = lines(&ran.err);
    let names: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(names, ["created", "started", "committed", "committed"]);
    assert_eq!(
        [&events[1]["epoch"], &events[3]["checkpoint"], &events[3]["rows"]],
        [1, 2, 1].map(|n| json!(n)).each_ref()
    );
    assert!(events[3]["flush_seconds"].is_f64() && events[3]["newest_millis"].is_i64(), "{events:?}");
    let mut summary = ran.json();
    let mut take = |key: &str| summary.as_object_mut().unwrap().remove(key).unwrap();
    assert!(take("seconds").is_f64() && take("bytes").as_u64() > Some(0));
    let expected = json!({
        "records": 3, "rows": 3, "deletes": 0, "bad_records": 0, "dead_letters": null, "commits": 2, "files": 3, "inputs": 1,
        "input_bytes": 18,
    });
    assert_eq!(summary, expected);
    assert_eq!(place.rows(), ["a,x,1", "b,x,1", "c,y,1"]);

    let again = lakebed(&["ingest", &place.text("job.yaml")]);
    assert_eq!((again.code, again.out.as_str()), (3, "nothing new to read\n"));
    assert_eq!(again.err, "epoch 2: going on after checkpoint 2\n");
}

#[test]
fn a_job_is_the_same_wherever_it_is_run_from() {
    let place = Place::new();
    place.deliver("a.csv", FIRST);
    let job = place.job(SOURCE, "bad_records: {policy: dead_letter, path: DEAD}\n");
    let text = fs::read_to_string(&job).unwrap();
    let text = text.replace(&format!("{}/", place.folder.path().display()), "");
    assert!(text.contains("uri: t,") && text.contains("files: [in/*.csv]"), "{text}");
    fs::write(&job, text).unwrap();
    let from = |folder: &str, job: &str| {
        ran(command(&["ingest", job]).current_dir(place.path(folder)).output().unwrap())
    };
    let first = from("in", "../job.yaml");
    assert_eq!(first.code, 0, "{first:?}");
    for (folder, job) in [("", "job.yaml"), ("/", job.as_str())] {
        let again = from(folder, job);
        assert_eq!((again.code, again.out.as_str()), (3, "nothing new to read\n"), "{again:?}");
    }
    place.deliver("b.csv", "id,p,ts\nd,x,one\n");
    let last = from("/", &job);
    let told = format!("dead letters are in file:{}: INSTANT.jsonl for each commit", place.text("dead"));
    assert!(last.code == 0 && last.out.contains("1 bad record") && last.out.contains(&told), "{last:?}");
    assert_eq!(place.rows(), ["a,x,1", "b,x,1", "c,y,1"]);
    let dead = files_below(&place.path("dead"));
    assert_eq!(dead.iter().filter(|name| name.ends_with(".jsonl")).count(), 1, "{dead:?}");
    assert_eq!(files_below(&place.path("in")), ["a.csv", "b.csv"]);
}
