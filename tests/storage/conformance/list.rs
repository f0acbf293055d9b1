//! What folders hold, and how it goes.

use super::*;

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
    for (after, upto, expected) in [
        ("", "2", &["a/1", "a/10", "a/2"][..]),
        ("1", "25", &["a/10", "a/2", "a/2.x"]),
        ("2", "2.x", &["a/2.x"]),
        ("2", "1", &[]),
        ("25", "ü", &["a/3", "a/é"]),
    ] {
        let found = storage.list_between(&path("a"), after, upto).await.unwrap();
        assert_eq!(names(&found), expected, "after {after:?} and not after {upto:?}");
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
