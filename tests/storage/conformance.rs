//! The guarantees of [`Storage`], one check each, over a storage that is empty.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lakebed::environment::Environment;
use lakebed::storage::{Entry, FileWriter, Operation, Storage, StorageError, TablePath};

use super::path;

type Shared = Arc<dyn Storage>;

/// How many tasks race where one may win.
const RACERS: u8 = 12;

async fn bytes_of(storage: &Shared, at: &str) -> Bytes {
    storage.get(&path(at), u64::MAX).await.unwrap().bytes
}

async fn put_all(storage: &Shared, paths: &[&str]) {
    for at in paths {
        storage.put(&path(at), Bytes::copy_from_slice(at.as_bytes())).await.unwrap();
    }
}

async fn start(storage: &Shared, at: &str, bytes: &[u8]) -> Box<dyn FileWriter> {
    let mut writer = storage.create(&path(at), None).await.unwrap();
    writer.write(Bytes::copy_from_slice(bytes)).await.unwrap();
    writer
}

fn names(entries: &[Entry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.path.as_str()).collect()
}

async fn all_names(storage: &Shared) -> Vec<String> {
    let entries = storage.list_all(&TablePath::root()).await.unwrap();
    names(&entries).into_iter().map(str::to_owned).collect()
}

fn is_not_found<T>(done: &Result<T, StorageError>) -> bool {
    matches!(done, Err(StorageError::NotFound { .. }))
}

fn exists<T>(done: &Result<T, StorageError>) -> bool {
    matches!(done, Err(StorageError::AlreadyExists { .. }))
}

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

pub async fn a_file_is_read_up_to_a_limit(storage: Shared) {
    put_all(&storage, &["a/x"]).await;
    storage.put(&path("a/empty"), Bytes::new()).await.unwrap();
    let found = storage.get(&path("a/x"), 3).await.unwrap();
    assert_eq!((found.entry.size, found.entry.path.as_str()), (3, "a/x"));
    assert_eq!(found.entry, storage.stat(&path("a/x")).await.unwrap());
    assert_eq!(storage.get(&path("a/empty"), 0).await.unwrap().bytes, "");
    for max_bytes in [0, 2] {
        let error = storage.get(&path("a/x"), max_bytes).await.unwrap_err();
        assert!(
            matches!(error, StorageError::TooLarge { size: 3, max_bytes: m, .. } if m == max_bytes),
            "{error:?}"
        );
    }
    for at in ["a/y", "a", "b/x", "a/x/y"] {
        assert!(is_not_found(&storage.get(&path(at), 9).await), "{at}");
    }
}

/// A megabyte and a half, of which every byte says where it is.
fn long() -> Bytes {
    (0..3u32 << 17).flat_map(u32::to_le_bytes).collect()
}

pub async fn ranges_are_read_in_the_order_given(storage: Shared) {
    let bytes = long();
    let size = bytes.len() as u64;
    storage.put(&path("x"), bytes.clone()).await.unwrap();
    let near = [100..200, 0..50, 150..300, 200..200, 60..61];
    let far = [size - 4..size, 0..4, size / 2..size / 2 + 1_000, size..size, 0..0];
    let whole = std::iter::once(0..size).collect::<Vec<_>>();
    for ranges in [&near[..], &far[..], &whole, &[]] {
        let got = storage.get_ranges(&path("x"), ranges).await.unwrap();
        let expected: Vec<_> = ranges.iter().map(|r| bytes.slice(r.start as usize..r.end as usize)).collect();
        assert!(got == expected, "{ranges:?}");
    }
    assert_eq!(storage.get_range(&path("x"), 4..8).await.unwrap(), bytes.slice(4..8));
}

pub async fn ranges_outside_of_the_file_are_refused(storage: Shared) {
    put_all(&storage, &["a/x"]).await;
    for range in [
        0..4,
        2..10,
        3..4,
        4..4,
        7..9,
        0..u64::MAX,
        u64::MAX - 1..u64::MAX,
        std::ops::Range { start: 2, end: 1 },
    ] {
        for ranges in [vec![range.clone()], vec![0..1, range.clone()]] {
            let error = storage.get_ranges(&path("a/x"), &ranges).await.unwrap_err();
            assert!(
                matches!(&error, StorageError::OutOfRange { size: 3, range: r, .. } if *r == range),
                "{error:?}"
            );
        }
    }
    for at in ["a/y", "a"] {
        assert!(is_not_found(&storage.get_range(&path(at), 0..1).await), "{at}");
        assert!(is_not_found(&storage.get_range(&path(at), 0..0).await), "{at}");
    }
}

pub async fn a_file_has_a_size_and_a_time(storage: Shared) {
    // Clocks of file systems lag by a tick, those of buckets count seconds.
    let before = Environment::real().clock.unix_millis() - 1_100;
    put_all(&storage, &["a/x"]).await;
    let after = Environment::real().clock.unix_millis() + 1_100;
    let entry = storage.stat(&path("a/x")).await.unwrap();
    assert_eq!((entry.path.as_str(), entry.size), ("a/x", 3));
    assert!((before..=after).contains(&entry.modified_unix_millis), "{entry:?}: {before} {after}");
    let listed = [
        storage.list(&path("a")).await.unwrap().files,
        storage.list_after(&path("a"), "").await.unwrap(),
        storage.list_all(&path("a")).await.unwrap(),
    ];
    let seconds = |entry: &Entry| (entry.path.clone(), entry.size, entry.modified_unix_millis / 1_000);
    for files in listed {
        assert_eq!(files.iter().map(seconds).collect::<Vec<_>>(), [seconds(&entry)]);
    }
    for at in ["a", "b", "a/x/y"] {
        assert!(is_not_found(&storage.stat(&path(at)).await), "{at}");
    }
}

pub async fn a_folder_lists_what_is_directly_in_it(storage: Shared) {
    put_all(&storage, &["a/c", "a/b", "a/b-", "a/d/x", "a/d/y", "a/d-/x", "ab", "b/x", "a/.h/x", "a/.f"])
        .await;
    let listing = storage.list(&path("a")).await.unwrap();
    assert_eq!(names(&listing.files), ["a/.f", "a/b", "a/b-", "a/c"]);
    assert_eq!(listing.files.iter().map(|file| file.size).collect::<Vec<_>>(), [4, 3, 4, 3]);
    assert_eq!(listing.folders, [path("a/.h"), path("a/d"), path("a/d-")]);
    let root = storage.list(&TablePath::root()).await.unwrap();
    assert_eq!((names(&root.files), root.folders), (vec!["ab"], vec![path("a"), path("b")]));
    for nothing in ["z", "ab", "a/b/c"] {
        assert_eq!(storage.list(&path(nothing)).await.unwrap(), Default::default(), "{nothing}");
    }
}

pub async fn names_after_a_name_are_listed(storage: Shared) {
    put_all(&storage, &["a/1", "a/10", "a/2", "a/2.x", "a/3", "a/25/x", "a/é", "b/9"]).await;
    for (after, expected) in [
        ("", &["a/1", "a/10", "a/2", "a/2.x", "a/3", "a/é"][..]),
        ("1", &["a/10", "a/2", "a/2.x", "a/3", "a/é"]),
        ("10", &["a/2", "a/2.x", "a/3", "a/é"]),
        ("19", &["a/2", "a/2.x", "a/3", "a/é"]),
        ("2", &["a/2.x", "a/3", "a/é"]),
        ("25", &["a/3", "a/é"]),
        ("3", &["a/é"]),
        ("é", &[]),
    ] {
        let found = storage.list_after(&path("a"), after).await.unwrap();
        assert_eq!(names(&found), expected, "after {after:?}");
    }
    assert_eq!(storage.list_after(&path("z"), "").await.unwrap(), []);
    assert_eq!(storage.list_after(&TablePath::root(), "").await.unwrap(), []);
}

pub async fn a_stamp_tells_of_what_came_and_went(storage: Shared) {
    let coarse = Duration::from_millis(50);
    let folder = path("a");
    assert_eq!(storage.stamp(&folder).await.unwrap(), None, "it is not there");
    put_all(&storage, &["a/1"]).await;
    let Some(first) = storage.stamp(&folder).await.unwrap() else { return };
    storage.list(&folder).await.unwrap();
    put_all(&storage, &["b/1"]).await;
    assert_eq!(storage.stamp(&folder).await.unwrap(), Some(first));
    tokio::time::sleep(coarse).await;
    put_all(&storage, &["a/2"]).await;
    let second = storage.stamp(&folder).await.unwrap();
    assert_ne!(second, Some(first));
    tokio::time::sleep(coarse).await;
    storage.delete(&path("a/1")).await.unwrap();
    assert_ne!(storage.stamp(&folder).await.unwrap(), second);
}

pub async fn everything_below_a_folder_is_listed(storage: Shared) {
    put_all(&storage, &["a/b/c/x", "a/b/x", "a/x", "ab/x", "a/b-/x", "x"]).await;
    storage.put(&path("a/b/empty"), Bytes::new()).await.unwrap();
    let below = storage.list_all(&path("a")).await.unwrap();
    assert_eq!(names(&below), ["a/b-/x", "a/b/c/x", "a/b/empty", "a/b/x", "a/x"]);
    assert_eq!(below.iter().map(|file| file.size).collect::<Vec<_>>(), [6, 7, 0, 5, 3]);
    assert_eq!(storage.list_all(&TablePath::root()).await.unwrap().len(), 7);
    for nothing in ["z", "x", "a/b/c/x/y"] {
        assert_eq!(storage.list_all(&path(nothing)).await.unwrap(), [], "{nothing}");
    }
}

pub async fn a_file_is_deleted_once(storage: Shared) {
    put_all(&storage, &["a/x", "a/y"]).await;
    assert!(storage.delete(&path("a/x")).await.unwrap());
    for nothing in ["a/x", "a", "z", "a/y/z"] {
        assert!(!storage.delete(&path(nothing)).await.unwrap(), "{nothing}");
    }
    assert_eq!(all_names(&storage).await, ["a/y"]);
    assert!(is_not_found(&storage.stat(&path("a/x")).await));
}

pub async fn a_folder_is_deleted_with_everything_below(storage: Shared) {
    put_all(&storage, &["a/b/x", "a/b/c/x", "a/b/.h", "a/bc", "a/b-/x", "a/x"]).await;
    for nothing in ["a/z", "a/x", "z/z"] {
        storage.delete_dir(&path(nothing)).await.unwrap();
    }
    storage.delete_dir(&path("a/b")).await.unwrap();
    assert_eq!(all_names(&storage).await, ["a/b-/x", "a/bc", "a/x"]);
    storage.delete_dir(&path("a/b")).await.unwrap();
}

pub async fn the_own_folder_is_no_file(storage: Shared) {
    put_all(&storage, &["x"]).await;
    let root = TablePath::root();
    let refused = [
        storage.put_if_absent(&root, "y".into()).await.map(drop),
        storage.put(&root, "y".into()).await,
        storage.get(&root, 9).await.map(drop),
        storage.get_range(&root, 0..1).await.map(drop),
        storage.stat(&root).await.map(drop),
        storage.delete(&root).await.map(drop),
        storage.delete_dir(&root).await,
        storage.create(&root, None).await.map(drop),
        storage.create(&path("y"), Some(&root)).await.map(drop),
    ];
    for done in refused {
        assert!(matches!(done, Err(StorageError::TableFolder { .. })), "{done:?}");
    }
    assert_eq!(all_names(&storage).await, ["x"]);
}

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

pub async fn names_are_taken_as_they_are(storage: Shared) {
    let mut hard = [
        "p=a%2Fb",
        "%",
        "%25",
        "p=a+b",
        "a b",
        " ",
        "#1",
        "é",
        "e\u{301}",
        "漢字",
        "a&b=c",
        "what?",
        "*",
        "[x]",
        "'\"",
        "a:b",
        "@{}",
        "~",
        "a;b,c",
        "$x",
        "(x)",
        "!",
        "|<>^`",
        "...",
        ".hidden",
        "-x",
        "__HIVE_DEFAULT_PARTITION__",
    ];
    hard.sort_unstable();
    for name in hard {
        let at = path(name).join(name).unwrap();
        let marker = path(".m").join(name).unwrap();
        let mut writer = storage.create(&at, Some(&marker)).await.unwrap();
        writer.write(Bytes::copy_from_slice(name.as_bytes())).await.unwrap();
        writer.finish().await.unwrap();
        assert!(exists(&storage.put_if_absent(&at, "x".into()).await), "{name}");
        assert_eq!(storage.get(&at, 99).await.unwrap().bytes, name);
        assert_eq!(storage.stat(&at).await.unwrap().size, name.len() as u64);
        let listing = storage.list(&path(name)).await.unwrap();
        assert_eq!(listing.files.iter().map(|file| &file.path).collect::<Vec<_>>(), [&at], "{name}");
        assert_eq!(storage.list_after(&path(name), name).await.unwrap(), [], "{name}");
        assert_eq!(storage.list_after(&path(name), "").await.unwrap(), listing.files, "{name}");
    }
    let markers = storage.list_all(&path(".m")).await.unwrap();
    assert_eq!(markers.iter().map(|file| file.path.file_name()).collect::<Vec<_>>(), hard);
    let folders = storage.list(&TablePath::root()).await.unwrap().folders;
    let mut expected: Vec<_> = hard.iter().chain(&[".m"]).map(|name| path(name)).collect();
    expected.sort_unstable();
    assert_eq!(folders, expected);
    for name in hard {
        storage.delete_dir(&path(name)).await.unwrap();
        assert!(storage.delete(&path(".m").join(name).unwrap()).await.unwrap(), "{name}");
    }
    assert_eq!(all_names(&storage).await, [""; 0]);
}

pub async fn the_folder_above_has_the_table_in_it(storage: Shared) {
    storage.put(&path("x"), "x".into()).await.unwrap();
    let above = storage.parent().unwrap();
    assert!(storage.uri().to_string().starts_with(&above.uri().to_string()));
    assert_eq!(bytes_of(&above, "t/x").await, "x");
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

pub async fn what_is_cancelled_happens_whole_or_not_at_all(storage: Shared) {
    let bytes = long();
    for file in 0..20 {
        let at = path(&format!("a/{file}"));
        let put = storage.put_if_absent(&at, bytes.clone());
        let _ = tokio::time::timeout(Duration::from_micros(100 * file), put).await;
    }
    // An operation that goes on all the same has ended when its path can be told for certain.
    for entry in storage.list_all(&path("a")).await.unwrap() {
        assert_eq!(entry.size, bytes.len() as u64);
        assert!(storage.get(&entry.path, u64::MAX).await.unwrap().bytes == bytes);
    }
}
