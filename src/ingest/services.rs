//! The services of the table of a run, beside it, for those who have no cron.
//!
//! A round begins after a commit, goes on while the next checkpoints are written, and never stops the run: what
//! fails is told and tried again by the next one.

use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::job::Job;
use super::{Event, Events};
use crate::environment::Environment;
use crate::maintain::fleet::{FleetTable, KnownTables, Look, Totals, serve};
use crate::maintain::{MaintainError, MaintainOptions, Maintainer, RunLimits};
use crate::settings::{Size, TimeSpan};
use crate::storage::{Storage, TableUri};

/// How often a round begins if the job says nothing.
const INTERVAL: Duration = Duration::from_secs(5 * 60);
/// The memory of a round if the job says nothing.
const MEMORY_BYTES: u64 = 256 << 20;

/// The rounds of services of a run.
pub(super) struct InlineServices {
    round: Arc<Round>,
    events: Events,
    interval: Duration,
    /// When the next one is due, by the monotonic clock.
    due_at: Duration,
    running: Option<JoinHandle<()>>,
    stop: watch::Sender<bool>,
}

/// What a round does.
struct Round {
    storage: Arc<dyn Storage>,
    table: FleetTable,
    options: MaintainOptions,
    environment: Environment,
    /// A folder for what is known of the table, for as long as the run lasts.
    cache: Option<TempDir>,
}

impl InlineServices {
    /// Those that `job` asks for, on its table, at `uri` in `storage`.
    pub(super) fn of(
        job: &Job,
        (uri, storage): (TableUri, Arc<dyn Storage>),
        environment: &Environment,
        events: Events,
    ) -> Option<Self> {
        let settings = job.services.as_ref()?;
        let options = MaintainOptions {
            memory_bytes: settings.memory.map_or(MEMORY_BYTES, |Size(bytes)| bytes),
            timeline_zone: job.table.timeline_zone(),
            commit: job.table.commit_options(),
            lock: job.table.lock_options(),
            ..MaintainOptions::default()
        };
        let table = FleetTable::new(uri, settings.services());
        // Without one the table is listed as a whole each time.
        let cache = tempfile::tempdir_in(environment.spill.folder()).ok();
        let interval = settings.interval.map_or(INTERVAL, |TimeSpan(interval)| interval);
        Some(Self {
            round: Arc::new(Round { storage, table, options, environment: environment.clone(), cache }),
            events,
            interval,
            due_at: environment.clock.monotonic() + interval,
            running: None,
            stop: watch::channel(false).0,
        })
    }

    /// Begins a round after a commit, if it is time and the last one has ended.
    pub(super) fn committed(&mut self) {
        let now = self.round.environment.clock.monotonic();
        if now < self.due_at || self.running.as_ref().is_some_and(|running| !running.is_finished()) {
            return;
        }
        self.due_at = now + self.interval;
        self.begin();
    }

    fn begin(&mut self) {
        let (round, events) = (self.round.clone(), self.events.clone());
        let limits = RunLimits { stop: self.stop.subscribe(), deadline: None };
        self.running = Some(tokio::spawn(async move {
            let begun = round.environment.clock.monotonic();
            let (totals, done) = round.run(&limits).await;
            let took = round.environment.clock.monotonic().saturating_sub(begun);
            events(&Event::Served { totals, took });
            if let Err(error) = done {
                events(&Event::ServicesFailed { reason: crate::Error::from(error).chain().join(": ") });
            }
        }));
    }

    /// Ends the rounds: with a `last` one of all that is due, or as soon as the running one is in order; and so
    /// it is as soon as `stop` turns true.
    pub(super) async fn end(mut self, last: bool, stop: &mut watch::Receiver<bool>) {
        self.stop.send_replace(!last);
        self.wait(stop).await;
        if last && !*self.stop.borrow() {
            self.begin();
            self.wait(stop).await;
        }
    }

    /// Waits for the running round.
    async fn wait(&mut self, stop: &mut watch::Receiver<bool>) {
        let Some(mut running) = self.running.take() else { return };
        // A round that panics is one that failed.
        tokio::select! {
            done = &mut running => return drop(done),
            () = async { drop(stop.wait_for(|stop| *stop).await) } => {}
        }
        self.stop.send_replace(true);
        drop(running.await);
    }
}

impl Round {
    async fn run(&self, limits: &RunLimits) -> (Totals, Result<(), MaintainError>) {
        let (storage, environment) = (self.storage.clone(), &self.environment);
        let maintainer = match Maintainer::open(storage, environment, self.options.clone()).await {
            Ok(maintainer) => maintainer,
            Err(error) => return (Totals::default(), Err(error)),
        };
        let known = KnownTables::new(self.cache.as_ref().map(|folder| folder.path().to_owned()));
        let look = Look { environment, known: &known, options: &self.options, pace: None };
        let (served, done) = serve(&look, &maintainer, &self.table, limits, u64::MAX, &|_| {}).await;
        (served.totals(), done)
    }
}
