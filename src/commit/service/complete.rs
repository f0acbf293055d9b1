//! Making what a service did visible.

use std::collections::BTreeSet;

use lakebed_hudi::timeline_file::{Action, State, TimelineFile};

use super::{News, ServiceRun};
use crate::commit::{CommitError, Committer, Outcome};
use crate::storage::TablePath;
use crate::storage::lock::LockGuard;
use crate::table::StagedFiles;
use crate::timeline::Timeline;

impl Committer {
    /// Completes a service that made `staged`, with `metadata` as the content of the completed file.
    ///
    /// Idempotent. After [`Outcome::Committed`] and [`Outcome::AlreadyCommitted`] it is over, and no file
    /// but those that the completed file names is left; after all others it is as it was.
    ///
    /// # Errors
    /// Failures that leave it open whether the service is completed; complete it again to find out.
    pub async fn complete(
        &self,
        run: &ServiceRun,
        staged: &StagedFiles,
        metadata: Vec<u8>,
    ) -> Result<Outcome, CommitError> {
        let made = staged.files.iter().map(|file| file.path.clone()).collect();
        self.complete_settled(run, made, None, |_| Ok((staged.clone(), metadata))).await
    }

    /// Completes a service as [`Committer::complete`] does, after what happened since `seen`: `settle` says which
    /// files are to stay, and the content of the completed file; it is called under the table lock, and told
    /// nothing where nothing is `seen`. What does not stay of the files that attempts have `made`, or that their
    /// markers name, is deleted.
    ///
    /// # Errors
    /// As [`Committer::complete`]; metadata that cannot be read.
    pub async fn complete_settled(
        &self,
        run: &ServiceRun,
        mut made: BTreeSet<TablePath>,
        seen: Option<&Timeline>,
        settle: impl FnOnce(&News) -> Result<(StagedFiles, Vec<u8>), CommitError> + Send,
    ) -> Result<Outcome, CommitError> {
        made.extend(self.files_of(run.instant).await?);
        let guard = match self.locked().await {
            Ok(guard) => guard,
            Err(CommitError::Lock(error)) => return Ok(Outcome::Retryable { reason: error.to_string() }),
            Err(error) => return Err(error),
        };
        let outcome = self.complete_locked(run, (&made, seen), settle, &guard).await;
        if let Err(error) = guard.release().await {
            tracing::warn!(%error, "the table lock could not be released");
        }
        let outcome = outcome?;
        if matches!(outcome, Outcome::AlreadyCommitted { .. }) && !made.is_empty() {
            self.delete_unnamed(run, &made).await?;
        }
        Ok(outcome)
    }

    async fn complete_locked(
        &self,
        run: &ServiceRun,
        (made, seen): (&BTreeSet<TablePath>, Option<&Timeline>),
        settle: impl FnOnce(&News) -> Result<(StagedFiles, Vec<u8>), CommitError> + Send,
        guard: &LockGuard,
    ) -> Result<Outcome, CommitError> {
        let ServiceRun { instant, action, .. } = *run;
        let timeline = self.timeline().await?;
        let unsettled = self.unsettled(&timeline, instant).await?;
        let state = timeline.get(instant, action).map(|i| i.state);
        if self.is_visible(instant, state).await? {
            return Ok(Outcome::AlreadyCommitted { instant: Some(instant) });
        }
        if let Some(reason) = self.obstacle_to(run, state, &timeline).await? {
            return unsettled
                .map_or(Ok(Outcome::Conflicted { reason }), |file| Err(self.still_unsettled(&file)));
        }
        if let Some(file) = unsettled.filter(|_| seen.is_some()) {
            // It may name files that are not to stay any more.
            return Err(self.still_unsettled(&file));
        }
        let news = match self.news_since(seen, &timeline).await? {
            Ok(news) => news,
            Err(reason) => return Ok(Outcome::Retryable { reason }),
        };
        let (staged, metadata) = settle(&news)?;
        // Of two base files of one group and instant, readers would take either. Not before it is certain that
        // nobody else is at work: they might be somebody's.
        let named: BTreeSet<&TablePath> = staged.files.iter().map(|file| &file.path).collect();
        let strays: Vec<&TablePath> = made.iter().filter(|path| !named.contains(path)).collect();
        self.delete_attempted(instant, strays).await?;
        let file = match unsettled {
            Some(file) => file,
            None => TimelineFile::completed(instant, action.completed(), self.new_time(&timeline).await?),
        };
        match self.put_surely(file, metadata.into(), guard).await {
            Err(CommitError::Lock(error)) => return Ok(Outcome::Retryable { reason: error.to_string() }),
            put => put?,
        }
        Ok(Outcome::Committed { instant, completion: file.completion().unwrap_or(instant) })
    }

    /// What happened since `seen`, or why that cannot be told.
    async fn news_since(
        &self,
        seen: Option<&Timeline>,
        now: &Timeline,
    ) -> Result<Result<News, String>, CommitError> {
        let Some(seen) = seen else { return Ok(Ok(News::default())) };
        let news = self.news_or_stale(seen, now).await?;
        let unfinished = self.groups_being_written(now).await?;
        Ok(news.map(|news| News { unfinished, ..news }))
    }

    /// What stands against completing a service.
    async fn obstacle_to(
        &self,
        run: &ServiceRun,
        state: Option<State>,
        timeline: &Timeline,
    ) -> Result<Option<String>, CommitError> {
        let ServiceRun { instant, action, .. } = *run;
        if let Err(lapsed) = self.check_alive(run) {
            return Ok(Some(lapsed.to_string()));
        }
        if state != Some(State::Inflight) {
            return Ok(Some(format!(
                "{action} {instant} has no inflight file any more: somebody took it back"
            )));
        }
        if let Some((rollback, _)) = self.planned_rollback(timeline, instant).await? {
            return Ok(Some(format!("{action} {instant} is being rolled back by rollback {rollback}")));
        }
        if action != Action::Restore && timeline.pending_restore().is_some() {
            return Ok(Some(format!("the table is being restored, so that {action} {instant} is of no use")));
        }
        if action == Action::Restore
            && let Some(left) = self.left_to_restore(instant).await?.first()
        {
            return Ok(Some(format!("{} {} has come meanwhile", left.requested_as, left.time)));
        }
        self.changed_properties().await
    }

    /// Deletes those of the files `made` that the completed file does not name: somebody else has completed the
    /// service.
    async fn delete_unnamed(&self, run: &ServiceRun, made: &BTreeSet<TablePath>) -> Result<(), CommitError> {
        let timeline = self.timeline().await?;
        let Some(completed) = timeline.get(run.instant, run.action).filter(|i| i.is_completed()) else {
            return Ok(());
        };
        let metadata = self.table.timeline.commit_metadata(completed).await?;
        let named: BTreeSet<&str> =
            metadata.write_stats().filter_map(|(_, stat)| stat.path.as_deref()).collect();
        let unnamed: Vec<&TablePath> = made.iter().filter(|path| !named.contains(path.as_str())).collect();
        self.delete_late(run.instant, unnamed).await
    }

    /// Removes what a completed service leaves: its markers, and its heartbeat.
    ///
    /// # Errors
    /// Those of the storage; a later sweep does it then.
    pub async fn clear_service(&self, run: ServiceRun) -> Result<(), CommitError> {
        self.remove_markers(run.instant).await?;
        Ok(run.heartbeat.stop().await?)
    }
}
