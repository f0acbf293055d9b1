//! The lock of a table in a local folder: the file `.hoodie/lock`.
//!
//! Held by whoever created it, until it is deleted. Hudi 1.2.0 leaves its file empty (it means
//! to write its name, but only if the file it has just created does not exist). Ours holds
//! the JSON that Hudi describes; `lockThreadName` says which acquisition of which process.
//!
//! A lock is taken over when it is older than the configured expiry, by its modification time;
//! or at once when the process of ours that wrote it is surely gone, or this process has left
//! it behind. Who wants to take over first creates `.hoodie/.lakebed-lock-takeover`, so that no
//! second one deletes the fresh lock of the first.
//!
//! Hudi asks whether the file is there and then opens it, which on a local disk (not in HDFS) truncates a file
//! that came in between: it then holds a lock that is held. We find our file empty and say that the lock was
//! lost, so a commit is tried again; Hudi would notice nothing.
//!
//! Source: `FileSystemBasedLockProvider`, `LockInfo` of Hudi 1.2.0.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use lakebed_hudi::instant::{InstantTime, TimelineZone};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::super::error::excerpt;
use super::super::{Object, Scheme, Storage, StorageError, TablePath};
use super::process::Process;
use super::registry::{self, Registration};
use super::{Attempt, Held, Holder, Lease, LockError, LockGuard, LockOptions, Provider};
use crate::environment::Environment;
use crate::human;

const LOCK: &str = ".hoodie/lock";
const CLAIM: &str = ".hoodie/.lakebed-lock-takeover";

/// More than any lock file holds; a larger one is not read.
const CONTENT_BYTES_MAX: u64 = 1 << 20;

/// How long publishing may take after a check, at most: one small file on a local disk.
const PUBLISH: Duration = Duration::from_secs(10);

/// When a claim is taken for abandoned: it covers one look and one delete.
const CLAIM_EXPIRES: Duration = Duration::from_secs(60);

/// How often one try looks again after it has removed an abandoned lock.
const ROUNDS: usize = 3;

#[derive(Debug, Clone)]
pub(super) struct FileSystemLock {
    storage: Arc<dyn Storage>,
    environment: Environment,
    expire: Option<Duration>,
    process: Option<Process>,
}

/// The content of a lock file.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LockInfo {
    lock_create_time: String,
    lock_thread_name: String,
    lock_stacks_info: Vec<String>,
}

/// A lock file that was read, with what it says of its owner.
struct Found {
    bytes: Bytes,
    modified_unix_millis: i64,
    age: Duration,
    thread_name: Option<String>,
}

impl FileSystemLock {
    pub(super) fn new(storage: Arc<dyn Storage>, environment: &Environment, options: LockOptions) -> Self {
        Self {
            storage,
            environment: environment.clone(),
            expire: options.file_system_expire(),
            process: Process::current(),
        }
    }

    fn content(&self, owner: Uuid) -> Result<Bytes, LockError> {
        let now = InstantTime::from_unix_millis(self.environment.clock.unix_millis(), TimelineZone::Utc);
        let process = self.process.as_ref().map(|process| format!(" {process}")).unwrap_or_default();
        let info = LockInfo {
            lock_create_time: spell_time(now.as_str()),
            lock_thread_name: format!("lakebed owner={owner}{process}"),
            lock_stacks_info: Vec::new(),
        };
        let json = serde_json::to_vec_pretty(&info).map_err(|error| StorageError::Io {
            operation: super::super::Operation::PutIfAbsent,
            location: self.location(),
            source: Box::new(error),
        })?;
        Ok(json.into())
    }

    /// What is in the file at `path`; `None` if there is none.
    async fn look(&self, path: &TablePath) -> Result<Option<Found>, LockError> {
        let Object { entry, bytes, .. } = match self.storage.get(path, CONTENT_BYTES_MAX).await {
            Ok(object) => object,
            Err(StorageError::NotFound { .. }) => return Ok(None),
            Err(StorageError::TooLarge { .. }) => {
                let entry = self.storage.stat(path).await?;
                Object { entry, version: None, bytes: Bytes::new() }
            }
            Err(error) => return Err(error.into()),
        };
        let age = self.environment.clock.unix_millis().saturating_sub(entry.modified_unix_millis);
        Ok(Some(Found {
            modified_unix_millis: entry.modified_unix_millis,
            age: Duration::from_millis(u64::try_from(age).unwrap_or(0)),
            thread_name: serde_json::from_slice::<LockInfo>(&bytes).ok().map(|info| info.lock_thread_name),
            bytes,
        }))
    }

    /// The name by which this process knows the file at `path`: the same for every link that leads
    /// to the table.
    async fn registered_name(&self, path: &TablePath) -> String {
        let uri = self.storage.uri();
        if uri.scheme() != Scheme::File {
            return uri.with_scheme(path);
        }
        let file = PathBuf::from(uri.without_scheme(path));
        let known = file.clone();
        let resolved = tokio::task::spawn_blocking(move || resolved(&file)).await;
        resolved.unwrap_or(known).display().to_string()
    }

    /// Why the file that is registered as `name` may be deleted by us, if it may.
    fn abandoned(&self, found: &Found, name: &str, expire: Option<Duration>) -> Option<&'static str> {
        if expire.is_some_and(|expire| found.age > expire) {
            return Some("it has expired");
        }
        let (owner, writer) = (found.owner()?, Process::parse(found.thread_name.as_deref()?)?);
        let current = self.process.as_ref()?;
        if writer == *current {
            return (!registry::is_held(name, owner)).then_some("this process has left it behind");
        }
        writer.is_gone(current).then_some("the process that wrote it is gone")
    }

    /// Deletes the abandoned lock `found`, unless somebody else is at it or it has changed.
    async fn take_over(&self, found: &Found, why: &str, owner: Uuid) -> Result<(), LockError> {
        let (lock, claim) = (TablePath::literal(LOCK), TablePath::literal(CLAIM));
        let claim_name = self.registered_name(&claim).await;
        let Some(_registration) = Registration::new(&claim_name, owner) else { return Ok(()) };
        match self.storage.put_if_absent(&claim, self.content(owner)?).await {
            Err(StorageError::AlreadyExists { .. }) => {
                let other = self.look(&claim).await?;
                if other
                    .is_some_and(|other| self.abandoned(&other, &claim_name, Some(CLAIM_EXPIRES)).is_some())
                {
                    self.storage.delete(&claim).await?;
                }
                return Ok(());
            }
            claimed => claimed?,
        };
        let removed = self.remove_unchanged(&lock, found).await;
        self.storage.delete(&claim).await?;
        if removed? {
            tracing::warn!(lock = %self.location(), holder = %found.name(), age = ?found.age, "taking over the table lock: {why}");
        }
        Ok(())
    }

    async fn remove_unchanged(&self, lock: &TablePath, found: &Found) -> Result<bool, LockError> {
        let now = self.look(lock).await?;
        let unchanged = now.is_some_and(|now| {
            now.bytes == found.bytes && now.modified_unix_millis == found.modified_unix_millis
        });
        Ok(unchanged && self.storage.delete(lock).await?)
    }

    fn holder(&self, found: &Found) -> Holder {
        let advice = match self.expire {
            Some(expire) => format!("it expires {} after it was written", human::lasting(expire)),
            None => "if that writer is dead, delete the file; to have abandoned locks expire, set \
                     hoodie.write.lock.filesystem.expire (minutes) for all writers"
                .to_owned(),
        };
        Holder { name: found.name(), age: Some(found.age), advice, foreign: found.owner().is_none() }
    }

    fn held(&self, owner: Uuid, registration: Registration) -> Attempt {
        let path = TablePath::literal(LOCK);
        let held = HeldFile { lock: self.clone(), path, owner, _registration: registration };
        Attempt::Held(LockGuard::new(self.location(), Box::new(held)))
    }

    fn lost(&self, reason: String) -> LockError {
        LockError::Lost { location: self.location(), reason }
    }
}

#[async_trait]
impl Provider for FileSystemLock {
    fn location(&self) -> String {
        self.storage.uri().with_scheme(&TablePath::literal(LOCK))
    }

    fn publishing(&self) -> Duration {
        PUBLISH
    }

    async fn try_acquire(&self, owner: Uuid) -> Result<Attempt, LockError> {
        let lock = TablePath::literal(LOCK);
        let name = self.registered_name(&lock).await;
        let gone = Holder::unknown("somebody who has just released it", "try again");
        // Registered before it is written: to others here an unregistered one is abandoned.
        let Some(registration) = Registration::new(&name, owner) else { return Ok(Attempt::Busy(gone)) };
        for _ in 0..ROUNDS {
            match self.storage.put_if_absent(&lock, self.content(owner)?).await {
                Ok(_) => return Ok(self.held(owner, registration)),
                Err(StorageError::AlreadyExists { .. } | StorageError::Ambiguous { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            let Some(found) = self.look(&lock).await? else { continue };
            if found.owner() == Some(owner) {
                return Ok(self.held(owner, registration));
            }
            let Some(why) = self.abandoned(&found, &name, self.expire) else {
                return Ok(Attempt::Busy(self.holder(&found)));
            };
            self.take_over(&found, why, owner).await?;
        }
        Ok(Attempt::Busy(gone))
    }
}

/// The lock file, ours.
#[derive(Debug)]
struct HeldFile {
    lock: FileSystemLock,
    path: TablePath,
    owner: Uuid,
    _registration: Registration,
}

impl HeldFile {
    /// The lock file, if it is still ours.
    async fn look(&self) -> Result<Found, LockError> {
        let found = self.lock.look(&self.path).await?;
        let found = found.ok_or_else(|| self.lock.lost("somebody has deleted the file".to_owned()))?;
        if found.owner() == Some(self.owner) {
            return Ok(found);
        }
        Err(self.lock.lost(format!("the file is now of {}", found.name())))
    }
}

#[async_trait]
impl Held for HeldFile {
    async fn check(&self) -> Result<Lease, LockError> {
        let found = self.look().await?;
        let Some(expire) = self.lock.expire else { return Ok(Lease { remaining: None }) };
        let remaining = expire.saturating_sub(found.age);
        if remaining < PUBLISH {
            return Err(LockError::LeaseTooShort {
                location: self.lock.location(),
                remaining,
                needed: PUBLISH,
            });
        }
        Ok(Lease { remaining: Some(remaining) })
    }

    async fn release(&self) -> Result<(), LockError> {
        self.look().await?;
        if self.lock.storage.delete(&self.path).await? {
            return Ok(());
        }
        Err(self.lock.lost("somebody has deleted the file".to_owned()))
    }
}

impl Found {
    /// The acquisition that wrote it, if it is one of ours.
    fn owner(&self) -> Option<Uuid> {
        let words = self.thread_name.as_deref()?.strip_prefix("lakebed ")?;
        words.split(' ').find_map(|word| word.strip_prefix("owner="))?.parse().ok()
    }

    fn name(&self) -> String {
        match &self.thread_name {
            Some(name) => excerpt(name),
            None if self.bytes.is_empty() => {
                "a writer that left no name (Hudi's own lock provider leaves the file empty)".to_owned()
            }
            None => format!("a writer that left {:?}", excerpt(&String::from_utf8_lossy(&self.bytes))),
        }
    }
}

/// `file` with the links on the way to it followed, as far as there is something.
fn resolved(file: &Path) -> PathBuf {
    let place = file.ancestors().find_map(|at| Some((at.canonicalize().ok()?, file.strip_prefix(at).ok()?)));
    place.map_or_else(
        || file.to_owned(),
        |(place, rest)| place.components().chain(rest.components()).collect(),
    )
}

/// `yyyy-MM-dd HH:mm:ss.SSS` of the digits of an instant time.
fn spell_time(digits: &str) -> String {
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    format!(
        "{}-{}-{} {}:{}:{}.{}",
        part(0, 4),
        part(4, 6),
        part(6, 8),
        part(8, 10),
        part(10, 12),
        part(12, 14),
        part(14, 17)
    )
}
