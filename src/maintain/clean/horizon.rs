//! How far back a table stays readable.

use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_file::Action;

use super::{CleanPolicy, CleanRules, Facts};
use crate::human;
use crate::timeline::Instant;

/// How far back a table stays readable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Horizon {
    /// Whatever a read as of this instant or a later one needs stays, and what was current just before it.
    /// `None` if only the versions count.
    pub keep_from: Option<InstantTime>,
    /// So many versions of each group stay, whatever their age.
    pub versions: usize,
    /// The instant that the clean is to name: from there on everything can be read, and nothing is left of
    /// groups that were replaced before it. `None` if that holds for all instants there are.
    pub earliest: Option<Instant>,
    /// Why that is not as far as the policy goes, if so.
    pub held_by: Option<Hold>,
}

/// What keeps a clean from going as far as its policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// A write or a service that is not completed.
    Pending(Instant),
    /// Readers who may be about files that have ceased to be current.
    Readers,
}

/// Why no file is due.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NothingDue {
    /// No more commits than stay.
    #[error("the active timeline has {}, and {kept} stay", human::counted(*commits as u64, "commit"))]
    Commits {
        /// How many there are.
        commits: usize,
        /// How many stay.
        kept: usize,
    },
    /// Hudi's policy counts from the first commit within the hours.
    #[error("no commit was made within the last {}", human::counted(u64::from(*hours), "hour"))]
    Hours {
        /// How many stay.
        hours: u32,
    },
    /// What another clean is to delete goes first.
    #[error("clean {clean} is planned and not completed")]
    Planned {
        /// It.
        clean: InstantTime,
    },
    /// The first write of the active timeline is not completed.
    #[error("the {action} {instant} is not completed, and no commit before it is on the active timeline")]
    Pending {
        /// What it does.
        action: Action,
        /// When it was begun.
        instant: InstantTime,
    },
    /// An earlier clean went farther.
    #[error(
        "clean {clean} left what was there from {left} on, and by these rules what was there from {kept} on stays"
    )]
    Cleaned {
        /// The newest clean.
        clean: InstantTime,
        /// From when on it left everything.
        left: InstantTime,
        /// From when on everything stays.
        kept: InstantTime,
    },
}

impl Horizon {
    /// How far back a table stays readable by `rules`.
    ///
    /// The reader window is a bound on instants, too, and so is every instant that is not completed: what is
    /// left for their sake is after the instant that the clean names, so that later cleans, which look at
    /// what was written since, come back to it, and no archiver forgets before that which groups were
    /// replaced.
    ///
    /// Source: `CleanerUtils.getEarliestCommitToRetain`, which does not look for pending instants where it
    /// counts by hours.
    ///
    /// # Errors
    /// Why nothing is due.
    pub fn of(facts: &Facts, rules: &CleanRules) -> Result<Self, NothingDue> {
        if let Some(clean) = facts.timeline.pending().find(|i| i.action == Action::Clean) {
            return Err(NothingDue::Planned { clean: clean.time });
        }
        let completed: Vec<&Instant> = facts.timeline.completed_writes().collect();
        let by_policy = match rules.policy {
            CleanPolicy::KeepLatestFileVersions(versions) => {
                return Ok(Self::by_versions(facts, rules, &completed, versions));
            }
            CleanPolicy::KeepLatestCommits(kept) => {
                let first = completed.len().checked_sub(kept).filter(|first| *first > 0);
                let nth = first.and_then(|first| completed.get(first));
                nth.ok_or(NothingDue::Commits { commits: completed.len(), kept })?
            }
            CleanPolicy::KeepLatestByHours(hours) => {
                let start = facts.unix_millis.saturating_sub(i64::from(hours) * 3_600_000);
                let start = InstantTime::from_unix_millis(start, facts.zone);
                let first = completed.iter().find(|instant| instant.time >= start);
                first.ok_or(NothingDue::Hours { hours })?
            }
        };
        let mut horizon = Self { keep_from: None, versions: 1, earliest: Some(**by_policy), held_by: None };
        if let Some(pending) = facts.timeline.pending().find(|i| i.action.writes_data()) {
            horizon.hold_before(pending, &completed)?;
        }
        if let Some(read) = first_read(facts, rules, &completed) {
            horizon.hold_at(read, Hold::Readers);
        }
        let earliest = horizon.earliest.map(|earliest| earliest.time);
        let last = facts.last_clean.as_ref().and_then(|last| Some((last.instant, last.earliest?)));
        if let (Some((clean, left)), Some(kept)) = (last, earliest)
            && kept < left
        {
            return Err(NothingDue::Cleaned { clean, left, kept });
        }
        Ok(Self { keep_from: earliest, ..horizon })
    }

    /// An instant that is not completed yet has none of its own to read as of: it is the one before.
    fn hold_before(&mut self, pending: &Instant, completed: &[&Instant]) -> Result<(), NothingDue> {
        if self.earliest.is_some_and(|earliest| earliest.time <= pending.time) {
            return Ok(());
        }
        let before = completed.iter().rfind(|instant| instant.time < pending.time);
        let none = NothingDue::Pending { action: pending.requested_as, instant: pending.time };
        self.hold_at(before.ok_or(none)?, Hold::Pending(*pending));
        Ok(())
    }

    fn hold_at(&mut self, instant: &Instant, hold: Hold) {
        if self.earliest.is_none_or(|earliest| instant.time < earliest.time) {
            (self.earliest, self.held_by) = (Some(*instant), Some(hold));
        }
    }

    /// Versions are counted for groups that are there; those that were replaced go at once, unless somebody
    /// may read them. Then the clean has to name an instant, as by the other policies: Hudi's archiver takes
    /// a clean that names none for one that left nothing of any group which was replaced before it.
    ///
    /// Source: `CleanPlanner.getFilesToCleanKeepingLatestVersions`,
    /// `ClusteringUtils.getEarliestInstantToRetainForClustering`.
    fn by_versions(facts: &Facts, rules: &CleanRules, completed: &[&Instant], versions: usize) -> Self {
        let is_replace = |i: &&Instant| i.action == Action::ReplaceCommit;
        let pending = facts.timeline.pending().find(is_replace);
        // A service that is to rewrite a group which was replaced since reads it first.
        let rewritten = facts.planned.keys().filter_map(|group| facts.replaced.get(group)).min();
        let read = first_read(facts, rules, completed);
        let bounds = [read.map(|i| i.time), pending.map(|i| i.time), rewritten.copied()];
        let keep_from = bounds.into_iter().flatten().min();
        let from = |i: &&Instant| keep_from.is_some_and(|from| i.time >= from);
        let earliest = facts.timeline.instants().filter(is_replace).find(from);
        let is_held = |bound: Option<InstantTime>| bound.is_some() && bound == keep_from;
        let held_by = match pending {
            Some(pending) if is_held(Some(pending.time)) => Some(Hold::Pending(*pending)),
            _ => is_held(read.map(|i| i.time)).then_some(Hold::Readers),
        };
        Self { keep_from, versions, earliest: earliest.copied(), held_by }
    }

    /// Whether all that a group had is gone by its replacement at `replaced`.
    pub(super) fn has_passed(&self, replaced: InstantTime) -> bool {
        self.keep_from.is_none_or(|from| replaced < from)
    }
}

/// The first write that showed within the reader window, be it archived by now or not: whoever began to read
/// before it may still read what it superseded.
fn first_read<'a>(facts: &'a Facts, rules: &CleanRules, completed: &[&'a Instant]) -> Option<&'a Instant> {
    let start = facts.window_start(rules);
    let showed = |i: &&Instant| facts.completed_unix_millis(i).is_none_or(|completed| completed > start);
    facts.archived.iter().chain(completed.iter().copied()).find(|i| showed(i))
}
