//! The table locks: Hudi's file on local disks, Hudi's object in buckets.

mod file;
mod object;

use std::process::{Child, Command};
use std::sync::Arc;
use std::time::Duration;

use lakebed::environment::Environment;
use lakebed::storage::Storage;
use lakebed::storage::lock::{LockError, LockGuard, LockOptions, TableLock};

use super::{Place, open, path};

const LONG: Duration = Duration::from_secs(60);

fn lock_of(storage: &Arc<dyn Storage>, environment: &Environment) -> TableLock {
    TableLock::new(storage.clone(), environment, LockOptions::default()).unwrap()
}

async fn acquire(storage: &Arc<dyn Storage>) -> LockGuard {
    lock_of(storage, &Environment::real()).acquire(LONG).await.unwrap()
}

async fn try_acquire(storage: &Arc<dyn Storage>) -> Result<LockGuard, LockError> {
    lock_of(storage, &Environment::real()).acquire(Duration::ZERO).await
}

/// Adds one to the number in a file in two steps that only a lock makes one.
async fn add_one(storage: &Arc<dyn Storage>) {
    let guard = acquire(storage).await;
    let before = number(storage).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    guard.check().await.unwrap();
    storage.put(&path("number"), (before + 1).to_string().into()).await.unwrap();
    guard.release().await.unwrap();
}

async fn number(storage: &Arc<dyn Storage>) -> u32 {
    match storage.get(&path("number"), 99).await {
        Ok(found) => std::str::from_utf8(&found.bytes).unwrap().parse().unwrap(),
        Err(_) => 0,
    }
}

async fn tasks_exclude_each_other(storage: Arc<dyn Storage>) {
    let adding = (0..8).map(|_| {
        let storage = storage.clone();
        tokio::spawn(async move { add_one(&storage).await })
    });
    for task in adding.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert_eq!(number(&storage).await, 8);
}

async fn who_waits_in_vain_is_told_of_the_holder(storage: Arc<dyn Storage>) {
    let guard = acquire(&storage).await;
    let error = try_acquire(&storage).await.unwrap_err();
    let LockError::Timeout { location, holder, .. } = &error else { panic!("{error:?}") };
    assert!(location.contains("/.hoodie/") && location.contains("lock"), "{location}");
    assert!(!holder.name.is_empty() && !holder.advice.is_empty(), "{error}");
    guard.release().await.unwrap();
    try_acquire(&storage).await.unwrap().release().await.unwrap();
}

async fn a_dropped_guard_gives_the_lock_back(storage: Arc<dyn Storage>) {
    drop(acquire(&storage).await);
    acquire(&storage).await.release().await.unwrap();
    // A wait that is cancelled leaves no lock, whether it had got one or not.
    for micros in [0, 50, 200, 1_000, 5_000] {
        let lock = lock_of(&storage, &Environment::real());
        drop(tokio::time::timeout(Duration::from_micros(micros), lock.acquire(LONG)).await);
        acquire(&storage).await.release().await.unwrap();
    }
}

async fn a_lock_that_another_took_is_noticed_and_not_given_back(storage: Arc<dyn Storage>) {
    let guard = acquire(&storage).await;
    let (at, theirs) = (path(lock_path(&storage)), lock_of_another());
    storage.put(&at, theirs.clone().into()).await.unwrap();
    let error = guard.check().await.unwrap_err();
    assert!(matches!(error, LockError::Lost { .. }), "{error:?}");
    let error = guard.release().await.unwrap_err();
    assert!(matches!(error, LockError::Lost { .. }), "{error:?}");
    assert_eq!(storage.get(&at, 999).await.unwrap().bytes, theirs);
}

fn lock_path(storage: &Arc<dyn Storage>) -> &'static str {
    let is_local = storage.uri().bucket().is_empty();
    if is_local { ".hoodie/lock" } else { ".hoodie/.locks/table_lock.json" }
}

/// What both kinds of locks take for a lock of somebody else, valid for an hour.
fn lock_of_another() -> String {
    let until = Environment::real().clock.unix_millis() + 3_600_000;
    format!(r#"{{"expired":false,"validUntil":{until},"owner":"2c7a0c3e-1111-4222-8333-444455556666"}}"#)
}

/// A test of each named check for each kind of lock.
macro_rules! on_every_lock {
    ($($check:ident)*) => {
        mod on_local_disk {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $check() {
                let place = super::Place::local().await;
                super::$check(place.storage.clone()).await;
            })*
        }
        mod in_memory {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $check() {
                super::$check(super::Place::memory().storage).await;
            })*
        }
        mod on_s3 {
            $(#[tokio::test(flavor = "multi_thread")]
            #[ignore = "needs S3Mock: lakebed-tools s3mock -- cargo test -p lakebed --test it -- --ignored s3"]
            async fn $check() {
                super::$check(super::Place::s3().await.storage).await;
            })*
        }
    };
}

on_every_lock! {
    tasks_exclude_each_other
    who_waits_in_vain_is_told_of_the_holder
    a_dropped_guard_gives_the_lock_back
    a_lock_that_another_took_is_noticed_and_not_given_back
}

const URI: &str = "LAKEBED_TEST_LOCKED_TABLE";
const ROUNDS: u32 = 20;

/// Starts this test program anew, to run one of its ignored tests on the table of `storage`.
fn child(test: &str, storage: &Arc<dyn Storage>) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("storage::lock::{test}"), "--ignored", "--quiet"])
        .env(URI, storage.uri().to_string())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test]
#[ignore = "one of several processes that another test starts"]
async fn add_many() {
    let storage = open(&std::env::var(URI).unwrap()).await;
    for _ in 0..ROUNDS {
        add_one(&storage).await;
    }
}

async fn processes_exclude_each_other(storage: Arc<dyn Storage>) {
    let children: Vec<Child> = (0..3).map(|_| child("add_many", &storage)).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(number(&storage).await, 3 * ROUNDS);
}

#[tokio::test]
async fn processes_exclude_each_other_on_local_disk() {
    let place = Place::local().await;
    processes_exclude_each_other(place.storage.clone()).await;
}

#[tokio::test]
#[ignore = "needs S3Mock: lakebed-tools s3mock -- cargo test -p lakebed --test it -- --ignored s3"]
async fn processes_exclude_each_other_on_s3() {
    processes_exclude_each_other(Place::s3().await.storage).await;
}
