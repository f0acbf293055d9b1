//! The guarantees of [`Storage`], one check each, over a storage that is empty.

mod data_file;
mod get;
mod list;
mod put;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lakebed::environment::Environment;
use lakebed::storage::{Entry, FileWriter, Operation, Storage, StorageError, TablePath};

use super::path;

pub use data_file::*;
pub use get::*;
pub use list::*;
pub use put::*;

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

/// A megabyte and a half, of which every byte says where it is.
fn long() -> Bytes {
    (0..3u32 << 17).flat_map(u32::to_le_bytes).collect()
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
