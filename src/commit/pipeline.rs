//! Taking over a pipeline, and letting a write of it go.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_file::{Action, TimelineFile};
use lakebed_hudi::timeline_metadata::CommitMetadata;

use super::{Begun, CommitError, Committer, Epoch, Heartbeat, Known, epoch, heartbeat};
use crate::storage::TablePath;
use crate::table::{StagedFiles, Table, marker_folder};
use crate::timeline::{Instant, Timeline};

/// No small file takes longer than that to be put.
pub(crate) const PUT_MAX: Duration = Duration::from_secs(600);

/// The pipeline that began an instant with this inflight file, if it was one of Lakebed's.
pub(crate) fn begun_by(intent: &CommitMetadata) -> Option<&str> {
    intent.extra_metadata.get("lakebed.pipeline").map(String::as_str)
}

/// Refuses a pipeline that no table, or not this one, can keep the progress of.
pub(crate) fn check_pipeline(pipeline: &str, known: &Known) -> Result<(), CommitError> {
    epoch::check_name(pipeline)?;
    known.progress.check_room(pipeline)
}

impl Committer {
    /// Claims the next epoch of `pipeline` and cleans up behind earlier runs: their pending
    /// instants that are not in `adopted` are rolled back at once, those of others once their
    /// heartbeat has expired. Returns the timeline as it then is; what the commits said before is
    /// `known`.
    ///
    /// # Errors
    /// More pipelines than [`Progress::MAX_PIPELINES`](super::Progress::MAX_PIPELINES); no lock in
    /// time; those of the storage.
    pub async fn open_pipeline(
        &self,
        pipeline: &str,
        adopted: &BTreeSet<InstantTime>,
        known: &Known,
    ) -> Result<(Epoch, Arc<Timeline>), CommitError> {
        check_pipeline(pipeline, known)?;
        let committed = known.progress.pipelines.get(pipeline).map_or(0, |stands| stands.epoch);
        let guard = self.locked().await?;
        let claimed = Epoch::claim(&self.table, pipeline, committed).await;
        guard.release().await?;
        let epoch = claimed?;
        let timeline = self.timeline().await?;
        let timeline = self.roll_back_dead(Some(&epoch), adopted, timeline).await?;
        self.sweep().await?;
        self.sweep_metadata(Some(epoch.folder()?)).await?;
        Ok((epoch, timeline))
    }

    /// Deletes what was left half-written of the small files that every run writes, some of them in its `own`
    /// folder.
    ///
    /// # Errors
    /// Those of the storage; call it again.
    pub async fn sweep_metadata(&self, own: Option<TablePath>) -> Result<(), CommitError> {
        let longest_put = i64::try_from(PUT_MAX.as_millis()).unwrap_or(i64::MAX);
        let before = self.table.environment.clock.unix_millis().saturating_sub(longest_put);
        let shared = [Table::meta_folder(), self.table.timeline.folder.clone(), heartbeat::folder()];
        for folder in shared.into_iter().chain(own) {
            self.table.storage.sweep(&folder, before).await?;
        }
        Ok(())
    }

    /// Rolls back pending writes whose writer is dead: those of the pipeline of `run`, if it is one, of which
    /// there is but one run at a time, at once, those of others once their heartbeat has expired. Returns
    /// `timeline` as it then is.
    ///
    /// # Errors
    /// Those of the storage and the lock.
    pub async fn roll_back_dead(
        &self,
        run: Option<&Epoch>,
        alive: &BTreeSet<InstantTime>,
        mut timeline: Arc<Timeline>,
    ) -> Result<Arc<Timeline>, CommitError> {
        self.refuse_restoring(&timeline).await?;
        if timeline.pending().any(|instant| instant.action == Action::Rollback) {
            self.finish_rollbacks().await?;
            timeline = self.timeline().await?;
        }
        let writes = timeline.pending().filter(|i| i.action.writes_data() && !i.is_pending_service());
        let mut changed = false;
        for instant in writes.filter(|i| !alive.contains(&i.time)) {
            let writer = self.pipeline_of(instant).await?;
            let run = run.filter(|run| writer.as_ref() == Some(&run.pipeline));
            if run.is_some() || self.last_heard(instant).await?.is_none() {
                self.rollback(instant, run).await?;
                changed = true;
            }
        }
        if changed { self.timeline().await } else { Ok(timeline) }
    }

    /// The pending writes on `timeline` whose writer has been silent for too long.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn dead_writes(&self, timeline: &Timeline) -> Result<Vec<Instant>, CommitError> {
        let mut dead = Vec::new();
        for instant in timeline.pending().filter(|i| i.action.writes_data() && !i.is_pending_service()) {
            if self.last_heard(instant).await?.is_none() {
                dead.push(*instant);
            }
        }
        Ok(dead)
    }

    /// The pipeline that began a pending instant, if it was one of Lakebed's.
    pub(super) async fn pipeline_of(&self, instant: &Instant) -> Result<Option<String>, CommitError> {
        let inflight = TimelineFile::inflight(instant.time, instant.requested_as);
        if instant.file() != inflight {
            return Ok(None);
        }
        let bytes = self.table.timeline.read(&inflight).await?;
        let intent = CommitMetadata::from_bytes(&bytes).unwrap_or_default();
        Ok(begun_by(&intent).map(str::to_owned))
    }

    /// Whether the write of `instant` has completed, be it archived by now or not.
    ///
    /// # Errors
    /// Those of the storage; a timeline or an archive that cannot be read.
    pub async fn is_committed(&self, instant: InstantTime) -> Result<bool, CommitError> {
        match self.timeline().await?.write_at(instant) {
            Some(known) => Ok(known.is_completed()),
            None => self.is_archived(instant).await,
        }
    }

    /// Whether the archive has the write of `instant`.
    pub(super) async fn is_archived(&self, instant: InstantTime) -> Result<bool, CommitError> {
        Ok(self.table.timeline.archived_completions(instant).await?.contains_key(&instant))
    }

    /// Goes on with the heartbeat of an instant that another process began.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn heartbeat(&self, instant: InstantTime) -> Result<Heartbeat, CommitError> {
        Heartbeat::start(&self.table, instant, self.options.heartbeat_interval).await
    }

    /// Removes the markers of an instant that completed.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn remove_markers(&self, instant: InstantTime) -> Result<(), CommitError> {
        Ok(self.table.storage.delete_dir(&marker_folder(instant)?).await?)
    }

    /// Gives a write of `run` up, with the files of it that are `staged`: rolls it back, unless the run
    /// is fenced, and sweeps what came after somebody else's rollback. Its heartbeat ends if the write
    /// `is_over`: no file of it is on its way any more.
    ///
    /// # Errors
    /// Those of the storage and the lock.
    pub async fn abandon(
        &self,
        run: &Epoch,
        begun: Begun,
        staged: &StagedFiles,
        is_over: bool,
    ) -> Result<(), CommitError> {
        let timeline = self.timeline().await?;
        match timeline.get(begun.instant, begun.action) {
            Some(instant) if !instant.is_completed() => self.rollback(instant, Some(run)).await?,
            Some(_) => {}
            // The markers went when another writer rolled it back, maybe before the files were there.
            None if self.was_rolled_back(&timeline, begun.instant).await? => {
                let files: Vec<&TablePath> = staged.files.iter().map(|file| &file.path).collect();
                self.delete_late(begun.instant, files).await?;
            }
            None => {}
        }
        // That of an instant which is still there is beaten by whoever adopted it.
        if is_over && self.timeline().await?.get(begun.instant, begun.action).is_none() {
            heartbeat::remove(&self.table, begun.instant).await?;
        }
        self.sweep().await
    }
}
