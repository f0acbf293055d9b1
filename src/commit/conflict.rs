//! Whether a write still agrees with what happened to the table while it was made.

use std::collections::{BTreeMap, BTreeSet};

use lakebed_hudi::file_name::FileId;
use lakebed_hudi::instant::InstantTime;

use crate::table::{FileGroupId, StagedFile, StagedFiles, StagedKind, WriteOperation};

/// What another instant does to the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OtherWrite {
    pub(super) instant: InstantTime,
    pub(super) kind: OtherKind,
    /// The groups it writes or reads.
    pub(super) groups: BTreeSet<FileGroupId>,
}

/// Kinds of other instants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OtherKind {
    /// A completed write or compaction.
    Written,
    /// A completed commit that ended the groups.
    Replaced,
    /// A write of another writer that is not finished.
    Unfinished,
    /// A planned compaction of the groups.
    PendingCompaction,
    /// A planned clustering of the groups.
    PendingClustering,
}

/// Why a write does not agree with another one.
///
/// The unit of conflict is the file group, on tables with a bucket index the bucket: two groups of
/// one bucket number in a partition would leave the table unusable for every bucket writer.
///
/// * Log files never conflict with log files, nor with compactions: completion times sort them.
/// * Base files conflict with everything that was done, or is planned, in their group or bucket.
/// * Of two unfinished writes the first to be published wins, but where they would leave two
///   groups of a bucket: not every writer would notice that.
/// * Nothing may be written to a group that was replaced, or that a clustering is rewriting.
/// * An overwrite conflicts with whatever was written to the partitions it replaces.
///
/// Source: `SimpleConcurrentFileWritesConflictResolutionStrategy` and non-blocking concurrency
/// control of Hudi 1.2, refined by the kind of file.
pub(super) fn conflict(
    operation: WriteOperation,
    staged: &StagedFiles,
    others: &[OtherWrite],
    by_bucket: bool,
) -> Option<String> {
    let overwritten: BTreeSet<&str> = staged
        .replaced
        .iter()
        .map(|group| &group.partition)
        .chain(staged.files.iter().map(|file| &file.group.partition))
        .map(String::as_str)
        .collect();
    let overwrites =
        matches!(operation, WriteOperation::InsertOverwrite | WriteOperation::InsertOverwriteTable);
    for other in others {
        let touched = Touched::of(other, by_bucket);
        if let Some(file) = staged.files.iter().find(|file| touched.disagrees(file, other.kind)) {
            return Some(format!(
                "file group {} of partition {:?} was {} by instant {}",
                file.group.file_id,
                file.group.partition,
                other.kind.verb(),
                other.instant
            ));
        }
        let in_overwritten = |group: &&FileGroupId| {
            operation == WriteOperation::InsertOverwriteTable
                || overwritten.contains(group.partition.as_str())
        };
        if let Some(group) = other.groups.iter().find(in_overwritten).filter(|_| overwrites) {
            return Some(format!(
                "partition {:?} is overwritten, but was {} by instant {}",
                group.partition,
                other.kind.verb(),
                other.instant
            ));
        }
    }
    None
}

impl OtherKind {
    fn verb(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Replaced => "replaced",
            Self::Unfinished => "begun to be written",
            Self::PendingCompaction => "planned to be compacted",
            Self::PendingClustering => "planned to be clustered",
        }
    }
}

/// The groups of another write, for look-up.
struct Touched<'a> {
    groups: &'a BTreeSet<FileGroupId>,
    /// By partition and bucket, where the table has a bucket index.
    buckets: BTreeMap<(&'a str, u32), BTreeSet<&'a FileId>>,
}

impl<'a> Touched<'a> {
    fn of(other: &'a OtherWrite, by_bucket: bool) -> Self {
        let mut buckets: BTreeMap<(&str, u32), BTreeSet<&FileId>> = BTreeMap::new();
        for group in other.groups.iter().filter(|_| by_bucket) {
            if let Some(bucket) = group.file_id.bucket() {
                buckets.entry((&group.partition, bucket)).or_default().insert(&group.file_id);
            }
        }
        Self { groups: &other.groups, buckets }
    }

    fn disagrees(&self, file: &StagedFile, kind: OtherKind) -> bool {
        if self.has_other_group_of_bucket(&file.group) {
            return kind != OtherKind::Replaced;
        }
        let kind_disagrees = match kind {
            OtherKind::Replaced | OtherKind::PendingClustering => true,
            OtherKind::Written | OtherKind::PendingCompaction => !matches!(file.kind, StagedKind::Log { .. }),
            OtherKind::Unfinished => false,
        };
        kind_disagrees && self.groups.contains(&file.group)
    }

    /// Whether it writes the bucket of `group` into another group.
    fn has_other_group_of_bucket(&self, group: &FileGroupId) -> bool {
        let ids =
            group.file_id.bucket().and_then(|bucket| self.buckets.get(&(group.partition.as_str(), bucket)));
        ids.is_some_and(|ids| ids.iter().any(|id| **id != group.file_id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::RowCounts;

    fn group(partition: &str, bucket: u32) -> FileGroupId {
        FileGroupId { partition: partition.into(), file_id: FileId::of_bucket(bucket) }
    }

    fn staged(partition: &str, bucket: u32, kind: StagedKind) -> StagedFiles {
        let file = StagedFile {
            group: group(partition, bucket),
            path: "p/x".parse().unwrap(),
            kind,
            size_bytes: 1,
            rows: RowCounts::default(),
            columns: Vec::new(),
        };
        StagedFiles { files: vec![file], replaced: Vec::new() }
    }

    fn log() -> StagedKind {
        StagedKind::Log { base_file: None }
    }

    fn base() -> StagedKind {
        StagedKind::Base { previous: None }
    }

    fn other(kind: OtherKind, group: FileGroupId) -> OtherWrite {
        OtherWrite { instant: "20260101000000001".parse().unwrap(), kind, groups: [group].into() }
    }

    fn conflicts(staged: &StagedFiles, other: OtherWrite) -> bool {
        conflict(WriteOperation::Upsert, staged, &[other], true).is_some()
    }

    #[test]
    fn logs_agree_with_writes_and_compactions() {
        for kind in [OtherKind::Written, OtherKind::PendingCompaction] {
            assert!(!conflicts(&staged("p", 1, log()), other(kind, group("p", 1))));
            assert!(conflicts(&staged("p", 1, base()), other(kind, group("p", 1))));
            assert!(!conflicts(&staged("p", 1, base()), other(kind, group("p", 2))));
            assert!(!conflicts(&staged("p", 1, base()), other(kind, group("q", 1))));
        }
    }

    #[test]
    fn of_two_unfinished_writes_the_first_to_be_published_wins() {
        for kind in [log(), base()] {
            assert!(!conflicts(&staged("p", 1, kind.clone()), other(OtherKind::Unfinished, group("p", 1))));
            let foreign: FileId = "00000001-5f22-4a6c-9a3e-8f0c3f0d2f11-0".parse().unwrap();
            let foreign = FileGroupId { partition: "p".into(), file_id: foreign };
            assert!(conflicts(&staged("p", 1, kind), other(OtherKind::Unfinished, foreign)));
        }
    }

    #[test]
    fn nothing_goes_to_groups_that_are_replaced_or_being_clustered() {
        for kind in [OtherKind::Replaced, OtherKind::PendingClustering] {
            assert!(conflicts(&staged("p", 1, log()), other(kind, group("p", 1))));
            assert!(!conflicts(&staged("p", 1, log()), other(kind, group("p", 2))));
        }
    }

    #[test]
    fn two_groups_of_one_bucket_disagree_only_where_buckets_count() {
        let foreign: FileId = "00000001-5f22-4a6c-9a3e-8f0c3f0d2f11-0".parse().unwrap();
        let foreign = FileGroupId { partition: "p".into(), file_id: foreign };
        let ours = staged("p", 1, log());
        assert!(conflicts(&ours, other(OtherKind::Written, foreign.clone())));
        assert!(!conflicts(&ours, other(OtherKind::Replaced, foreign.clone())));
        let others = [other(OtherKind::Written, foreign)];
        assert_eq!(conflict(WriteOperation::Insert, &ours, &others, false), None);
    }

    #[test]
    fn an_overwrite_disagrees_with_its_partitions_alone() {
        let ours = staged("p", 1, base());
        let check = |operation, group| {
            conflict(operation, &ours, &[other(OtherKind::Written, group)], false).is_some()
        };
        assert!(check(WriteOperation::InsertOverwrite, group("p", 7)));
        assert!(!check(WriteOperation::InsertOverwrite, group("q", 7)));
        assert!(check(WriteOperation::InsertOverwriteTable, group("q", 7)));
    }
}
