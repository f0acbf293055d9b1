//! How a run shows how it goes on: by lines, and on a terminal by a bar that moves.

use super::ingest::{FIRST, Place, SOURCE};
use super::lakebed;

#[test]
fn without_a_terminal_a_run_tells_a_line_per_commit() {
    let place = Place::new();
    place.deliver("a.csv", FIRST);
    let ran = lakebed(&["ingest", &place.job(SOURCE, "commit: {rows: 2}\n")]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let table = place.path("t").display().to_string();
    let told = lakebed(&["timeline", &table, "--format", "json"]).json();
    let instant = |newest: usize| told["instants"][newest]["instant"].as_str().unwrap();
    let lines = [
        format!("created file:{table} with 3 columns"),
        "epoch 1: nothing is committed yet".to_owned(),
        format!("checkpoint 1 committed at {}: 2 rows", instant(1)),
        format!("checkpoint 2 committed at {}: 1 row", instant(0)),
    ];
    assert_eq!(ran.err.lines().collect::<Vec<_>>(), lines);
}

#[cfg(target_os = "linux")]
#[test]
fn on_a_terminal_a_bar_moves_beside_the_lines() {
    use std::fs::File;
    use std::io::Read as _;
    use std::process::Stdio;

    use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};

    let place = Place::new();
    place.deliver("a.csv", FIRST);
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
    let screen = openpt(flags).unwrap();
    unlockpt(&screen).unwrap();
    let terminal = ioctl_tiocgptpeer(&screen, flags).unwrap();
    let mut child = super::command(&["ingest", &place.job(SOURCE, "")])
        .env("TERM", "xterm")
        .stdout(Stdio::null())
        .stderr(terminal)
        .spawn()
        .unwrap();
    // A terminal that nobody holds any more ends with an error.
    let mut shown = Vec::new();
    let _ = File::from(screen).read_to_end(&mut shown);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let shown = String::from_utf8_lossy(&shown);
    assert!(shown.contains("100%, ") && shown.contains(" left: 3 records of 18 B, "), "{shown:?}");
    assert!(shown.contains("checkpoint 1 committed at "), "{shown:?}");
}
