//! Which file groups are worth compacting.

use std::collections::BTreeSet;
use std::time::Duration;

/// Which file groups are compacted, and how many at a time.
///
/// A group is due as soon as one of the three thresholds is met. Due groups are taken in the order of what
/// readers save for each byte that is rewritten, but those that are due by age come first, the oldest
/// before all: so no group waits for ever.
#[derive(Debug, Clone, PartialEq)]
pub struct CompactionRules {
    /// A group with so many log files on its base file is due.
    pub due_log_files: usize,
    /// A group of which the log files have so many times the bytes of its base file is due.
    pub due_log_ratio: f64,
    /// A group of which the oldest log file is so old is due.
    pub due_log_age: Duration,
    /// At most so many groups are taken.
    pub max_groups: usize,
    /// At most so many bytes are read for them; one group is taken at least.
    pub max_read_bytes: u64,
    /// Only groups of these partitions; all if `None`.
    pub partitions: Option<BTreeSet<String>>,
}

impl CompactionRules {
    /// Every group that has a log file.
    pub fn everything() -> Self {
        Self {
            due_log_files: 1,
            due_log_ratio: 0.0,
            due_log_age: Duration::ZERO,
            max_groups: usize::MAX,
            max_read_bytes: u64::MAX,
            partitions: None,
        }
    }
}
