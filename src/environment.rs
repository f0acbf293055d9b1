//! Time, identity and a place on disk, injected: with a [`ManualClock`] and [`SeededIds`] a failure
//! replays.
//!
//! Nothing else in the crate asks the system for the time or for a random id (a lint sees to
//! it). An embedder that wants to replay a run passes [`Environment::replay`] instead of
//! [`Environment::real`].

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use tokio::sync::watch;
use uuid::Uuid;

use crate::memory::SpillArea;

/// What a run depends on besides its inputs: the time, new ids, and where it puts what does not fit its
/// memory.
#[derive(Debug, Clone)]
pub struct Environment {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// New ids.
    pub ids: Arc<dyn Ids>,
    /// Where things wait that do not fit the memory.
    pub spill: SpillArea,
}

impl Environment {
    /// The system's clock, random ids, and the system's temporary folder.
    pub fn real() -> Self {
        Self { clock: Arc::new(SystemClock::new()), ids: Arc::new(RandomIds), spill: SpillArea::default() }
    }

    /// A clock that stands still at `unix_millis` until it is moved, and the ids of `seed`.
    pub fn replay(unix_millis: i64, seed: u64) -> (Self, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::new(unix_millis));
        let (ids, spill) = (Arc::new(SeededIds::new(seed)), SpillArea::default());
        (Self { clock: clock.clone(), ids, spill }, clock)
    }
}

/// A source of time.
#[async_trait]
pub trait Clock: fmt::Debug + Send + Sync {
    /// Milliseconds since the epoch. May jump, forwards and backwards, as wall clocks do.
    fn unix_millis(&self) -> i64;

    /// Time since some fixed point of this run; never runs backwards. For deadlines.
    fn monotonic(&self) -> Duration;

    /// Returns when `duration` has passed on [`Clock::monotonic`]. Dropping the future is safe.
    async fn sleep(&self, duration: Duration);
}

/// A source of ids that nobody else draws.
pub trait Ids: fmt::Debug + Send + Sync {
    /// A new version 4 UUID.
    fn uuid(&self) -> Uuid;
}

/// The system's clock. Sleeps need a tokio runtime with time.
#[derive(Debug)]
pub struct SystemClock {
    started: tokio::time::Instant,
}

impl SystemClock {
    /// A clock whose [`Clock::monotonic`] starts now.
    pub fn new() -> Self {
        Self { started: tokio::time::Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place where the wall clock is read")]
    fn unix_millis(&self) -> i64 {
        unix_millis_of(SystemTime::now())
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// Random ids.
#[derive(Debug)]
pub struct RandomIds;

impl Ids for RandomIds {
    #[expect(clippy::disallowed_methods, reason = "the one place where random ids are drawn")]
    fn uuid(&self) -> Uuid {
        Uuid::new_v4()
    }
}

/// A clock that moves only when told to.
///
/// Sleepers wake when the time has been moved to their deadline or past it. Wall clock and
/// monotonic time move together.
#[derive(Debug)]
pub struct ManualClock {
    start_unix_millis: i64,
    now: watch::Sender<Duration>,
    deadlines: Mutex<BTreeSet<(Duration, u64)>>,
    sleepers: AtomicU64,
}

impl ManualClock {
    /// A clock that shows `unix_millis`.
    pub fn new(unix_millis: i64) -> Self {
        Self {
            start_unix_millis: unix_millis,
            now: watch::Sender::new(Duration::ZERO),
            deadlines: Mutex::default(),
            sleepers: AtomicU64::new(0),
        }
    }

    /// Moves the time forward and wakes whoever was due.
    pub fn advance(&self, by: Duration) {
        self.now.send_modify(|now| *now = now.saturating_add(by));
    }

    /// Moves the time to the earliest deadline that somebody sleeps for; `false` if nobody does.
    pub fn advance_to_next_deadline(&self) -> bool {
        let Some((deadline, _)) = self.deadlines().first().copied() else { return false };
        self.now.send_modify(|now| *now = deadline.max(*now));
        true
    }

    /// Runs `future` to its end, moving the time to the next deadline whenever nothing else
    /// has ended it within a millisecond of real time.
    ///
    /// Background tasks that sleep on this clock are woken in the order of their deadlines.
    pub async fn run<F: Future>(&self, future: F) -> F::Output {
        tokio::pin!(future);
        loop {
            tokio::select! {
                biased;
                output = &mut future => return output,
                () = tokio::time::sleep(Duration::from_millis(1)) => {
                    self.advance_to_next_deadline();
                }
            }
        }
    }

    fn deadlines(&self) -> MutexGuard<'_, BTreeSet<(Duration, u64)>> {
        self.deadlines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn unix_millis(&self) -> i64 {
        let moved = i64::try_from(self.monotonic().as_millis()).unwrap_or(i64::MAX);
        self.start_unix_millis.saturating_add(moved)
    }

    fn monotonic(&self) -> Duration {
        *self.now.borrow()
    }

    async fn sleep(&self, duration: Duration) {
        let mut now = self.now.subscribe();
        let deadline = self.monotonic().saturating_add(duration);
        let sleeper =
            Sleeper { clock: self, entry: (deadline, self.sleepers.fetch_add(1, Ordering::Relaxed)) };
        self.deadlines().insert(sleeper.entry);
        // The sender lives in `self`, so the channel cannot close under a sleeper.
        let _ = now.wait_for(|now| *now >= deadline).await;
    }
}

/// Forgets a deadline when its sleeper has woken or was dropped.
struct Sleeper<'a> {
    clock: &'a ManualClock,
    entry: (Duration, u64),
}

impl Drop for Sleeper<'_> {
    fn drop(&mut self) {
        self.clock.deadlines().remove(&self.entry);
    }
}

/// Ids that follow from a seed: the same seed draws the same ids in the same order.
#[derive(Debug)]
pub struct SeededIds {
    state: AtomicU64,
}

impl SeededIds {
    /// The ids of `seed`.
    pub fn new(seed: u64) -> Self {
        Self { state: AtomicU64::new(seed) }
    }

    /// SplitMix64: a full-period sequence whose every output looks random.
    fn next(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let state = self.state.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

impl Ids for SeededIds {
    fn uuid(&self) -> Uuid {
        let bits = (u128::from(self.next()) << 64) | u128::from(self.next());
        uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid()
    }
}

/// Milliseconds since the epoch, negative before it, saturating.
pub(crate) fn unix_millis_of(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |millis| -millis),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sleepers_wake_at_their_deadline_and_not_before() {
        let clock = Arc::new(ManualClock::new(1_000));
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move {
                clock.sleep(Duration::from_millis(50)).await;
                clock.unix_millis()
            }
        });
        while clock.deadlines().is_empty() {
            tokio::task::yield_now().await;
        }
        clock.advance(Duration::from_millis(49));
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        clock.advance(Duration::from_millis(1));
        assert_eq!(sleeper.await.unwrap(), 1_050);
        assert!(!clock.advance_to_next_deadline());
    }

    #[tokio::test]
    async fn a_dropped_sleeper_leaves_no_deadline() {
        let clock = ManualClock::new(0);
        let sleep = clock.sleep(Duration::from_secs(1));
        assert!(tokio::time::timeout(Duration::from_millis(1), sleep).await.is_err());
        assert!(!clock.advance_to_next_deadline());
    }

    #[tokio::test]
    async fn run_moves_the_time_from_deadline_to_deadline() {
        let (environment, clock) = Environment::replay(0, 1);
        clock
            .run(async {
                environment.clock.sleep(Duration::from_secs(60)).await;
                environment.clock.sleep(Duration::from_secs(3_600)).await;
            })
            .await;
        assert_eq!(clock.unix_millis(), 3_660_000);
    }

    #[test]
    fn the_same_seed_draws_the_same_ids() {
        let draw = |seed| {
            let ids = SeededIds::new(seed);
            (0..100).map(|_| ids.uuid()).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        assert_eq!(draw(7).into_iter().collect::<BTreeSet<_>>().len(), 100);
        assert!(draw(7).iter().all(|id| id.get_version_num() == 4));
    }

    #[test]
    fn times_before_the_epoch_are_negative() {
        assert_eq!(unix_millis_of(UNIX_EPOCH - Duration::from_millis(5)), -5);
        assert_eq!(unix_millis_of(UNIX_EPOCH + Duration::from_millis(5)), 5);
    }
}
