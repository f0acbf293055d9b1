//! Table services: planned under the lock, carried out without it, published under it.
//!
//! | step | on the timeline | lock |
//! |---|---|---|
//! | schedule | `s.<action>.requested`, the plan | from settling the plan to the put |
//! | take | heartbeat of `s`; what a dead attempt left is rolled back, the plan stays | for the decision |
//! | begin | `s.<action>.inflight` | no |
//! | files | markers below `.hoodie/.temp/s`, data files | no |
//! | complete | `s_c.<action>` | from the checks to the put |
//!
//! Unlike a write, a service that dies is not undone: its plan stays, for whoever comes next. One is at
//! work at a time: whoever takes a service beats for it, and who finds it beating passes it by.
//!
//! Source: `BaseHoodieTableServiceClient.compact`, `HoodieTable.rollbackInflightInstant`,
//! `ScheduleCompactionActionExecutor` of Hudi 1.2.0; table versions 8 and 9.

mod attempt;
mod complete;
mod partitions;
mod schedule;

pub use partitions::may_write_to;

use std::collections::BTreeMap;
use std::time::Duration;

use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_file::Action;
use lakebed_hudi::timeline_metadata::{CleanerPlan, CommitMetadata, SavepointMetadata};

use super::Heartbeat;
use super::others::written;
use crate::table::FileGroupId;
use crate::timeline::Instant;

/// What has happened to a table since a plan was made.
#[derive(Debug, Clone, Default)]
pub struct News {
    /// The writes that completed, oldest first by completion.
    pub commits: Vec<(Instant, CommitMetadata)>,
    /// The groups that services were planned for, with the service's instant.
    pub planned: BTreeMap<FileGroupId, InstantTime>,
    /// The groups that writes are just writing to, with the write's instant; told for clusterings alone.
    pub unfinished: BTreeMap<FileGroupId, InstantTime>,
    /// The savepoints that were made, by the instant that they keep.
    pub savepoints: BTreeMap<InstantTime, SavepointMetadata>,
}

impl News {
    /// The groups that writes have written to or ended, or are just writing to, each with the newest of them.
    pub fn touched(&self) -> BTreeMap<FileGroupId, InstantTime> {
        let touched = self.commits.iter().flat_map(|(commit, metadata)| {
            let groups = written(commit.time, metadata).flat_map(|other| other.groups);
            groups.map(|group| (group, commit.time))
        });
        touched.chain(self.unfinished.clone()).collect()
    }
}

/// What became of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scheduled {
    /// It is on the timeline.
    At(InstantTime),
    /// After what happened meanwhile nothing of it is left to do.
    Nothing,
    /// The table is not the one that it was planned on: plan anew.
    Stale {
        /// What happened.
        reason: String,
    },
}

/// Whether a pending service was taken.
#[derive(Debug)]
pub enum Taken {
    /// It is this process's from now on.
    Run(ServiceRun),
    /// Somebody is at work on it.
    AtWork {
        /// When that was last seen, in milliseconds since the epoch.
        seen_unix_millis: i64,
        /// After which silence they count as dead.
        expiry: Duration,
    },
    /// It is not pending: it was completed, or taken back.
    Over,
}

/// A pending service that this process has taken: it beats for it until it is completed or released.
#[derive(Debug)]
pub struct ServiceRun {
    /// Its instant.
    pub instant: InstantTime,
    /// What it was requested as.
    pub action: Action,
    pub(super) heartbeat: Heartbeat,
    /// Whether an attempt at it was begun before.
    pub(super) was_begun: bool,
}

/// Under this name the extra metadata of plans of cleans, and of attempts at services, say that they are ours.
const OURS: &str = "lakebed.service";

/// What the extra metadata of ours say.
pub fn our_mark() -> (String, String) {
    (OURS.to_owned(), env!("CARGO_PKG_VERSION").to_owned())
}

/// Who began an attempt, in its inflight file: whoever says so beats while it is at work.
fn intent() -> CommitMetadata {
    CommitMetadata { extra_metadata: [our_mark()].into(), ..CommitMetadata::default() }
}

pub(super) fn is_ours(inflight: &[u8]) -> bool {
    CommitMetadata::from_bytes(inflight).is_ok_and(|said| said.extra_metadata.contains_key(OURS))
}

pub(super) fn is_our_plan(clean: &[u8]) -> bool {
    CleanerPlan::from_avro(clean).is_ok_and(|plan| plan.extra_metadata.contains_key(OURS))
}
