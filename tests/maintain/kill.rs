//! The program itself, killed at any moment of a service, and started again.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Duration;

use lakebed::environment::Environment;
use lakebed::maintain::{MaintainOptions, Maintainer};
use lakebed::storage;
use lakebed::table::{Table, WriteOperation};
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_file::Action;

use super::place::{Place, commit};
use crate::recovery::audit;
use crate::recovery::kill::in_a_bucket;
use crate::recovery::lapse::{let_heartbeats_expire, let_the_lock_expire};
use crate::recovery::model::{Change, Model, Random};
use crate::test_table::{bucket_table, services};

const SERVICES: &str = "services:
  compaction: {min_log_files: 1}
  clean: {retain_commits: 2, reader_window: 1ms}
  archive: {min_commits: 4, max_commits: 6}
";

/// A table, and the program that serves it.
struct Killed {
    folder: tempfile::TempDir,
    place: Place,
    in_bucket: bool,
    /// The file that says how the table is served.
    fleet: String,
    random: Random,
    model: Model,
    ts: i64,
    /// The longest time that a run took.
    whole_run: Duration,
    kills: usize,
}

impl Killed {
    /// A table at `uri`, or in a folder of its own.
    async fn new(uri: Option<String>, seed: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let in_bucket = uri.is_some();
        let uri = uri.unwrap_or_else(|| folder.path().join("t").display().to_string());
        let environment = Environment::real();
        let disk = storage::open(&uri.parse().unwrap(), &environment).await.unwrap();
        Table::create(disk.clone(), &environment, &bucket_table()).await.unwrap();
        let (random, model) = (Random(seed), Model::default());
        let place = Place { disk, environment };
        let fleet = folder.path().join("fleet.yaml");
        let uri = place.disk.uri();
        let heartbeat = if in_bucket { "{interval: 1s, misses: 4}" } else { "{}" };
        let table = format!("tables: [{{uri: \"{uri}\", heartbeat: {heartbeat}}}]");
        std::fs::write(&fleet, [SERVICES, &table].concat()).unwrap();
        let fleet = fleet.display().to_string();
        Self { folder, place, in_bucket, fleet, random, model, ts: 0, whole_run: Duration::ZERO, kills: 0 }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Commits rows of few keys in the four groups of the table.
    async fn write(&mut self) {
        self.ts += 1;
        let ts = self.ts;
        let mut change = || {
            let (id, partition) = (self.random.below(8), ["x", "y"][self.random.below(2) as usize]);
            let put = Change::put(&format!("k{id}"), partition, ts, &format!("v{ts}"));
            Change { delete: self.random.below(5) == 0, ..put }
        };
        let changes: Vec<Change> = (0..8).map(|_| change()).collect();
        let mut sink = self.place.sink_for("beside", WriteOperation::Upsert).await;
        commit(&mut sink, &changes).await;
        self.model.upsert(&changes);
    }

    async fn maintainer(&self) -> Maintainer {
        self.place.open_with(MaintainOptions::default()).await.unwrap()
    }

    fn start(&self, arguments: &[&str]) -> Child {
        let log = File::options().create(true).append(true).open(self.path("log")).unwrap();
        Command::new(env!("CARGO_BIN_EXE_lakebed"))
            .args(arguments)
            .env_remove("LAKEBED_LOG")
            .env("XDG_CACHE_HOME", self.path("cache"))
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    /// Asserts that the program ends because it did what it should or had nothing to do.
    #[track_caller]
    fn ends_well(&self, child: &mut Child) {
        let code = child.wait().unwrap().code();
        let log = std::fs::read_to_string(self.path("log")).unwrap();
        assert!(matches!(code, Some(0 | 3)), "{code:?}: {log}");
    }

    /// Kills the program after some time. Says whether it had ended before.
    async fn has_ended(&mut self, mut child: Child) -> bool {
        let clock = self.place.environment.clock.clone();
        let started = clock.monotonic();
        tokio::time::sleep(self.whole_run * self.random.below(1_000) as u32 / 1_000).await;
        if self.whole_run.is_zero() || child.try_wait().unwrap().is_some() {
            self.ends_well(&mut child);
            self.whole_run = self.whole_run.max(clock.monotonic() - started);
            return true;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        self.kills += 1;
        self.let_leases_end().await;
        false
    }

    /// The killed process counts as dead. Heartbeats of a bucket cannot be made old, and beat fast instead.
    async fn let_leases_end(&self) {
        match self.in_bucket {
            true => tokio::time::sleep(Duration::from_millis(4_500)).await,
            false => let_heartbeats_expire(&self.path("t")),
        }
        let_the_lock_expire(self.place.disk.as_ref()).await;
    }

    /// Asserts that the table has its rows.
    async fn check_rows(&self) {
        let rows = self.place.rows().await;
        assert_eq!(self.model.differences(&rows), [""; 0], "after {} kills", self.kills);
    }

    /// Starts all services.
    fn maintain(&self) -> Child {
        self.start(&["maintain", &self.fleet, "--once"])
    }

    /// Asserts that the table has its rows and nothing that is left over, once the program has run and all
    /// leases have ended.
    async fn check(&self) {
        self.ends_well(&mut self.maintain());
        let later = self.place.later(1);
        services::maintain(&later.maintainer().await).await.unwrap();
        assert_eq!(later.problems(&self.model).await, [""; 0]);
        assert_eq!(audit::temporary_files(self.folder.path()), [""; 0]);
    }

    /// How many instants of `action` the table has had.
    async fn completed(&self, action: Action) -> usize {
        let table = self.place.table().await;
        let active = table.timeline.load().await.unwrap();
        active.completed().filter(|instant| instant.requested_as == action).count()
    }

    /// Runs all services beside a writer.
    async fn serve(mut self, kills: usize) {
        while self.kills < kills {
            self.write().await;
            let run = self.maintain();
            // The first one has nothing to merge.
            self.has_ended(run).await;
            if self.ts < 3 {
                self.whole_run = Duration::ZERO;
            }
            self.check_rows().await;
        }
        assert!(self.completed(Action::Compaction).await > 0);
        assert!(self.completed(Action::Clean).await > 0);
        self.check().await;
    }

    /// Keeps what the table has; returns the savepoint.
    async fn keep(&self) -> InstantTime {
        self.maintainer().await.committer().savepoint(None, "u", "c").await.unwrap().instant
    }

    /// Takes the table back to savepoints, each made anew and with some commits after it.
    async fn restore(mut self, kills: usize) {
        let mut restored = 0;
        while self.kills < kills {
            self.write().await;
            let (savepoint, kept) = (self.keep().await, self.model.clone());
            for _ in 0..3 {
                self.write().await;
                services::compact(self.maintainer().await.table()).await;
            }
            let (uri, to) = (self.place.disk.uri().to_string(), savepoint.to_string());
            let arguments = ["restore", &uri, "--to", &to, "--yes", "--fleet", &self.fleet.clone()];
            let start = |killed: &Self| killed.start(&arguments);
            while !self.has_ended(start(&self)).await {}
            self.model = kept;
            self.check_rows().await;
            restored += 1;
            assert_eq!(self.completed(Action::Restore).await, restored);
            self.maintainer().await.committer().delete_savepoint(savepoint).await.unwrap();
        }
        self.check().await;
    }
}

#[tokio::test]
async fn no_row_is_lost_however_often_services_are_killed() {
    Killed::new(None, 1).await.serve(25).await;
}

#[tokio::test]
async fn a_table_is_as_it_was_however_often_its_restore_is_killed() {
    Killed::new(None, 2).await.restore(25).await;
}

#[tokio::test]
#[ignore = "needs S3Mock: lakebed-tools s3mock -- cargo test -p lakebed --test it -- --ignored s3"]
async fn no_row_is_lost_on_s3_however_often_services_are_killed() {
    Killed::new(in_a_bucket(), 3).await.serve(10).await;
}

#[tokio::test]
#[ignore = "needs S3Mock: lakebed-tools s3mock -- cargo test -p lakebed --test it -- --ignored s3"]
async fn a_table_is_as_it_was_on_s3_however_often_its_restore_is_killed() {
    Killed::new(in_a_bucket(), 4).await.restore(10).await;
}
