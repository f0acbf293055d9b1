//! `lakebed rollback`, `lakebed savepoint`, `lakebed restore`, `lakebed doctor`. `lakebed doctor`.

use lakebed::sink::SinkOptions;
use serde_json::{Value, json};

use super::{Ran, lakebed};
use crate::test_table::*;

/// A table with a row that was written so often, and whose writers have ended.
async fn written(times: u64) -> TestTable {
    let table = TestTable::create(&bucket_table()).await;
    let mut sink = table.sink("p", SinkOptions::default()).await;
    for number in 1..=times {
        write(&mut sink, "k", number as i64).await;
        assert!(is_committed(&checkpoint(&mut sink, number).await));
    }
    table
}

fn run(table: &TestTable, command: &[&str], arguments: &[&str]) -> Ran {
    let uri = table.path("t");
    lakebed(&[command, &[uri.as_str()], arguments].concat())
}

/// What a script is told.
fn told(table: &TestTable, command: &[&str], arguments: &[&str]) -> (i32, Value) {
    let ran = run(table, command, &[arguments, &["--format", "json"]].concat());
    (ran.code, serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:?}")))
}

#[tokio::test]
async fn the_newest_commit_is_rolled_back_when_that_is_confirmed() {
    let table = written(2).await;
    let (code, plan) = told(&table, &["rollback"], &["--dry-run"]);
    assert_eq!((code, &plan["is_completed"], &plan["action"]), (0, &json!(true), &json!("deltacommit")));
    assert_eq!(plan["files"].as_array().unwrap().len(), 1, "{plan}");
    let unasked = run(&table, &["rollback"], &[]);
    unasked.refused(2, "there is no terminal to ask on: say --yes");
    unasked.refused(2, "nothing was done: deltacommit ");
    assert_eq!(table.texts().await, ["k x 2 -"]);
    let (code, done) = told(&table, &["rollback"], &["--yes"]);
    assert_eq!((code, &done["instant"], &done["files"]), (0, &plan["instant"], &json!(1)), "{done}");
    assert_eq!(table.texts().await, ["k x 1 -"]);
    let instant = plan["instant"].as_str().unwrap();
    run(&table, &["rollback"], &[instant]).refused(2, "is no instant of the active timeline");
    let people = run(&table, &["rollback"], &["--yes"]);
    assert!(people.out.contains(" is undone · 1 file deleted"), "{people:?}");
    let (code, nothing) = told(&table, &["rollback"], &["--yes"]);
    assert_eq!((code, &nothing["instant"]), (3, &Value::Null));
}

#[tokio::test]
async fn a_table_is_taken_back_to_its_savepoint() {
    let table = written(2).await;
    let empty = run(&table, &["savepoint", "list"], &[]);
    assert_eq!((empty.code, empty.out.as_str()), (0, "t: there is no savepoint\n"));
    let (code, made) = told(&table, &["savepoint", "create"], &["--user", "me", "--comment", "before"]);
    assert_eq!((code, &made["is_new"], &made["files"]), (0, &json!(true), &json!(2)), "{made}");
    assert_eq!(told(&table, &["savepoint", "create"], &[]).0, 3, "it is there already");
    let savepoint = made["instant"].as_str().unwrap();
    let (_, list) = told(&table, &["savepoint", "list"], &[]);
    assert_eq!(
        (&list["savepoints"][0]["user"], &list["savepoints"][0]["comment"]),
        (&json!("me"), &json!("before"))
    );

    let to = ["--to", savepoint];
    let (code, nothing) = told(&table, &["restore"], &to);
    assert_eq!((code, &nothing["instants"]), (3, &json!([])));
    let mut sink = table.sink("p", SinkOptions::default()).await;
    for number in 3..=4 {
        write(&mut sink, "k", number).await;
        assert!(is_committed(&checkpoint(&mut sink, number as u64).await));
    }
    drop(sink);
    let (code, plan) = told(&table, &["restore"], &[&to[..], &["--dry-run"]].concat());
    assert_eq!((code, plan["instants"].as_array().unwrap().len()), (0, 2), "{plan}");
    run(&table, &["restore"], &to).refused(2, "2 instants after");
    assert_eq!(table.texts().await, ["k x 4 -"]);
    let done = run(&table, &["restore"], &[&to[..], &["--yes"]].concat());
    assert!(done.code == 0 && done.out.contains("2 instants undone · 2 files deleted"), "{done:?}");
    assert_eq!(table.texts().await, ["k x 2 -"]);

    run(&table, &["rollback"], &[savepoint, "--yes"]).refused(4, "delete that first");
    assert_eq!(run(&table, &["savepoint", "delete"], &[savepoint]).code, 0);
    run(&table, &["restore"], &[&to[..], &["--yes"]].concat()).refused(2, "the table has none");
    run(&table, &["savepoint", "delete"], &[savepoint]).refused(2, "there is no savepoint of");
    // The pipeline goes on from where the savepoint said.
    let sink = table.sink("p", SinkOptions::default()).await;
    assert_eq!(sink.progress().unwrap().checkpoint, 2);
}

#[tokio::test]
async fn writers_that_may_be_alive_stop_a_restore_that_waits_for_none() {
    let table = written(1).await;
    let (_, made) = told(&table, &["savepoint", "create"], &[]);
    let savepoint = made["instant"].as_str().unwrap();
    let mut sink = table.sink("q", SinkOptions::default()).await;
    write(&mut sink, "k", 9).await;
    let prepared = sink.prepare(progress(1)).await.unwrap().unwrap();
    run(&table, &["restore"], &["--to", savepoint, "--yes"]).refused(5, "of pipeline \"q\" may be alive");
    let instant = prepared.task.instant.to_string();
    run(&table, &["rollback"], &[&instant]).refused(5, "may be alive");
    assert!(is_committed(&sink.committer().commit(&prepared).await.unwrap()));
}

/// Nobody answers on a terminal: nothing is undone.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn on_a_terminal_a_rollback_asks() {
    use std::fs::File;
    use std::io::{Read as _, Write as _};
    use std::process::Stdio;

    use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};

    for (answer, code, rows) in [("n\n", 4, "k x 2 -"), ("y\n", 0, "k x 1 -")] {
        let table = written(2).await;
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
        let screen = openpt(flags).unwrap();
        unlockpt(&screen).unwrap();
        let terminal = ioctl_tiocgptpeer(&screen, flags).unwrap();
        let mut child = super::command(&["rollback", &table.path("t")])
            .stdin(terminal.try_clone().unwrap())
            .stdout(Stdio::null())
            .stderr(terminal)
            .spawn()
            .unwrap();
        let mut screen = File::from(screen);
        screen.write_all(answer.as_bytes()).unwrap();
        let mut shown = Vec::new();
        let _ = screen.read_to_end(&mut shown);
        assert_eq!(child.wait().unwrap().code(), Some(code));
        assert!(String::from_utf8_lossy(&shown).contains("Go on? [y/N]"), "{shown:?}");
        assert_eq!(table.texts().await, [rows]);
    }
}

#[tokio::test]
async fn a_doctor_tells_what_to_run() {
    let table = written(1).await;
    let well = run(&table, &["doctor"], &[]);
    assert_eq!((well.code, well.out.as_str()), (0, "t: nothing is found\n"), "{well:?}");
    let savepoint = table.path("t/.hoodie/timeline/20260101000000000.savepoint.inflight");
    std::fs::write(&savepoint, "").unwrap();
    assert_eq!(run(&table, &["doctor"], &[]).code, 0, "somebody may be making it");
    let file = std::fs::File::options().write(true).open(&savepoint).unwrap();
    let modified = file.metadata().unwrap().modified().unwrap();
    file.set_modified(modified - std::time::Duration::from_secs(3600)).unwrap();
    let people = run(&table, &["doctor"], &[]);
    assert_eq!(people.code, 9, "{people:?}");
    assert!(people.out.starts_with("cut off savepoint: savepoint 20260101000000000\n"), "{people:?}");
    let (code, told_of) = told(&table, &["doctor"], &[]);
    let [found] = &told_of["findings"].as_array().unwrap()[..] else { panic!("{told_of}") };
    let arguments: Vec<&str> =
        found["arguments"].as_array().unwrap().iter().map(|a| a.as_str().unwrap()).collect();
    assert_eq!((code, &found["kind"]), (9, &json!("cut_off_savepoint")));
    assert_eq!(found["mend"].as_str().unwrap(), format!("lakebed {}", arguments.join(" ")));
    assert_eq!(lakebed(&arguments).code, 0);
    assert_eq!(run(&table, &["doctor"], &[]).code, 0);
}
