//! A disk that is full, in a sandbox with a small disk of its own.

use lakebed::storage::{Storage, StorageError, TablePath};

use super::{open, path};
use crate::small_disk;

#[test]
fn a_full_disk_is_named_and_what_was_there_stays() {
    small_disk::run("storage::full_disk::on_a_small_disk");
}

#[tokio::test]
#[ignore = "needs a small disk: the test above makes one and runs this"]
async fn on_a_small_disk() {
    let storage = open(&small_disk::folder().display().to_string()).await;
    let three = || bytes::Bytes::from(vec![3; 3 << 20]);
    let is_full = |done: Result<(), StorageError>| matches!(done, Err(StorageError::NoSpace { .. }));
    storage.put(&path("p/x"), three()).await.unwrap();
    assert!(is_full(storage.put_if_absent(&path("p/y"), three()).await.map(drop)));
    assert!(is_full(storage.put(&path("p/x"), vec![4; 3 << 20].into()).await));
    let mut writer = storage.create(&path("p/z"), None).await.unwrap();
    assert!(is_full(writer.write(three()).await));
    assert!(writer.write("more".into()).await.is_err());
    assert!(writer.finish().await.is_err());
    assert_eq!(entries(storage.as_ref()).await, [("p/x".to_owned(), 3 << 20)]);
    assert!(storage.get(&path("p/x"), u64::MAX).await.unwrap().bytes == three());
    // All that failed has given its space back.
    storage.put(&path("p/y"), vec![0; 900 << 10].into()).await.unwrap();
    storage.delete(&path("p/x")).await.unwrap();
    storage.put_if_absent(&path("p/z"), three()).await.unwrap();
}

async fn entries(storage: &dyn Storage) -> Vec<(String, u64)> {
    let entries = storage.list_all(&TablePath::root()).await.unwrap();
    entries.iter().map(|entry| (entry.path.to_string(), entry.size)).collect()
}
