//! The object `.hoodie/.locks/table_lock.json`.

use std::sync::Arc;
use std::time::Duration;

use lakebed::environment::{Environment, Ids as _, ManualClock, SeededIds};
use lakebed::storage::Storage;
use lakebed::storage::fault::{Fault, FaultKind, FaultStorage};
use lakebed::storage::lock::{LockError, LockGuard};

use super::super::{Place, path};
use super::{LONG, lock_of};

const LOCK: &str = ".hoodie/.locks/table_lock.json";
const START: i64 = 1_767_225_600_000;

async fn content(storage: &Arc<dyn Storage>) -> String {
    let found = storage.get(&path(LOCK), 999).await.unwrap();
    String::from_utf8(found.bytes.to_vec()).unwrap()
}

async fn acquired(storage: &Arc<dyn Storage>, seed: u64) -> (LockGuard, Arc<ManualClock>) {
    let (environment, clock) = Environment::replay(START, seed);
    (lock_of(storage, &environment).acquire(Duration::ZERO).await.unwrap(), clock)
}

/// Lets the renewal that is due run.
async fn renew(clock: &ManualClock) {
    while !clock.advance_to_next_deadline() {
        tokio::task::yield_now().await;
    }
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
}

fn of(expired: bool, until: i64, owner: &str) -> String {
    format!(r#"{{"expired":{expired},"validUntil":{until},"owner":"{owner}"}}"#)
}

#[tokio::test]
async fn the_object_is_as_hudi_writes_it() {
    let storage = Place::memory().storage;
    let owner = SeededIds::new(7).uuid().to_string();
    let (guard, _clock) = acquired(&storage, 7).await;
    assert_eq!(content(&storage).await, of(false, START + 300_000, &owner));
    guard.release().await.unwrap();
    assert_eq!(content(&storage).await, of(true, START + 300_000, &owner));
    let owner = SeededIds::new(8).uuid().to_string();
    let (guard, _clock) = acquired(&storage, 8).await;
    assert_eq!(content(&storage).await, of(false, START + 300_000, &owner));
    guard.release().await.unwrap();
}

#[tokio::test]
async fn an_expired_lock_is_free_when_all_clocks_agree() {
    let storage = Place::memory().storage;
    let (environment, clock) = Environment::replay(START, 1);
    let lock = lock_of(&storage, &environment);
    storage.put(&path(LOCK), of(false, START + 10_000, "9e0f").into()).await.unwrap();
    for ahead in [0, 10_000, 499] {
        clock.advance(Duration::from_millis(ahead));
        let error = lock.acquire(Duration::ZERO).await.unwrap_err();
        assert!(error.to_string().contains("9e0f"), "{error}");
    }
    clock.advance(Duration::from_millis(2));
    lock.acquire(Duration::ZERO).await.unwrap().release().await.unwrap();
    storage.put(&path(LOCK), of(true, START + 9_000_000, "9e0f").into()).await.unwrap();
    lock.acquire(Duration::ZERO).await.unwrap().release().await.unwrap();
    storage.put(&path(LOCK), "{}".into()).await.unwrap();
    let error = lock.acquire(Duration::ZERO).await.unwrap_err();
    assert!(matches!(error, LockError::Storage(_)), "{error:?}");
}

#[tokio::test]
async fn who_waits_gets_the_lock_when_it_expires() {
    let storage = Place::memory().storage;
    let (environment, clock) = Environment::replay(START, 1);
    storage.put(&path(LOCK), of(false, START + 10_000, "9e0f").into()).await.unwrap();
    let guard = clock.run(lock_of(&storage, &environment).acquire(LONG)).await.unwrap();
    guard.release().await.unwrap();
}

#[tokio::test]
async fn a_lock_is_renewed_while_it_is_held() {
    let storage = Place::memory().storage;
    let (guard, clock) = acquired(&storage, 7).await;
    let owner = SeededIds::new(7).uuid().to_string();
    for round in 1..=20 {
        renew(&clock).await;
        assert_eq!(content(&storage).await, of(false, START + 300_000 + round * 30_000, &owner));
        assert_eq!(guard.check().await.unwrap().remaining, Some(Duration::from_secs(300)));
    }
    guard.release().await.unwrap();
    assert!(!clock.advance_to_next_deadline(), "a lock that was given back is renewed no more");
}

#[tokio::test]
async fn a_lock_that_another_took_or_deleted_is_noticed() {
    for (taken, renewed) in [(true, true), (true, false), (false, true), (false, false)] {
        let storage = Place::memory().storage;
        let (guard, clock) = acquired(&storage, 7).await;
        if taken {
            storage.put(&path(LOCK), of(false, START + 900_000, "9e0f").into()).await.unwrap();
        } else {
            storage.delete(&path(LOCK)).await.unwrap();
        }
        if renewed {
            renew(&clock).await;
        }
        let error = guard.check().await.unwrap_err();
        let why = if taken { "it is now of 9e0f" } else { "somebody has deleted the object" };
        assert!(error.is_lost() && error.to_string().contains(why), "{error}");
        assert!(matches!(guard.release().await, Err(LockError::Lost { .. })));
    }
}

#[tokio::test]
async fn a_lock_that_cannot_be_renewed_ends() {
    let inner = Place::memory().storage;
    let faults = FaultStorage::new(inner.clone());
    let (guard, clock) = acquired(&(Arc::new(faults.clone()) as Arc<dyn Storage>), 7).await;
    let renew_in_vain = async || {
        faults.add_fault(Fault { at: faults.operations().len(), kind: FaultKind::FailBefore });
        renew(&clock).await;
    };
    for _ in 0..6 {
        renew_in_vain().await;
        guard.check().await.unwrap();
    }
    renew_in_vain().await;
    let error = guard.check().await.unwrap_err();
    assert!(
        matches!(error, LockError::LeaseTooShort { remaining, .. } if remaining == Duration::from_secs(90)),
        "{error:?}"
    );
    for _ in 0..3 {
        renew_in_vain().await;
    }
    assert!(matches!(guard.check().await, Err(LockError::Lost { .. })));
    faults.add_fault(Fault { at: faults.operations().len(), kind: FaultKind::DieBefore });
    drop(guard);
    clock.advance(Duration::from_secs(1));
    let (environment, _) = Environment::replay(START + 301_000, 8);
    lock_of(&inner, &environment).acquire(Duration::ZERO).await.unwrap().release().await.unwrap();
}

#[tokio::test]
async fn a_reply_that_was_lost_is_settled_by_looking() {
    // Looking, writing; looking again as the same owner; the check, releasing.
    for kind in [FaultKind::FailBefore, FaultKind::FailAfter] {
        for at in 0..5 {
            let inner = Place::memory().storage;
            let faults = FaultStorage::with_fault(inner.clone(), Fault { at, kind });
            let storage = Arc::new(faults) as Arc<dyn Storage>;
            let (environment, clock) = Environment::replay(START, 7);
            let guard = clock.run(lock_of(&storage, &environment).acquire(LONG)).await.unwrap();
            // A check that failed allows no publishing, but the lock is ours all the same.
            if let Err(error) = guard.check().await {
                assert!(matches!(error, LockError::Storage(_)), "{error:?}");
                guard.check().await.unwrap();
            }
            guard.release().await.unwrap();
            assert!(content(&inner).await.starts_with(r#"{"expired":true,"#), "{kind:?} at {at}");
        }
    }
}
