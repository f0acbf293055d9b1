//! What the files of the timeline say: commits, plans, and what services did.
//!
//! In layout 2 each file is an Avro object container of one record: uncompressed, with only
//! the schema in its header. In layout 1 commits are JSON and all others Avro as well.
//!
//! | file | requested | inflight | completed |
//! |---|---|---|---|
//! | `commit`, `deltacommit` | empty | [`CommitMetadata`] | [`CommitMetadata`] |
//! | `replacecommit` | [`RequestedReplaceMetadata`] | [`CommitMetadata`] | [`CommitMetadata`] |
//! | `clustering` | [`RequestedReplaceMetadata`] | empty | a `replacecommit` |
//! | `compaction` | [`CompactionPlan`] | empty | a `commit` |
//! | `logcompaction` | [`CompactionPlan`] | empty | a `deltacommit` |
//! | `clean` | [`CleanerPlan`] | empty | [`CleanMetadata`] |
//! | `rollback` | [`RollbackPlan`] | empty | [`RollbackMetadata`] |
//! | `restore` | [`RestorePlan`] | empty | [`RestoreMetadata`] |
//! | `savepoint` | - | empty | [`SavepointMetadata`] |
//!
//! Values follow one rule for null: where it tells a caller something, the field is an
//! `Option`; elsewhere null reads as zero, false or empty. Texts in which Hudi itself writes
//! `""` or `"null"` for nothing stay texts, next to an accessor that says what they mean.
//! Maps are ordered, so that equal values give equal bytes.

mod avro;
mod clean;
mod commit;
mod compaction;
mod container;
mod cursor;
mod datum;
mod error;
mod operation_type;
mod replace;
mod restore;
mod rollback;
mod room;
mod savepoint;
#[cfg(test)]
mod tests;
mod write_stat;

pub use clean::{ActionInstant, CleanFileInfo, CleanMetadata, CleanPartitionMetadata, CleanerPlan};
pub use commit::CommitMetadata;
pub use compaction::{CompactionOperation, CompactionPlan, CompactionStrategy};
pub use error::MetadataError;
pub(crate) use error::evidence;
pub use operation_type::OperationType;
pub use replace::{
    ClusteringGroup, ClusteringPlan, ClusteringSlice, ClusteringStrategy, RequestedReplaceMetadata,
};
pub use restore::{RestoreMetadata, RestorePlan};
pub use rollback::{InstantInfo, RollbackMetadata, RollbackPartitionMetadata, RollbackPlan, RollbackRequest};
pub use savepoint::{SavepointMetadata, SavepointPartitionMetadata};
pub use write_stat::{RuntimeStats, WriteStat};

/// What a version number or a number of groups is where it is left out.
fn one() -> i32 {
    1
}
