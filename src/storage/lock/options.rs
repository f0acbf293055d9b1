//! The few settings of the table lock.

use std::time::Duration;

/// Settings of the table lock. All writers of a table should agree on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockOptions {
    /// After how many minutes a lock file is taken for abandoned; 0 for never.
    ///
    /// The file is not renewed, so this must exceed the longest time any writer holds the lock.
    /// Key: `hoodie.write.lock.filesystem.expire`.
    pub file_system_expire_minutes: u32,
    /// For how many seconds a lock object is valid once written.
    ///
    /// Key: `hoodie.write.lock.storage.validity.timeout.secs`.
    pub storage_validity_seconds: u32,
    /// How often, in seconds, a lock object is renewed while it is held.
    ///
    /// Key: `hoodie.write.lock.storage.renew.interval.secs`.
    pub storage_renew_seconds: u32,
}

impl Default for LockOptions {
    /// Hudi's defaults.
    ///
    /// Source: `HoodieLockConfig`, `StorageBasedLockConfig` of Hudi 1.2.0.
    fn default() -> Self {
        Self { file_system_expire_minutes: 0, storage_validity_seconds: 300, storage_renew_seconds: 30 }
    }
}

/// Why settings of the table lock are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LockOptionsError {
    /// The lock would expire before enough renewals could fail.
    #[error(
        "hoodie.write.lock.storage.validity.timeout.secs is {validity_seconds}: expected at least \
         10 and at least 10 times hoodie.write.lock.storage.renew.interval.secs ({renew_seconds})"
    )]
    ValidityTooShort {
        /// The validity found.
        validity_seconds: u32,
        /// The interval found.
        renew_seconds: u32,
    },
    /// A lock object must be renewed.
    #[error("hoodie.write.lock.storage.renew.interval.secs is 0: expected at least 1")]
    NoRenewal,
}

impl LockOptions {
    /// Refuses what Hudi refuses.
    pub(super) fn validated(self) -> Result<Self, LockOptionsError> {
        let (validity_seconds, renew_seconds) = (self.storage_validity_seconds, self.storage_renew_seconds);
        if renew_seconds == 0 {
            return Err(LockOptionsError::NoRenewal);
        }
        if validity_seconds < 10 || u64::from(validity_seconds) < u64::from(renew_seconds) * 10 {
            return Err(LockOptionsError::ValidityTooShort { validity_seconds, renew_seconds });
        }
        Ok(self)
    }

    pub(super) fn file_system_expire(self) -> Option<Duration> {
        let minutes = u64::from(self.file_system_expire_minutes);
        (minutes > 0).then(|| Duration::from_secs(minutes * 60))
    }

    pub(super) fn storage_validity(self) -> Duration {
        Duration::from_secs(u64::from(self.storage_validity_seconds))
    }

    pub(super) fn storage_renew_interval(self) -> Duration {
        Duration::from_secs(u64::from(self.storage_renew_seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hudi_refuses_is_refused() {
        let with = |validity, renew| {
            LockOptions {
                storage_validity_seconds: validity,
                storage_renew_seconds: renew,
                ..LockOptions::default()
            }
            .validated()
        };
        assert!(LockOptions::default().validated().is_ok());
        assert!(with(10, 1).is_ok());
        assert_eq!(with(300, 0), Err(LockOptionsError::NoRenewal));
        for (validity_seconds, renew_seconds) in [(9, 1), (299, 30), (0, 1), (u32::MAX, u32::MAX)] {
            let refused = LockOptionsError::ValidityTooShort { validity_seconds, renew_seconds };
            assert_eq!(with(validity_seconds, renew_seconds), Err(refused));
        }
    }
}
