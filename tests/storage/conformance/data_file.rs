//! Files that are written piece by piece.

use super::*;

pub async fn a_data_file_follows_its_marker_and_shows_when_finished(storage: Shared) {
    let (file, marker) = (path("p/x"), path(".hoodie/.temp/1/p/x.marker"));
    let mut writer = storage.create(&file, Some(&marker)).await.unwrap();
    assert_eq!(all_names(&storage).await, [marker.as_str()]);
    assert_eq!(bytes_of(&storage, marker.as_str()).await, "");
    for bytes in ["abc", "", "defg"] {
        writer.write(bytes.into()).await.unwrap();
    }
    assert_eq!(writer.bytes_written(), 7);
    assert_eq!(all_names(&storage).await, [marker.as_str()]);
    assert!(is_not_found(&storage.stat(&file).await));
    assert_eq!(writer.finish().await.unwrap(), 7);
    assert_eq!(bytes_of(&storage, "p/x").await, "abcdefg");
    // A marker that is there is ours; an empty file is one, too.
    let again = storage.create(&path("p/y"), Some(&marker)).await.unwrap();
    assert_eq!(again.finish().await.unwrap(), 0);
    assert_eq!(all_names(&storage).await, [marker.as_str(), "p/x", "p/y"]);
}

pub async fn a_data_file_never_replaces_another(storage: Shared) {
    put_all(&storage, &["p/before"]).await;
    let before = start(&storage, "p/before", b"new").await;
    let during = start(&storage, "p/during", b"new").await;
    put_all(&storage, &["p/during"]).await;
    for (at, writer) in [("p/before", before), ("p/during", during)] {
        let error = writer.finish().await.unwrap_err();
        assert!(
            matches!(error, StorageError::AlreadyExists { operation: Operation::Finish, .. }),
            "{error:?}"
        );
        assert_eq!(bytes_of(&storage, at).await, at);
    }
    assert_eq!(all_names(&storage).await, ["p/before", "p/during"]);
}

pub async fn a_file_of_several_parts_never_replaces_another(storage: Shared) {
    finish_over_another_in_parts(&storage).await;
    assert_eq!(bytes_of(&storage, "p/x").await, "p/x");
    assert_eq!(all_names(&storage).await, ["p/x"]);
}

pub async fn finish_over_another_in_parts(storage: &Shared) {
    let writer = start(storage, "p/x", &vec![1; 9 << 20]).await;
    put_all(storage, &["p/x"]).await;
    let error = writer.finish().await.unwrap_err();
    assert!(matches!(error, StorageError::AlreadyExists { operation: Operation::Finish, .. }), "{error:?}");
}

pub async fn of_many_that_finish_one_file_one_wins(storage: Shared) {
    let mut race = Vec::new();
    for racer in 0..RACERS {
        let writer = start(&storage, "p/x", &[racer; 10]).await;
        race.push(tokio::spawn(async move { (racer, writer.finish().await) }));
    }
    let mut winners = Vec::new();
    for racer in race {
        match racer.await.unwrap() {
            (racer, Ok(10)) => winners.push(Bytes::from(vec![racer; 10])),
            (_, lost) => assert!(exists(&lost), "{lost:?}"),
        }
    }
    assert_eq!(winners, [bytes_of(&storage, "p/x").await]);
}

pub async fn what_is_given_up_never_shows(storage: Shared) {
    for length in [0, 10, 9 << 20] {
        start(&storage, "p/aborted", &vec![1; length]).await.abort().await.unwrap();
        drop(start(&storage, "p/dropped", &vec![1; length]).await);
    }
    let unfinished = tokio::spawn({
        let storage = storage.clone();
        async move {
            let _writer = start(&storage, "p/cancelled", b"x").await;
            std::future::pending::<()>().await;
        }
    });
    tokio::task::yield_now().await;
    unfinished.abort();
    assert!(unfinished.await.unwrap_err().is_cancelled());
    assert_eq!(all_names(&storage).await, [""; 0]);
    assert_eq!(storage.list(&path("p")).await.unwrap().files, []);
    put_all(&storage, &["p/aborted", "p/dropped"]).await;
}

pub async fn leftovers_are_invisible_and_files_are_not_swept(storage: Shared) {
    put_all(&storage, &["p/x", "p/q/.y"]).await;
    let later = Environment::real().clock.unix_millis() + 3_600_000;
    assert_eq!(storage.sweep(&path("p"), later).await.unwrap(), 0);
    assert_eq!(storage.sweep(&path("z"), later).await.unwrap(), 0);
    // As a process leaves it that is stopped.
    std::mem::forget(start(&storage, "p/z", &vec![1; 2 << 20]).await);
    assert_eq!(all_names(&storage).await, ["p/q/.y", "p/x"]);
    assert_eq!(names(&storage.list(&path("p")).await.unwrap().files), ["p/x"]);
    assert_eq!(names(&storage.list_after(&path("p"), "").await.unwrap()), ["p/x"]);
    assert!(is_not_found(&storage.stat(&path("p/z")).await));
    assert_eq!(storage.sweep(&path("p"), later - 7_200_000).await.unwrap(), 0);
    storage.sweep(&path("p"), later).await.unwrap();
    assert_eq!(storage.sweep(&path("p"), later).await.unwrap(), 0);
    assert_eq!(all_names(&storage).await, ["p/q/.y", "p/x"]);
    put_all(&storage, &["p/z"]).await;
}

pub async fn files_of_several_parts_are_whole(storage: Shared) {
    const PART: usize = 8 << 20;
    for (at, length, step) in [
        ("p/exact", PART, PART),
        ("p/two", 2 * PART, 1 << 20),
        ("p/odd", 2 * PART + 12_345, 3_333_333),
        ("p/once", PART + 1, PART + 1),
    ] {
        let bytes: Bytes = (0..length as u32 / 4 + 1).flat_map(u32::to_le_bytes).take(length).collect();
        let mut writer = storage.create(&path(at), None).await.unwrap();
        for start in (0..length).step_by(step) {
            writer.write(bytes.slice(start..length.min(start + step))).await.unwrap();
        }
        assert_eq!(writer.finish().await.unwrap(), length as u64);
        assert!(bytes_of(&storage, at).await == bytes, "{at}");
        assert_eq!(storage.stat(&path(at)).await.unwrap().size, length as u64);
    }
    assert_eq!(all_names(&storage).await, ["p/exact", "p/odd", "p/once", "p/two"]);
}
