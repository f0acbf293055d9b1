//! What a checkpoint holds, and when it is full.

use std::ops::Range;
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

/// What the records of a `part` have of the `bytes` of all `records`. Parts together have all of them.
pub(super) fn part_bytes(bytes: usize, records: usize, part: Range<usize>) -> u64 {
    let before = |record: usize| bytes * record / records;
    (before(part.end) - before(part.start)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_byte_is_lost_between_parts() {
        let parts = [0..1, 1..2, 2..3].map(|part| part_bytes(11, 3, part));
        assert_eq!(parts, [3, 4, 4]);
    }
}
