//! From a table to what is worth compacting in it.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::draft::{CompactionDraft, DraftedGroup};
use super::rules::CompactionRules;
use crate::maintain::Survey;
use crate::table::FileSlice;

/// What a byte of log files costs a reader, over what one of a base file costs: it is decoded, folded, and
/// looked up in the base rows.
const LOG_BYTE_COST: u64 = 4;

/// What opening a log file costs a reader, in bytes of a base file.
const LOG_FILE_COST: u64 = 256 << 10;

/// What is worth compacting in a table, by `rules`.
///
/// Groups that a pending service is about to rewrite are passed by.
pub fn plan(survey: &Survey, rules: &CompactionRules) -> CompactionDraft {
    let is_asked_for =
        |partition: &str| rules.partitions.as_ref().is_none_or(|asked| asked.contains(partition));
    let (mut due, mut left_out) = (Vec::new(), BTreeSet::new());
    for group in survey.groups.iter().filter(|group| !survey.busy.contains_key(&group.id)) {
        let Some(slice) = group.latest().filter(|slice| !slice.logs.is_empty()) else { continue };
        let age_millis = age_millis(survey, slice);
        let drafted = DraftedGroup::of(group.id.clone(), slice);
        match Due::of(&drafted, age_millis, rules).filter(|_| is_asked_for(&group.id.partition)) {
            Some(due_by) => due.push((due_by, drafted)),
            None => _ = left_out.insert(group.id.partition.clone()),
        }
    }
    due.sort_by_key(|(due_by, _)| due_by.order());
    let mut draft = CompactionDraft { groups: Vec::new(), left_out };
    let mut read_bytes = 0_u64;
    for (_, drafted) in due {
        let with = read_bytes.saturating_add(drafted.read_bytes());
        let fits = draft.groups.is_empty() || with <= rules.max_read_bytes;
        if fits && draft.groups.len() < rules.max_groups {
            read_bytes = with;
            draft.groups.push(drafted);
        } else {
            draft.left_out.insert(drafted.group.partition);
        }
    }
    draft
}

/// Of the oldest log file.
fn age_millis(survey: &Survey, slice: &FileSlice) -> u64 {
    slice.logs.iter().map(|log| survey.age_millis(log.name.instant)).max().unwrap_or_default()
}

/// Why a group is due.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Due {
    ByAge {
        millis: u64,
    },
    /// What readers save for each byte that is rewritten.
    ByValue {
        saved: f64,
    },
}

impl Due {
    fn of(drafted: &DraftedGroup, age_millis: u64, rules: &CompactionRules) -> Option<Self> {
        if u128::from(age_millis) >= rules.due_log_age.as_millis() {
            return Some(Self::ByAge { millis: age_millis });
        }
        let ratio = drafted.log_bytes() as f64 / drafted.base_bytes().max(1) as f64;
        let is_due = drafted.logs.len() >= rules.due_log_files || ratio >= rules.due_log_ratio;
        let saved = drafted.log_bytes() * LOG_BYTE_COST + drafted.logs.len() as u64 * LOG_FILE_COST;
        is_due.then(|| Self::ByValue { saved: saved as f64 / drafted.read_bytes().max(1) as f64 })
    }

    /// Least first.
    fn order(self) -> (bool, Reverse<u64>) {
        match self {
            Self::ByAge { millis } => (false, Reverse(millis)),
            // Positive floats order as their bits do.
            Self::ByValue { saved } => (true, Reverse(saved.to_bits())),
        }
    }
}
