//! What can go wrong in a table service.

use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_file::Action;
use lakebed_hudi::timeline_metadata::MetadataError;

use crate::commit::CommitError;
use crate::human;
use crate::read::{CorruptBytes, ReadError};
use crate::storage::lock::LockOptionsError;
use crate::storage::{StorageError, TablePath, TablePathError};
use crate::table::{FileGroupId, Refusal, TableError};
use crate::timeline::TimelineError;
use crate::write::WriteError;

/// What can go wrong in a table service.
#[derive(Debug, thiserror::Error)]
pub enum MaintainError {
    /// The table cannot be read.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The table uses what Lakebed does not maintain.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The timeline cannot be read or changed.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// A file of the timeline cannot be read.
    #[error(transparent)]
    Timeline(#[from] TimelineError),
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A path that leads out of the table.
    #[error(transparent)]
    Path(#[from] TablePathError),
    /// Settings of the table lock.
    #[error(transparent)]
    LockOptions(#[from] LockOptionsError),
    /// Settings of a service that contradict each other.
    #[error("{problem}")]
    Rules {
        /// What is wrong with them.
        problem: String,
    },
    /// A plan that cannot be understood.
    #[error(
        "{path}: the plan is broken ({source}), so that nobody can carry it out, and Hudi's writers fail on it, too; \
         if no writer is about it, delete the data files with its time in their names, then its inflight file and \
         this one"
    )]
    Plan {
        /// The plan.
        path: TablePath,
        /// What is wrong with it.
        source: MetadataError,
    },
    /// A plan that asks for what Lakebed does not do.
    #[error(
        "{path}: the plan asks for {what}, which Lakebed does not do: have the engine that made it carry it out"
    )]
    UnsupportedPlan {
        /// The plan.
        path: TablePath,
        /// What it asks for.
        what: String,
    },
    /// A plan that names a file which is not there.
    #[error(
        "the {action} {instant} is to read {path}, which is not there; nothing was changed: restore the file, or take \
         the table back to before it was lost"
    )]
    MissingFile {
        /// What was planned.
        action: Action,
        /// Its instant.
        instant: InstantTime,
        /// The file.
        path: TablePath,
    },
    /// A file of a slice that a commit wrote is not there.
    #[error(
        "commit {commit} says that {file} of file group {} in partition {:?} is there, and it is not, nor does the \
         timeline say that it went; to rewrite the rest would lose what was in it for good, and nothing was planned: \
         restore the file, or take the table back to before it was lost",
        group.file_id, group.partition
    )]
    LostFile {
        /// The commit.
        commit: InstantTime,
        /// The group.
        group: FileGroupId,
        /// The name of the file.
        file: String,
    },
    /// A log file of a slice is shorter than the commit says that wrote it.
    #[error(
        "commit {commit} says that {file} of file group {} in partition {:?} has {expected_bytes} bytes, and it has \
         {found_bytes}; to rewrite what is left would make the loss last, and nothing was planned: restore the file, \
         or take the table back to before it was damaged",
        group.file_id, group.partition
    )]
    DamagedFile {
        /// The commit.
        commit: InstantTime,
        /// The group.
        group: FileGroupId,
        /// The name of the file.
        file: String,
        /// What the commit says.
        expected_bytes: u64,
        /// What is there.
        found_bytes: u64,
    },
    /// A plan that takes a file for one of a group that it does not belong to.
    #[error(
        "the {action} {instant} takes {path} for a file of file group {}, and it is none: no engine can carry it out",
        group.file_id
    )]
    OtherFile {
        /// What was planned.
        action: Action,
        /// Its instant.
        instant: InstantTime,
        /// The group.
        group: FileGroupId,
        /// The file.
        path: TablePath,
    },
    /// A plan that names the same group twice.
    #[error("the {action} {instant} names file group {} of partition {:?} twice: no engine can carry it out", group.file_id, group.partition)]
    RepeatedGroup {
        /// What was planned.
        action: Action,
        /// Its instant.
        instant: InstantTime,
        /// The group.
        group: FileGroupId,
    },
    /// There is no such plan.
    #[error("{instant} is no pending {action}{}", hint(pending))]
    NoPlan {
        /// What was asked for.
        instant: InstantTime,
        /// The service.
        action: Action,
        /// Those that are pending.
        pending: Vec<InstantTime>,
    },
    /// Files cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A file group could not be rewritten.
    #[error("file group {} of partition {:?}", group.file_id, group.partition)]
    Group {
        /// The group.
        group: FileGroupId,
        /// Why.
        source: Box<GroupError>,
    },
    /// File groups could not be rewritten together.
    #[error("{groups} file groups of partition {:?}, the first of which is {}", first.partition, first.file_id)]
    Together {
        /// The first of them.
        first: FileGroupId,
        /// How many they are.
        groups: usize,
        /// Why.
        source: Box<GroupError>,
    },
    /// Less memory than one file group needs.
    #[error(
        "{} of memory is too little for rows of this table: at least {} are needed",
        human::bytes(*memory_bytes), human::bytes(*needed_bytes)
    )]
    Memory {
        /// What there is.
        memory_bytes: u64,
        /// What is needed.
        needed_bytes: u64,
    },
    /// Numbers of commits that cannot be kept.
    #[error(
        "of at most {max_commits} commits on the active timeline {min_commits} cannot stay: at least 1 has to, and fewer than there may be"
    )]
    KeptCommits {
        /// How many were to stay.
        min_commits: usize,
        /// How many there might be.
        max_commits: usize,
    },
    /// Others stood in the way.
    #[error("{reason}")]
    Conflict {
        /// How.
        reason: String,
    },
}

/// Why a file group could not be rewritten.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    /// Its files cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Its new file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// What was done cannot be noted.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A log file has bytes that are no block.
    #[error(
        "log file {} has a corrupt block at bytes {} to {}: {}; readers pass it over, and a compaction would lose \
         what is in it for good: restore the file from a copy, or give it up by lakebed compact --skip-corrupt-blocks",
        .0.file, .0.block.extent.start, .0.block.extent.end, .0.block.why
    )]
    Corrupt(Box<CorruptBytes>),
    /// Another process may be at work on it.
    #[error("this process stood still for so long that another one may be at work on it: run it again")]
    Lapsed,
}

fn hint(pending: &[InstantTime]) -> String {
    match pending {
        [] => ": none is".to_owned(),
        pending => format!(": {} is", pending.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
    }
}
