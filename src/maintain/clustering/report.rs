//! What a run tells, and what it did.

use lakebed_hudi::instant::InstantTime;

use super::slices::LeftOut;
use crate::maintain::RunOutcome;

/// What a run tells as it goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClusteringEvent {
    /// It has begun.
    Begun {
        /// The clustering.
        instant: InstantTime,
        /// File groups that are still to be rewritten, and bytes of their files.
        groups: usize,
        /// See there.
        bytes: u64,
    },
    /// Some of them are, together.
    Finished {
        /// Bytes that were read for them.
        read_bytes: u64,
        /// Bytes of their new base files.
        written_bytes: u64,
    },
}

/// What a run did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusteringReport {
    /// The clustering.
    pub instant: InstantTime,
    /// How it ended.
    pub outcome: RunOutcome,
    /// File groups that are rewritten.
    pub groups: usize,
    /// Of these, those that an earlier run had done.
    pub resumed: usize,
    /// Those that this one did.
    pub finished: usize,
    /// File groups that somebody has written to, or ended, since they were planned.
    pub left_out: Vec<LeftOut>,
    /// New base files, those of earlier runs included.
    pub files: usize,
    /// Bytes that were read.
    pub read_bytes: u64,
    /// Bytes that were written.
    pub written_bytes: u64,
    /// Rows in the new base files, those of earlier runs included.
    pub rows: u64,
}

impl ClusteringReport {
    pub(super) fn of(instant: InstantTime, outcome: RunOutcome) -> Self {
        Self {
            instant,
            outcome,
            groups: 0,
            resumed: 0,
            finished: 0,
            left_out: Vec::new(),
            files: 0,
            read_bytes: 0,
            written_bytes: 0,
            rows: 0,
        }
    }
}
