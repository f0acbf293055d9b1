//! `lakebed ingest`, run as people, schedulers and scripts run it.

use std::fs;
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Stdio};

use serde_json::{Value, json};

use super::{Ran, command, files_below, lakebed, ran};

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
        "records": 3, "rows": 3, "deletes": 0, "bad_records": 0, "commits": 2, "files": 3, "inputs": 1,
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
    assert_eq!(from("/", &job).code, 0);
    assert_eq!(place.rows(), ["a,x,1", "b,x,1", "c,y,1"]);
    let dead = files_below(&place.path("dead"));
    assert_eq!(dead.iter().filter(|name| name.ends_with(".jsonl")).count(), 1, "{dead:?}");
    assert_eq!(files_below(&place.path("in")), ["a.csv", "b.csv"]);
}

#[test]
fn a_dry_run_says_what_would_be_written_and_writes_nothing() {
    let place = Place::new();
    place.deliver("a.csv", FIRST);
    let job = place.job(SOURCE, "commit: {rows: 2}\n");
    let dry = lakebed(&["ingest", &job, "--dry-run", "--format", "json"]);
    assert_eq!((dry.code, dry.err.as_str()), (0, ""), "{dry:?}");
    let told = dry.json();
    assert_eq!([&told["creates_table"], &told["stopped_by"]], [&json!(true), &Value::Null]);
    assert_eq!([&told["records"], &told["rows"], &told["commits"]], [3, 3, 2].map(|n| json!(n)).each_ref());
    assert!(!place.path("t").exists());

    assert_eq!(lakebed(&["ingest", &job]).code, 0);
    let written = files_below(&place.path("t"));
    let of_first: Vec<&str> = written.iter().filter(|f| f.ends_with(".parquet")).map(|f| &f[..12]).collect();
    let told: Vec<String> = told["buckets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|b| format!("{}/{:08}", b["partition"].as_str().unwrap(), b["bucket"].as_u64().unwrap()))
        .collect();
    assert_eq!(told, of_first, "the files went where the dry run said");

    place.deliver("b.csv", "id,p,ts,op\na,x,2,D\nd,z,2,I\n,x,2,I\n");
    let job = place
        .job(SOURCE, "mapping: {operation: {column: op}}\nbad_records: {policy: dead_letter, path: DEAD}\n");
    let dry = lakebed(&["ingest", &job, "--dry-run"]);
    assert_eq!(dry.code, 0, "{dry:?}");
    for line in [
        "3 records read from 1 input (23 B); 2 rows would be written in 1 commit, more if time runs out before",
        "1 row of these only deleted their key",
        "1 bad record could not be taken",
    ] {
        assert!(dry.out.lines().any(|l| l == line), "{line} is not in {}", dry.out);
    }
    let row = |partition: &str| {
        let line = dry.out.lines().find(|l| l.starts_with(partition)).unwrap();
        line.split_whitespace().skip(2).collect::<Vec<_>>().join(" ")
    };
    assert_eq!([row("p=x"), row("p=z")], ["1 1", "1 0 new"]);
    assert_eq!(files_below(&place.path("t")), written);
    assert!(!place.path("dead").exists());
    // Nothing that would have been read counts as read.
    assert_eq!(lakebed(&["ingest", &job]).code, 0);
    assert_eq!(place.rows(), ["b,x,1", "c,y,1", "d,z,2"]);
    assert_eq!(lakebed(&["ingest", &job, "--dry-run"]).code, 3);
}

#[test]
fn a_dry_run_ends_as_the_run_would() {
    let place = Place::new();
    place.deliver("a.csv", "id,p,ts\na,x,one\nb,x,\nc,y,1\n");
    let dry = lakebed(&["ingest", &place.job(SOURCE, ""), "--dry-run"]);
    assert_eq!(dry.code, 6, "{dry:?}");
    assert!(dry.out.contains("1 row would be written") && dry.out.contains("2 bad records"), "{dry:?}");
    assert!(dry.err.contains("a.csv:2, column \"ts\", value \"one\": it is no bigint"), "{dry:?}");
    let limit = "bad_records: {policy: dead_letter, path: DEAD, limit: 1}\n";
    let dry = lakebed(&["ingest", &place.job(SOURCE, limit), "--dry-run"]);
    assert_eq!(dry.code, 6, "{dry:?}");
    assert!(dry.err.contains("2 bad records, more than bad_records.limit allows (1)"), "{dry:?}");
    place.deliver("a.csv", "id,p,ts\na,x,one\nb,x,\n");
    let dry = lakebed(&["ingest", &place.job(SOURCE, limit), "--dry-run"]);
    assert_eq!(dry.code, 6, "{dry:?}");
    let told = "2 records read from 1 input (13 B); all of them are bad, and no row would be written\n";
    assert!(dry.out.ends_with(told), "{dry:?}");
    let table = fs::create_dir(place.path("t"));
    table.and_then(|()| fs::write(place.path("t/photo"), "")).unwrap();
    lakebed(&["ingest", &place.job(SOURCE, ""), "--dry-run"]).refused(4, "is not empty: it has photo");
}

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
        nothing.starts_with(&format!("{}: pipeline q has committed nothing yet\n", place.text("t"))),
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
    assert_eq!(told["others"]["q"]["sources"]["files"]["position"]["files"]["done"]["names"], 1);

    let reset = lakebed(&["ingest", &job, "--reset-progress"]);
    assert_eq!(reset.code, 0, "{reset:?}");
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
        dropped.out.ends_with("the progress of pipeline q was dropped, at checkpoint 1\n"),
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

/// A running `lakebed ingest` that has said a line with `text` on standard error, and that line.
pub fn start(job: &str, more: &[&str], text: &str) -> (Child, BufReader<ChildStderr>, String) {
    let mut child = command(&[&["ingest", job], more].concat())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut err = BufReader::new(child.stderr.take().unwrap());
    let line = wait_for(&mut err, text);
    (child, err, line)
}

/// Reads on up to a line that has `text`.
fn wait_for(err: &mut impl BufRead, text: &str) -> String {
    let mut line = String::new();
    while !line.contains(text) {
        line.clear();
        assert!(err.read_line(&mut line).unwrap() > 0, "it ended without saying {text:?}");
    }
    line
}

fn ended(mut child: Child, mut err: BufReader<ChildStderr>) -> Ran {
    let (mut out, mut rest) = (String::new(), String::new());
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    err.read_to_string(&mut rest).unwrap();
    Ran { code: child.wait().unwrap().code().unwrap(), out, err: rest }
}

fn signal(child: &Child, signal: rustix::process::Signal) {
    rustix::process::kill_process(rustix::process::Pid::from_child(child), signal).unwrap();
}

#[test]
fn a_signal_finishes_the_checkpoint() {
    let place = Place::new();
    place.deliver("a.csv", FIRST);
    let source = "{files: [IN/*.csv], follow: true, poll: 10ms}";
    // An hour's checkpoint: only the signal can end it in time.
    let job = place.job(source, "commit: {interval: 1h, rows: 2}\n");
    let (child, err, _) = start(&job, &[], "checkpoint 1 committed");
    signal(&child, rustix::process::Signal::TERM);
    let ran = ended(child, err);
    assert_eq!(ran.code, 0, "{ran:?}");
    let rows = place.rows().len();
    assert!((2..=3).contains(&rows), "{ran:?}");
    assert!(
        ran.out.contains("records read from 1 input (") && ran.out.contains(&format!("{rows} rows written"))
    );
    assert_eq!(lakebed(&["ingest", &job, "--once"]).code, if rows == 3 { 3 } else { 0 });
    assert_eq!(place.rows().len(), 3);
    let pending = files_below(&place.path("t/.hoodie/timeline"));
    let completed = pending.iter().filter(|name| name.contains('_')).count();
    assert_eq!(pending.iter().filter(|name| name.ends_with(".inflight")).count(), completed, "{pending:?}");
}

#[test]
fn a_signal_ends_a_run_that_waits_for_its_input() {
    let place = Place::new();
    let job = place.job("{stdin: true}", "format: {type: csv}\ncommit: {interval: 1h}\n");
    let (mut child, err, _) = start(&job, &[], "epoch 1");
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(FIRST.as_bytes()).unwrap();
    signal(&child, rustix::process::Signal::INT);
    let ran = ended(child, err);
    assert_eq!(ran.code, 0, "{ran:?}");
    // The stream is still open. What was read of it by then is committed.
    drop(stdin);
    assert!(!ran.out.contains("from 0 inputs"), "{ran:?}");
    let taken = place.rows();
    assert_eq!(taken, ["a,x,1", "b,x,1", "c,y,1"][..taken.len()]);
}

#[test]
fn the_timeline_names_the_pipeline_of_what_is_pending() {
    let place = Place::new();
    place.deliver("a.csv", FIRST);
    let job = place.job("{files: [IN/*.csv], follow: true, poll: 10ms}", "commit: {interval: 1h, rows: 2}\n");
    let (child, err, _) = start(&job, &[], "checkpoint 1 committed");
    // The third record opens an instant that only the signal will end.
    let pending = || {
        let timeline = lakebed(&["timeline", &place.text("t"), "--format", "json"]).json();
        timeline["instants"][0].clone()
    };
    while pending()["state"] != "inflight" {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert_eq!(pending()["pipeline"], "p");
    let shown = lakebed(&["timeline", &place.text("t")]).out;
    assert!(shown.lines().nth(1).unwrap().trim_end().ends_with("of pipeline p"), "{shown}");
    signal(&child, rustix::process::Signal::TERM);
    assert_eq!(ended(child, err).code, 0);
}

/// The status and the body of an HTTP answer.
fn http(address: &str, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(format!("{request} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split_whitespace().nth(1).unwrap().parse().unwrap(), format!("{head}\n{body}"))
}

#[test]
fn metrics_are_served_while_a_run_goes_on() {
    let place = Place::new();
    place.deliver("a.csv", FIRST);
    let job = place.job("{files: [IN/*.csv], follow: true, poll: 10ms}", "commit: {rows: 3}\n");
    let (child, mut err, said) = start(&job, &["--metrics", "0"], "metrics are at");
    let address = said.trim().trim_start_matches("metrics are at http://").trim_end_matches("/metrics");
    assert!(address.starts_with("127.0.0.1:"), "{said}");
    wait_for(&mut err, "checkpoint 1 committed");
    let (status, text) = http(address, "GET /metrics");
    assert_eq!(status, 200, "{text}");
    assert!(text.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{text}");
    let value = |name: &str| {
        let line =
            text.lines().find(|line| line.starts_with(&format!("lakebed_ingest_{name}{{pipeline=\"p\"}} ")));
        line.unwrap_or_else(|| panic!("{name} is not in {text}"))
            .rsplit(' ')
            .next()
            .unwrap()
            .parse::<f64>()
            .unwrap()
    };
    for (name, expected) in [
        ("records_total", 3.0),
        ("rows_total", 3.0),
        ("bad_records_total", 0.0),
        ("commits_total", 1.0),
        ("input_bytes_total", 18.0),
        ("epoch", 1.0),
        ("checkpoint", 1.0),
        ("flush_seconds_count", 1.0),
        ("commit_seconds_count", 1.0),
        ("buffered_bytes", 0.0),
    ] {
        assert_eq!(value(name), expected, "{name}");
    }
    assert!(value("freshness_seconds") >= 0.0 && value("last_commit_timestamp_seconds") > 1e9);
    assert_eq!((http(address, "GET /").0, http(address, "POST /metrics").0), (404, 405));

    let taken = lakebed(&["ingest", &job, "--metrics", address]);
    taken.refused(2, &format!("--metrics {address}: Address already in use"));
    lakebed(&["ingest", &job, "--metrics", ":9100"]).refused(2, "name the address: 127.0.0.1:9100");
    signal(&child, rustix::process::Signal::TERM);
    assert_eq!(ended(child, err).code, 0);
}
