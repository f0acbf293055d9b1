//! The lock that all writers of a table share: Hudi's own, so that Spark, Flink and we exclude
//! each other.
//!
//! | the table is | lock | Hudi's provider, which other writers must name |
//! |---|---|---|
//! | in a local folder | the file `.hoodie/lock` | `org.apache.hudi.client.transaction.lock.FileSystemBasedLockProvider` |
//! | in a bucket | the object `.hoodie/.locks/table_lock.json` | `org.apache.hudi.client.transaction.lock.StorageBasedLockProvider` |
//!
//! Neither is a fence: whoever has lost the lock without noticing can still write. So a holder
//! calls [`LockGuard::check`] right before it publishes, and treats
//! [`LockError::is_lost`] as "nothing was decided": reload the timeline and start over.
//!
//! # What Hudi's file lock does not keep
//! Hudi 1.2.0 deletes `.hoodie/lock` without looking whose it is: a second time right after it
//! has released its own, and whenever it closes a writer that had waited in vain. Its local
//! file system also creates the file by a look and then a write, which can empty a lock that
//! somebody else created in between. Against all three our lock file says whose it is, and
//! `check` reads it: a lock deleted or overwritten under us is noticed. After a foreign holder
//! went away we also look twice before we believe that we hold the lock.
//!
//! Source: `FileSystemBasedLockProvider`, `StorageBasedLockProvider`, `LockManager` of Hudi
//! 1.2.0; table versions 6 to 9.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::{Scheme, Storage, StorageError};
use crate::environment::Environment;
use crate::human;

mod file_system;
mod options;
mod process;
mod registry;
mod storage_based;

pub use options::{LockOptions, LockOptionsError};

/// The first pause between two tries; doubled until [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(50);

/// The longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// How long a foreign holder that has just released may still delete the lock file once more.
const SETTLE: Duration = Duration::from_millis(200);

/// The class by which Hudi's other writers take the lock of a table that is reached by `scheme`.
pub fn hudi_provider(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::File => "org.apache.hudi.client.transaction.lock.FileSystemBasedLockProvider",
        Scheme::S3 | Scheme::S3a => "org.apache.hudi.client.transaction.lock.StorageBasedLockProvider",
    }
}

/// Why the lock is not held.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else held it for all the time we were ready to wait.
    #[error("waited {} for the table lock {location}, which is held by {holder}", human::lasting(*waited))]
    Timeout {
        /// The lock.
        location: String,
        /// How long we waited.
        waited: Duration,
        /// Who has it.
        holder: Holder,
    },
    /// It was held and is not any more. Nothing may be published on its strength.
    #[error("the table lock {location} was lost: {reason}; reload the timeline and start over")]
    Lost {
        /// The lock.
        location: String,
        /// How that shows.
        reason: String,
    },
    /// It is held, but may expire before something published now would be there.
    #[error(
        "the table lock {location} is ours for {} more, less than the {} that publishing may take; \
         reload the timeline and start over",
        human::lasting(*remaining), human::lasting(*needed)
    )]
    LeaseTooShort {
        /// The lock.
        location: String,
        /// The rest of the lease.
        remaining: Duration,
        /// What publishing may take.
        needed: Duration,
    },
    /// The storage failed; whether the lock is held is not known.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The runtime stopped before an answer was there.
    #[error("the runtime stopped while working on the table lock {location}")]
    Stopped {
        /// The lock.
        location: String,
        /// What the runtime said.
        #[source]
        source: tokio::task::JoinError,
    },
}

impl LockError {
    /// Whether the lock was ours and cannot be relied on any more.
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::Lost { .. } | Self::LeaseTooShort { .. })
    }
}

/// Who holds a lock, as far as the lock says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The name it gave itself, cut to a bounded length.
    pub name: String,
    /// How long ago the lock was written, by our clock.
    pub age: Option<Duration>,
    /// What the user can do about it.
    pub advice: String,
    /// Whether it is none of ours.
    foreign: bool,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)?;
        if let Some(age) = self.age {
            write!(f, " (written {} ago)", human::lasting(age))?;
        }
        write!(f, "; {}", self.advice)
    }
}

/// For how long the lock is surely ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// The rest of the time; `None` if the lock does not expire.
    pub remaining: Option<Duration>,
}

/// The lock of one table.
#[derive(Debug, Clone)]
pub struct TableLock {
    provider: Arc<dyn Provider>,
    environment: Environment,
    patience: Duration,
    publishing: Duration,
}

/// How long a lock is waited for that a living writer holds.
const PATIENCE: Duration = Duration::from_secs(60);

impl TableLock {
    /// The lock of the table in `storage`; of the kind that its other writers use there.
    ///
    /// # Errors
    /// Options that Hudi refuses too.
    pub fn new(
        storage: Arc<dyn Storage>,
        environment: &Environment,
        options: LockOptions,
    ) -> Result<Self, LockOptionsError> {
        let options = options.validated()?;
        let (provider, dead): (Arc<dyn Provider>, _) = match storage.uri().scheme() {
            Scheme::File => {
                (Arc::new(file_system::FileSystemLock::new(storage, environment, options)), Duration::ZERO)
            }
            Scheme::S3 | Scheme::S3a => {
                let validity = options.storage_validity();
                (Arc::new(storage_based::StorageLock::new(storage, environment, options)), validity)
            }
        };
        let (patience, publishing) = (PATIENCE + dead, provider.publishing());
        Ok(Self { provider, environment: environment.clone(), patience, publishing })
    }

    /// How long it is worth waiting: a minute, in a bucket a minute more than the lock of a dead
    /// writer is valid.
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// How long after [`LockGuard::check`] something may still become visible that is put on the strength
    /// of it.
    pub fn publishing(&self) -> Duration {
        self.publishing
    }

    /// Waits for the lock, at most `wait`; zero means one try. Needs a tokio runtime.
    ///
    /// Dropping the future gives a lock that was obtained meanwhile back.
    ///
    /// # Errors
    /// [`LockError::Timeout`] names the holder. Storage errors that may pass are waited out.
    pub async fn acquire(&self, wait: Duration) -> Result<LockGuard, LockError> {
        let clock = &self.environment.clock;
        let owner = self.environment.ids.uuid();
        let started = clock.monotonic();
        let mut pause = PAUSE_MIN;
        let mut was_foreign = false;
        loop {
            let tried = match self.attempt(owner).await {
                Ok(Attempt::Held(guard)) if was_foreign => self.settle(guard).await,
                tried => tried,
            };
            let waited = clock.monotonic().saturating_sub(started);
            let rest = wait.saturating_sub(waited);
            match tried {
                Ok(Attempt::Held(guard)) => return Ok(guard),
                Ok(Attempt::Busy(holder)) if rest.is_zero() => {
                    return Err(LockError::Timeout { location: self.provider.location(), waited, holder });
                }
                Ok(Attempt::Busy(holder)) => was_foreign |= holder.foreign,
                Err(error) if rest.is_zero() || !may_pass(&error) => return Err(error),
                Err(error) => tracing::debug!(%error, "the table lock could not be looked at; trying again"),
            }
            clock.sleep(pause.min(rest)).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// One try, in a task of its own: were it dropped half-way, nobody would know whether the
    /// lock was written.
    async fn attempt(&self, owner: Uuid) -> Result<Attempt, LockError> {
        let provider = self.provider.clone();
        run_to_end(self.provider.location(), async move { provider.try_acquire(owner).await }).await
    }

    /// Waits until a foreign holder that went away is done deleting the lock, then looks again.
    async fn settle(&self, guard: LockGuard) -> Result<Attempt, LockError> {
        self.environment.clock.sleep(SETTLE).await;
        match guard.check().await {
            Ok(_) => Ok(Attempt::Held(guard)),
            Err(error) if error.is_lost() => {
                guard.forget();
                Ok(Attempt::Busy(Holder::unknown(
                    "somebody who took it away at once",
                    "try again; if it happens often, another writer uses another lock",
                )))
            }
            Err(error) => Err(error),
        }
    }
}

impl Holder {
    fn unknown(name: &str, advice: &str) -> Self {
        Self { name: name.to_owned(), age: None, advice: advice.to_owned(), foreign: true }
    }
}

/// The lock, held. [`LockGuard::release`] it; dropping it releases it at best effort only.
#[derive(Debug)]
pub struct LockGuard {
    held: Option<Box<dyn Held>>,
    location: String,
}

impl LockGuard {
    fn new(location: String, held: Box<dyn Held>) -> Self {
        Self { held: Some(held), location }
    }

    /// Whether the lock is surely ours, and for how long: to be called right before something
    /// is published.
    ///
    /// # Errors
    /// [`LockError::Lost`], [`LockError::LeaseTooShort`]; [`LockError::Storage`] if it could
    /// not be found out, which allows no publishing either.
    pub async fn check(&self) -> Result<Lease, LockError> {
        match &self.held {
            Some(held) => held.check().await,
            None => Err(self.lost("it was released")),
        }
    }

    /// Gives the lock back.
    ///
    /// # Errors
    /// [`LockError::Lost`] if it was not ours any more: what was published after the last
    /// [`LockGuard::check`] may have met another writer's.
    pub async fn release(mut self) -> Result<(), LockError> {
        match self.held.take() {
            Some(held) => run_to_end(self.location.clone(), async move { held.release().await }).await,
            None => Err(self.lost("it was released")),
        }
    }

    /// Drops the guard of a lock that is not ours any more.
    fn forget(mut self) {
        self.held = None;
    }

    fn lost(&self, reason: &str) -> LockError {
        LockError::Lost { location: self.location.clone(), reason: reason.to_owned() }
    }
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        let Some(held) = self.held.take() else { return };
        let location = std::mem::take(&mut self.location);
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => {
                tracing::warn!(lock = %location, "the table lock was dropped, not released; releasing it now");
                runtime.spawn(async move {
                    if let Err(error) = held.release().await {
                        tracing::warn!(lock = %location, %error, "the dropped table lock was not released");
                    }
                });
            }
            Err(_) => {
                tracing::warn!(lock = %location, "the table lock was dropped outside of a runtime and stays");
            }
        }
    }
}

/// One kind of lock.
#[async_trait]
trait Provider: fmt::Debug + Send + Sync {
    /// Where the lock is.
    fn location(&self) -> String;

    /// How long publishing may take after a check, at most.
    fn publishing(&self) -> Duration;

    /// Tries once. `owner` stays the same through all tries of one [`TableLock::acquire`], so
    /// that a lock which was written although the try failed is known again.
    async fn try_acquire(&self, owner: Uuid) -> Result<Attempt, LockError>;
}

/// The outcome of one try.
enum Attempt {
    Held(LockGuard),
    Busy(Holder),
}

/// A lock of one kind, held.
#[async_trait]
trait Held: fmt::Debug + Send + Sync {
    async fn check(&self) -> Result<Lease, LockError>;

    async fn release(&self) -> Result<(), LockError>;
}

/// Runs `work` to its end even if nobody waits for it any more.
async fn run_to_end<T: Send + 'static>(
    location: String,
    work: impl Future<Output = Result<T, LockError>> + Send + 'static,
) -> Result<T, LockError> {
    match tokio::spawn(work).await {
        Ok(done) => done,
        Err(stopped) if stopped.is_panic() => std::panic::resume_unwind(stopped.into_panic()),
        Err(source) => Err(LockError::Stopped { location, source }),
    }
}

/// Whether trying again may help.
fn may_pass(error: &LockError) -> bool {
    matches!(error, LockError::Storage(StorageError::Io { .. } | StorageError::Ambiguous { .. }))
}
