//! From a table to what is worth clustering in it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::draft::{ClusteringDraft, DraftedGroup};
use super::rules::ClusteringRules;
use crate::maintain::{SliceFiles, Survey};

/// What opening a file costs a reader, in bytes of a base file.
const FILE_COST: u64 = 256 << 10;

/// What is worth clustering in a table, by `rules`.
///
/// Groups that a pending service is about to rewrite are passed by.
///
/// Source: `SparkSizeBasedClusteringPlanStrategy` for which slices are eligible,
/// `PartitionAwareClusteringPlanStrategy.buildClusteringGroupsForPartition` for how they are put together.
pub fn plan(survey: &Survey, rules: &ClusteringRules) -> ClusteringDraft {
    let (mut groups, mut left_out) = (Vec::new(), BTreeSet::new());
    for (partition, slices) in small_slices(survey, rules) {
        let is_asked_for = rules.partitions.as_ref().is_none_or(|asked| asked.contains(partition));
        if is_asked_for && slices.len() >= rules.due_small_files {
            groups.extend(together(partition, slices, rules));
        } else {
            left_out.insert(partition.to_owned());
        }
    }
    groups.sort_by_key(|group| Reverse(worth(group)));
    let mut draft =
        ClusteringDraft { groups: Vec::new(), sort_columns: rules.sort_columns.clone(), left_out };
    let mut read_bytes = 0_u64;
    for group in groups {
        let with = read_bytes.saturating_add(group.read_bytes());
        let fits = draft.groups.is_empty() || with <= rules.max_read_bytes;
        if fits && draft.groups.len() < rules.max_groups {
            read_bytes = with;
            draft.groups.push(group);
        } else {
            draft.left_out.insert(group.partition);
        }
    }
    draft
}

/// What clustering saves each reader of the whole table, in bytes of a base file.
pub fn saved_bytes(draft: &ClusteringDraft) -> u64 {
    draft.groups.iter().map(|group| group.saved_files() * FILE_COST).sum()
}

/// The small slices of each partition that has two or more, the smallest first; of about the same size the oldest
/// first, so that rows which came together stay together.
fn small_slices<'a>(survey: &'a Survey, rules: &ClusteringRules) -> BTreeMap<&'a str, Vec<SliceFiles>> {
    let mut partitions: BTreeMap<&str, Vec<SliceFiles>> = BTreeMap::new();
    for group in survey.groups.iter().filter(|group| !survey.busy.contains_key(&group.id)) {
        let Some(slice) = group.latest() else { continue };
        if slice.base.as_ref().map_or(0, |base| base.size_bytes) < rules.small_file_bytes {
            let slices = partitions.entry(&group.id.partition).or_default();
            slices.push(SliceFiles::of(group.id.clone(), slice));
        }
    }
    partitions.retain(|_, slices| slices.len() > 1);
    for slices in partitions.values_mut() {
        let magnitude = |slice: &SliceFiles| slice.read_bytes().max(1).ilog2();
        slices
            .sort_by_cached_key(|slice| (magnitude(slice), slice.base_instant, slice.group.file_id.clone()));
    }
    partitions
}

/// Slices put together in their order; what is alone then, or makes no fewer files, is left as it is.
fn together<'a>(
    partition: &'a str,
    slices: Vec<SliceFiles>,
    rules: &'a ClusteringRules,
) -> impl Iterator<Item = DraftedGroup> + use<'a> {
    let mut groups: Vec<(u64, Vec<SliceFiles>)> = Vec::new();
    for slice in slices {
        let bytes = slice.read_bytes();
        match groups.last_mut().filter(|(so_far, _)| so_far.saturating_add(bytes) <= rules.group_bytes()) {
            Some((so_far, slices)) => {
                *so_far += bytes;
                slices.push(slice);
            }
            None => groups.push((bytes, vec![slice])),
        }
    }
    let drafted = groups.into_iter().map(|(bytes, slices)| DraftedGroup {
        partition: partition.to_owned(),
        slices,
        files: rules.files_of(bytes),
    });
    drafted.filter(|group| group.saved_files() > 0)
}

/// Files that go for each byte that is rewritten; positive floats order as their bits do.
fn worth(group: &DraftedGroup) -> u64 {
    (group.saved_files() as f64 / group.read_bytes().max(1) as f64).to_bits()
}
