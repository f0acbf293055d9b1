//! Making a write visible.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::schema::TableSchema;
use lakebed_hudi::timeline_file::{State, TimelineFile};
use lakebed_hudi::timeline_metadata::CommitMetadata;

use super::conflict::conflict;
use super::metadata::commit_metadata;
use super::progress::{PROGRESS_KEY, PipelineProgress};
use super::{Begun, CommitError, Committer, Epoch, Known};
use crate::storage::TablePath;
use crate::storage::lock::LockGuard;
use crate::table::{StagedFiles, WriteOperation, check_readable, check_writable, grown_schema, properties};
use crate::timeline::Timeline;

/// What became of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is visible.
    Committed {
        /// Its instant.
        instant: InstantTime,
        /// Since when it is visible.
        completion: InstantTime,
    },
    /// It was visible already, or the pipeline has come as far by another commit.
    AlreadyCommitted {
        /// Its instant, if it is what is visible.
        instant: Option<InstantTime>,
    },
    /// It does not agree with what others have done: write it anew on the table as it is now.
    Conflicted {
        /// With what.
        reason: String,
    },
    /// It is not visible, and may be tried again as it is.
    Retryable {
        /// What stood in the way.
        reason: String,
    },
    /// A newer run of the pipeline has taken over: this one must stop.
    Fenced {
        /// The epoch of that run.
        by: u64,
    },
}

/// A write that is ready to be seen.
#[derive(Debug, Clone, Copy)]
pub struct Publication<'a> {
    /// Its instant.
    pub begun: Begun,
    /// What it does.
    pub operation: WriteOperation,
    /// Its files.
    pub staged: &'a StagedFiles,
    /// The schema of its rows.
    pub schema: &'a TableSchema,
    /// The run that writes.
    pub epoch: &'a Epoch,
    /// How far the pipeline has come with it; `None` if no commit is to carry its progress from here
    /// on.
    pub progress: Option<&'a PipelineProgress>,
    /// More extra metadata.
    pub extra_metadata: &'a BTreeMap<String, String>,
    /// Instants of the same run that were pending when this one began, and whose files it takes as
    /// there: they must be completed first, and they agree with it.
    pub built_on: &'a BTreeSet<InstantTime>,
}

impl Committer {
    /// Makes a write visible, or says why not. What the commits say since `known` was read is read into it.
    ///
    /// Idempotent: publishing again what is visible already changes nothing.
    ///
    /// # Errors
    /// Failures that leave it open whether the write is visible; publish it again to find out.
    pub async fn publish(
        &self,
        publication: Publication<'_>,
        known: &mut Known,
    ) -> Result<Outcome, CommitError> {
        self.delete_strays(publication.begun.instant, publication.staged).await?;
        let guard = match self.locked().await {
            Ok(guard) => guard,
            Err(CommitError::Lock(error)) => return Ok(Outcome::Retryable { reason: error.to_string() }),
            Err(error) => return Err(error),
        };
        let outcome = self.publish_locked(&publication, known, &guard).await;
        if let Err(error) = guard.release().await {
            tracing::warn!(%error, "the table lock could not be released");
        }
        outcome
    }

    async fn publish_locked(
        &self,
        publication: &Publication<'_>,
        known: &mut Known,
        guard: &LockGuard,
    ) -> Result<Outcome, CommitError> {
        let Begun { instant, action, .. } = publication.begun;
        let timeline = self.timeline().await?;
        let unsettled = self.unsettled(&timeline, instant).await?;
        if let Some(outcome) = self.obstacle(publication, known, &timeline).await? {
            let is_there = outcome == Outcome::AlreadyCommitted { instant: Some(instant) };
            let may_come = unsettled.filter(|_| !is_there);
            return may_come.map_or(Ok(outcome), |file| Err(self.still_unsettled(&file)));
        }
        let grown = |known| grown_schema(&self.table.config, known, publication.schema);
        let schema = match known.schema.as_ref().map_or_else(|| Ok(publication.schema.clone()), grown) {
            Ok(schema) => schema,
            Err(error) => return Ok(Outcome::Conflicted { reason: error.to_string() }),
        };
        let mut progress = known.progress.clone();
        let pipeline = &publication.epoch.pipeline;
        match publication.progress {
            Some(stands) => progress.pipelines.insert(pipeline.clone(), stands.clone()),
            None => progress.pipelines.remove(pipeline),
        };
        let mut extra = publication.extra_metadata.clone();
        extra.insert(CommitMetadata::SCHEMA_KEY.to_owned(), schema.to_avro());
        extra.insert(PROGRESS_KEY.to_owned(), progress.to_json());
        let metadata = commit_metadata(instant, publication.operation, publication.staged, extra);
        let file = match unsettled {
            // Whatever came after it was made without it: it may not become visible before that.
            Some(file) if file.completion() < timeline.latest_time() => {
                return Err(self.still_unsettled(&file));
            }
            Some(file) => file,
            None => TimelineFile::completed(instant, action, self.new_time(&timeline).await?),
        };
        match self.put_surely(file, metadata.to_avro()?.into(), guard).await {
            Err(CommitError::Lock(error)) => return Ok(Outcome::Retryable { reason: error.to_string() }),
            put => put?,
        }
        let stamp = self.table.timeline.stamp().await.ok().flatten();
        self.seen().published = stamp.map(|stamp| (Arc::new(timeline.with(file)), stamp));
        let completion = file.completion().unwrap_or(instant);
        let (source, upto, start) = (Some(instant), Some(completion), timeline.start());
        *known = Known { progress, schema: Some(schema), restore: None, source, upto, start };
        Ok(Outcome::Committed { instant, completion })
    }

    /// What stands against making a write visible on `timeline`, or makes it superfluous. Brings
    /// `known` up to date.
    async fn obstacle(
        &self,
        publication: &Publication<'_>,
        known: &mut Known,
        timeline: &Timeline,
    ) -> Result<Option<Outcome>, CommitError> {
        let Begun { instant, action, .. } = publication.begun;
        let state = timeline.get(instant, action).map(|i| i.state);
        if self.is_visible(instant, state).await? {
            self.catch_up(known, timeline).await?;
            return Ok(Some(Outcome::AlreadyCommitted { instant: Some(instant) }));
        }
        if let Some(by) = publication.epoch.fenced_by(&self.table).await? {
            return Ok(Some(Outcome::Fenced { by }));
        }
        if state != Some(State::Inflight) {
            let reason =
                format!("instant {instant} has no inflight file any more: another writer rolled it back");
            return Ok(Some(Outcome::Conflicted { reason }));
        }
        if let Some((rollback, _)) = self.planned_rollback(timeline, instant).await? {
            let reason = format!("instant {instant} is being rolled back by rollback {rollback}");
            return Ok(Some(Outcome::Conflicted { reason }));
        }
        if let Some(restore) = timeline.pending_restore() {
            let reason = format!("restore {} is taking the table back", restore.time);
            return Ok(Some(Outcome::Conflicted { reason }));
        }
        if let Some(outcome) = predecessor_missing(timeline, publication.built_on) {
            return Ok(Some(outcome));
        }
        if let Some(reason) = self.changed_properties().await? {
            return Ok(Some(Outcome::Conflicted { reason }));
        }
        if let Some(reason) = taken_back(timeline, &publication.begun, known) {
            return Ok(Some(Outcome::Conflicted { reason }));
        }
        self.catch_up(known, timeline).await?;
        let pipeline = &publication.epoch.pipeline;
        if let (Some(done), Some(stands)) = (known.progress.pipelines.get(pipeline), publication.progress)
            && done.checkpoint >= stands.checkpoint
        {
            return Ok(Some(Outcome::AlreadyCommitted { instant: None }));
        }
        let others = self.others(publication, timeline).await?;
        let by_bucket = self.table.config.bucket_index.is_some();
        if let Some(reason) = conflict(publication.operation, publication.staged, &others, by_bucket) {
            return Ok(Some(Outcome::Conflicted { reason }));
        }
        Ok(None)
    }

    /// Whether an instant is completed that is in `state` on the active timeline.
    pub(super) async fn is_visible(
        &self,
        instant: InstantTime,
        state: Option<State>,
    ) -> Result<bool, CommitError> {
        match state {
            Some(State::Completed(_)) => Ok(true),
            // It was rolled back, or completed and archived since.
            None => self.is_archived(instant).await,
            Some(_) => Ok(false),
        }
    }

    /// Why the table is not the one that it was opened as, if its properties changed so.
    ///
    /// # Errors
    /// Properties that cannot be read.
    pub(crate) async fn changed_properties(&self) -> Result<Option<String>, CommitError> {
        let now =
            properties::load(self.table.storage.as_ref()).await.map_err(crate::table::TableError::from)?;
        if let Err(refusal) = check_readable(&now).and_then(|()| check_writable(&now)) {
            return Ok(Some(format!("hoodie.properties was changed: {refusal}")));
        }
        let then = &self.table.config;
        let changed = [
            ("version", now.version != then.version),
            ("type", now.table_type != then.table_type),
            ("record key", now.record_key != then.record_key),
            ("partitioning", now.partition_path != then.partition_path),
            ("ordering", now.ordering_fields != then.ordering_fields || now.merge_mode != then.merge_mode),
            ("partial update mode", now.partial_update != then.partial_update),
            ("delete marker", now.delete_marker != then.delete_marker),
            ("bucket index", now.bucket_index != then.bucket_index),
            ("timeline zone", now.zone != then.zone),
            ("metadata table", now.metadata_partitions() != then.metadata_partitions()),
        ];
        let changed = changed.iter().find(|(_, changed)| *changed);
        Ok(changed.map(|(what, _)| format!("the table's {what} was changed in hoodie.properties")))
    }

    /// Deletes files of the instant that are none of those to be published: of two base files of
    /// one group and instant, readers would take either.
    async fn delete_strays(&self, instant: InstantTime, staged: &StagedFiles) -> Result<(), CommitError> {
        let strays = self.strays(instant, staged).await?;
        self.delete_attempted(instant, &strays).await
    }

    /// The files that markers of an instant name and that are none of `staged`, whether they are there or
    /// not.
    async fn strays(
        &self,
        instant: InstantTime,
        staged: &StagedFiles,
    ) -> Result<Vec<TablePath>, CommitError> {
        let named: BTreeSet<&TablePath> = staged.files.iter().map(|file| &file.path).collect();
        let marked = self.files_of(instant).await?;
        Ok(marked.into_iter().filter(|path| !named.contains(path)).collect())
    }

    pub(super) async fn delete_attempted(
        &self,
        instant: InstantTime,
        strays: impl IntoIterator<Item = &TablePath>,
    ) -> Result<(), CommitError> {
        for path in strays {
            if self.table.storage.delete(path).await? {
                tracing::warn!(%path, %instant, "deleted a file that an attempt left behind");
            }
        }
        Ok(())
    }
}

/// Why a write cannot follow those that it was built on, if so.
fn predecessor_missing(timeline: &Timeline, built_on: &BTreeSet<InstantTime>) -> Option<Outcome> {
    let missing = built_on.iter().find(|before| !timeline.is_committed(**before))?;
    Some(match timeline.write_at(*missing) {
        Some(_) => Outcome::Retryable {
            reason: format!("the checkpoint before it, {missing}, is not committed yet"),
        },
        None => Outcome::Conflicted { reason: format!("the checkpoint before it, {missing}, was given up") },
    })
}

/// How the table was taken back since the write began, or since `known` was read, if it was.
fn taken_back(timeline: &Timeline, begun: &Begun, known: &Known) -> Option<String> {
    if let Some(restore) = timeline.last_restore().filter(|r| r.completion() > begun.snapshot_time) {
        return Some(format!("restore {} took the table back meanwhile", restore.time));
    }
    let source = known.source.filter(|source| !timeline.is_committed(*source))?;
    Some(format!("commit {source} is gone: the table was restored to an earlier state"))
}
