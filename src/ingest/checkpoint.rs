//! What a checkpoint holds, and when it is full.

use std::time::Duration;

use super::job::CommitSettings;
use super::source::Position;

/// The checkpoint that is being written.
#[derive(Debug, Default)]
pub(super) struct Checkpoint {
    pub(super) records: u64,
    /// Rows that the table has taken of them.
    pub(super) rows: u64,
    pub(super) bytes: u64,
    pub(super) position: Option<Position>,
    /// When the newest of its input was made, milliseconds since the epoch.
    pub(super) newest_millis: Option<i64>,
    /// When it must end.
    pub(super) deadline: Option<Duration>,
}

impl Checkpoint {
    /// How many of `records` still fit, at least one.
    pub(super) fn fit(&self, limits: &CommitSettings, records: usize) -> usize {
        let room = limits.rows.map_or(u64::MAX, |rows| rows.saturating_sub(self.records));
        records.min(usize::try_from(room.max(1)).unwrap_or(usize::MAX))
    }

    /// Whether it has reached a limit.
    pub(super) fn is_full(&self, limits: &CommitSettings) -> bool {
        limits.rows.is_some_and(|rows| self.records >= rows)
            || limits.bytes.is_some_and(|bytes| self.bytes >= bytes.0)
    }
}
