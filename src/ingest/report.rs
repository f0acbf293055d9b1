//! What a run tells while it goes on, and at its end.

use std::time::Duration;

use serde::{Serialize, Serializer};

use super::decode::Chunk;
use crate::maintain::fleet::Totals;

/// Something that happened in a run. How it is shown is up to the caller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Event {
    /// The table was not there and was made.
    Created {
        /// Its address.
        uri: String,
        /// Its columns.
        columns: u64,
    },
    /// The table was taken back, and the progress of the pipelines with it, since their last commit.
    Restored {
        /// The restore's instant.
        instant: String,
        /// The last checkpoint that is left; 0 if there is none.
        checkpoint: u64,
    },
    /// The table is open.
    Started {
        /// Which run of the pipeline this is.
        epoch: u64,
        /// The last checkpoint of earlier runs; 0 if there is none.
        checkpoint: u64,
    },
    /// How far the pipeline has come is not looked at, as it was asked: everything is read again. The
    /// next commit forgets it.
    Reset,
    /// Records were written, and are not visible yet.
    Written {
        /// What was read.
        input: String,
        /// Records read by this run.
        records: u64,
        /// Bytes of input read by this run, unpacked.
        bytes: u64,
        /// Records that could not be taken.
        bad_records: u64,
        /// Bytes of memory in buffers.
        buffered_bytes: u64,
        /// Bytes of files read by this run, as they lie on disk.
        read_bytes: u64,
        /// Bytes of files that there are to read, where that is known.
        found_bytes: Option<u64>,
    },
    /// A checkpoint is visible.
    Committed(Committed),
    /// A checkpoint was given up: reading goes on from the last progress.
    Rewound {
        /// Why.
        reason: String,
    },
    /// A round of the table's services has ended.
    Served {
        /// What was done.
        #[serde(flatten)]
        totals: Totals,
        /// How long it took.
        #[serde(rename = "seconds", serialize_with = "seconds")]
        took: Duration,
    },
    /// A service of the table failed; the next round tries again.
    ServicesFailed {
        /// Why.
        reason: String,
    },
    /// A checkpoint will be tried again.
    Retrying {
        /// Why.
        reason: String,
    },
}

/// A checkpoint that is visible.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Committed {
    /// The checkpoint.
    pub checkpoint: u64,
    /// Its instant.
    pub instant: String,
    /// Rows that it added, changed or deleted; records of one key were made one before.
    pub rows: u64,
    /// Of these, rows that only delete their key.
    pub deletes: u64,
    /// Files in it.
    pub files: u64,
    /// Bytes of these files.
    pub bytes: u64,
    /// Bytes of memory in buffers of the next checkpoint.
    pub buffered_bytes: u64,
    /// When the newest of its input was made, milliseconds since the epoch: the last change of a
    /// file, the reading of a stream.
    pub newest_millis: Option<i64>,
    /// The greatest event time that is committed, milliseconds since the epoch; `None` where rows have
    /// none.
    pub watermark_millis: Option<i64>,
    /// How long it took to end the checkpoint: to make all of its files durable.
    #[serde(rename = "flush_seconds", serialize_with = "seconds")]
    pub flushed: Duration,
    /// How long it took to make it visible.
    #[serde(rename = "commit_seconds", serialize_with = "seconds")]
    pub took: Duration,
}

fn seconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64())
}

/// What a run has done.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Summary {
    /// Records read.
    pub records: u64,
    /// Rows that its commits added, changed or deleted, as `lakebed timeline` counts them: of the
    /// records of one key in a commit one is left.
    pub rows: u64,
    /// Of these, rows that only delete their key.
    pub deletes: u64,
    /// Records that could not be taken.
    pub bad_records: u64,
    /// The folder or bucket address that they went to, if there were any: one file for each commit,
    /// named by its instant.
    pub dead_letters: Option<String>,
    /// Commits.
    pub commits: u64,
    /// Files written to the table.
    pub files: u64,
    /// Bytes of these files.
    pub bytes: u64,
    /// Inputs that were read, to their end or in part.
    pub inputs: u64,
    /// Bytes of input.
    pub input_bytes: u64,
    /// How long it took.
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub took: Duration,
}

impl Summary {
    /// Whether there was nothing to do.
    pub fn is_nothing(&self) -> bool {
        self.records == 0 && self.commits == 0
    }

    pub(super) fn add(&mut self, committed: &Committed) {
        self.commits += 1;
        self.rows += committed.rows;
        self.deletes += committed.deletes;
        self.files += committed.files;
        self.bytes += committed.bytes;
    }
}

/// Counts inputs, each when the first of it comes.
#[derive(Debug, Default)]
pub(super) struct InputCount {
    within: bool,
}

impl InputCount {
    /// How many inputs begin with a chunk; `None` is the end of one.
    pub(super) fn begin(&mut self, chunk: Option<&Chunk>) -> u64 {
        let begins = !self.within;
        self.within = chunk.is_some();
        u64::from(begins)
    }
}
