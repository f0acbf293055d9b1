//! The lock of a table in a bucket: the object `.hoodie/.locks/table_lock.json`.
//!
//! `{"expired":false,"validUntil":<epoch ms>,"owner":"<uuid>"}`, written and changed by
//! conditional puts only and never deleted. Held by its owner until `validUntil`, which a
//! background task keeps moving ahead; 500 ms later, for clocks that differ, anybody may take
//! it. Released by `"expired":true`. It is read once more before something is published: who deletes
//! it by hand, or has a clock that is far ahead, does not wait for our lease to end.
//!
//! Source: `StorageBasedLockProvider`, `StorageLockData` of Hudi 1.2.0. Not tested against
//! Hudi's own S3 client, which its Spark bundle does not carry.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::task::AbortHandle;
use uuid::Uuid;

use super::super::error::excerpt;
use super::super::{Operation, Storage, StorageError, TablePath, Version};
use super::{Attempt, Held, Holder, Lease, LockError, LockGuard, LockOptions, Provider};
use crate::environment::Environment;
use crate::human;

const LOCK: &str = ".hoodie/.locks/table_lock.json";

/// More than any lock object holds; a larger one is not read.
const CONTENT_BYTES_MAX: u64 = 1 << 20;

/// How far the clocks of two writers may differ.
const CLOCK_SKEW: Duration = Duration::from_millis(500);

/// How long publishing may take after a check, at most: a put is repeated for a minute, and its
/// last request may take half a minute.
const PUBLISH: Duration = Duration::from_secs(100);

/// How often a release is repeated that met our own last renewal.
const RELEASE_TRIES: usize = 5;

#[derive(Debug, Clone)]
pub(super) struct StorageLock {
    storage: Arc<dyn Storage>,
    environment: Environment,
    validity: Duration,
    renew_interval: Duration,
}

/// The content of a lock object: these three fields, in this order, and no other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LockData {
    expired: bool,
    /// Milliseconds since the epoch.
    valid_until: i64,
    owner: String,
}

/// The lock object as it was read or written.
#[derive(Debug, Clone)]
struct Written {
    data: LockData,
    version: Version,
    /// When it ends on the monotonic clock: wall clocks may be set back while we hold it.
    ends: Duration,
}

impl StorageLock {
    pub(super) fn new(storage: Arc<dyn Storage>, environment: &Environment, options: LockOptions) -> Self {
        Self {
            storage,
            environment: environment.clone(),
            validity: options.storage_validity(),
            renew_interval: options.storage_renew_interval(),
        }
    }

    async fn look(&self) -> Result<Option<Written>, LockError> {
        let object = match self.storage.get(&TablePath::literal(LOCK), CONTENT_BYTES_MAX).await {
            Ok(object) => object,
            Err(StorageError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let unreadable = |why: String| {
            let text = excerpt(&String::from_utf8_lossy(&object.bytes));
            StorageError::Io {
                operation: Operation::Get,
                location: self.location(),
                source: format!("this is no table lock ({why}): {text:?}").into(),
            }
        };
        let data = serde_json::from_slice(&object.bytes).map_err(|error| unreadable(error.to_string()))?;
        let version = object.version.ok_or_else(|| unreadable("it has no version".to_owned()))?;
        let ends = self.ends(&data);
        Ok(Some(Written { data, version, ends }))
    }

    /// Writes `data` where the object is still what `previous` says; `None` if it is not.
    async fn write(&self, data: LockData, previous: Option<&Version>) -> Result<Option<Written>, LockError> {
        let (path, ends) = (TablePath::literal(LOCK), self.ends(&data));
        let operation = Operation::Replace;
        let failed = |source| StorageError::Io { operation, location: self.location(), source };
        let json: Bytes = serde_json::to_vec(&data).map_err(|error| failed(error.into()))?.into();
        let written = match previous {
            None => self.storage.put_if_absent(&path, json).await,
            Some(version) => self.storage.replace(&path, json, version).await.map(Some),
        };
        match written {
            Ok(Some(version)) => Ok(Some(Written { data, version, ends })),
            Ok(None) => Err(failed("the storage named no version of what it wrote".into()).into()),
            Err(StorageError::AlreadyExists { .. } | StorageError::VersionMismatch { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn fresh(&self, owner: Uuid) -> LockData {
        let validity = i64::try_from(self.validity.as_millis()).unwrap_or(i64::MAX);
        let valid_until = self.environment.clock.unix_millis().saturating_add(validity);
        LockData { expired: false, valid_until, owner: owner.to_string() }
    }

    /// Whether everybody's clock agrees that the lock may be taken.
    fn is_free(&self, data: &LockData) -> bool {
        data.expired || self.remaining(data).is_none()
    }

    /// How long until anybody may take it; `None` if that is past.
    fn remaining(&self, data: &LockData) -> Option<Duration> {
        let skew = i64::try_from(CLOCK_SKEW.as_millis()).unwrap_or(i64::MAX);
        let until = data.valid_until.saturating_add(skew);
        let remaining = until.saturating_sub(self.environment.clock.unix_millis());
        u64::try_from(remaining).ok().map(Duration::from_millis)
    }

    fn ends(&self, data: &LockData) -> Duration {
        let valid = data.valid_until.saturating_sub(self.environment.clock.unix_millis());
        self.environment.clock.monotonic() + Duration::from_millis(u64::try_from(valid).unwrap_or(0))
    }

    fn holder(&self, data: &LockData) -> Holder {
        Holder {
            name: excerpt(&data.owner),
            age: None,
            advice: format!(
                "its lease ends in {} unless it is renewed; if that writer is dead, wait for that",
                human::lasting(self.remaining(data).unwrap_or_default())
            ),
            foreign: false,
        }
    }

    fn held(&self, owner: Uuid, written: Written) -> Attempt {
        let state = Arc::new(Mutex::new(State { written, lost: None }));
        let renewal = tokio::spawn(renew(self.clone(), owner, Arc::downgrade(&state))).abort_handle();
        let held = HeldObject { lock: self.clone(), owner, state, renewal };
        Attempt::Held(LockGuard::new(self.location(), Box::new(held)))
    }
}

#[async_trait]
impl Provider for StorageLock {
    fn location(&self) -> String {
        self.storage.uri().with_scheme(&TablePath::literal(LOCK))
    }

    /// A validity that is shorter was chosen by whoever knows how fast publishing is.
    fn publishing(&self) -> Duration {
        PUBLISH.min(self.validity / 3)
    }

    async fn try_acquire(&self, owner: Uuid) -> Result<Attempt, LockError> {
        let found = self.look().await?;
        if let Some(found) = &found {
            if found.data.owner == owner.to_string() && !found.data.expired {
                // An earlier try whose reply was lost.
                return Ok(self.held(owner, found.clone()));
            }
            if !self.is_free(&found.data) {
                return Ok(Attempt::Busy(self.holder(&found.data)));
            }
            if !found.data.expired {
                tracing::warn!(lock = %self.location(), owner = %excerpt(&found.data.owner), "taking over an expired table lock");
            }
        }
        let previous = found.map(|found| found.version);
        Ok(match self.write(self.fresh(owner), previous.as_ref()).await? {
            Some(written) => self.held(owner, written),
            None => Attempt::Busy(Holder {
                name: "somebody who was faster".to_owned(),
                age: None,
                advice: "try again".to_owned(),
                foreign: false,
            }),
        })
    }
}

#[derive(Debug)]
struct State {
    written: Written,
    /// Why it is not ours any more.
    lost: Option<String>,
}

/// The lock object, ours.
#[derive(Debug)]
struct HeldObject {
    lock: StorageLock,
    owner: Uuid,
    state: Arc<Mutex<State>>,
    renewal: AbortHandle,
}

impl HeldObject {
    fn lost(&self, reason: String) -> LockError {
        LockError::Lost { location: self.lock.location(), reason }
    }
}

impl Drop for HeldObject {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

#[async_trait]
impl Held for HeldObject {
    async fn check(&self) -> Result<Lease, LockError> {
        let lost = guard(&self.state).lost.clone();
        if let Some(reason) = lost {
            return Err(self.lost(reason));
        }
        ours(&self.lock, self.owner).await?;
        let written = guard(&self.state).written.clone();
        let now = self.lock.environment.clock.monotonic();
        let remaining = self.lock.ends(&written.data).min(written.ends).saturating_sub(now);
        if remaining.is_zero() {
            return Err(self.lost("its lease has ended, since it could not be renewed in time".to_owned()));
        }
        let needed = self.lock.publishing();
        if remaining < needed {
            return Err(LockError::LeaseTooShort { location: self.lock.location(), remaining, needed });
        }
        Ok(Lease { remaining: Some(remaining) })
    }

    async fn release(&self) -> Result<(), LockError> {
        self.renewal.abort();
        let mut written = guard(&self.state).written.clone();
        for _ in 0..RELEASE_TRIES {
            let released = LockData { expired: true, ..written.data.clone() };
            match self.lock.write(released, Some(&written.version)).await {
                Ok(Some(_)) => return Ok(()),
                // The last renewal may have arrived after all.
                Ok(None) => {}
                Err(error) if super::may_pass(&error) => {}
                Err(error) => return Err(error),
            }
            match self.lock.look().await? {
                Some(found) if found.data.owner == self.owner.to_string() => {
                    if found.data.expired {
                        return Ok(());
                    }
                    written = found;
                }
                Some(found) => return Err(self.lost(format!("it is now of {}", excerpt(&found.data.owner)))),
                None => return Err(self.lost("somebody has deleted the object".to_owned())),
            }
        }
        Err(self.lost("releasing it failed again and again; it ends with its lease".to_owned()))
    }
}

/// Renews the lock until it is lost or nobody holds `state` any more.
async fn renew(lock: StorageLock, owner: Uuid, state: Weak<Mutex<State>>) {
    loop {
        lock.environment.clock.sleep(lock.renew_interval).await;
        let Some(previous) = state.upgrade().map(|state| guard(&state).written.version.clone()) else {
            return;
        };
        let renewed = renew_once(&lock, owner, &previous).await;
        let Some(state) = state.upgrade() else { return };
        match renewed {
            Ok(written) => guard(&state).written = written,
            Err(LockError::Lost { reason, .. }) => {
                tracing::error!(lock = %lock.location(), %reason, "the table lock was lost");
                guard(&state).lost = Some(reason);
                return;
            }
            Err(error) => {
                tracing::warn!(lock = %lock.location(), %error, "the table lock was not renewed; trying again");
            }
        }
    }
}

async fn renew_once(lock: &StorageLock, owner: Uuid, previous: &Version) -> Result<Written, LockError> {
    if let Some(written) = lock.write(lock.fresh(owner), Some(previous)).await? {
        return Ok(written);
    }
    // Changed: by somebody else, or by an earlier renewal of ours whose reply was lost.
    ours(lock, owner).await
}

/// The lock object as it is now, if it is ours.
async fn ours(lock: &StorageLock, owner: Uuid) -> Result<Written, LockError> {
    let lost = |reason| LockError::Lost { location: lock.location(), reason };
    match lock.look().await? {
        Some(found) if found.data.owner == owner.to_string() && !found.data.expired => Ok(found),
        Some(found) => Err(lost(format!("it is now of {}", excerpt(&found.data.owner)))),
        None => Err(lost("somebody has deleted the object".to_owned())),
    }
}

fn guard(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
