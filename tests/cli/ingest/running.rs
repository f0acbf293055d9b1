//! A run that goes on until it is told to stop, and what it tells meanwhile.

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, ChildStderr, Stdio};

use super::{FIRST, Place};
use crate::cli::{Ran, command, files_below, lakebed};

/// A running `lakebed ingest` that has said a line with `text` on standard error, and that line.
fn start(job: &str, more: &[&str], text: &str) -> (Child, BufReader<ChildStderr>, String) {
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
    let told = "stopping as soon as it is in order; a second signal stops at once";
    assert_eq!(ran.err.lines().filter(|line| *line == told).count(), 1, "{ran:?}");
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
