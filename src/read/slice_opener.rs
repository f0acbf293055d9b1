//! Slices that are opened one after the other.

use std::collections::VecDeque;
use std::sync::Arc;

use super::bridge::{Bridge, Pending};
use super::{ReadError, SliceReader};
use crate::table::{FileSlice, TableSnapshot};

/// So many slices are opened while the one before them is read: small ones take longer to open than to read.
const OPENED_AHEAD: usize = 4;

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

    /// Opens `slices` one after the other; while one is read, a few that come after it are opened. Must not be
    /// pulled on a thread of the runtime.
    ///
    /// Errors are those of [`SliceReader::open`], and [`ReadError::Stopped`] where the runtime has shut down.
    pub fn open(
        &self,
        slices: Vec<FileSlice>,
    ) -> impl Iterator<Item = Result<SliceReader, ReadError>> + use<'_> {
        let mut slices = slices.into_iter();
        let mut opening: VecDeque<Pending<Result<SliceReader, ReadError>>> = VecDeque::new();
        std::iter::from_fn(move || {
            for slice in slices.by_ref().take(OPENED_AHEAD + 1 - opening.len()) {
                let snapshot = self.snapshot.clone();
                opening
                    .push_back(self.bridge.start(async move { SliceReader::open(&snapshot, &slice).await }));
            }
            Some(opening.pop_front()?.wait().and_then(|opened| opened))
        })
    }
}
