//! How far the pipelines of a table have come.

use std::sync::Arc;

use super::IngestError;
use super::job::Job;
use super::target::sink_options;
use crate::commit::{Committer, Progress};
use crate::environment::Environment;
use crate::sink::SinkError;
use crate::storage::lock::TableLock;
use crate::storage::{self, Storage};
use crate::table::Table;

/// How far every pipeline of the job's table has come by the last commit. Changes nothing.
///
/// # Errors
/// No table, or one that cannot be read.
pub async fn committed_progress(job: &Job, environment: &Environment) -> Result<Progress, IngestError> {
    let storage = storage::open(&job.table.uri.parse()?, environment).await?;
    let table = Table::open(storage.clone(), environment, job.table.timeline_zone()).await?;
    progress_of(job, table, storage, environment).await
}

/// How far every pipeline of `table` has come by the last commit.
pub(super) async fn progress_of(
    job: &Job,
    table: Table,
    storage: Arc<dyn Storage>,
    environment: &Environment,
) -> Result<Progress, IngestError> {
    let options = sink_options(job);
    let lock = TableLock::new(storage, environment, options.lock).map_err(SinkError::from)?;
    let committer = Committer::new(table, lock, options.commit);
    Ok(committer.read_known(&job.pipeline).await.map_err(SinkError::from)?.progress)
}
