//! Slices that are opened one after the other.

use std::sync::Arc;

use super::bridge::Bridge;
use super::{ReadError, SliceReader};
use crate::table::{FileSlice, TableSnapshot};

/// Opens slices of a snapshot where their rows are pulled: on a thread that may block, when their turn has come.
#[derive(Debug, Clone)]
pub struct SliceOpener {
    snapshot: Arc<TableSnapshot>,
    bridge: Bridge,
}

impl SliceOpener {
    /// Opens slices of `snapshot`, whose files are read by the runtime of the caller.
    pub fn new(snapshot: Arc<TableSnapshot>) -> Self {
        Self { snapshot, bridge: Bridge::current() }
    }

    /// Opens the files of `slice`. Must not be called on a thread of the runtime.
    ///
    /// # Errors
    /// As [`SliceReader::open`], and [`ReadError::Stopped`] where the runtime has shut down.
    pub fn open(&self, slice: FileSlice) -> Result<SliceReader, ReadError> {
        let snapshot = self.snapshot.clone();
        self.bridge.start(async move { SliceReader::open(&snapshot, &slice).await }).wait()?
    }
}
