//! From a timeline to the instants that go.

use lakebed_hudi::timeline_file::Action;

use super::hold::{Hold, holds};
use super::rules::ArchiveRules;
use super::survey::ArchiveSurvey;
use crate::timeline::Instant;

/// The instants that go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ArchivePlan {
    /// They, oldest first. The last one is a write.
    pub going: Vec<Instant>,
    /// The first write that stays; none if nothing goes.
    pub stays: Option<Instant>,
    /// How many completed writes the active timeline has now.
    pub commits: usize,
    /// What holds more back, of which there would be enough to go.
    pub hold: Option<Hold>,
}

/// The instants that go by `rules`: completed writes in order, with the cleans and rollbacks among them. Hudi
/// leaves restores and savepoints where they are, and so do we.
///
/// Source: `TimelineArchiverV2.getInstantsToArchive`.
pub fn plan(survey: &ArchiveSurvey, rules: &ArchiveRules) -> ArchivePlan {
    let writes: Vec<&Instant> = survey.timeline.completed_writes().collect();
    let excess = excess(survey, &writes, rules);
    let goes = |hold: &Hold| writes.iter().take(excess).filter(|write| write.time < hold.from).count();
    let hold = holds(survey).into_iter().min_by_key(goes).filter(|hold| goes(hold) < excess);
    let count = hold.as_ref().map_or(excess, goes);
    let last = count.checked_sub(1).and_then(|at| writes.get(at));
    let going = survey.timeline.completed().filter(|i| {
        let is_among = i.action.writes_data() || matches!(i.action, Action::Clean | Action::Rollback);
        is_among && last.is_some_and(|last| i.time <= last.time)
    });
    let stays = last.and(writes.get(count)).map(|stays| **stays);
    ArchivePlan { going: going.copied().collect(), stays, commits: writes.len(), hold }
}

/// How many writes would go if nothing held them: those that are too many, and those that are in the archive
/// already, of which the newest ones stay all the same.
fn excess(survey: &ArchiveSurvey, writes: &[&Instant], rules: &ArchiveRules) -> usize {
    let is_archived = |write: &&&Instant| survey.archived.contains(&(write.time, write.action));
    let entered = writes.iter().filter(is_archived).count();
    let excess = writes.len().saturating_sub(rules.min_commits());
    match writes.len() - entered > rules.max_commits() {
        true => excess,
        false => excess.min(writes.iter().take_while(is_archived).count()),
    }
}

impl ArchivePlan {
    /// The plan as far as another hold lets it go.
    pub fn held(self, hold: Hold) -> Self {
        let kept = self.going.partition_point(|instant| instant.time < hold.from);
        if kept == self.going.len() {
            return self;
        }
        Self { hold: Some(hold), ..self.cut(kept) }
    }

    /// The oldest instants of the plan: so many, and those until the next write.
    pub fn first(self, instants: usize) -> Self {
        let mut beyond = (instants..).zip(self.going.iter().skip(instants));
        match beyond.find(|(_, instant)| instant.action.writes_data()) {
            Some((at, _)) => self.cut(at + 1),
            None => self,
        }
    }

    fn cut(mut self, kept: usize) -> Self {
        let rest = self.going.split_off(kept);
        // A clean goes with a write that comes after it.
        let is_write = |instant: &Instant| instant.action.writes_data();
        self.going.truncate(self.going.iter().rposition(is_write).map_or(0, |last| last + 1));
        let stays = rest.iter().find(|instant| is_write(instant)).copied().or(self.stays);
        self.stays = stays.filter(|_| !self.going.is_empty());
        self
    }

    /// How many writes go.
    pub fn going_commits(&self) -> usize {
        self.going.iter().filter(|instant| instant.action.writes_data()).count()
    }
}
