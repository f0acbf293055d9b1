//! What a merge may take.

use crate::memory::SpillArea;

/// Rows of new keys per batch that comes out.
pub(super) const REST_ROWS: usize = 8192;

/// How much memory a merge may take, where it puts what does not fit, and who works on it.
#[derive(Debug, Clone)]
pub struct MergeResources {
    /// Bytes for log records and their keys. What is decoded at the moment, and the batch that
    /// comes out, are on top.
    pub budget_bytes: usize,
    /// Where log records go that need more; if nowhere, the merge fails with
    /// [`MergeError::Memory`](super::MergeError::Memory) before anything came of it.
    pub spill: Option<SpillArea>,
    /// How many columns may be worked on at the same time, each by a thread of its own.
    pub columns_at_once: usize,
}

impl Default for MergeResources {
    /// 256 MiB, then the system's temporary folder; one column after the other.
    fn default() -> Self {
        Self { budget_bytes: 256 << 20, spill: Some(SpillArea::default()), columns_at_once: 1 }
    }
}
