//! What a run is asked beside its job.

use std::sync::Arc;

use crate::environment::Environment;
use crate::ingest::IngestError;
use crate::ingest::job::Job;
use crate::storage::{self, Storage};

/// What a run is asked beside its job.
#[derive(Default)]
pub struct RunOptions {
    /// Read what there is and end, whatever the job says of following files.
    pub once: bool,
    /// Forget the pipeline's progress first, in a commit of its own.
    pub reset_progress: bool,
    /// What is read where the job says standard input.
    pub stdin: Option<Box<dyn std::io::Read + Send>>,
    /// How the table's files are reached, where that is not what the job's address says: a storage
    /// of the embedder's own, or one with faults.
    pub storage: Option<Arc<dyn Storage>>,
    /// How the files of dead letters are reached, likewise.
    pub dead_letters: Option<Arc<dyn Storage>>,
}

impl RunOptions {
    /// The storage of the job's table.
    pub(in crate::ingest) async fn open_storage(
        &mut self,
        job: &Job,
        environment: &Environment,
    ) -> Result<Arc<dyn Storage>, IngestError> {
        match self.storage.take() {
            Some(storage) => Ok(storage),
            None => Ok(storage::open(&job.table.uri.parse()?, environment).await?),
        }
    }
}

impl std::fmt::Debug for RunOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunOptions")
            .field("once", &self.once)
            .field("reset_progress", &self.reset_progress)
            .finish_non_exhaustive()
    }
}
