//! What a compaction or a clustering costs and brings, as far as that can be told beforehand.

use serde::{Deserialize, Serialize};

use crate::maintain::clustering::{ClusteringDraft, ClusteringReport};
use crate::maintain::compaction::{CompactionDraft, CompactionReport, saved_bytes};
use crate::maintain::{MaintainOptions, SliceFiles, Survey};

/// A merge holds log records as columns, which take so many times the bytes of their log files.
const DECODED: u64 = 4;

/// A file group takes so much besides: row groups that are read, merged and encoded.
const GROUP_BYTES: u64 = 64 << 20;

/// What a compaction or a clustering costs and brings.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Price {
    /// Bytes of base and log files that are read.
    pub read_bytes: u64,
    /// Bytes of base files that are written.
    pub written_bytes: u64,
    /// Of these, bytes that are copied from base files as they are.
    pub copied_bytes: u64,
    /// Files that a reader of the table opens before.
    pub files_before: u64,
    /// The same, after.
    pub files_after: u64,
    /// How long it takes.
    pub seconds: f64,
    /// The memory that it takes at most.
    pub memory_bytes: u64,
    /// What reading the whole table costs before, over what its base files alone cost.
    pub read_amplification_before: f64,
    /// The same, after.
    pub read_amplification_after: f64,
}

/// What compactions, or clusterings, of a table took in the past.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Rates {
    /// Seconds for each byte that is read.
    seconds_per_byte: f64,
    /// Bytes written for each byte read.
    written: f64,
    /// Bytes copied for each byte written.
    copied: f64,
}

/// What a compaction or a clustering took.
#[derive(Debug, Clone, Copy)]
pub(super) struct Took {
    read_bytes: u64,
    written_bytes: u64,
    /// Of these.
    copied_bytes: u64,
    seconds: f64,
}

impl Took {
    pub(super) fn by_compaction(report: &CompactionReport, seconds: f64) -> Self {
        let CompactionReport { read_bytes, written_bytes, copied_bytes, .. } = *report;
        Self { read_bytes, written_bytes, copied_bytes, seconds }
    }

    pub(super) fn by_clustering(report: &ClusteringReport, seconds: f64) -> Self {
        let ClusteringReport { read_bytes, written_bytes, .. } = *report;
        Self { read_bytes, written_bytes, copied_bytes: 0, seconds }
    }
}

impl Default for Rates {
    /// Of a table whose past is not known: everything is encoded anew, at 40 MB/s.
    fn default() -> Self {
        Self { seconds_per_byte: 1.0 / 40e6, written: 1.0, copied: 0.0 }
    }
}

impl Rates {
    /// What is to be expected after one more that took so much.
    pub(super) fn after(self, took: Took) -> Self {
        if took.read_bytes == 0 || took.written_bytes == 0 {
            return self;
        }
        let (read, written) = (took.read_bytes as f64, took.written_bytes as f64);
        let mean =
            |before: f64, now: f64| if self == Self::default() { now } else { f64::midpoint(before, now) };
        Self {
            seconds_per_byte: mean(self.seconds_per_byte, took.seconds / read),
            written: mean(self.written, written / read),
            copied: mean(self.copied, took.copied_bytes as f64 / written),
        }
    }
}

impl Price {
    /// Of a compaction, with the memory and the threads of `options`.
    pub(super) fn of_compaction(
        survey: &Survey,
        draft: &CompactionDraft,
        rates: Rates,
        options: &MaintainOptions,
    ) -> Self {
        let working = draft.groups.iter().map(|group| GROUP_BYTES + group.log_bytes() * DECODED).collect();
        let slices: Vec<_> = draft.groups.iter().collect();
        Self::of(survey, &slices, slices.len() as u64, rates, memory(working, options))
    }

    /// Of a clustering, likewise.
    pub(super) fn of_clustering(
        survey: &Survey,
        draft: &ClusteringDraft,
        rates: Rates,
        options: &MaintainOptions,
    ) -> Self {
        // Rows that are sorted are held as far as the memory allows, others pass by.
        let sorted = if draft.sort_columns.is_empty() { 0 } else { DECODED };
        let of_logs = |slices: &[SliceFiles]| slices.iter().map(|slice| slice.log_bytes() * DECODED).max();
        let held = draft
            .groups
            .iter()
            .map(|group| group.read_bytes() * sorted + of_logs(&group.slices).unwrap_or_default());
        let working = held.map(|held| GROUP_BYTES + held).collect();
        let slices: Vec<_> = draft.groups.iter().flat_map(|group| &group.slices).collect();
        let made = draft.groups.iter().map(|group| u64::from(group.files)).sum();
        Self::of(survey, &slices, made, rates, memory(working, options))
    }

    /// Of slices that `made` new files take the place of.
    fn of(survey: &Survey, slices: &[&SliceFiles], made: u64, rates: Rates, memory_bytes: u64) -> Self {
        let read_bytes: u64 = slices.iter().map(|slice| slice.read_bytes()).sum();
        let of_read = |share: f64| (read_bytes as f64 * share) as u64;
        let (files_before, base_bytes, cost) = of_table(survey);
        let gone: u64 = slices.iter().map(|slice| slice.read_files()).sum();
        let saved: u64 = slices.iter().map(|slice| saved_bytes(slice)).sum();
        let over_base = |cost: u64| cost as f64 / base_bytes.max(1) as f64;
        Self {
            read_bytes,
            written_bytes: of_read(rates.written),
            copied_bytes: of_read(rates.written * rates.copied),
            files_before,
            files_after: (files_before + made).saturating_sub(gone),
            seconds: read_bytes as f64 * rates.seconds_per_byte,
            memory_bytes,
            read_amplification_before: over_base(cost),
            read_amplification_after: over_base(cost.saturating_sub(saved)),
        }
    }
}

/// What groups hold that are worked on at once, each so many bytes.
fn memory(mut working: Vec<u64>, options: &MaintainOptions) -> u64 {
    let (memory_bytes, threads) = (options.memory_bytes, options.threads.max(1));
    let at_once = usize::try_from(memory_bytes / GROUP_BYTES).unwrap_or(threads).clamp(1, threads);
    working.sort_unstable_by(|a, b| b.cmp(a));
    working.iter().take(at_once).sum::<u64>().min(memory_bytes)
}

/// Files that a reader of the whole table opens, bytes of the base files, and what reading costs in such bytes. A
/// slice without a base file counts as if it had one of the bytes of its log files.
fn of_table(survey: &Survey) -> (u64, u64, u64) {
    let (mut files, mut base_bytes, mut cost) = (0, 0, 0);
    for (group, slice) in survey.groups.iter().filter_map(|group| Some((group, group.latest()?))) {
        let drafted = SliceFiles::of(group.id.clone(), slice);
        let base = if drafted.base.is_some() { drafted.base_bytes() } else { drafted.log_bytes() };
        files += drafted.read_files();
        base_bytes += base;
        cost += base + saved_bytes(&drafted);
    }
    (files, base_bytes, cost)
}
