//! Rows that wait on the local disk because memory is short.

use std::sync::{Mutex, PoisonError};

use arrow::array::RecordBatch;

use super::WriteError;
use crate::memory::SpillArea;
use crate::merge::{Frame, SpillFile};

/// The rows that all base files of one write have put aside, in one file that no folder names.
#[derive(Debug)]
pub(super) struct RunStore {
    area: SpillArea,
    /// Made when the first rows come.
    file: Mutex<Option<SpillFile>>,
}

/// Batches of one file group, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Run(Vec<Frame>);

impl RunStore {
    pub(super) fn new(area: SpillArea) -> Self {
        Self { area, file: Mutex::new(None) }
    }

    /// Another one, on the same disk.
    pub(super) fn another(&self) -> Self {
        Self::new(self.area.clone())
    }

    /// Puts `batches` behind those of `run`. Blocks on the disk.
    pub(super) fn append(&self, run: &mut Run, batches: &[RecordBatch]) -> Result<(), WriteError> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let file = match &mut *file {
            Some(file) => file,
            none => none.insert(SpillFile::create(&self.area)?),
        };
        for batch in batches {
            run.0.push(file.write(batch)?);
        }
        Ok(())
    }

    /// The batches of `run`, read one by one.
    pub(super) fn read<'a>(
        &'a self,
        run: &'a Run,
    ) -> impl Iterator<Item = Result<RecordBatch, crate::merge::MergeError>> + Send + 'a {
        run.0.iter().filter_map(|frame| {
            let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
            Some(file.as_mut()?.read(*frame))
        })
    }
}

impl Run {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
