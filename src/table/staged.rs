//! What passes between a commit and its writers: plain values that may cross processes.

use std::collections::{BTreeMap, BTreeSet};

use lakebed_hudi::file_name::{FileId, MarkerKind, WriteToken};
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_file::Action;
use serde::{Deserialize, Serialize};

use super::column_range::ColumnRange;
use super::file_group::{BaseFile, FileGroupId};
use crate::storage::{TablePath, TablePathError};

/// What a write does to the table.
///
/// Source: `WriteOperationType`, of which these are the ones that Lakebed writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WriteOperation {
    /// Rows replace those of the same key; others are added.
    Upsert,
    /// Rows of the given keys go.
    Delete,
    /// Rows are added, whatever their keys, but none that say of themselves that they are deleted.
    Insert,
    /// Rows replace all rows of the partitions they are in.
    InsertOverwrite,
    /// Rows replace all rows of the table.
    InsertOverwriteTable,
}

impl WriteOperation {
    /// Whether the rows of the partitions or of the table go.
    pub fn overwrites(self) -> bool {
        matches!(self, Self::InsertOverwrite | Self::InsertOverwriteTable)
    }

    /// Whether rows are added without a look at those of the same key.
    pub fn adds_only(self) -> bool {
        self == Self::Insert || self.overwrites()
    }
}

/// Leave to write files under one instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteTask {
    /// The instant: it is in every file's name.
    pub instant: InstantTime,
    /// The action that the instant completes as.
    pub action: Action,
    /// What the write does.
    pub operation: WriteOperation,
    /// The greatest time that the timeline had when the snapshot below was taken.
    pub snapshot_time: Option<InstantTime>,
    /// No instant before it could still change then.
    pub settled_time: Option<InstantTime>,
    /// The file groups of buckets that exist, by partition path and bucket.
    pub buckets: BTreeMap<String, BTreeMap<u32, BucketTarget>>,
    /// Instants of the same run that were not completed when this one began, and whose files it
    /// takes as there: they must be completed before it can be.
    pub built_on: BTreeSet<InstantTime>,
    /// The second number of write tokens: no other attempt at this table has it.
    pub token_stage: u32,
}

impl WriteTask {
    /// What its files have in their names.
    pub fn attempt(&self) -> Attempt {
        Attempt { instant: self.instant, token_stage: self.token_stage }
    }
}

/// One attempt at an instant: what its files have in their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// The instant.
    pub instant: InstantTime,
    /// The second number of write tokens: no other attempt at this instant has it.
    pub token_stage: u32,
}

impl Attempt {
    /// The marker that must be there before the data file at `path` is.
    ///
    /// # Errors
    /// Never, for paths that are some.
    pub fn marker(&self, path: &TablePath, kind: MarkerKind) -> Result<TablePath, TablePathError> {
        marker_folder(self.instant)?.join(&kind.marker_path(path.as_str()))
    }

    /// The token of the file with that `number`; `again` tells the files of one number apart.
    pub fn token(&self, number: u32, again: u32) -> WriteToken {
        WriteToken::new(number, self.token_stage, again)
    }
}

/// The folder of the markers of `instant`.
pub(crate) fn marker_folder(instant: InstantTime) -> Result<TablePath, TablePathError> {
    marker_root().join(instant.as_str())
}

/// The folder of all markers.
pub(crate) fn marker_root() -> TablePath {
    TablePath::literal(".hoodie/.temp")
}

/// The file group that holds a bucket's rows, or is to hold them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketTarget {
    /// The group.
    pub file_id: FileId,
    /// Whether it has files, or an unfinished write may give it some: then its next file in a
    /// merge-on-read table is a log file. Else it is a new base file.
    pub has_files: bool,
    /// Its latest base file.
    pub base_file: Option<BaseFile>,
}

/// Files that a writer has made durable and that nobody sees yet.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct StagedFiles {
    /// The files.
    pub files: Vec<StagedFile>,
    /// Groups that end with this commit.
    pub replaced: Vec<FileGroupId>,
}

/// What a staged file is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StagedKind {
    /// A base file, with the name of the one that it takes the place of.
    Base {
        /// The base file before it.
        previous: Option<String>,
    },
    /// A log file, with the name of the base file that it lies on.
    Log {
        /// The base file below it.
        base_file: Option<String>,
    },
    /// A base file that a compaction made of a slice.
    Compacted {
        /// The base file of the slice.
        previous: Option<String>,
        /// What was read of its log files.
        logs: CompactedLogs,
        /// Bytes of the base file before it that are in it as they were.
        copied_bytes: u64,
    },
}

/// What a compaction read of the log files of a slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CompactedLogs {
    /// Log files.
    pub files: u64,
    /// Their blocks, those that do not count included.
    pub blocks: u64,
    /// Of these, bytes that are no block.
    pub corrupt_blocks: u64,
    /// Bytes of the rows in blocks that count, as they are encoded.
    pub bytes: u64,
    /// Rows and deletes that count.
    pub records: u64,
    /// The keys that they name.
    pub keys: u64,
}

/// One staged file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StagedFile {
    /// The group it belongs to.
    pub group: FileGroupId,
    /// Where it lies.
    pub path: TablePath,
    /// What it is.
    pub kind: StagedKind,
    /// Its size.
    pub size_bytes: u64,
    /// Rows and deletes in it.
    pub rows: RowCounts,
    /// Statistics of its columns, for a metadata table.
    pub columns: Vec<ColumnRange>,
}

/// How many rows a file has, and what they do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RowCounts {
    /// Rows in the file.
    pub written: u64,
    /// Of these, rows of keys that the group did not have, as far as the writer knows.
    pub inserted: u64,
    /// Of these, rows that take the place of another.
    pub updated: u64,
    /// Keys deleted.
    pub deleted: u64,
}

impl StagedFile {
    /// Bytes that were copied from the file before it.
    pub fn copied_bytes(&self) -> u64 {
        match self.kind {
            StagedKind::Compacted { copied_bytes, .. } => copied_bytes,
            StagedKind::Base { .. } | StagedKind::Log { .. } => 0,
        }
    }
}

impl RowCounts {
    /// Rows that came with the commit: those that others had before, and were only written anew, do
    /// not count.
    pub fn brought(&self) -> u64 {
        self.inserted + self.updated + self.deleted
    }
}
