//! The program itself, killed at any moment, and started twice.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::AsArray as _;
use arrow::datatypes::Int64Type;
use futures::TryStreamExt as _;
use lakebed::environment::Environment;
use lakebed::ingest::job::Job;
use lakebed::ingest::{Event, RunOptions, run};
use lakebed::read::{Scan, ScanOptions};
use lakebed::storage::{self, Storage};
use lakebed::table::Table;
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::watch;

use super::audit;
use super::clock::QuickClock;
use super::lapse::let_the_lock_expire;
use super::model::{Change, Model, Random};
use crate::test_table::{append_table, bucket_table};

const RECORDS_PER_FILE: usize = 12;
/// Which of them is bad.
const BAD_RECORD: usize = 7;

/// What the records of a job do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    /// Rows without keys: one that was taken twice is there twice.
    Insert,
    Upsert,
}

/// Files that wait while two processes fight: where the storage is slow, more take very long to read.
const FILES_WAITING: usize = 10;

struct Place {
    folder: tempfile::TempDir,
    storage: Arc<dyn Storage>,
    letters: Arc<dyn Storage>,
    environment: Environment,
    does: Does,
    random: Random,
    files: usize,
    rows: i64,
    model: Model,
}

impl Place {
    /// A table at `uri`, or in a folder of its own.
    async fn new(uri: Option<String>, does: Does, seed: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("in")).unwrap();
        let environment = Environment::real();
        let uri = uri.unwrap_or_else(|| folder.path().join("t").display().to_string());
        let storage = storage::open(&uri.parse().unwrap(), &environment).await.unwrap();
        let dead = format!("{uri}-dead");
        let letters = storage::open(&dead.parse().unwrap(), &environment).await.unwrap();
        let new = if does == Does::Insert { append_table() } else { bucket_table() };
        Table::create(storage.clone(), &environment, &new).await.unwrap();
        let more = match does {
            Does::Insert => "operation: insert\n",
            Does::Upsert => "mapping: {operation: {column: op}}\n",
        };
        let (files, uri) = (folder.path().join("in").display().to_string(), storage.uri());
        let source = format!("source: {{files: [\"{files}/*.csv\"], follow: true, poll: 20ms}}\n");
        let job = format!(
            "pipeline: p\ntable: {{uri: \"{uri}\"}}\n{source}commit: {{rows: 6}}\nmemory: 128 MiB\n\
             bad_records: {{policy: dead_letter, path: \"{dead}\"}}\n{more}"
        );
        std::fs::write(folder.path().join("job.yaml"), job).unwrap();
        let (random, model) = (Random(seed), Model::default());
        Self { folder, storage, letters, environment, does, random, files: 0, rows: 0, model }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts the next file where the job looks for it, as a whole.
    fn deliver(&mut self) {
        let with_op = self.does == Does::Upsert;
        let mut text = if with_op { "id,p,ts,v,op\n" } else { "id,p,ts,v\n" }.to_owned();
        for row in 0..RECORDS_PER_FILE {
            if row == BAD_RECORD {
                writeln!(text, "k0,x,{},v{}", bad_value(self.files), if with_op { ",U" } else { "" })
                    .unwrap();
                continue;
            }
            self.rows += 1;
            let id = format!("k{}", self.random.below(40));
            // The first rows are of both partitions, and none of them deletes.
            let partition = if row % 2 == 0 { "x" } else { "y" };
            let mut change = Change::put(&id, partition, self.rows, &format!("v{}", self.rows));
            change.delete = with_op && self.files > 0 && self.random.below(5) == 0;
            let Change { ts, text: v, .. } = &change;
            write!(text, "{id},{partition},{ts},{v}").unwrap();
            text.push_str(if !with_op {
                "\n"
            } else if change.delete {
                ",D\n"
            } else {
                ",U\n"
            });
            self.model.upsert(&[change]);
        }
        self.files += 1;
        std::fs::write(self.path("in/.new"), text).unwrap();
        std::fs::rename(self.path("in/.new"), self.path(&format!("in/{:06}.csv", self.files))).unwrap();
    }

    fn start(&self, arguments: &[&str]) -> Child {
        let log = File::options().create(true).append(true).open(self.path("log")).unwrap();
        Command::new(env!("CARGO_BIN_EXE_lakebed"))
            .arg("ingest")
            .arg(self.path("job.yaml"))
            .args(arguments)
            .env_remove("LAKEBED_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    /// Asserts that a run ended well: it did something, or there was nothing to do.
    #[track_caller]
    fn ended_well(&self, ended: ExitStatus) {
        let log = std::fs::read_to_string(self.path("log")).unwrap();
        let last: Vec<&str> = log.lines().rev().take(20).collect();
        assert!(
            matches!(ended.code(), Some(0 | 3)),
            "{ended}, the end of the log backwards:\n{}",
            last.join("\n")
        );
    }

    /// Kills the program `kills` times, each time while it has something to do, then lets it end.
    async fn kill(&mut self, kills: usize) {
        self.deliver();
        let clock = self.environment.clock.clone();
        let started = clock.monotonic();
        self.ended_well(self.start(&["--once"]).wait().unwrap());
        let whole_run = clock.monotonic() - started;
        let mut killed = 0;
        while killed < kills {
            self.deliver();
            let mut child = self.start(&["--once"]);
            let moment = whole_run * self.random.below(1_000) as u32 / 800;
            tokio::time::sleep(moment).await;
            match child.try_wait().unwrap() {
                Some(ended) => self.ended_well(ended),
                None => {
                    child.kill().unwrap();
                    child.wait().unwrap();
                    killed += 1;
                    let_the_lock_expire(self.storage.as_ref()).await;
                }
            }
        }
        self.ended_well(self.start(&["--once"]).wait().unwrap());
    }

    /// Asserts that the table has all rows once and, when all leases have ended, nothing else.
    async fn check(&self) {
        let later = QuickClock::an_hour_after(&self.environment, 1);
        let job = Job::from_yaml(&std::fs::read_to_string(self.path("job.yaml")).unwrap()).unwrap();
        let (_keep, stop) = watch::channel(false);
        let options = RunOptions { once: true, ..RunOptions::default() };
        let last = run(job, options, &later, stop, Arc::new(|_: &Event| ())).await.unwrap();
        assert_eq!(last.records, 0, "records were read once more");
        let table = Table::open(self.storage.clone(), &later, None).await.unwrap();
        let mut problems = audit::strays(&table).await;
        problems.extend(audit::temporary_files(self.folder.path()));
        problems.extend(audit::letter_problems(&table, &self.letters, (0..self.files).map(bad_value)).await);
        match self.does {
            Does::Upsert => problems.extend(self.model.differences(&audit::rows(&table).await.unwrap())),
            Does::Insert => problems.extend(self.taken_otherwise(&table).await),
        }
        assert_eq!(problems, [""; 0]);
    }

    /// The rows that are not there once.
    async fn taken_otherwise(&self, table: &Table) -> Vec<String> {
        let scan = Scan::plan(&table.snapshot(None).await.unwrap(), ScanOptions::default()).await.unwrap();
        let mut missing: BTreeSet<i64> = (1..=self.rows).collect();
        let mut problems = Vec::new();
        for batch in scan.stream().try_collect::<Vec<_>>().await.unwrap() {
            let found = batch.column_by_name("ts").unwrap().as_primitive::<Int64Type>().clone();
            let twice = found.values().iter().filter(|row| !missing.remove(row));
            problems.extend(twice.map(|row| format!("row {row} is there twice")));
        }
        problems.extend(missing.iter().map(|row| format!("row {row} is not there")));
        problems
    }

    /// Delivers files until the first of two processes has noticed the second one.
    async fn fight(&mut self) {
        self.deliver();
        let mut older = self.start(&[]);
        self.commits_reach(1).await;
        let mut newer = self.start(&[]);
        let ended = loop {
            if self.files < self.commits().await / 2 + FILES_WAITING {
                self.deliver();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
            if let Some(ended) = older.try_wait().unwrap() {
                break ended;
            }
            assert!(newer.try_wait().unwrap().is_none(), "the newer process has ended");
        };
        let log = std::fs::read_to_string(self.path("log")).unwrap();
        assert_eq!(ended.code(), Some(7), "the older process is fenced:\n{log}");
        self.deliver();
        self.commits_reach(2 * self.files).await;
        kill_process(Pid::from_child(&newer), Signal::TERM).unwrap();
        self.ended_well(newer.wait().unwrap());
    }

    async fn commits_reach(&self, commits: usize) {
        while self.commits().await < commits {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn commits(&self) -> usize {
        let table = Table::open(self.storage.clone(), &self.environment, None).await.unwrap();
        table.timeline.load().await.unwrap().completed_writes().count()
    }
}

fn bad_value(file: usize) -> String {
    format!("bad{file}")
}

/// Of a table that nobody else has.
pub fn in_a_bucket() -> Option<String> {
    Some(format!("s3://lake/{}/t", Environment::real().ids.uuid()))
}

#[tokio::test]
async fn rows_are_inserted_once_however_often_the_program_is_killed() {
    let mut place = Place::new(None, Does::Insert, 1).await;
    place.kill(50).await;
    place.check().await;
}

#[tokio::test]
async fn rows_are_upserted_however_often_the_program_is_killed() {
    let mut place = Place::new(None, Does::Upsert, 2).await;
    place.kill(50).await;
    place.check().await;
}

#[tokio::test]
async fn of_two_processes_the_older_one_is_fenced() {
    let mut place = Place::new(None, Does::Insert, 3).await;
    place.fight().await;
    place.check().await;
}

#[tokio::test]
#[ignore = "needs S3Mock: lakebed-tools s3mock -- cargo test -p lakebed --test it -- --ignored s3"]
async fn rows_are_inserted_once_on_s3_however_often_the_program_is_killed() {
    let mut place = Place::new(in_a_bucket(), Does::Insert, 4).await;
    place.kill(50).await;
    place.check().await;
}

#[tokio::test]
#[ignore = "needs S3Mock: lakebed-tools s3mock -- cargo test -p lakebed --test it -- --ignored s3"]
async fn rows_are_upserted_on_s3_however_often_the_program_is_killed() {
    let mut place = Place::new(in_a_bucket(), Does::Upsert, 5).await;
    place.kill(50).await;
    place.check().await;
}

#[tokio::test]
#[ignore = "needs S3Mock: lakebed-tools s3mock -- cargo test -p lakebed --test it -- --ignored s3"]
async fn of_two_processes_on_s3_the_older_one_is_fenced() {
    let mut place = Place::new(in_a_bucket(), Does::Insert, 6).await;
    place.fight().await;
    place.check().await;
}
