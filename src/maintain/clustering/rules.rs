//! Which files are clustered, and into what.

use std::collections::BTreeSet;

use crate::human;
use crate::maintain::MaintainError;

/// Which files are clustered, and into what.
///
/// In a partition those slices are put together whose base files are small, the smallest first, until a file of
/// the target size comes of them; with columns to sort by, until a group has as many bytes as it may. Groups are
/// taken in the order of how many files go for each byte that is rewritten.
#[derive(Debug, Clone, PartialEq)]
pub struct ClusteringRules {
    /// Slices whose base files have fewer bytes are small (`hoodie.clustering.plan.strategy.small.file.limit`).
    pub small_file_bytes: u64,
    /// The size of the files that are made (`hoodie.clustering.plan.strategy.target.file.max.bytes`).
    pub target_file_bytes: u64,
    /// With columns to sort by: bytes that are sorted together (`hoodie.clustering.plan.strategy.max.bytes.per.group`).
    pub max_group_bytes: u64,
    /// Rows are sorted by these columns, ascending (`hoodie.clustering.plan.strategy.sort.columns`).
    pub sort_columns: Vec<String>,
    /// A partition with so many small files is due.
    pub due_small_files: usize,
    /// At most so many groups are planned (`hoodie.clustering.plan.strategy.max.num.groups`).
    pub max_groups: usize,
    /// At most so many bytes are read for them; one group is planned at least.
    pub max_read_bytes: u64,
    /// Only these partitions; all if `None`.
    pub partitions: Option<BTreeSet<String>>,
}

impl Default for ClusteringRules {
    /// Files as writers make them: what they take for small, and their target size
    /// (`hoodie.parquet.small.file.limit`, `hoodie.parquet.max.file.size`); all that is worth it.
    ///
    /// Hudi's own defaults, 300 MiB and 1 GiB, would have every upsert of a copy-on-write table rewrite eight
    /// times as much.
    fn default() -> Self {
        Self {
            small_file_bytes: 100 << 20,
            target_file_bytes: 120 << 20,
            max_group_bytes: 2 << 30,
            sort_columns: Vec::new(),
            due_small_files: 2,
            max_groups: usize::MAX,
            max_read_bytes: u64::MAX,
            partitions: None,
        }
    }
}

impl ClusteringRules {
    /// Rules for files of `target_file_bytes`; files of five sixths of that or more are large enough, if nothing
    /// else is said of small ones.
    ///
    /// # Errors
    /// Small files that are larger than the target.
    pub fn of_target(target_file_bytes: u64, small_file_bytes: Option<u64>) -> Result<Self, MaintainError> {
        let small_file_bytes = small_file_bytes.unwrap_or(target_file_bytes / 6 * 5);
        if small_file_bytes > target_file_bytes {
            let problem = format!(
                "files of {} are no small ones where files of {} are made",
                human::bytes(small_file_bytes),
                human::bytes(target_file_bytes)
            );
            return Err(MaintainError::Rules { problem });
        }
        Ok(Self { small_file_bytes, target_file_bytes, ..Self::default() })
    }

    /// Bytes of slices that are rewritten together, at most.
    pub(super) fn group_bytes(&self) -> u64 {
        if self.sort_columns.is_empty() {
            self.target_file_bytes
        } else {
            self.max_group_bytes.max(self.target_file_bytes)
        }
    }

    /// How many files are made of so many bytes.
    ///
    /// Source: `PartitionAwareClusteringPlanStrategy.getNumberOfOutputFileGroups`.
    pub(super) fn files_of(&self, bytes: u64) -> u32 {
        u32::try_from(bytes.div_ceil(self.target_file_bytes.max(1))).unwrap_or(u32::MAX).max(1)
    }
}
