//! What the commits of a table say: how far its pipelines have come, and its newest schema.

use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::schema::TableSchema;
use lakebed_hudi::timeline_metadata::CommitMetadata;

use super::progress::{PROGRESS_KEY, Progress};
use super::{CommitError, Committer};
use crate::table::{TableError, schema_history};
use crate::timeline::{Instant, Timeline};

/// What the commits up to some point say, so that each is read once.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// The progress of all pipelines.
    pub progress: Progress,
    /// The newest schema.
    pub schema: Option<TableSchema>,
    /// The restore that took the table back after the last commit that says how far pipelines have
    /// come, if one did.
    pub restore: Option<InstantTime>,
    /// The instant that the progress was read from: it is gone after a restore.
    pub(super) source: Option<InstantTime>,
    /// All commits that completed by then were read.
    pub(super) upto: Option<InstantTime>,
    /// Where the timeline began then.
    pub(super) start: Option<InstantTime>,
}

impl Known {
    /// All commits that completed by then were read.
    pub fn upto(&self) -> Option<InstantTime> {
        self.upto
    }
}

impl Committer {
    /// What the commits say, archived ones included: the progress of all pipelines and the newest
    /// schema.
    ///
    /// # Errors
    /// Commits that cannot be read or understood.
    pub async fn read_known(&self) -> Result<Known, CommitError> {
        let timeline = self.timeline().await?;
        self.known_by(&timeline).await
    }

    /// What the commits on `timeline` and before it say, see [`Committer::read_known`].
    ///
    /// # Errors
    /// Commits that cannot be read or understood.
    pub async fn known_by(&self, timeline: &Timeline) -> Result<Known, CommitError> {
        let mut known = Known::default();
        self.catch_up(&mut known, timeline).await?;
        // Of commits that were begun before a restore none with progress completes after it.
        known.restore =
            timeline.last_restore().map(|restore| restore.time).filter(|time| Some(*time) > known.source);
        Ok(known)
    }

    /// Reads the commits that completed since `known` was read.
    ///
    /// The newest commit with any progress has that of all pipelines, since each carries forward what
    /// those before it say. So the archived timeline is asked only where commits may have gone there
    /// unread, and none that came after them has any progress: when a table is opened that others
    /// have written to for long, or by the first commit after such a time.
    ///
    /// # Errors
    /// Commits that cannot be read or understood.
    pub(super) async fn catch_up(&self, known: &mut Known, timeline: &Timeline) -> Result<(), CommitError> {
        let mut news: Vec<&Instant> =
            timeline.completed_writes().filter(|i| i.completion() > known.upto).collect();
        news.sort_by_key(|instant| std::cmp::Reverse(instant.completion()));
        let mut is_archived = timeline.start() != known.start;
        let (mut schema, mut progress) = (None, None);
        for instant in &news {
            if schema.is_some() && progress.is_some() {
                break;
            }
            let metadata = match self.table.timeline.commit_metadata(instant).await {
                // It has gone there since it was listed.
                Err(error) if error.is_not_found() => {
                    is_archived = true;
                    continue;
                }
                metadata => metadata?,
            };
            schema_history::check_commit(&self.table.config, instant.time, &metadata)
                .map_err(TableError::from)?;
            if progress.is_none()
                && let Some(text) = metadata.extra_metadata.get(PROGRESS_KEY)
            {
                progress = Some((self.read_progress(instant, text)?, instant.time));
            }
            let may_change = metadata.operation_type.as_ref().is_none_or(|o| o.may_change_schema());
            if schema.is_none()
                && let Some(text) = metadata.schema().filter(|_| may_change)
            {
                schema = Some(TableSchema::from_avro(text).map_err(TableError::from)?);
            }
        }
        if progress.is_none() && is_archived {
            progress = self.archived_progress(known.upto).await?;
        }
        if let Some((progress, source)) = progress {
            (known.progress, known.source) = (progress, Some(source));
        }
        known.schema = schema.or(known.schema.take());
        known.upto = news.first().and_then(|newest| newest.completion()).or(known.upto);
        known.start = timeline.start();
        Ok(())
    }

    fn read_progress(&self, instant: &Instant, text: &str) -> Result<Progress, CommitError> {
        let path = self.table.timeline.path(&instant.file());
        Progress::from_json(text).map_err(|problem| CommitError::Progress { path, problem })
    }

    /// The progress that the newest archived commit with any carries, and its instant, if it completed
    /// after `upto`.
    async fn archived_progress(
        &self,
        upto: Option<InstantTime>,
    ) -> Result<Option<(Progress, InstantTime)>, CommitError> {
        let newest = self.table.timeline.newest_archived(|entry| {
            let metadata = CommitMetadata::from_bytes(entry.metadata.as_deref()?).ok()?;
            let text = metadata.extra_metadata.get(PROGRESS_KEY)?;
            Some((entry.instant, entry.completion, text.clone()))
        });
        let unread = newest.await?.filter(|(_, completion, _)| Some(*completion) > upto);
        let Some((instant, _, text)) = unread else { return Ok(None) };
        let path = self.table.timeline.history.clone();
        let broken =
            |problem| CommitError::Progress { path, problem: format!("instant {instant}: {problem}") };
        Ok(Some((Progress::from_json(&text).map_err(broken)?, instant)))
    }
}
