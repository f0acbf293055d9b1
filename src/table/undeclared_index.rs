//! What tells of an index that a table's properties say nothing of.

use crate::storage::{Storage, StorageError, TablePath};

/// Where the bucket index of consistent hashing keeps its buckets, a folder per partition.
///
/// Source: `HoodieConsistentHashingMetadata`, Hudi 1.2.0.
pub(crate) const CONSISTENT_HASHING: &str = ".hoodie/.bucket_index/consistent_hashing_metadata";

/// Fewer buckets than this are likely; the ids of other groups are random, and one of them in 40,000
/// begins like that of such a bucket.
pub(crate) const LIKELY_BUCKETS: u32 = 100_000;

/// Whether a table has a bucket index of consistent hashing.
pub(crate) async fn has_consistent_hashing(storage: &dyn Storage) -> Result<bool, StorageError> {
    let found = storage.list(&TablePath::literal(CONSISTENT_HASHING)).await?;
    Ok(!(found.folders.is_empty() && found.files.is_empty()))
}
