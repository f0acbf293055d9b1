//! What can go wrong while the timeline is changed.

use std::time::Duration;

use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_file::Action;
use lakebed_hudi::timeline_metadata::MetadataError;

use super::{PipelineProgress, Progress, UndoError};
use crate::human;
use crate::storage::lock::LockError;
use crate::storage::{StorageError, TablePath, TablePathError};
use crate::table::TableError;
use crate::timeline::TimelineError;

/// What can go wrong while the timeline is changed.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The table lock was not to be had, or was lost.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The timeline cannot be read.
    #[error(transparent)]
    Timeline(#[from] TimelineError),
    /// The table cannot be read any more.
    #[error(transparent)]
    Table(#[from] TableError),
    /// Metadata cannot be encoded.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// A path that leads out of the table.
    #[error(transparent)]
    Path(#[from] TablePathError),
    /// Progress in a commit that cannot be understood.
    #[error("{path}: lakebed.progress is not understood: {problem}")]
    Progress {
        /// The commit.
        path: TablePath,
        /// What is wrong with it.
        problem: String,
    },
    /// Progress that is too large for every commit to carry it.
    #[error(
        "the progress of pipeline {pipeline:?} takes {bytes} bytes, and every commit carries it: expected at most \
         {}; keep in it from where to read on, not what was read",
        PipelineProgress::MAX_BYTES
    )]
    ProgressSize {
        /// The pipeline.
        pipeline: String,
        /// Its size.
        bytes: usize,
    },
    /// More pipelines than every commit can carry the progress of.
    #[error(
        "the table keeps the progress of {} pipelines, which is the most, and {pipeline:?} is none of them: drop one \
         that never runs again (lakebed ingest JOB --show-progress lists them, --drop-progress NAME drops one)",
        Progress::MAX_PIPELINES
    )]
    TooManyPipelines {
        /// The pipeline.
        pipeline: String,
    },
    /// A pipeline's name cannot be a file name.
    #[error(
        "pipeline {name:?} has no usable name: expected 1 to 100 letters, digits, '-', '_' or '.', not starting with '.'"
    )]
    PipelineName {
        /// The name.
        name: String,
    },
    /// A run whose number leaves none for the next one.
    #[error(
        "{path} claims the greatest number there is, so that no run of this pipeline can follow it, and none of \
         Lakebed's has it: delete the file"
    )]
    LastEpoch {
        /// The claim.
        path: TablePath,
    },
    /// A run whose claim was removed: others may have begun since, and cannot be told from it.
    #[error(
        "{path} is gone, by which this run of the pipeline could be told from others: somebody has removed it; \
         start the pipeline again, once"
    )]
    LostClaim {
        /// The claim.
        path: TablePath,
    },
    /// The plan of a rollback that another writer began, and that cannot be read.
    #[error(
        "{path}: the plan of this rollback is broken ({source}); if no writer is about it, delete the file: what it \
         was to undo is then rolled back anew"
    )]
    RollbackPlan {
        /// The plan.
        path: TablePath,
        /// What is wrong with it.
        source: MetadataError,
    },
    /// The plan of a table service that another writer is to carry out, and that cannot be read.
    #[error(
        "{path}: the plan of this {action} is broken ({source}), so that nobody can tell which file groups it is \
         about, and Hudi's writers fail on it, too; if no writer is about it, delete {remedy}"
    )]
    ServicePlan {
        /// The plan.
        path: TablePath,
        /// The service.
        action: Action,
        /// What to delete.
        remedy: String,
        /// What is wrong with it.
        source: MetadataError,
    },
    /// A service that somebody else may have taken over.
    #[error(
        "this process stood still for longer than {}, so that another one may be at work on {action} {instant}: run it \
         again", human::lasting(*expiry)
    )]
    Lapsed {
        /// The service.
        action: Action,
        /// Its instant.
        instant: InstantTime,
        /// After which silence others take it for dead.
        expiry: Duration,
    },
    /// An instant is not taken back, or not kept.
    #[error(transparent)]
    Undo(#[from] UndoError),
    /// The table is being taken back to a savepoint.
    #[error(
        "restore {restore} is not completed: until it is, nothing else is done to the table; where it was cut off, go on \
         with it (lakebed restore TABLE --to {})",
        savepoint.as_ref().map_or("SAVEPOINT", InstantTime::as_str)
    )]
    Restoring {
        /// It.
        restore: InstantTime,
        /// The savepoint that it goes back to, if known.
        savepoint: Option<InstantTime>,
    },
    /// The timeline has times that are still to come.
    #[error(
        "the timeline has a time of {latest}, and it is {time} by the clock here, which is {} less: set the clocks \
         of the table's writers right; if it is not this one that is wrong, nothing can be written until then",
        human::lasting(*behind)
    )]
    ClockBehind {
        /// The greatest time on the timeline.
        latest: InstantTime,
        /// The time here.
        time: InstantTime,
        /// How far the one is from the other.
        behind: Duration,
    },
    /// The storage does not tell whether the file is there that completes an instant.
    #[error(
        "{path}: it is not known whether it was put, and it may still come; nothing was rolled back: commit it \
         again, or start again, once the storage answers"
    )]
    Unsettled {
        /// The completed file.
        path: TablePath,
    },
    /// An archive whose number leaves none for the next one.
    #[error(
        "{path}: the newest snapshot of the archived timeline has the greatest number there is: delete the manifest of that number"
    )]
    LastSnapshot {
        /// The folder.
        path: TablePath,
    },
    /// A completed file of this instant exists and is not what was to be published.
    #[error(
        "{path} exists with other content than was to be published: another process completed this instant"
    )]
    Foreign {
        /// The completed file.
        path: TablePath,
    },
}
