//! How settings of the lock and of heartbeats are written in files.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::CommitOptions;
use crate::settings::{SettingsError, TimeSpan};
use crate::storage::lock::LockOptions;

/// By how much clocks may differ where others write too, as Hudi has it.
const SHARED_CLOCK_SKEW: Duration = Duration::from_millis(200);

/// Less than that storages and busy machines do not keep up with.
const HEARTBEAT_INTERVAL_MIN: Duration = Duration::from_secs(1);

/// The table lock.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LockSettings {
    /// How long to wait for it. If not set 1m, in a bucket for so long after the lock of a dead
    /// writer has lost its validity.
    #[serde(default)]
    pub wait: Option<TimeSpan>,
    /// On disk: after which time a lock file is taken for abandoned, in whole minutes; never if not
    /// set (hoodie.write.lock.filesystem.expire).
    #[serde(default)]
    pub expire: Option<TimeSpan>,
    /// In a bucket: how long a lock is valid once written; 5m if not set
    /// (hoodie.write.lock.storage.validity.timeout.secs).
    #[serde(default)]
    pub validity: Option<TimeSpan>,
    /// In a bucket: how often a lock is renewed while it is held; 30s if not set
    /// (hoodie.write.lock.storage.renew.interval.secs).
    #[serde(default)]
    pub renew: Option<TimeSpan>,
}

/// The signs of life of a writer.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeartbeatSettings {
    /// How often, 1s or more; 1m if not set (hoodie.client.heartbeat.interval_in_ms).
    #[serde(default)]
    pub interval: Option<TimeSpan>,
    /// After how many missed ones a writer is dead; 2 if not set
    /// (hoodie.client.heartbeat.tolerable.misses).
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub misses: Option<u32>,
}

impl LockSettings {
    /// How the lock is kept.
    pub fn options(&self) -> LockOptions {
        let count = |set: Option<TimeSpan>, unit_seconds, default| match set {
            Some(TimeSpan(span)) => u32::try_from(span.as_secs() / unit_seconds).unwrap_or(u32::MAX),
            None => default,
        };
        let default = LockOptions::default();
        LockOptions {
            file_system_expire_minutes: count(self.expire, 60, default.file_system_expire_minutes),
            storage_validity_seconds: count(self.validity, 1, default.storage_validity_seconds),
            storage_renew_seconds: count(self.renew, 1, default.storage_renew_seconds),
        }
    }

    /// Refuses times that Hudi cannot count, of the settings at `at`.
    pub(crate) fn check(&self, at: &str) -> Result<(), SettingsError> {
        let whole = [
            ("expire", self.expire, 60, "minutes"),
            ("validity", self.validity, 1, "seconds"),
            ("renew", self.renew, 1, "seconds"),
        ];
        for (setting, span, unit_seconds, units) in whole {
            let Some(TimeSpan(span)) = span else { continue };
            if span.subsec_nanos() != 0 || span.as_secs() % unit_seconds != 0 {
                let problem = format!("it must be whole {units}, as Hudi counts it");
                return Err(SettingsError::new(&format!("{at}.{setting}"), problem));
            }
        }
        Ok(())
    }

    /// These settings, over those of `below`.
    #[must_use]
    pub(crate) fn over(&self, below: &Self) -> Self {
        Self {
            wait: self.wait.or(below.wait),
            expire: self.expire.or(below.expire),
            validity: self.validity.or(below.validity),
            renew: self.renew.or(below.renew),
        }
    }
}

impl HeartbeatSettings {
    /// Refuses signs of life by which whoever lives would be taken for dead, of the settings at `at`.
    pub(crate) fn check(&self, at: &str) -> Result<(), SettingsError> {
        let refuse = |setting, problem: &str| Err(SettingsError::new(&format!("{at}.{setting}"), problem));
        if self.interval.is_some_and(|TimeSpan(interval)| interval < HEARTBEAT_INTERVAL_MIN) {
            return refuse("interval", "it must be at least 1s, or who lives is taken for dead");
        }
        match self.misses {
            Some(0) => refuse("misses", "it must be at least 1, or who lives is taken for dead"),
            _ => Ok(()),
        }
    }

    /// These settings, over those of `below`.
    #[must_use]
    pub(crate) fn over(&self, below: &Self) -> Self {
        Self { interval: self.interval.or(below.interval), misses: self.misses.or(below.misses) }
    }
}

impl CommitOptions {
    /// How commits are made to a table that is `shared` with others, whose clocks may differ by `clock_skew`; that
    /// counts only then.
    pub fn of_settings(
        shared: bool,
        clock_skew: Option<TimeSpan>,
        lock: &LockSettings,
        heartbeat: &HeartbeatSettings,
    ) -> Self {
        let span = |set: Option<TimeSpan>, default| set.map_or(default, |TimeSpan(span)| span);
        let default = Self::default();
        Self {
            lock_wait: lock.wait.map(|TimeSpan(wait)| wait),
            clock_skew: if shared { span(clock_skew, SHARED_CLOCK_SKEW) } else { default.clock_skew },
            heartbeat_interval: span(heartbeat.interval, default.heartbeat_interval),
            heartbeat_misses: heartbeat.misses.unwrap_or(default.heartbeat_misses),
        }
    }
}
