//! A clock on which waiting takes little time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lakebed::environment::{Clock, Environment, SeededIds};
use lakebed::storage::fault::FaultStorage;

/// Who sleeps for so long or longer is in the background: heartbeats, renewals of locks.
const BACKGROUND: Duration = Duration::from_secs(30);

pub const HOUR: Duration = Duration::from_secs(3_600);

/// Who waits for others gives them a part of the time that it says.
const SPEED: u32 = 200;

/// A clock that a sleep moves on by what it sleeps. Whoever sleeps in the background sleeps on.
#[derive(Debug)]
pub struct QuickClock {
    start_unix_millis: i64,
    passed_millis: AtomicU64,
}

impl QuickClock {
    /// The time of files is the system's: so the first clock begins there.
    pub fn environment(seed: u64) -> Environment {
        Self::with_clock(seed).0
    }

    /// The environment of a process that starts an hour later: leases have ended, and files of now
    /// are old. What is left of the earlier process does not move its clock.
    pub fn an_hour_after(before: &Environment, seed: u64) -> Environment {
        Self::later(before, HOUR, seed)
    }

    /// The environment of the process that comes after one which used `storage`: at once if that one
    /// lives, so that what it is still about keeps its locks.
    pub fn next(before: &Environment, storage: &FaultStorage, seed: u64) -> Environment {
        if storage.has_died() {
            return Self::an_hour_after(before, seed);
        }
        Environment { ids: Arc::new(SeededIds::new(seed)), ..before.clone() }
    }

    /// The environment of a process that starts so much later.
    pub fn later(before: &Environment, by: Duration, seed: u64) -> Environment {
        Self::from(before.clock.unix_millis() + by.as_millis() as i64, seed).0
    }

    /// The environment of a process of hours ago. The time of files is the system's all the same.
    pub fn hours_ago(hours: u32, seed: u64) -> Environment {
        let ago = (HOUR * hours).as_millis() as i64;
        Self::from(Environment::real().clock.unix_millis() - ago, seed).0
    }

    /// The environment of a process, with its clock.
    pub fn with_clock(seed: u64) -> (Environment, Arc<Self>) {
        Self::from(Environment::real().clock.unix_millis(), seed)
    }

    /// Moves the time forward.
    pub fn pass(&self, by: Duration) {
        self.passed_millis.fetch_add(by.as_millis() as u64, Ordering::Relaxed);
    }

    fn from(start_unix_millis: i64, seed: u64) -> (Environment, Arc<Self>) {
        let clock = Arc::new(Self { start_unix_millis, passed_millis: AtomicU64::new(0) });
        let ids = Arc::new(SeededIds::new(seed));
        (Environment { clock: clock.clone(), ids, ..Environment::real() }, clock)
    }
}

#[async_trait::async_trait]
impl Clock for QuickClock {
    fn unix_millis(&self) -> i64 {
        self.start_unix_millis + self.monotonic().as_millis() as i64
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.passed_millis.load(Ordering::Relaxed))
    }

    async fn sleep(&self, duration: Duration) {
        if duration >= BACKGROUND {
            std::future::pending::<()>().await;
        }
        let waits = duration / SPEED;
        if waits.is_zero() || duration < Duration::from_millis(10) {
            tokio::task::yield_now().await;
        } else {
            tokio::time::sleep(waits).await;
        }
        self.pass(duration);
    }
}
