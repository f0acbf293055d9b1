//! The only writer of the timeline.
//!
//! A write passes through here twice. [`Committer::begin`] takes an instant under the table lock
//! and opens it (`.requested`, heartbeat, `.inflight`); writers then make files; and
//! [`Committer::publish`], again under the lock, checks that nothing happened meanwhile that the
//! write does not agree with, and puts the completed file, which makes everything visible at once.
//!
//! | step | on the timeline | lock |
//! |---|---|---|
//! | begin | `t.<action>.requested`, heartbeat of `t`, `t.<action>.inflight` | for the instant only |
//! | files | markers below `.hoodie/.temp/t`, data files | no |
//! | publish | `t_c.<action>` | from the checks to the put |
//! | roll back | `r.rollback.*`; files of `t`, then its `.inflight` and `.requested`, go | for the decision |
//!
//! # Invariants
//! * `.inflight` is there before the first data file, and a marker before each: so whoever rolls a
//!   dead instant back finds all of its files.
//! * Every new time is greater than all times on the timeline.
//! * A completed file is never empty and never replaced.
//! * What somebody has planned to roll back, under the lock, is not published any more; and no rollback
//!   deletes files of what was published.
//! * What a writer brings after its instant was rolled back is deleted by whoever begins a write next.
//! * Whether a completed file was put is found out under its own name, and its instant is not rolled
//!   back before; never is another completion time tried.
//!
//! Source: `BaseHoodieWriteClient`, `HoodieActiveTimeline`, `BaseRollbackPlanActionExecutor`,
//! `MarkerBasedRollbackStrategy`, `RollbackHelper` of Hudi 1.2.0; table versions 8 and 9. Pipelines, epochs
//! and progress are Lakebed's own.

mod archive;
mod completed;
mod conflict;
mod epoch;
mod error;
mod heartbeat;
mod known;
mod last_heard;
mod late_files;
mod metadata;
mod others;
mod pipeline;
mod progress;
mod publish;
mod restore;
mod rollback;
mod savepoint;
mod service;
mod settings;
mod table_properties;
mod undo_error;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_file::{Action, TimelineFile};
use lakebed_hudi::timeline_metadata::{CommitMetadata, RequestedReplaceMetadata};

pub use undo_error::UndoError;

use crate::storage::FolderStamp;
use crate::storage::lock::{LockGuard, TableLock};
use crate::table::Table;
use crate::timeline::Timeline;

pub use archive::{Archived, Going, Merged, SNAPSHOTS_KEPT};
use completed::Unsettled;
pub use epoch::Epoch;
pub(crate) use epoch::check_name as check_pipeline_name;
pub use error::CommitError;
pub use heartbeat::Heartbeat;
pub use known::Known;
pub use metadata::{clustering_metadata, compaction_metadata};
pub(crate) use pipeline::{PUT_MAX, begun_by, check_pipeline};
pub use progress::{PipelineProgress, Progress, SourceProgress};
pub use publish::{Outcome, Publication};
pub use restore::{RestorePlanned, later_than};
pub use rollback::RollbackDraft;
pub use savepoint::Savepointed;
pub use service::{News, Scheduled, ServiceRun, Taken, may_write_to, our_mark};
pub use settings::{HeartbeatSettings, LockSettings};

/// For how long the lock is held while the clock is behind the timeline.
const CLOCK_PATIENCE: Duration = Duration::from_secs(10);

/// How many instants are taken by one who stands still each time.
const BEGINS_MAX: u32 = 3;

/// How commits are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommitOptions {
    /// How long to wait for the table lock; [`TableLock::patience`] if `None`.
    pub lock_wait: Option<Duration>,
    /// By how much the clocks of the table's writers may differ
    /// (`hoodie.time.generator.max_expected_clock_skew_ms`). Each new time waits for so long.
    pub clock_skew: Duration,
    /// How often a heartbeat is renewed (`hoodie.client.heartbeat.interval_in_ms`).
    pub heartbeat_interval: Duration,
    /// After how many missed heartbeats a writer is dead
    /// (`hoodie.client.heartbeat.tolerable.misses`).
    pub heartbeat_misses: u32,
}

impl Default for CommitOptions {
    /// Hudi's defaults for a table that one process writes; others set `clock_skew` to 200 ms.
    fn default() -> Self {
        Self {
            lock_wait: None,
            clock_skew: Duration::from_millis(1),
            heartbeat_interval: Duration::from_secs(60),
            heartbeat_misses: 2,
        }
    }
}

impl CommitOptions {
    /// For how long a silent writer counts as alive.
    pub fn heartbeat_expiry(&self) -> Duration {
        self.heartbeat_interval * self.heartbeat_misses
    }
}

/// An instant that was begun: files may be written under it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begun {
    /// The instant.
    pub instant: InstantTime,
    /// The action it completes as.
    pub action: Action,
    /// The greatest time on the timeline before it.
    pub snapshot_time: Option<InstantTime>,
    /// The oldest time from which on files may have come or gone since: that of the oldest instant that was
    /// pending then, else of the newest one.
    pub settled_time: Option<InstantTime>,
}

/// Changes one table's timeline. Clones share what they know of it.
#[derive(Debug, Clone)]
pub struct Committer {
    table: Table,
    lock: Arc<TableLock>,
    options: CommitOptions,
    seen: Arc<Mutex<Seen>>,
}

/// What a process knows of the timeline.
#[derive(Debug, Default)]
struct Seen {
    /// As it was when last listed.
    listed: Option<Arc<Timeline>>,
    /// How many instants it had when it was last listed as a whole.
    whole: usize,
    /// As it was after this process last made a write visible, and the stamp of its folder then.
    published: Option<(Arc<Timeline>, FolderStamp)>,
    /// Completed files that were put and may still come, by instant.
    unsettled: BTreeMap<InstantTime, Unsettled>,
}

impl Committer {
    /// Changes the timeline of `table` under `lock`.
    pub fn new(table: Table, lock: TableLock, options: CommitOptions) -> Self {
        Self { table, lock: Arc::new(lock), options, seen: Arc::default() }
    }

    /// The table.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// The settings.
    pub fn options(&self) -> &CommitOptions {
        &self.options
    }

    /// The timeline as it is now; only what is new is read, until that is as much as there was: then
    /// what was archived meanwhile is forgotten.
    ///
    /// # Errors
    /// A timeline that cannot be read.
    pub async fn timeline(&self) -> Result<Arc<Timeline>, CommitError> {
        let known = {
            let seen = self.seen();
            seen.listed.clone().filter(|known| known.instants().count() < 2 * seen.whole)
        };
        let now = match &known {
            Some(known) => self.table.timeline.advance(known).await?,
            None => self.table.timeline.load().await?,
        };
        let now = Arc::new(now);
        let mut seen = self.seen();
        if known.is_none() {
            seen.whole = now.instants().count();
        }
        seen.listed = Some(now.clone());
        drop(seen);
        Ok(now)
    }

    /// The timeline as it is now, all of it listed: savepoints bear the times of what they keep, and those that were
    /// made or deleted show in nothing that is new.
    async fn timeline_anew(&self) -> Result<Arc<Timeline>, CommitError> {
        self.seen().listed = None;
        self.timeline().await
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The timeline to begin a write on. The caller holds the lock.
    ///
    /// A long timeline takes longer to list than all else of a small commit. So where the folder's
    /// stamp shows that nothing has changed since this process made a write visible, the timeline
    /// is taken as it was then. What that misses is met when the write is published, as is what
    /// happens while it is written.
    async fn timeline_to_begin_on(&self) -> Result<Arc<Timeline>, CommitError> {
        let published = self.seen().published.take();
        if let Some((timeline, stamp)) = published
            && self.table.timeline.stamp().await? == Some(stamp)
            && timeline.pending().next().is_none()
        {
            return Ok(timeline);
        }
        self.timeline().await
    }

    /// Takes a new instant and opens it for `action`; with the timeline that it was begun on.
    /// `intent` goes into the inflight file: who writes, so that a later run knows its own.
    ///
    /// Whoever stands still meanwhile, for so long that others may have rolled the instant back, takes another one.
    ///
    /// # Errors
    /// No lock in time; [`CommitError::Lapsed`] time and again; those of the storage. Nothing then needs to be undone:
    /// an instant that is there all the same is rolled back by [`Committer::roll_back_dead`], for its pipeline at once
    /// if it is inflight, else once its heartbeat has expired.
    pub async fn begin(
        &self,
        action: Action,
        intent: &CommitMetadata,
    ) -> Result<(Begun, Heartbeat, Arc<Timeline>), CommitError> {
        // Nobody beats more often than that.
        let expiry = self.options.heartbeat_expiry().max(self.options.heartbeat_interval);
        let mut left = BEGINS_MAX;
        loop {
            let (begun, heartbeat, timeline) = self.begin_requested(action).await?;
            let inflight = TimelineFile::inflight(begun.instant, action);
            self.put(&inflight, intent.to_avro()?.into()).await?;
            if heartbeat.silence() <= expiry {
                return Ok((begun, heartbeat, timeline));
            }
            // Others may have rolled it back before it was inflight, and would not find it now.
            let lapsed = CommitError::Lapsed { action, instant: begun.instant, expiry };
            left -= 1;
            if left == 0 {
                return Err(lapsed);
            }
            tracing::warn!(problem = %lapsed, "another instant is taken");
        }
    }

    /// Takes a new instant and requests it, once no rollback that was cut off is left.
    async fn begin_requested(
        &self,
        action: Action,
    ) -> Result<(Begun, Heartbeat, Arc<Timeline>), CommitError> {
        let mut has_finished = false;
        loop {
            let guard = self.locked().await?;
            let begun = self.begin_locked(action, has_finished, &guard).await;
            let released = guard.release().await;
            let begun = begun?;
            released?;
            match begun {
                Some(begun) => return Ok(begun),
                None => self.finish_rollbacks().await?,
            }
            has_finished = true;
        }
    }

    /// Takes a new instant. `None` where rollbacks were cut off: nothing is to be built on a commit that is to go, so
    /// they are to be finished first, mostly without the lock. Those that came since the caller `has_finished` all are
    /// finished here.
    async fn begin_locked(
        &self,
        action: Action,
        has_finished: bool,
        guard: &LockGuard,
    ) -> Result<Option<(Begun, Heartbeat, Arc<Timeline>)>, CommitError> {
        let mut timeline = self.timeline_to_begin_on().await?;
        self.refuse_restoring(&timeline).await?;
        if timeline.pending().any(|instant| instant.action == Action::Rollback) {
            if !has_finished {
                return Ok(None);
            }
            self.finish_rollbacks_locked(&BTreeSet::new(), guard).await?;
            timeline = self.timeline().await?;
        }
        let instant = self.new_time(&timeline).await?;
        // Who finds the instant finds its writer alive.
        let heartbeat = self.heartbeat(instant).await?;
        let request = match action {
            Action::ReplaceCommit => RequestedReplaceMetadata::default().to_avro()?.into(),
            _ => Bytes::new(),
        };
        self.put(&TimelineFile::requested(instant, action), request).await?;
        let (snapshot_time, settled_time) = (timeline.latest_time(), timeline.settled_time());
        Ok(Some((Begun { instant, action, snapshot_time, settled_time }, heartbeat, timeline)))
    }

    /// A time greater than all on `timeline`, that no other writer's clock is still behind when
    /// this returns. The caller holds the lock.
    ///
    /// # Errors
    /// A clock that is behind the timeline for longer than others wait for the lock.
    ///
    /// Source: `HoodieInstantTimeGenerator`, `SkewAdjustingTimeGenerator`.
    async fn new_time(&self, timeline: &Timeline) -> Result<InstantTime, CommitError> {
        let clock = &self.table.environment.clock;
        let latest = timeline.latest_time();
        loop {
            let time = InstantTime::from_unix_millis(clock.unix_millis(), self.table.zone);
            clock.sleep(self.options.clock_skew).await;
            match latest {
                Some(latest) if time <= latest => {
                    let behind = self.behind(latest, time);
                    if behind > CLOCK_PATIENCE {
                        return Err(CommitError::ClockBehind { latest, time, behind });
                    }
                    tracing::warn!(%time, %latest, "the clock is behind the timeline; waiting");
                    clock.sleep(behind).await;
                }
                _ => return Ok(time),
            }
        }
    }

    fn behind(&self, latest: InstantTime, time: InstantTime) -> Duration {
        let millis = |t: InstantTime| t.to_unix_millis(self.table.zone).unwrap_or_default();
        Duration::from_millis(u64::try_from(millis(latest) - millis(time)).unwrap_or_default() + 1)
    }

    async fn put(&self, file: &TimelineFile, bytes: Bytes) -> Result<(), CommitError> {
        self.table.storage.put_if_absent(&self.table.timeline.path(file), bytes).await?;
        Ok(())
    }

    /// Takes the table lock.
    async fn locked(&self) -> Result<LockGuard, CommitError> {
        Ok(self.lock.acquire(self.options.lock_wait.unwrap_or_else(|| self.lock.patience())).await?)
    }
}
