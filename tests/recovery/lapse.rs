//! What outlives a process that was killed, as it is minutes later, for which nobody waits here.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, SystemTime};

use lakebed::storage::{Storage, TablePath};

/// The lock of a bucket has run out. That of a local folder is taken over as it is.
pub async fn let_the_lock_expire(storage: &dyn Storage) {
    let lock: TablePath = ".hoodie/.locks/table_lock.json".parse().unwrap();
    let Ok(found) = storage.get(&lock, 1_000).await else { return };
    let mut data: serde_json::Value = serde_json::from_slice(&found.bytes).unwrap();
    data["validUntil"] = 1.into();
    storage.put(&lock, data.to_string().into()).await.unwrap();
}

/// The heartbeats of the table in `folder` are old.
pub fn let_heartbeats_expire(folder: &Path) {
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    for beat in std::fs::read_dir(folder.join(".hoodie/.heartbeat")).into_iter().flatten() {
        let beat = File::options().write(true).open(beat.unwrap().path()).unwrap();
        beat.set_modified(long_ago).unwrap();
    }
}
