//! How far the pipelines of a table have come.

use super::IngestError;
use super::job::Job;
use super::target::{self, sink_options};
use crate::commit::{Committer, Outcome, PipelineProgress, Progress};
use crate::environment::Environment;
use crate::sink::{Sink, SinkError, SinkOptions};
use crate::storage;
use crate::storage::lock::TableLock;
use crate::table::{Table, WriteOperation};

/// How far every pipeline of the job's table has come by the last commit. Changes nothing.
///
/// # Errors
/// No table, or one that cannot be read.
pub async fn committed_progress(job: &Job, environment: &Environment) -> Result<Progress, IngestError> {
    let storage = storage::open(&job.table.uri.parse()?, environment).await?;
    let table = Table::open(storage.clone(), environment, job.table.timeline_zone()).await?;
    let options = sink_options(job);
    let lock = TableLock::new(storage, environment, options.lock).map_err(SinkError::from)?;
    let committer = Committer::new(table, lock, options.commit);
    Ok(committer.read_known().await.map_err(SinkError::from)?.progress)
}

/// Drops the progress of `pipeline`, which is the job's or another one of its table, by a commit
/// without rows: no commit carries it from there on. Returns what it was. A run of the pipeline that
/// still lives is fenced; one that is started later reads everything again.
///
/// # Errors
/// A pipeline that the table keeps no progress of; see [`IngestError`].
pub async fn drop_progress(
    job: &Job,
    pipeline: &str,
    environment: &Environment,
) -> Result<PipelineProgress, IngestError> {
    let kept = committed_progress(job, environment).await?.pipelines;
    if !kept.contains_key(pipeline) {
        let kept = kept.into_keys().collect::<Vec<_>>().join(", ");
        let kept = if kept.is_empty() { "none".to_owned() } else { kept };
        return Err(IngestError::NoProgress { pipeline: pipeline.to_owned(), kept });
    }
    let storage = storage::open(&job.table.uri.parse()?, environment).await?;
    // An overwrite without rows would empty the table.
    let options = SinkOptions { operation: WriteOperation::Insert, drop_progress: true, ..sink_options(job) };
    let mut sink = Sink::open(storage, environment, pipeline, Vec::new(), options).await?;
    let last = sink.progress().unwrap_or_default();
    let Some(prepared) = sink.prepare(last.clone()).await? else { return Ok(last) };
    let error = match target::commit(sink.committer(), &prepared, environment, |_| ()).await {
        Ok(Outcome::Committed { .. } | Outcome::AlreadyCommitted { .. }) => return Ok(last),
        Ok(Outcome::Fenced { by }) => return Err(IngestError::Fenced { by }),
        Ok(Outcome::Conflicted { reason } | Outcome::Retryable { reason }) => {
            IngestError::Conflict { reason }
        }
        Err(error) => error,
    };
    // No run of that pipeline comes to roll it back.
    if let Err(problem) = sink.rewind().await {
        tracing::warn!(%problem, "what was begun could not be rolled back");
    }
    Err(error)
}
