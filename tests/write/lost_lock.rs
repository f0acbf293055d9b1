//! A table lock that is lost between the checks and the put that makes a write visible.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use lakebed::commit::{CommitOptions, Outcome};
use lakebed::environment::{Clock, Environment};
use lakebed::sink::{Sink, SinkOptions};
use lakebed::storage::{Storage, TablePath};
use lakebed::table::Table;

use crate::storage::Place;
use crate::test_table::*;

/// So long a new time is waited for: the last thing before the lock is looked at once more.
const SKEW: Duration = Duration::from_millis(7);

/// A clock on which somebody takes the lock away while the holder waits for a new time.
#[derive(Debug)]
struct Thief {
    clock: Arc<dyn Clock>,
    storage: Arc<dyn Storage>,
    lock: TablePath,
    /// What the lock says when it is another writer's; `None` makes it nobody's.
    theirs: Option<Bytes>,
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
            match &self.theirs {
                Some(theirs) => self.storage.put(&self.lock, theirs.clone()).await.unwrap(),
                None => assert!(self.storage.delete(&self.lock).await.unwrap()),
            }
        }
        self.clock.sleep(duration).await;
    }
}

/// Has the lock at `lock` taken away, and expects that nothing shows until the commit is tried again.
async fn nothing_shows(storage: Arc<dyn Storage>, lock: &str, theirs: Option<String>) {
    let (mut environment, lock) = (Environment::real(), lock.parse::<TablePath>().unwrap());
    Table::create(storage.clone(), &environment, &bucket_table()).await.unwrap();
    let thief = Arc::new(Thief {
        clock: environment.clock.clone(),
        storage: storage.clone(),
        lock: lock.clone(),
        theirs: theirs.map(Bytes::from),
        ready: AtomicBool::new(false),
    });
    environment.clock = thief.clone();
    let commit = CommitOptions { clock_skew: SKEW, ..CommitOptions::default() };
    let options = SinkOptions { commit, ..SinkOptions::default() };
    let mut sink = Sink::open(storage.clone(), &environment, "p1", Vec::new(), options).await.unwrap();
    write(&mut sink, "a", 1).await;
    let prepared = sink.prepare(progress(1)).await.unwrap().unwrap();

    thief.ready.store(true, Ordering::Relaxed);
    let lost = sink.committer().commit(&prepared).await.unwrap();
    assert!(matches!(&lost, Outcome::Retryable { reason } if reason.contains("was lost")), "{lost:?}");
    assert!(!thief.ready.load(Ordering::Relaxed));
    let table = Table::open(storage.clone(), &environment, None).await.unwrap();
    assert_eq!(table.timeline.load().await.unwrap().completed().count(), 0);
    let found = storage.get(&lock, 999).await.ok().map(|found| found.bytes);
    assert_eq!(found, thief.theirs, "the lock of another writer is not released");

    storage.delete(&lock).await.unwrap();
    assert!(is_committed(&sink.committer().commit(&prepared).await.unwrap()));
    assert_eq!(texts_of(&table.snapshot(None).await.unwrap()).await, ["a x 1 -"]);
}

/// What the lock object of another writer says whose clock was ahead, so that it did not wait for ours
/// to end.
fn object_of_another() -> String {
    let until = Environment::real().clock.unix_millis() + 3_600_000;
    format!(r#"{{"expired":false,"validUntil":{until},"owner":"2c7a0c3e-1111-4222-8333-444455556666"}}"#)
}

const OBJECT: &str = ".hoodie/.locks/table_lock.json";

#[tokio::test]
async fn a_lock_file_that_is_lost_before_the_put_shows_nothing_and_the_commit_can_be_tried_again() {
    for theirs in [Some(String::new()), None] {
        let place = Place::local().await;
        nothing_shows(place.storage.clone(), ".hoodie/lock", theirs).await;
    }
}

#[tokio::test]
async fn a_lock_object_that_is_lost_before_the_put_shows_nothing_and_the_commit_can_be_tried_again() {
    for theirs in [Some(object_of_another()), None] {
        nothing_shows(Place::memory().storage, OBJECT, theirs).await;
    }
}

#[tokio::test]
#[ignore = "needs S3Mock: lakebed-tools s3mock -- cargo test -p lakebed --test it -- --ignored s3"]
async fn a_lock_on_s3_that_is_lost_before_the_put_shows_nothing_and_the_commit_can_be_tried_again() {
    for theirs in [Some(object_of_another()), None] {
        nothing_shows(Place::s3().await.storage, OBJECT, theirs).await;
    }
}
