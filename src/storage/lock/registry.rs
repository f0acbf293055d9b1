//! Which locks the tasks of this process hold.
//!
//! A lock file names the process that wrote it. Where that is this very process, only this list
//! can say whether a task still holds the lock or left it behind, as when releasing failed.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

static HELD: Mutex<BTreeSet<(String, Uuid)>> = Mutex::new(BTreeSet::new());

/// A lock that a task of this process holds or is about to hold, until this is dropped.
#[derive(Debug)]
pub(super) struct Registration {
    key: (String, Uuid),
}

impl Registration {
    /// Registers `owner` for the lock of that name; `None` if that owner is registered already.
    pub(super) fn new(name: &str, owner: Uuid) -> Option<Self> {
        let key = (name.to_owned(), owner);
        held().insert(key.clone()).then_some(Self { key })
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        held().remove(&self.key);
    }
}

/// Whether a task of this process holds the lock of that name as `owner`.
pub(super) fn is_held(name: &str, owner: Uuid) -> bool {
    held().contains(&(name.to_owned(), owner))
}

fn held() -> MutexGuard<'static, BTreeSet<(String, Uuid)>> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}
