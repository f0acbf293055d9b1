//! The program itself, killed at any moment of a compaction, beside a writer.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use super::place::{Place, commit};
use crate::recovery::audit;
use crate::recovery::faults::Files;
use crate::recovery::model::{Change, Model, Random};
use crate::test_table::{bucket_table, services};

const KILLS: usize = 25;

fn start(folder: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_lakebed"))
        .arg("compact")
        .arg(folder.join("t"))
        .env_remove("LAKEBED_LOG")
        .stdout(Stdio::null())
        .stderr(File::options().create(true).append(true).open(folder.join("log")).unwrap())
        .spawn()
        .unwrap()
}

/// A heartbeat outlives its process by minutes that nobody waits for here.
fn let_heartbeats_expire(folder: &Path) {
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    for beat in std::fs::read_dir(folder.join("t/.hoodie/.heartbeat")).into_iter().flatten() {
        let beat = File::options().write(true).open(beat.unwrap().path()).unwrap();
        beat.set_modified(long_ago).unwrap();
    }
}

/// Rows of few keys in the four groups of the table.
fn changes(random: &mut Random, ts: i64) -> Vec<Change> {
    let change = |id: u64| {
        let partition = ["x", "y"][random.below(2) as usize];
        let put = Change::put(&format!("k{id}"), partition, ts, &format!("v{ts}"));
        Change { delete: random.below(5) == 0, ..put }
    };
    (0..8).map(change).collect()
}

#[tokio::test]
async fn no_row_is_lost_however_often_the_program_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::on_disk(folder.path(), &Files::new()).await;
    lakebed::table::Table::create(place.disk.clone(), &place.environment, &bucket_table()).await.unwrap();
    let (mut random, mut model) = (Random(1), Model::default());
    let mut sink = place.sink("beside").await;
    let clock = place.environment.clock.clone();
    let (mut whole_run, mut killed, mut ts) = (Duration::ZERO, 0, 0);
    while killed < KILLS {
        ts += 1;
        let changes = changes(&mut random, ts);
        commit(&mut sink, &changes).await;
        model.upsert(&changes);
        let (mut child, started) = (start(folder.path()), clock.monotonic());
        tokio::time::sleep(whole_run * random.below(1_000) as u32 / 1_000).await;
        if whole_run.is_zero() || child.try_wait().unwrap().is_some() {
            let log = || std::fs::read_to_string(folder.path().join("log")).unwrap();
            let code = child.wait().unwrap().code();
            assert!(matches!(code, Some(0 | 3)), "{code:?}: {}", log());
            // The first one has nothing to do.
            whole_run = if ts < 3 { Duration::ZERO } else { whole_run.max(clock.monotonic() - started) };
        } else {
            child.kill().unwrap();
            child.wait().unwrap();
            killed += 1;
            let_heartbeats_expire(folder.path());
        }
        assert_eq!(model.differences(&place.rows().await), [""; 0], "after {killed} kills");
    }
    drop(sink);
    let later = place.later(1);
    services::maintain(&later.maintainer().await).await.unwrap();
    assert_eq!(later.problems(&model).await, [""; 0]);
    assert_eq!(audit::temporary_files(folder.path()), [""; 0]);
    let compacted = later.table().await.timeline.load().await.unwrap();
    let compacted =
        compacted.completed().filter(|instant| instant.requested_as.as_str() == "compaction").count();
    assert!((2..=KILLS + ts as usize).contains(&compacted), "{compacted}");
}
