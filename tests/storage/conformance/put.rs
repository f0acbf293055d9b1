//! Small files: put, put once, replaced.

use super::*;

pub async fn a_new_file_is_put_once(storage: Shared) {
    let version = storage.put_if_absent(&path("a/b/x"), "first".into()).await.unwrap();
    let found = storage.get(&path("a/b/x"), 5).await.unwrap();
    assert_eq!((found.version, &found.bytes[..]), (version, &b"first"[..]));
    for again in ["second", "first", ""] {
        let error = storage.put_if_absent(&path("a/b/x"), again.into()).await.unwrap_err();
        let location = storage.uri().with_scheme(&path("a/b/x"));
        assert!(
            matches!(&error, StorageError::AlreadyExists { operation: Operation::PutIfAbsent, location: l }
            if *l == location),
            "{error:?}"
        );
    }
    assert_eq!(bytes_of(&storage, "a/b/x").await, "first");
    storage.put_if_absent(&path("a/empty"), Bytes::new()).await.unwrap();
    assert!(exists(&storage.put_if_absent(&path("a/empty"), "x".into()).await));
    assert_eq!(bytes_of(&storage, "a/empty").await, "");
    assert!(storage.delete(&path("a/empty")).await.unwrap());
    storage.put_if_absent(&path("a/empty"), "again".into()).await.unwrap();
}

pub async fn of_many_that_put_one_file_one_wins(storage: Shared) {
    for (at, length) in [("d/full", 20), ("d/empty", 0)] {
        let race = (0..RACERS).map(|racer| {
            let storage = storage.clone();
            let bytes = Bytes::from(vec![racer; length]);
            tokio::spawn(async move { storage.put_if_absent(&path(at), bytes.clone()).await.map(|_| bytes) })
        });
        let mut winners = Vec::new();
        for racer in race.collect::<Vec<_>>() {
            match racer.await.unwrap() {
                Ok(bytes) => winners.push(bytes),
                lost => assert!(exists(&lost), "{lost:?}"),
            }
        }
        assert_eq!(winners, [bytes_of(&storage, at).await]);
    }
}

pub async fn a_put_replaces(storage: Shared) {
    for bytes in ["one", "a longer one", "", "two"] {
        storage.put(&path("a/x"), bytes.into()).await.unwrap();
        assert_eq!(bytes_of(&storage, "a/x").await, bytes);
    }
    assert_eq!(all_names(&storage).await, ["a/x"]);
}

pub async fn a_version_is_replaced_once(storage: Shared) {
    let first = storage.put_if_absent(&path("x"), "1".into()).await.unwrap();
    let Some(first) = first else {
        assert_eq!(storage.get(&path("x"), 1).await.unwrap().version, None);
        return;
    };
    let second = storage.replace(&path("x"), "2".into(), &first).await.unwrap();
    assert_ne!(first, second);
    let found = storage.get(&path("x"), 1).await.unwrap();
    assert_eq!((found.version.as_ref(), &found.bytes[..]), (Some(&second), &b"2"[..]));
    for at in ["x", "gone"] {
        let error = storage.replace(&path(at), "3".into(), &first).await.unwrap_err();
        assert!(matches!(error, StorageError::VersionMismatch { .. }), "{error:?}");
    }
    assert_eq!(bytes_of(&storage, "x").await, "2");
    storage.put(&path("x"), "4".into()).await.unwrap();
    let error = storage.replace(&path("x"), "5".into(), &second).await.unwrap_err();
    assert!(matches!(error, StorageError::VersionMismatch { .. }), "{error:?}");
    assert_eq!(all_names(&storage).await, ["x"]);
}

pub async fn of_many_that_replace_one_version_one_wins(storage: Shared) {
    let Some(first) = storage.put_if_absent(&path("x"), "0".into()).await.unwrap() else { return };
    let race = (0..RACERS).map(|racer| {
        let (storage, first) = (storage.clone(), first.clone());
        let bytes = Bytes::from(vec![racer; 100]);
        tokio::spawn(
            async move { storage.replace(&path("x"), bytes.clone(), &first).await.map(|v| (v, bytes)) },
        )
    });
    let mut winners = Vec::new();
    for racer in race.collect::<Vec<_>>() {
        match racer.await.unwrap() {
            Ok(won) => winners.push(won),
            lost => assert!(matches!(lost, Err(StorageError::VersionMismatch { .. })), "{lost:?}"),
        }
    }
    let found = storage.get(&path("x"), u64::MAX).await.unwrap();
    assert_eq!(winners, [(found.version.unwrap(), found.bytes)]);
}

pub async fn a_reader_sees_one_version_or_the_other(storage: Shared) {
    const LENGTH: usize = 200_000;
    storage.put(&path("a/x"), vec![0; LENGTH].into()).await.unwrap();
    let writing = tokio::spawn({
        let storage = storage.clone();
        async move {
            for version in 1..=20 {
                storage.put(&path("a/x"), vec![version; LENGTH].into()).await.unwrap();
            }
        }
    });
    let mut seen = 0;
    while seen < 20 {
        let bytes = bytes_of(&storage, "a/x").await;
        assert!(bytes.len() == LENGTH && bytes.iter().all(|byte| *byte == bytes[0]) && bytes[0] >= seen);
        seen = bytes[0];
        assert_eq!(names(&storage.list_all(&path("a")).await.unwrap()), ["a/x"]);
    }
    writing.await.unwrap();
}
