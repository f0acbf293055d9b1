//! A clock that is moved by hand, and by whoever sleeps.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lakebed::environment::{Clock, Environment, SeededIds};

/// Who sleeps for so long or longer is in the background: heartbeats, renewals of locks.
const BACKGROUND: Duration = Duration::from_secs(30);

/// A clock that a sleep moves on by what it sleeps, at once. Whoever sleeps in the background sleeps on.
#[derive(Debug)]
pub struct StepClock {
    start_unix_millis: i64,
    passed_millis: AtomicU64,
}

impl StepClock {
    /// An environment with such a clock, which shows `unix_millis`.
    pub fn environment(unix_millis: i64) -> (Environment, Arc<Self>) {
        let clock = Arc::new(Self { start_unix_millis: unix_millis, passed_millis: AtomicU64::new(0) });
        let ids = Arc::new(SeededIds::new(1));
        (Environment { clock: clock.clone(), ids, ..Environment::real() }, clock)
    }

    /// So much time passes.
    pub fn advance(&self, by: Duration) {
        self.passed_millis.fetch_add(by.as_millis() as u64, Ordering::Relaxed);
    }
}

#[async_trait::async_trait]
impl Clock for StepClock {
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
        self.advance(duration);
        tokio::task::yield_now().await;
    }
}
