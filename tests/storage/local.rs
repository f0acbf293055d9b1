//! What local disks add: links, temporary names, permissions.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::sync::Arc;

use lakebed::environment::Environment;
use lakebed::storage::{Operation, Storage, StorageError, TablePath};

use super::{Place, path};

/// A table with a file in it, and its folder on the disk.
async fn started() -> (Place, Arc<dyn Storage>, PathBuf) {
    let place = Place::local().await;
    let storage = place.storage.clone();
    storage.put(&path("p/x"), "x".into()).await.unwrap();
    let folder = place.folder.as_ref().unwrap().path().join("lake/t");
    (place, storage, folder)
}

/// What every operation that can meet `at` ends in.
async fn touch(storage: &Arc<dyn Storage>, at: &str) -> Vec<Result<(), StorageError>> {
    let at = path(at);
    vec![
        storage.get(&at, 9).await.map(drop),
        storage.get_range(&at, 0..1).await.map(drop),
        storage.put_if_absent(&at, "y".into()).await.map(drop),
        storage.put(&at, "y".into()).await,
        storage.delete(&at).await.map(drop),
        storage.create(&at, None).await.map(drop),
        storage.create(&path("p/y"), Some(&at)).await.map(drop),
    ]
}

#[tokio::test]
async fn links_are_never_followed() {
    let (place, storage, folder) = started().await;
    let outside = place.folder.as_ref().unwrap().path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("x"), "secret").unwrap();
    symlink(outside.join("x"), folder.join("p/file")).unwrap();
    symlink(&outside, folder.join("q")).unwrap();
    symlink("nowhere", folder.join("p/dangling")).unwrap();
    for at in ["p/file", "q/x", "p/dangling"] {
        for done in touch(&storage, at).await {
            let Err(error @ StorageError::Irregular { .. }) = done else { panic!("{at}: {done:?}") };
            assert!(error.to_string().contains("a symbolic link"), "{error}");
        }
    }
    let root = TablePath::root();
    let listings = [
        storage.list(&path("p")).await.map(drop),
        storage.list(&path("q")).await.map(drop),
        storage.list(&root).await.map(drop),
        storage.list_after(&path("p"), "a").await.map(drop),
        storage.list_all(&root).await.map(drop),
        storage.sweep(&path("q"), 0).await.map(drop),
        storage.delete_dir(&path("q")).await,
    ];
    for done in listings {
        assert!(matches!(done, Err(StorageError::Irregular { .. })), "{done:?}");
    }
    // What goes with its folder is the link alone.
    storage.delete_dir(&path("p")).await.unwrap();
    assert_eq!(fs::read_to_string(outside.join("x")).unwrap(), "secret");
}

#[tokio::test]
async fn sockets_and_names_of_other_encodings_are_named() {
    let (_place, storage, folder) = started().await;
    let _socket = std::os::unix::net::UnixListener::bind(folder.join("p/s")).unwrap();
    let error = storage.list(&path("p")).await.unwrap_err().to_string();
    assert!(error.contains("p/s: a device, pipe or socket"), "{error}");
    fs::create_dir(folder.join("q")).unwrap();
    fs::write(folder.join("q").join(std::ffi::OsStr::from_bytes(b"\xff")), "").unwrap();
    let error = storage.list(&path("q")).await.unwrap_err();
    assert!(matches!(error, StorageError::Path { operation: Operation::List, .. }), "{error:?}");
    fs::write(folder.join("q").join("back\\slash"), "").unwrap();
    assert!(storage.list(&path("q")).await.is_err());
}

#[tokio::test]
async fn temporary_names_are_hidden_until_they_are_swept() {
    let (_place, storage, folder) = started().await;
    let id = "0123456789abcdef0123456789ABCDEF";
    for name in
        [format!("p/.lakebed-tmp-{id}"), format!(".lakebed-tmp-{id}"), format!("p/.lakebed-tmp-{id}0")]
    {
        fs::write(folder.join(name), "half").unwrap();
    }
    let visible = storage.list_all(&TablePath::root()).await.unwrap();
    let not_ours = path(&format!("p/.lakebed-tmp-{id}0"));
    assert_eq!(visible.iter().map(|f| &f.path).collect::<Vec<_>>(), [&not_ours, &path("p/x")]);
    let now = Environment::real().clock.unix_millis();
    assert_eq!(storage.sweep(&TablePath::root(), now - 60_000).await.unwrap(), 0);
    assert_eq!(storage.sweep(&TablePath::root(), now + 60_000).await.unwrap(), 1);
    assert_eq!(storage.sweep(&path("p"), now + 60_000).await.unwrap(), 1, "each folder by itself");
    assert_eq!(storage.list_all(&TablePath::root()).await.unwrap().len(), 2);
    fs::write(folder.join(format!("p/.lakebed-tmp-{id}")), "half").unwrap();
    storage.delete_dir(&path("p")).await.unwrap();
    assert!(!folder.join("p").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_deleted_though_files_still_come() {
    let (_place, storage, folder) = started().await;
    for _ in 0..60 {
        fs::create_dir_all(folder.join("q/p")).unwrap();
        // As of a writer that does not know yet that it was taken over.
        let comes = folder.join("q/p");
        let writer = tokio::task::spawn_blocking(move || {
            for number in 0..20 {
                // Of a file the folder may just have gone.
                let _ =
                    fs::create_dir_all(&comes).and_then(|()| fs::write(comes.join(number.to_string()), ""));
            }
        });
        let deleted = storage.delete_dir(&path("q")).await;
        writer.await.unwrap();
        deleted.unwrap();
    }
}

#[tokio::test]
async fn a_failed_operation_leaves_nothing_behind() {
    let (_place, storage, folder) = started().await;
    storage.put_if_absent(&path("p/x"), "y".into()).await.unwrap_err();
    let writer = storage.create(&path("p/x"), None).await.unwrap();
    writer.finish().await.unwrap_err();
    fs::create_dir(folder.join("p/folder")).unwrap();
    for done in touch(&storage, "p/x/below").await.drain(2..4) {
        assert!(done.is_err());
    }
    storage.put(&path("p/folder"), "y".into()).await.unwrap_err();
    storage.put_if_absent(&path("p/folder"), "y".into()).await.unwrap_err();
    let mut found: Vec<_> = fs::read_dir(folder.join("p")).unwrap().map(|e| e.unwrap().file_name()).collect();
    found.sort();
    assert_eq!(found, ["folder", "x"]);
    assert_eq!(fs::read_to_string(folder.join("p/x")).unwrap(), "x");
}

#[tokio::test]
async fn files_cannot_be_replaced_on_condition() {
    let (_place, storage, _) = started().await;
    let bucket = Place::memory().storage;
    let version = bucket.put_if_absent(&path("x"), "x".into()).await.unwrap().unwrap();
    let error = storage.replace(&path("p/x"), "y".into(), &version).await.unwrap_err();
    assert!(matches!(error, StorageError::Unsupported { operation: Operation::Replace, .. }), "{error:?}");
    assert_eq!(storage.get(&path("p/x"), 1).await.unwrap().bytes, "x");
}

#[cfg(target_os = "linux")]
/// A runtime without root's right to write everywhere.
fn unprivileged() -> tokio::runtime::Runtime {
    let forgo = || {
        let mut held = rustix::thread::capabilities(None).unwrap();
        held.effective = rustix::thread::CapabilitySet::empty();
        rustix::thread::set_capabilities(None, held).unwrap();
    };
    tokio::runtime::Builder::new_multi_thread().on_thread_start(forgo).build().unwrap()
}

#[test]
fn no_error_says_that_nothing_has_changed_when_something_has() {
    unprivileged().block_on(async {
        let (_place, storage, folder) = started().await;
        storage.put(&path("p/z"), "z".into()).await.unwrap();
        // Entries can be changed here, and a folder that cannot be opened cannot be synced.
        fs::set_permissions(folder.join("p"), fs::Permissions::from_mode(0o333)).unwrap();
        let put = storage.put(&path("p/x"), "y".into()).await.unwrap_err();
        let deleted = storage.delete(&path("p/z")).await.unwrap_err();
        let created = storage.create(&path("q/x"), Some(&path("p/marker"))).await.map(drop).unwrap_err();
        let put_new = storage.put_if_absent(&path("p/new"), "y".into()).await.unwrap_err();
        fs::set_permissions(folder.join("p"), fs::Permissions::from_mode(0o755)).unwrap();
        for error in [put, deleted, created] {
            assert!(matches!(error, StorageError::Io { .. }), "{error:?}");
        }
        assert!(matches!(put_new, StorageError::Ambiguous { .. }), "{put_new:?}");
        let mut left: Vec<_> =
            fs::read_dir(folder.join("p")).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["marker", "new", "x"]);
    });
}

#[test]
fn what_may_not_be_written_is_named_and_stays() {
    unprivileged().block_on(async {
        let (_place, storage, folder) = started().await;
        let writable =
            |mode| fs::set_permissions(folder.join("p"), fs::Permissions::from_mode(mode)).unwrap();
        writable(0o555);
        let new = path("p/y");
        let done = [
            storage.put_if_absent(&new, "y".into()).await.map(drop),
            storage.put(&path("p/x"), "y".into()).await,
            storage.put(&path("p/below/y"), "y".into()).await,
            storage.create(&new, None).await.map(drop),
            storage.create(&path("q/y"), Some(&new)).await.map(drop),
            storage.delete(&path("p/x")).await.map(drop),
            storage.delete_dir(&path("p")).await,
        ];
        let read = tokio::spawn(async move { storage.get(&path("p/x"), 1).await }).await.unwrap();
        writable(0o755);
        for done in done {
            let Err(error @ StorageError::PermissionDenied { .. }) = done else { panic!("{done:?}") };
            assert!(error.to_string().contains("/lake/t/p"), "{error}");
        }
        assert_eq!(read.unwrap().bytes, "x");
        assert_eq!(fs::read_dir(folder.join("p")).unwrap().count(), 1);
    });
}
