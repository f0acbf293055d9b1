//! What a run tells while it goes on, and at its end.

use std::time::Duration;

use serde::Serialize;

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
    /// The table is open.
    Started {
        /// Which run of the pipeline this is.
        epoch: u64,
        /// The last checkpoint of earlier runs; 0 if there is none.
        checkpoint: u64,
    },
    /// Records were written, and are not visible yet.
    Written {
        /// What was read.
        input: String,
        /// Records read by this run.
        records: u64,
        /// Bytes of input read by this run.
        bytes: u64,
    },
    /// A checkpoint is visible.
    Committed {
        /// The checkpoint.
        checkpoint: u64,
        /// Its instant.
        instant: String,
        /// Rows in it.
        rows: u64,
    },
    /// A checkpoint was given up: reading goes on from the last progress.
    Rewound {
        /// Why.
        reason: String,
    },
    /// A checkpoint will be tried again.
    Retrying {
        /// Why.
        reason: String,
    },
}

/// What a run has done.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Summary {
    /// Records read.
    pub records: u64,
    /// Rows committed, deletes included.
    pub rows: u64,
    /// Rows committed that only delete their key.
    pub deletes: u64,
    /// Records that could not be taken.
    pub bad_records: u64,
    /// Commits.
    pub commits: u64,
    /// Files written to the table.
    pub files: u64,
    /// Bytes of these files.
    pub bytes: u64,
    /// Files of the source that were read to their end.
    pub inputs: u64,
    /// Bytes of input.
    pub input_bytes: u64,
    /// How long it took.
    pub milliseconds: u64,
}

impl Summary {
    pub(super) fn took(&mut self, time: Duration) {
        self.milliseconds = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    }
}
