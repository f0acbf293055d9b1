//! The file `.hoodie/lock`.

use std::time::Duration;

use lakebed::environment::{Environment, Ids as _, SeededIds};
use lakebed::storage::lock::{LockError, LockOptions, TableLock};

use super::super::{Place, open, path};
use super::{LONG, URI, acquire, child, lock_of, try_acquire};

const LOCK: &str = ".hoodie/lock";

/// As Jackson prints Hudi's `LockInfo`.
const OF_HUDI: &str = "{\n  \"lockCreateTime\" : \"2026-01-01 00:00:00.000\",\n  \
    \"lockThreadName\" : \"Thread[main,5,main]\",\n  \"lockStacksInfo\" : [ ]\n}";

#[tokio::test]
async fn the_file_says_what_hudi_says_and_whose_it_is() {
    let place = Place::local().await;
    let (environment, _clock) = Environment::replay(1_767_225_600_123, 7);
    let guard = lock_of(&place.storage, &environment).acquire(Duration::ZERO).await.unwrap();
    let text = place.storage.get(&path(LOCK), 9_999).await.unwrap().bytes;
    let text = std::str::from_utf8(&text).unwrap();
    let owner = SeededIds::new(7).uuid();
    let start = format!(
        "{{\n  \"lockCreateTime\": \"2026-01-01 00:00:00.123\",\n  \"lockThreadName\": \"lakebed owner={owner} host="
    );
    assert!(text.starts_with(&start), "{text}");
    assert!(text.ends_with("\",\n  \"lockStacksInfo\": []\n}"), "{text}");
    assert!(text.contains(&format!(" pid={} ", std::process::id())), "{text}");
    guard.release().await.unwrap();
    assert!(place.storage.stat(&path(LOCK)).await.is_err());
}

#[tokio::test]
async fn the_lock_of_another_engine_is_respected_and_named() {
    let place = Place::local().await;
    for (content, name) in
        [("", "a writer that left no name"), (OF_HUDI, "Thread[main,5,main]"), ("?", "left \"?\"")]
    {
        place.storage.put(&path(LOCK), content.into()).await.unwrap();
        let error = try_acquire(&place.storage).await.unwrap_err().to_string();
        assert!(error.contains(name) && error.contains("hoodie.write.lock.filesystem.expire"), "{error}");
        assert_eq!(place.storage.get(&path(LOCK), 999).await.unwrap().bytes, content);
    }
    let waiting = acquire(&place.storage);
    let (guard, ()) = tokio::join!(waiting, async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        place.storage.delete(&path(LOCK)).await.unwrap();
    });
    guard.release().await.unwrap();
}

#[tokio::test]
async fn a_lock_is_held_whatever_link_leads_to_its_table() {
    let place = Place::local().await;
    let folder = place.folder.as_ref().unwrap().path();
    let guard = acquire(&place.storage).await;
    std::os::unix::fs::symlink(folder.join("lake"), folder.join("link")).unwrap();
    let linked = open(&folder.join("link/t").display().to_string()).await;
    let busy = try_acquire(&linked).await;
    assert!(matches!(busy, Err(LockError::Timeout { .. })), "{busy:?}");
    guard.release().await.unwrap();
    try_acquire(&linked).await.unwrap().release().await.unwrap();
}

#[tokio::test]
async fn a_lock_expires_by_its_age_where_all_agreed_on_it() {
    let place = Place::local().await;
    let now = Environment::real().clock.unix_millis();
    let expiring = |minutes, clock_ahead| {
        let options = LockOptions { file_system_expire_minutes: minutes, ..LockOptions::default() };
        let (environment, _clock) = Environment::replay(now + clock_ahead, 1);
        TableLock::new(place.storage.clone(), &environment, options).unwrap()
    };
    place.storage.put(&path(LOCK), OF_HUDI.into()).await.unwrap();
    for (minutes, clock_ahead) in [(0, i64::from(u32::MAX)), (2, 115_000)] {
        let busy = expiring(minutes, clock_ahead).acquire(Duration::ZERO).await;
        assert!(matches!(busy, Err(LockError::Timeout { .. })), "{busy:?}");
    }
    let guard = expiring(2, 125_000).acquire(Duration::ZERO).await.unwrap();
    // By a clock so far ahead the new lock is as old as the other was.
    assert!(matches!(guard.check().await, Err(LockError::LeaseTooShort { .. })));
    assert!(guard.release().await.is_ok());
    let guard = expiring(2, 0).acquire(Duration::ZERO).await.unwrap();
    let remaining = guard.check().await.unwrap().remaining.unwrap();
    assert!(remaining <= Duration::from_secs(121) && remaining > Duration::from_secs(60), "{remaining:?}");
    guard.release().await.unwrap();
}

#[tokio::test]
async fn a_lock_that_is_gone_or_of_another_is_noticed() {
    let place = Place::local().await;
    for content in [None, Some(""), Some(OF_HUDI)] {
        let guard = acquire(&place.storage).await;
        assert_eq!(guard.check().await.unwrap().remaining, None);
        place.storage.delete(&path(LOCK)).await.unwrap();
        if let Some(content) = content {
            place.storage.put(&path(LOCK), content.into()).await.unwrap();
        }
        let error = guard.check().await.unwrap_err();
        assert!(error.is_lost(), "{error:?}");
        assert!(matches!(guard.release().await, Err(LockError::Lost { .. })));
        assert_eq!(
            place.storage.delete(&path(LOCK)).await.unwrap(),
            content.is_some(),
            "it is left to its owner"
        );
    }
}

#[tokio::test]
async fn the_lock_of_a_process_that_was_killed_is_taken_over() {
    let place = Place::local().await;
    let mut holder = child("file::hold", &place.storage);
    while place.storage.stat(&path("held")).await.is_err() {
        assert!(holder.try_wait().unwrap().is_none(), "the holder has ended");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let error = try_acquire(&place.storage).await.unwrap_err().to_string();
    assert!(error.contains(&format!("pid={}", holder.id())), "{error}");
    holder.kill().unwrap();
    holder.wait().unwrap();
    let guard = try_acquire(&place.storage).await.unwrap();
    guard.check().await.unwrap();
    guard.release().await.unwrap();
    let left = place.storage.list(&path(".hoodie")).await.unwrap();
    assert_eq!(left.files, []);
}

#[tokio::test]
#[ignore = "a process that another test starts and kills"]
async fn hold() {
    let storage = open(&std::env::var(URI).unwrap()).await;
    let _guard = acquire(&storage).await;
    storage.put(&path("held"), "".into()).await.unwrap();
    tokio::time::sleep(LONG).await;
}
