//! What a merge did.

/// What a merge did to the base rows, as far as it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MergeCounts {
    /// Base rows that others took the place of, or that were filled from others.
    pub updated: u64,
    /// Base rows that went.
    pub deleted: u64,
    /// Rows of keys that the base did not have.
    pub added: u64,
}
