//! A table lock that is lost between the checks and the put that makes a write visible.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lakebed::commit::{CommitOptions, Outcome};
use lakebed::environment::Clock;
use lakebed::sink::SinkOptions;

use crate::test_table::*;

/// So long a new time is waited for: the last thing before the lock is looked at once more.
const SKEW: Duration = Duration::from_millis(7);

/// A clock on which somebody takes the lock away while the holder waits for a new time.
#[derive(Debug)]
struct Thief {
    clock: Arc<dyn Clock>,
    lock: PathBuf,
    /// Whether the lock becomes another writer's, or nobody's.
    takes: bool,
    ready: AtomicBool,
}

#[async_trait::async_trait]
impl Clock for Thief {
    fn unix_millis(&self) -> i64 {
        self.clock.unix_millis()
    }

    fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    async fn sleep(&self, duration: Duration) {
        if duration == SKEW && self.ready.swap(false, Ordering::Relaxed) {
            std::fs::remove_file(&self.lock).unwrap();
            if self.takes {
                std::fs::write(&self.lock, "").unwrap();
            }
        }
        self.clock.sleep(duration).await;
    }
}

#[tokio::test]
async fn a_lock_that_is_lost_before_the_put_shows_nothing_and_the_commit_can_be_tried_again() {
    for takes in [true, false] {
        let mut table = TestTable::create(&bucket_table()).await;
        let lock = PathBuf::from(table.path("t/.hoodie/lock"));
        let (clock, ready) = (table.environment.clock.clone(), AtomicBool::new(false));
        let thief = Arc::new(Thief { clock, lock: lock.clone(), takes, ready });
        table.environment.clock = thief.clone();
        let commit = CommitOptions { clock_skew: SKEW, ..CommitOptions::default() };
        let mut sink = table.sink("p1", SinkOptions { commit, ..SinkOptions::default() }).await;
        sink.write(&rows(&[("a", "x", 1, None)]), None).await.unwrap();
        let prepared = sink.prepare(progress(1)).await.unwrap().unwrap();

        thief.ready.store(true, Ordering::Relaxed);
        let lost = sink.committer().commit(&prepared).await.unwrap();
        assert!(matches!(&lost, Outcome::Retryable { reason } if reason.contains("was lost")), "{lost:?}");
        assert!(!thief.ready.load(Ordering::Relaxed));
        assert_eq!(table.snapshot().await.timeline.completed().count(), 0);
        assert_eq!(lock.exists(), takes, "the lock of another writer is not released");

        if takes {
            std::fs::remove_file(&lock).unwrap();
        }
        assert!(is_committed(&sink.committer().commit(&prepared).await.unwrap()));
        assert_eq!(table.texts().await, ["a x 1 -"]);
    }
}
