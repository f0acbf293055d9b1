//! The committing half of a sink: may run while the next checkpoint is written.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::schema::TableSchema;
use serde::{Deserialize, Serialize};

use super::{SinkError, SinkOptions};
use crate::commit::{Begun, Committer, Epoch, Heartbeat, Known, Outcome, PipelineProgress, Publication};
use crate::table::{StagedFiles, TableError, WriteTask};
use crate::timeline::Timeline;

/// A checkpoint of which all files are durable and nothing is visible. A plain value: it can be stored,
/// and committed by another process that hands it to [`Sink::open`](super::Sink::open).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prepared {
    /// The instant its files carry.
    pub task: WriteTask,
    /// Its files.
    pub staged: StagedFiles,
    /// The Avro schema of its rows.
    pub schema: String,
    /// How far the pipeline has come with it.
    pub progress: PipelineProgress,
}

/// Commits the prepared checkpoints of one sink. Clones commit one after the other.
#[derive(Debug, Clone)]
pub struct SinkCommitter {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    committer: Committer,
    epoch: Epoch,
    extra_metadata: BTreeMap<String, String>,
    drop_progress: bool,
    /// What the commits say. Whoever holds it commits.
    known: tokio::sync::Mutex<Known>,
    run: Mutex<Run>,
}

/// What the writing and the committing half both change, never across a wait.
#[derive(Debug, Default)]
struct Run {
    /// The last committed progress of the pipeline.
    progress: Option<PipelineProgress>,
    /// Instants that were begun and are not completed, with their signs of life.
    pending: BTreeMap<InstantTime, (Begun, Heartbeat)>,
    /// Instants that this run completed since it last looked at the timeline.
    committed: BTreeSet<InstantTime>,
    /// Why a checkpoint failed, since when nothing may be built on what was written after it.
    failed: Option<String>,
}

/// What `task` was begun as.
pub(super) fn begun(task: &WriteTask) -> Begun {
    let WriteTask { instant, action, snapshot_time, settled_time, .. } = *task;
    Begun { instant, action, snapshot_time, settled_time }
}

impl SinkCommitter {
    pub(super) fn new(committer: Committer, epoch: Epoch, known: Known, options: &SinkOptions) -> Self {
        let run = Run { progress: known.progress.pipelines.get(&epoch.pipeline).cloned(), ..Run::default() };
        let (known, run) = (tokio::sync::Mutex::new(known), Mutex::new(run));
        let (extra_metadata, drop_progress) = (options.extra_metadata.clone(), options.drop_progress);
        Self { shared: Arc::new(Shared { committer, epoch, extra_metadata, drop_progress, known, run }) }
    }

    /// Makes a checkpoint visible, or says why not.
    ///
    /// Checkpoints are committed in the order in which they were prepared. Idempotent by pipeline
    /// and checkpoint. After [`Outcome::Conflicted`] its files are gone, and so are those of all
    /// checkpoints after it: [`Sink::rewind`](super::Sink::rewind) and go on from there. After
    /// [`Outcome::Fenced`] stop: who has taken over may have adopted its files.
    ///
    /// # Errors
    /// Failures that leave it open whether it is visible: commit it again.
    pub async fn commit(&self, prepared: &Prepared) -> Result<Outcome, SinkError> {
        let Shared { committer, epoch, known, extra_metadata, drop_progress, .. } = self.shared.as_ref();
        let mut known = known.lock().await;
        let task = &prepared.task;
        let schema = TableSchema::from_avro(&prepared.schema).map_err(TableError::from)?;
        let begun = begun(task);
        let publication = Publication {
            begun,
            operation: task.operation,
            staged: &prepared.staged,
            schema: &schema,
            epoch,
            progress: (!drop_progress).then_some(&prepared.progress),
            extra_metadata,
            built_on: &task.built_on,
        };
        let outcome = committer.publish(publication, &mut known).await?;
        match &outcome {
            Outcome::Committed { instant, .. } | Outcome::AlreadyCommitted { instant: Some(instant) } => {
                self.settle(*instant, &known, true).await;
            }
            // These files are superfluous.
            Outcome::AlreadyCommitted { instant: None } => {
                self.settle(begun.instant, &known, false).await;
                self.give_up(begun, &prepared.staged, true).await?;
            }
            // All of its files are there: none is on its way.
            Outcome::Conflicted { reason } => {
                self.run().failed = Some(reason.clone());
                self.give_up(begun, &prepared.staged, true).await?;
            }
            Outcome::Fenced { by } => {
                self.run().failed = Some(format!("epoch {by} of the pipeline has taken over"));
                self.give_up(begun, &prepared.staged, true).await?;
            }
            Outcome::Retryable { .. } => {}
        }
        Ok(outcome)
    }

    /// Gives a checkpoint up that will not be committed. It stays pending until that is done, so that
    /// after an error [`SinkCommitter::rewind`] does it.
    async fn give_up(&self, begun: Begun, staged: &StagedFiles, is_over: bool) -> Result<(), SinkError> {
        let Shared { committer, epoch, .. } = self.shared.as_ref();
        committer.abandon(epoch, begun, staged, is_over).await?;
        self.run().pending.remove(&begun.instant);
        Ok(())
    }

    /// The epoch of the run that has taken this pipeline over, if any has.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn fenced_by(&self) -> Result<Option<u64>, SinkError> {
        Ok(self.shared.epoch.fenced_by(self.shared.committer.table()).await?)
    }

    /// Whether the write of `instant` has completed, be it archived by now or not.
    ///
    /// # Errors
    /// Those of the storage; a timeline or an archive that cannot be read.
    pub async fn is_committed(&self, instant: InstantTime) -> Result<bool, SinkError> {
        Ok(self.shared.committer.is_committed(instant).await?)
    }

    /// Takes in that `instant` is done, and removes what only a running write needs. What cannot be
    /// removed is swept by a later run.
    async fn settle(&self, instant: InstantTime, known: &Known, completed: bool) {
        let heartbeat = {
            let mut run = self.run();
            run.progress = known.progress.pipelines.get(&self.shared.epoch.pipeline).cloned();
            if completed {
                run.committed.insert(instant);
            }
            run.pending.remove(&instant).map(|(_, heartbeat)| heartbeat)
        };
        if let Some(heartbeat) = heartbeat
            && let Err(error) = heartbeat.stop().await
        {
            tracing::warn!(%instant, %error, "the heartbeat of a finished write could not be removed");
        }
        if completed && let Err(error) = self.shared.committer.remove_markers(instant).await {
            tracing::warn!(%instant, %error, "the markers of a finished write could not be removed");
        }
    }

    /// Gives up everything that is not committed and reads the table anew. Returns what its commits
    /// say. After a call was torn files may still be on their way.
    pub(super) async fn rewind(&self, torn: bool) -> Result<Known, SinkError> {
        let Shared { committer, epoch, known, .. } = self.shared.as_ref();
        let mut known = known.lock().await;
        let pending: Vec<Begun> = self.run().pending.values().map(|(begun, _)| *begun).collect();
        // The newest first: it is built on those before it.
        for begun in pending.into_iter().rev() {
            self.give_up(begun, &StagedFiles::default(), !torn).await?;
        }
        *known = committer.read_known().await?;
        let mut run = self.run();
        run.progress = known.progress.pipelines.get(&epoch.pipeline).cloned();
        run.failed = None;
        Ok(known.clone())
    }

    pub(super) fn committer(&self) -> &Committer {
        &self.shared.committer
    }

    pub(super) fn epoch(&self) -> &Epoch {
        &self.shared.epoch
    }

    pub(super) fn progress(&self) -> Option<PipelineProgress> {
        self.run().progress.clone()
    }

    /// The instants of this run that are not completed, or were by it since it last looked.
    pub(super) fn own_instants(&self) -> BTreeSet<InstantTime> {
        let run = self.run();
        run.pending.keys().chain(&run.committed).copied().collect()
    }

    /// The instants that were begun and are not known to be completed.
    pub(super) fn pending_instants(&self) -> BTreeSet<InstantTime> {
        self.run().pending.keys().copied().collect()
    }

    /// Forgets the instants that `timeline` has as completed: they are no news from then on.
    pub(super) fn forget_committed(&self, timeline: &Timeline) {
        self.run().committed.retain(|instant| !timeline.is_committed(*instant));
    }

    /// Takes in that an instant was begun.
    pub(super) fn add_pending(&self, begun: Begun, heartbeat: Heartbeat) {
        self.run().pending.insert(begun.instant, (begun, heartbeat));
    }

    pub(super) fn check_not_failed(&self) -> Result<(), SinkError> {
        match &self.run().failed {
            Some(reason) => Err(SinkError::Rewind { reason: reason.clone() }),
            None => Ok(()),
        }
    }

    fn run(&self) -> MutexGuard<'_, Run> {
        self.shared.run.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, RecordBatch, StringArray};
    use lakebed_hudi::table_config::TableType;

    use super::*;
    use crate::sink::Sink;
    use crate::table::one_column::of_one_column;
    use crate::table::{Table, WriteOperation};

    /// Takes all instants but the newest away, as who archives does in the end.
    async fn archive(table: &Table) {
        let timeline = table.timeline.load().await.unwrap();
        let newest = timeline.completed_writes().next_back().unwrap().time;
        for file in table.storage.list(&table.timeline.folder).await.unwrap().files {
            if file.path.file_name() < newest.as_str() {
                table.storage.delete(&file.path).await.unwrap();
            }
        }
    }

    #[tokio::test]
    async fn a_long_run_forgets_what_it_committed() {
        let ids: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
        let rows = RecordBatch::try_from_iter([("id", ids)]).unwrap();
        let new = of_one_column(TableType::CopyOnWrite);
        for is_archived in [false, true] {
            let Table { storage, environment, .. } = Table::in_memory(&new).await;
            let options = SinkOptions { operation: WriteOperation::Insert, ..SinkOptions::default() };
            let mut sink = Sink::open(storage, &environment, "p", Vec::new(), options).await.unwrap();
            for checkpoint in 1..=10 {
                sink.write(&rows, None).await.unwrap();
                let progress = PipelineProgress { checkpoint, ..PipelineProgress::default() };
                let prepared = sink.prepare(progress).await.unwrap().unwrap();
                let outcome = sink.committer().commit(&prepared).await.unwrap();
                assert!(matches!(outcome, Outcome::Committed { .. }), "{outcome:?}");
                // The one that was just committed, and the one that it saw completed last.
                assert!(sink.commits.own_instants().len() <= 2, "{:?}", sink.commits.own_instants());
                assert!(sink.buckets.groups_in_flight().count() <= 2, "checkpoint {checkpoint}");
                if is_archived {
                    archive(sink.table()).await;
                }
            }
        }
    }
}
