//! The table of a run: the one place that knows the sink.

use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::datatypes::SchemaRef;

use super::IngestError;
use super::job::Job;
use super::source::Position;
use crate::commit::{Outcome, PipelineProgress, SourceProgress};
use crate::environment::Environment;
use crate::sink::{Prepared, Sink, SinkCommitter, SinkOptions};
use crate::storage::Storage;
use crate::write::RefusedRow;

/// How often a commit is tried that may work later, and the longest wait between two tries.
const TRIES_MAX: u32 = 10;
const WAIT_MAX: std::time::Duration = std::time::Duration::from_secs(30);

/// The table of a run.
#[derive(Debug)]
pub(super) struct Target {
    sink: Sink,
    /// The last checkpoint that was prepared.
    checkpoint: u64,
}

impl Target {
    pub(super) async fn open(
        job: &Job,
        storage: Arc<dyn Storage>,
        environment: &Environment,
    ) -> Result<Self, IngestError> {
        let options = SinkOptions {
            operation: job.operation.into(),
            memory_bytes: job.memory.map(|size| size.0),
            // A checkpoint that has only bad records still moves the position.
            commit_empty: true,
            metadata_table: job.table.metadata_table,
            timeline_zone: job.table.timeline_zone(),
            commit: job.table.commit_options(),
            lock: job.table.lock_options(),
            ..SinkOptions::default()
        };
        let sink = Sink::open(storage, environment, &job.pipeline, Vec::new(), options).await?;
        let checkpoint = sink.progress().unwrap_or_default().checkpoint;
        Ok(Self { sink, checkpoint })
    }

    /// The columns of the table.
    pub(super) fn schema(&self) -> SchemaRef {
        self.sink.schema().arrow().clone()
    }

    pub(super) fn epoch(&self) -> u64 {
        self.sink.epoch().number
    }

    /// The last checkpoint that is visible.
    pub(super) fn committed(&self) -> u64 {
        self.sink.progress().unwrap_or_default().checkpoint
    }

    /// Where the last commit says that `source` stands.
    pub(super) fn position(&self, source: &str) -> Result<Option<Position>, IngestError> {
        let progress = self.sink.progress().unwrap_or_default();
        match progress.sources.get(source) {
            Some(stands) => Ok(Some(Position::from_json(&stands.position)?)),
            None => Ok(None),
        }
    }

    pub(super) async fn write(
        &mut self,
        rows: &RecordBatch,
        deletes: Option<&BooleanArray>,
    ) -> Result<Vec<RefusedRow>, IngestError> {
        Ok(self.sink.write(rows, deletes).await?)
    }

    /// Ends the checkpoint: all of its files are durable.
    pub(super) async fn prepare(
        &mut self,
        source: &str,
        position: Option<&Position>,
    ) -> Result<Option<Prepared>, IngestError> {
        let mut sources = std::collections::BTreeMap::new();
        if let Some(position) = position {
            let stands = SourceProgress { position: position.to_json(), watermark: None };
            sources.insert(source.to_owned(), stands);
        }
        self.checkpoint += 1;
        let progress = PipelineProgress { epoch: self.epoch(), checkpoint: self.checkpoint, sources };
        Ok(self.sink.prepare(progress).await?)
    }

    pub(super) fn committer(&self) -> SinkCommitter {
        self.sink.committer()
    }

    /// Gives up what is not committed.
    pub(super) async fn rewind(&mut self) -> Result<(), IngestError> {
        self.sink.rewind().await?;
        self.checkpoint = self.committed();
        Ok(())
    }
}

/// Commits, and waits and tries again where that may help.
pub(super) async fn commit(
    committer: SinkCommitter,
    prepared: &Prepared,
    environment: &Environment,
    retrying: impl Fn(&str),
) -> Result<Outcome, IngestError> {
    let mut tries = 1;
    loop {
        match committer.commit(prepared).await? {
            Outcome::Retryable { reason } if tries < TRIES_MAX => {
                retrying(&reason);
                let wait = std::time::Duration::from_millis(250 << tries.min(7)).min(WAIT_MAX);
                environment.clock.sleep(wait).await;
                tries += 1;
            }
            Outcome::Retryable { reason } => return Err(IngestError::Retryable { tries, reason }),
            outcome => return Ok(outcome),
        }
    }
}
