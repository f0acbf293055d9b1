//! The end of a checkpoint: prepared, sent on its way, and what became of it.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinHandle};

use super::{Flow, Run};
use crate::commit::Outcome;
use crate::ingest::bad_records::PendingLetters;
use crate::ingest::checkpoint::Checkpoint;
use crate::ingest::report::Committed;
use crate::ingest::{Event, IngestError, target};
use crate::sink::Prepared;

/// A checkpoint that is on its way to be visible.
#[derive(Debug)]
pub(super) struct Committing {
    prepared: Arc<Prepared>,
    pub(super) commit: JoinHandle<Result<(Outcome, Duration), IngestError>>,
    letters: Option<PendingLetters>,
    bad_count: u64,
    newest_millis: Option<i64>,
    flushed: Duration,
}

/// What became of a commit, and how long it took.
pub(super) type Done = Result<Result<(Outcome, Duration), IngestError>, JoinError>;

impl Run {
    /// Ends the checkpoint and sends it on its way, once the one before it is visible.
    pub(super) async fn checkpoint(&mut self) -> Result<Flow, IngestError> {
        let open = std::mem::take(&mut self.open);
        let clock = self.environment.clock.clone();
        let started = clock.monotonic();
        let prepared = self.target.prepare(open.position).await?;
        let flushed = clock.monotonic().saturating_sub(started);
        if let again @ Flow::Again(_) = self.settle().await? {
            return Ok(again);
        }
        let Some(prepared) = prepared.map(Arc::new) else { return Ok(Flow::On) };
        let letters = self.bad.prepare(prepared.task.instant).await?;
        let (committer, environment, events) =
            (self.target.committer(), self.environment.clone(), self.events.clone());
        let sent = prepared.clone();
        let commit = tokio::spawn(async move {
            let started = clock.monotonic();
            let retrying = |reason: &str| events(&Event::Retrying { reason: reason.to_owned() });
            let outcome = target::commit(committer, &sent, &environment, retrying).await?;
            Ok((outcome, clock.monotonic().saturating_sub(started)))
        });
        let (bad_count, newest_millis) = (self.bad.count, open.newest_millis);
        self.committing = Some(Committing { prepared, commit, letters, bad_count, newest_millis, flushed });
        Ok(Flow::On)
    }

    /// Waits for the checkpoint that is on its way.
    pub(super) async fn settle(&mut self) -> Result<Flow, IngestError> {
        let Some(committing) = &mut self.committing else { return Ok(Flow::On) };
        let done = (&mut committing.commit).await;
        self.settled(done).await
    }

    /// Takes in what became of the checkpoint that was on its way.
    pub(super) async fn settled(&mut self, done: Done) -> Result<Flow, IngestError> {
        let Some(committing) = self.committing.take() else { return Ok(Flow::On) };
        let (outcome, took) = done.map_err(|_| IngestError::Stopped)??;
        match outcome {
            Outcome::Committed { .. } | Outcome::AlreadyCommitted { .. } => {
                self.committed(committing, took).await?;
                Ok(Flow::On)
            }
            Outcome::Conflicted { reason } => self.conflicted(committing, reason).await,
            Outcome::Fenced { by } => {
                // Should this fail, the next run does it.
                if let Some(letters) = committing.letters
                    && let Err(problem) = letters.discard().await
                {
                    tracing::warn!(%problem, "the dead letters of a checkpoint that was given up stay pending");
                }
                Err(IngestError::Fenced { by })
            }
            Outcome::Retryable { reason } => Err(IngestError::Retryable { tries: 1, reason }),
        }
    }

    async fn committed(&mut self, committing: Committing, took: Duration) -> Result<(), IngestError> {
        let Committing { prepared, letters, .. } = committing;
        if let Some(letters) = letters {
            letters.publish().await?;
        }
        self.forget = false;
        self.bad_committed = committing.bad_count;
        let files = &prepared.staged.files;
        let committed = Committed {
            checkpoint: prepared.progress.checkpoint,
            instant: prepared.task.instant.to_string(),
            rows: files.iter().map(|file| file.rows.brought()).sum(),
            deletes: files.iter().map(|file| file.rows.deleted).sum(),
            files: files.len() as u64,
            bytes: files.iter().map(|file| file.size_bytes).sum(),
            buffered_bytes: self.target.buffered_bytes(),
            newest_millis: committing.newest_millis,
            watermark_millis: prepared.progress.watermark(),
            flushed: committing.flushed,
            took,
        };
        self.summary.add(&committed);
        (self.events)(&Event::Committed(committed));
        if let Some(services) = &mut self.services {
            services.committed();
        }
        Ok(())
    }

    /// Goes back to the last progress, where the source can.
    async fn conflicted(&mut self, committing: Committing, reason: String) -> Result<Flow, IngestError> {
        if let Some(letters) = committing.letters {
            letters.discard().await?;
        }
        tracing::warn!(%reason, "a checkpoint was given up; reading goes on from the last progress");
        self.bad.rewind(self.bad_committed);
        self.open = Checkpoint::default();
        self.target.rewind().await?;
        if self.job.source.stdin {
            return Err(IngestError::Conflict { reason });
        }
        (self.events)(&Event::Rewound { reason: reason.clone() });
        Ok(Flow::Again(reason))
    }
}
