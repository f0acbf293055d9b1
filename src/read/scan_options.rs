//! What to read of a table.

use super::filter::Filter;
use crate::memory::default_budget_bytes;

/// What to read of a table, and with how much memory.
#[derive(Debug, Clone)]
pub struct ScanOptions {
    /// The columns, in this order; all if `None`.
    pub columns: Option<Vec<String>>,
    /// Rows come out that pass all of these.
    pub filters: Vec<Filter>,
    /// Whether all columns means Hudi's five, first, as well.
    pub with_meta: bool,
    /// Whether log files are left out: the rows as of the last compaction of each file group.
    pub base_files_only: bool,
    /// Rows per batch at most.
    pub batch_rows: usize,
    /// Memory for merging and for batches that wait, over all slices that are read at a time.
    /// What is decoded at the moment, a row group for each column, comes on top.
    /// [`default_budget_bytes`] unless set.
    pub memory_budget_bytes: usize,
    /// Slices merged at the same time; as many as there are cores unless set. The next ones are
    /// opened meanwhile, so that none of these waits for the storage as a rule.
    pub parallelism: usize,
}

impl Default for ScanOptions {
    fn default() -> Self {
        Self {
            columns: None,
            filters: Vec::new(),
            with_meta: false,
            base_files_only: false,
            batch_rows: 8192,
            memory_budget_bytes: usize::try_from(default_budget_bytes()).unwrap_or(usize::MAX),
            parallelism: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}
