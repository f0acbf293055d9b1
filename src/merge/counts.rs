//! What a merge did.

/// What a merge did to the base rows, as far as it has come, and what it read of the logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MergeCounts {
    /// Log records that count: rows and deletes.
    pub log_records: u64,
    /// The keys that they name.
    pub log_keys: u64,
    /// Base rows that others took the place of, or that were filled from others.
    pub updated: u64,
    /// Base rows that went.
    pub deleted: u64,
    /// Rows of keys that the base did not have.
    pub added: u64,
}
