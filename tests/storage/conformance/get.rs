//! What is read of a file and told of it.

use super::*;

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
