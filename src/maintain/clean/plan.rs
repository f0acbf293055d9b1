//! From a table to what nobody needs of it.

use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_file::State;
use lakebed_hudi::timeline_metadata::ActionInstant;

use super::draft::{CleanDraft, DraftedSlice};
use super::facts::Kept;
use super::survey::{CleanSurvey, PartitionFiles, Scope};
use super::{Facts, Horizon};
use crate::commit::may_write_to;
use crate::maintain::SliceFile;
use crate::table::{FileGroup, FileGroupId, FileSlice};
use crate::timeline::Instant;

/// What nobody needs of a table.
///
/// Of a group that is there, the newest versions stay, and all that are read as of the horizon or later; of
/// one that was replaced nothing, or all that it has. A slice goes, or stays, as a whole.
///
/// Source: `CleanPlanner.getDeletePaths`.
pub fn plan(survey: &CleanSurvey) -> CleanDraft {
    let CleanSurvey { rules, facts, horizon, scope, partitions } = survey;
    let last_completed = facts.timeline.completed_writes().next_back().map(|instant| instant.time);
    let mut draft = CleanDraft {
        rules: *rules,
        earliest: None,
        last_completed,
        savepoints: facts.savepoints.keys().copied().collect(),
        slices: Vec::new(),
        partitions: Default::default(),
        spares_next: false,
    };
    let Ok(horizon) = horizon else { return draft };
    draft.earliest = horizon.earliest.as_ref().map(action_instant);
    draft.spares_next = *scope == Scope::All && !rules.policy.counts_versions() && is_news(facts, &draft);
    let planner = Planner { facts, horizon, kept: Kept::of(&facts.savepoints, &facts.planned) };
    for partition in partitions {
        let (go, is_empty) = planner.partition(partition);
        if is_empty && (!go.is_empty() || draft.earliest.is_some()) {
            draft.partitions.insert(partition.path.clone());
        }
        draft.slices.extend(go);
    }
    draft
}

/// Whether the newest clean does not say already what `draft` does.
fn is_news(facts: &Facts, draft: &CleanDraft) -> bool {
    let earliest = draft.earliest.as_ref().map(|earliest| earliest.timestamp);
    let says = facts.last_clean.as_ref().filter(|last| !last.by_versions);
    says.is_none_or(|last| last.earliest != earliest || last.savepoints != draft.savepoints)
}

fn action_instant(instant: &Instant) -> ActionInstant {
    let state = match instant.state {
        State::Requested => "REQUESTED",
        State::Inflight => "INFLIGHT",
        State::Completed(_) => "COMPLETED",
    };
    ActionInstant { timestamp: instant.time, action: instant.file().action, state: state.to_owned() }
}

struct Planner<'a> {
    facts: &'a Facts,
    horizon: &'a Horizon,
    kept: Kept<'a>,
}

impl Planner<'_> {
    /// The slices of a partition that go, and whether nothing is left of it then.
    fn partition(&self, partition: &PartitionFiles) -> (Vec<DraftedSlice>, bool) {
        let (mut go, mut any_stays) = (Vec::new(), !partition.others.is_empty());
        for group in &partition.groups {
            let superfluous = self.superfluous(group);
            any_stays |= superfluous.len() < group.slices.len();
            go.extend(superfluous.into_iter().map(|slice| drafted(&group.id, slice)));
        }
        let is_open = || may_write_to(&partition.path, &self.facts.timeline, self.facts.planned.keys());
        (go, !partition.path.is_empty() && !any_stays && !is_open())
    }

    /// The slices of a group that nobody needs.
    fn superfluous<'b>(&self, group: &'b FileGroup) -> Vec<&'b FileSlice> {
        let replaced = self.facts.replaced.get(&group.id);
        if replaced.is_some_and(|replaced| !self.horizon.has_passed(*replaced)) {
            return Vec::new();
        }
        let before = self.horizon.keep_from.and_then(|from| last_before(&group.slices, from));
        let newest_first = group.slices.iter().rev().enumerate();
        let is_counted = |(age, slice): (usize, &FileSlice)| {
            let is_read = self.horizon.keep_from.is_some_and(|from| slice.base_instant >= from);
            age < self.horizon.versions || is_read || before == Some(slice.base_instant)
        };
        newest_first
            .filter(|(age, slice)| replaced.is_some() || !is_counted((*age, *slice)))
            .map(|(_, slice)| slice)
            .filter(|slice| !self.kept.any(&group.id, names(slice)))
            .collect()
    }
}

/// The slice that was current just before `from`.
fn last_before(slices: &[FileSlice], from: InstantTime) -> Option<InstantTime> {
    slices.iter().map(|slice| slice.base_instant).rfind(|base| *base < from)
}

fn names(slice: &FileSlice) -> impl Iterator<Item = &str> {
    slice.paths().map(|path| path.file_name())
}

fn drafted(group: &FileGroupId, slice: &FileSlice) -> DraftedSlice {
    let base = slice.base.iter().map(|base| (base.path.file_name(), base.size_bytes));
    let logs = slice.logs.iter().map(|log| (log.path.file_name(), log.size_bytes));
    let files = base.chain(logs).map(|(name, bytes)| SliceFile { name: name.to_owned(), bytes });
    DraftedSlice { group: group.clone(), base_instant: slice.base_instant, files: files.collect() }
}
