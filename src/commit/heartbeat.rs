//! Signs of life of a write, so that others leave its files alone.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use lakebed_hudi::instant::InstantTime;
use tokio::task::JoinHandle;

use super::{CommitError, Committer};
use crate::environment::Clock;
use crate::storage::{Storage, StorageError, TablePath};
use crate::table::Table;

/// Where heartbeats are.
pub(super) fn folder() -> TablePath {
    TablePath::literal(".hoodie/.heartbeat")
}

fn path(instant: InstantTime) -> Result<TablePath, CommitError> {
    Ok(folder().join(instant.as_str())?)
}

/// A heartbeat: an empty file, written anew until it is stopped.
///
/// Dropping it stops the beating and leaves the file, which then expires as that of a dead writer.
///
/// Source: `HoodieHeartbeatClient`: only the file's time counts.
#[derive(Debug)]
pub struct Heartbeat {
    storage: Arc<dyn Storage>,
    path: TablePath,
    beats: Arc<Beats>,
    task: JoinHandle<()>,
}

/// When a heartbeat was last seen by others, by both clocks: one stands still while the machine sleeps,
/// the other may be set.
#[derive(Debug)]
struct Beats {
    clock: Arc<dyn Clock>,
    last: Mutex<Last>,
}

#[derive(Debug, Clone, Copy)]
struct Last {
    monotonic: Duration,
    unix_millis: i64,
    /// For how long it was silent at most.
    silence: Duration,
}

impl Beats {
    fn new(clock: Arc<dyn Clock>) -> Self {
        let (monotonic, unix_millis) = (clock.monotonic(), clock.unix_millis());
        let last = Mutex::new(Last { monotonic, unix_millis, silence: Duration::ZERO });
        Self { clock, last }
    }

    fn now(&self) -> (Duration, i64) {
        (self.clock.monotonic(), self.clock.unix_millis())
    }

    /// For how long it was silent at most, until now.
    fn silence(&self) -> Duration {
        self.until_now().silence
    }

    /// A beat has come that was sent at `sent`: others see it as of some time since.
    fn beaten(&self, sent: (Duration, i64)) {
        let mut last = self.until_now();
        (last.monotonic, last.unix_millis) = sent;
    }

    fn until_now(&self) -> MutexGuard<'_, Last> {
        let (monotonic, unix_millis) = self.now();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let by_wall = u64::try_from(unix_millis.saturating_sub(last.unix_millis)).unwrap_or_default();
        let silent = monotonic.saturating_sub(last.monotonic).max(Duration::from_millis(by_wall));
        last.silence = last.silence.max(silent);
        last
    }
}

impl Heartbeat {
    /// Writes the first beat of `instant` and goes on every `interval`.
    pub(super) async fn start(
        table: &Table,
        instant: InstantTime,
        interval: Duration,
    ) -> Result<Self, CommitError> {
        let (storage, path) = (table.storage.clone(), path(instant)?);
        let beats = Arc::new(Beats::new(table.environment.clock.clone()));
        storage.put(&path, Bytes::new()).await?;
        let task = tokio::spawn(beat(storage.clone(), beats.clone(), path.clone(), interval));
        Ok(Self { storage, path, beats, task })
    }

    /// For how long it was silent at most since it began: others may have taken its writer for dead then.
    pub fn silence(&self) -> Duration {
        self.beats.silence()
    }

    /// Stops beating and removes the file.
    ///
    /// # Errors
    /// Those of the storage; the file then expires by itself.
    pub async fn stop(self) -> Result<(), StorageError> {
        self.task.abort();
        self.storage.delete(&self.path).await.map(|_| ())
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn beat(storage: Arc<dyn Storage>, beats: Arc<Beats>, path: TablePath, interval: Duration) {
    loop {
        beats.clock.sleep(interval).await;
        let sent = beats.now();
        match storage.put(&path, Bytes::new()).await {
            Ok(()) => beats.beaten(sent),
            Err(error) => {
                tracing::warn!(%path, %error, "the heartbeat could not be renewed; trying again");
            }
        }
    }
}

/// Whether the writer of `instant` counts as dead: its last sign of life, be it a beat or the
/// instant itself, is older than `expiry`.
///
/// Hudi takes an instant without a heartbeat for dead at once; but writers put the instant first,
/// and the heartbeat a moment later.
pub(super) async fn is_expired(
    table: &Table,
    instant: InstantTime,
    expiry: Duration,
) -> Result<bool, CommitError> {
    let last_beat = last_beat(table, instant).await?.or_else(|| instant.to_unix_millis(table.zone));
    Ok(is_older(table, last_beat.unwrap_or_default(), expiry))
}

/// When the writer of `instant` last beat, if its heartbeat is there.
pub(super) async fn last_beat(table: &Table, instant: InstantTime) -> Result<Option<i64>, CommitError> {
    match table.storage.stat(&path(instant)?).await {
        Ok(entry) => Ok(Some(entry.modified_unix_millis)),
        Err(StorageError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether `unix_millis` was longer ago than `expiry`.
pub(super) fn is_older(table: &Table, unix_millis: i64, expiry: Duration) -> bool {
    let age = table.environment.clock.unix_millis().saturating_sub(unix_millis);
    u128::try_from(age).unwrap_or_default() > expiry.as_millis()
}

/// Removes what nobody looks at any more: the heartbeats of instants that completed, and those of
/// writers that died before their instant was on the timeline.
pub(super) async fn sweep(committer: &Committer) -> Result<(), CommitError> {
    let table = committer.table();
    let files = table.storage.list(&folder()).await?.files;
    if files.is_empty() {
        return Ok(());
    }
    let timeline = committer.timeline().await?;
    let expiry = committer.options().heartbeat_expiry();
    for file in files {
        let Ok(instant) = file.path.file_name().parse::<InstantTime>() else { continue };
        let is_over = match timeline.write_at(instant) {
            Some(known) => known.is_completed(),
            // It may have beaten since it was listed.
            None => {
                is_older(table, file.modified_unix_millis, expiry)
                    && is_expired(table, instant, expiry).await?
            }
        };
        if is_over {
            table.storage.delete(&file.path).await?;
        }
    }
    Ok(())
}

impl Committer {
    /// The instants that have a heartbeat, be it a living one or not.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn beating(&self) -> Result<Vec<InstantTime>, CommitError> {
        instants(self.table()).await
    }
}

/// The instants that have a heartbeat, be it a living one or not.
pub(super) async fn instants(table: &Table) -> Result<Vec<InstantTime>, CommitError> {
    let files = table.storage.list(&folder()).await?.files;
    Ok(files.iter().filter_map(|file| file.path.file_name().parse().ok()).collect())
}

/// Removes the heartbeat file of a dead writer.
pub(super) async fn remove(table: &Table, instant: InstantTime) -> Result<(), CommitError> {
    table.storage.delete(&path(instant)?).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[derive(Debug, Default)]
    struct Seconds(AtomicU64);

    #[async_trait::async_trait]
    impl Clock for Seconds {
        fn unix_millis(&self) -> i64 {
            self.monotonic().as_millis() as i64
        }

        fn monotonic(&self) -> Duration {
            Duration::from_secs(self.0.load(Ordering::Relaxed))
        }

        async fn sleep(&self, _: Duration) {}
    }

    /// Others see a beat as of when it was sent, or of any time until it came.
    #[test]
    fn a_beat_that_takes_long_is_silence_before_it_and_after_it() {
        let clock = Arc::new(Seconds::default());
        let beats = Beats::new(clock.clone());
        let at = |seconds| clock.0.store(seconds, Ordering::Relaxed);
        at(60);
        let sent = beats.now();
        at(100);
        beats.beaten(sent);
        assert_eq!(beats.silence(), Duration::from_secs(100));
        at(150);
        assert_eq!(beats.silence(), Duration::from_secs(100));
        at(200);
        assert_eq!(beats.silence(), Duration::from_secs(140));
    }
}
