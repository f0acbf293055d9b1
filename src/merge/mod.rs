//! The rows of a file slice: its log records folded by key and put over its base file.
//!
//! The answer is the one that Spark + Hudi 1.2.0 gives, row for row, and that takes two steps
//! whose order matters:
//!
//! 1. **Fold.** All log records of a key, in log order, become one entry.
//! 2. **Apply.** The entry is put over the base row.
//!
//! Merging the log records one by one onto the base would give other rows: a fold forgets
//! tombstones, so an old row that follows a delete in the logs meets the base row as if there
//! had been no delete. Nor may runs of log records be folded apart from each other and joined
//! later.
//!
//! Rows come out in the order of the base file, then those of new keys in the order in which
//! the logs first name them.
//!
//! Everything is columnar: an entry is a position in a batch of log rows, and a batch of base
//! rows that no entry touches passes through uncopied. Where the log records do not fit the
//! memory budget, keys are partitioned by hash into files (in a [`SpillArea`](crate::memory::SpillArea))
//! and folded partition by partition; what each partition does to the base is merged back in base order.
//!
//! Source: `HoodieFileGroupReader`, `KeyBasedFileGroupRecordBuffer`,
//! `BufferedRecordMergerFactory`, `PartialUpdateHandler` of Hudi 1.2.0; table versions 6, 8, 9.

mod apply;
mod columns;
mod combine;
mod counts;
mod error;
mod fold;
mod folded_logs;
mod key_table;
mod merged_rows;
mod ordering;
mod partitioned;
mod patch;
mod resources;
mod rules;
mod runs;
mod source;
mod spill;
#[cfg(test)]
mod tests;

pub use apply::NamedRows;
pub use columns::MergeColumns;
pub use combine::{Combined, combine};
pub use counts::MergeCounts;
pub use error::MergeError;
pub use folded_logs::{FoldedLogs, NewRows, RowChanges};
pub use merged_rows::MergedRows;
pub use resources::MergeResources;
pub use rules::{Fill, MergeRules};
pub use source::{Batches, Deleted, LogRecords, SliceSource};
pub(crate) use spill::{Frame, SpillFile};
