//! What a merge may take.

use crate::memory::SpillArea;

/// Rows of new keys per batch that comes out.
pub(super) const REST_ROWS: usize = 8192;

/// How much memory a merge may take, and where it puts what does not fit.
#[derive(Debug, Clone)]
pub struct MergeResources {
    /// Bytes for log records and their keys. What is decoded at the moment, and the batch that
    /// comes out, are on top.
    pub budget_bytes: usize,
    /// Where log records go that need more; if nowhere, the merge fails with
    /// [`MergeError::Memory`](super::MergeError::Memory) before anything came of it.
    pub spill: Option<SpillArea>,
}

impl Default for MergeResources {
    /// 256 MiB, then the system's temporary folder.
    fn default() -> Self {
        Self { budget_bytes: 256 << 20, spill: Some(SpillArea::default()) }
    }
}
