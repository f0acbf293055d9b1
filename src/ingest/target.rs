//! The table of a run: the one place that knows the sink.

use std::time::Duration;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::datatypes::SchemaRef;
use lakebed_hudi::instant::InstantTime;

use super::IngestError;
use super::job::Job;
use super::reading::source_name;
use super::source::Position;
use super::watermark::EventTime;
use crate::commit::{Outcome, PipelineProgress, SourceProgress};
use crate::environment::Environment;
use crate::sink::{Opening, Prepared, Sink, SinkCommitter, SinkOptions};
use crate::write::{KeyRules, RefusedRow};

/// How often something is tried that may work later, and the longest wait between two tries.
pub(super) const TRIES_MAX: u32 = 10;
const WAIT_MAX: Duration = Duration::from_secs(30);

/// How long to wait after so many tries.
pub(super) fn pause(tries: u32) -> Duration {
    Duration::from_millis(250 << tries.min(7)).min(WAIT_MAX)
}

/// The table of a run.
#[derive(Debug)]
pub(super) struct Target {
    sink: Sink,
    /// The last checkpoint that was prepared.
    checkpoint: u64,
    /// The name of the source's progress.
    source: &'static str,
    /// Where the source stands by that checkpoint.
    stands: Option<Position>,
    event_time: EventTime,
    /// How far event time has come with what was written.
    watermark: Option<i64>,
}

impl Target {
    /// Claims the job's pipeline.
    pub(super) async fn claim(job: &Job, opening: Opening) -> Result<Self, IngestError> {
        let sink = opening.claim(Vec::new()).await?;
        let progress = sink.progress().unwrap_or_default();
        let source = source_name(job);
        let (stands, watermark) = (position_of(&progress, source)?, watermark_of(&progress, source));
        let config = &sink.table().config;
        let event_time = EventTime::of(job, &config.ordering_fields, sink.schema().arrow());
        Ok(Self { sink, checkpoint: progress.checkpoint, source, stands, event_time, watermark })
    }

    /// The columns of the table.
    pub(super) fn schema(&self) -> SchemaRef {
        self.sink.schema().arrow().clone()
    }

    /// How its rows get their keys.
    pub(super) fn keys(&self) -> KeyRules {
        KeyRules::of(&self.sink.table().config)
    }

    pub(super) fn epoch(&self) -> u64 {
        self.sink.epoch().number
    }

    /// The restore that took the table back since the last commit.
    pub(super) fn restore(&self) -> Option<InstantTime> {
        self.sink.restore()
    }

    /// The last checkpoint that is visible.
    pub(super) fn committed(&self) -> u64 {
        self.sink.progress().unwrap_or_default().checkpoint
    }

    /// Where the last commit says that the source stands.
    pub(super) fn position(&self) -> Result<Option<Position>, IngestError> {
        position_of(&self.sink.progress().unwrap_or_default(), self.source)
    }

    /// Bytes of memory for input that is not written yet.
    pub(super) fn input_bytes(&self) -> u64 {
        self.sink.input_bytes()
    }

    /// Bytes of memory in buffers.
    pub(super) fn buffered_bytes(&self) -> u64 {
        self.sink.buffered_bytes() as u64
    }

    /// The next checkpoint says nothing of the source, unless it moves it.
    pub(super) fn forget(&mut self) {
        (self.stands, self.watermark) = (None, None);
    }

    pub(super) async fn write(
        &mut self,
        rows: &RecordBatch,
        deletes: Option<&BooleanArray>,
    ) -> Result<Vec<RefusedRow>, IngestError> {
        let refused = self.sink.write(rows, deletes).await?;
        self.watermark = self.watermark.max(self.event_time.greatest(rows, &refused));
        Ok(refused)
    }

    /// Ends the checkpoint: all of its files are durable. The source stands at `moved_to` then, or
    /// where it stood.
    pub(super) async fn prepare(
        &mut self,
        moved_to: Option<Position>,
    ) -> Result<Option<Prepared>, IngestError> {
        self.stands = moved_to.or(self.stands.take());
        let sources = self.stands.iter().map(|position| {
            let stands = SourceProgress { position: position.to_json(), watermark: self.watermark };
            (self.source.to_owned(), stands)
        });
        self.checkpoint += 1;
        let (epoch, checkpoint, sources) = (self.epoch(), self.checkpoint, sources.collect());
        Ok(self.sink.prepare(PipelineProgress { epoch, checkpoint, sources }).await?)
    }

    pub(super) fn committer(&self) -> SinkCommitter {
        self.sink.committer()
    }

    /// Gives up what is not committed.
    pub(super) async fn rewind(&mut self) -> Result<(), IngestError> {
        self.sink.rewind().await?;
        let progress = self.sink.progress().unwrap_or_default();
        self.checkpoint = progress.checkpoint;
        self.stands = position_of(&progress, self.source)?;
        self.watermark = watermark_of(&progress, self.source);
        Ok(())
    }
}

/// How the job's table is written.
pub(super) fn sink_options(job: &Job) -> SinkOptions {
    SinkOptions {
        operation: job.operation.into(),
        memory_bytes: job.memory.map(|size| size.0),
        counts_input: true,
        // A checkpoint that has only bad records still moves the position.
        commit_empty: true,
        index: job.table.stated_index(),
        metadata_table: job.table.metadata_table,
        timeline_zone: job.table.timeline_zone(),
        commit: job.table.commit_options(),
        lock: job.table.lock_options(),
        ..SinkOptions::default()
    }
}

/// Where `progress` says that `source` stands.
pub(super) fn position_of(
    progress: &PipelineProgress,
    source: &str,
) -> Result<Option<Position>, IngestError> {
    let stands = progress.sources.get(source);
    Ok(stands.map(|stands| Position::from_json(&stands.position)).transpose()?)
}

/// How far the event time of `source` has come by `progress`.
fn watermark_of(progress: &PipelineProgress, source: &str) -> Option<i64> {
    progress.sources.get(source)?.watermark
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
                environment.clock.sleep(pause(tries)).await;
                tries += 1;
            }
            Outcome::Retryable { reason } => return Err(IngestError::Retryable { tries, reason }),
            outcome => return Ok(outcome),
        }
    }
}
