//! Whether a completed write may be taken back: nothing may be built on it, and what it was built on must be
//! there.

use std::collections::{BTreeMap, BTreeSet};

use lakebed_hudi::file_name::{DataFileName, FileId};
use lakebed_hudi::history::HistoryColumns;
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_file::{Action, TimelineFile, TimelineLayout};
use lakebed_hudi::timeline_metadata::{CleanerPlan, CommitMetadata};

use crate::commit::restore::later_than;
use crate::commit::{CommitError, Committer, UndoError};
use crate::storage::{Entry, TablePath};
use crate::table::{FileGroup, FileSlice, SliceRules, file_groups, partition_folder};
use crate::timeline::{Instant, Timeline};

/// Files that cleans have deleted, or are to, by name within their partitions.
type Cleaned = BTreeMap<(String, String), InstantTime>;

impl Committer {
    /// Refuses to take a completed write back on which something is built, or without which rows would be lost.
    ///
    /// Hudi looks for later commits, pending ones and savepoints alone.
    ///
    /// Source: `BaseRollbackActionExecutor.validateRollbackCommitSequence`, `validateSavepointRollbacks`.
    pub(super) async fn check_newest(
        &self,
        timeline: &Timeline,
        target: &Instant,
    ) -> Result<(), CommitError> {
        let instant = target.time;
        if timeline.get(instant, Action::Savepoint).is_some() {
            return Err(UndoError::Savepointed { instant }.into());
        }
        let is_after = later_than(timeline, target, self.table.config.table_type);
        if let Some(later) = is_after.iter().find(|later| later.is_completed()) {
            let (later, later_action) = (later.time, later.action);
            return Err(UndoError::Later { instant, later, later_action }.into());
        }
        for found in timeline.pending().filter(|i| i.action.writes_data() && !i.is_pending_service()) {
            // What is to be rolled back itself is built on nothing that stays.
            if self.planned_rollback(timeline, found.time).await?.is_none() {
                let (pending, pending_action) = (found.time, found.requested_as);
                return Err(UndoError::Pending { instant, pending, pending_action }.into());
            }
        }
        self.check_not_planned(timeline, target).await?;
        let without = timeline.without(target);
        if without.first_write().is_none() && self.has_archived_writes().await? {
            return Err(UndoError::Only { instant }.into());
        }
        self.check_not_cleaned(timeline, &without, target).await
    }

    /// Refuses to take files away that a service is to read.
    async fn check_not_planned(&self, timeline: &Timeline, target: &Instant) -> Result<(), CommitError> {
        for service in timeline.pending().filter(|i| i.is_pending_service()) {
            for (group, names) in
                self.planned_slices(service).await?.into_iter().flat_map(|(_, slices)| slices)
            {
                let is_own =
                    |name: &String| DataFileName::parse(name).is_some_and(|n| n.instant() == target.time);
                if let Some(name) = names.iter().find(|name| is_own(name)) {
                    let path = partition_folder(&group.partition)?.join(name)?;
                    let (service, service_action) = (service.time, service.requested_as);
                    return Err(
                        UndoError::Planned { instant: target.time, service, service_action, path }.into()
                    );
                }
            }
        }
        Ok(())
    }

    async fn has_archived_writes(&self) -> Result<bool, CommitError> {
        let found =
            self.table.timeline.newest_archived(|entry| entry.action.writes_data().then_some(())).await?;
        Ok(found.is_some())
    }

    /// Refuses where a clean has deleted what would be current again.
    async fn check_not_cleaned(
        &self,
        timeline: &Timeline,
        without: &Timeline,
        target: &Instant,
    ) -> Result<(), CommitError> {
        let cleaned = self.cleaned_since(timeline, target.time).await?;
        if cleaned.is_empty() {
            return Ok(());
        }
        let metadata = self.table.timeline.commit_metadata(target).await?;
        for (partition, groups) in touched(&metadata) {
            let mut files = self.table.storage.list(&partition_folder(&partition)?).await?.files;
            let there: BTreeSet<TablePath> = files.iter().map(|file| file.path.clone()).collect();
            for (of, name) in cleaned.keys().filter(|(of, _)| *of == partition) {
                let path = partition_folder(of)?.join(name)?;
                if !there.contains(&path) {
                    files.push(Entry { path, size: 0, modified_unix_millis: 0 });
                }
            }
            if let Some((clean, path)) = self.missed(&partition, &groups, &files, without, &cleaned).await? {
                return Err(UndoError::Cleaned { instant: target.time, clean, path }.into());
            }
        }
        Ok(())
    }

    /// A file that is part of the newest slice of one of `groups` without the write, and was cleaned.
    async fn missed(
        &self,
        partition: &str,
        groups: &BTreeSet<FileId>,
        files: &[Entry],
        without: &Timeline,
        cleaned: &Cleaned,
    ) -> Result<Option<(InstantTime, TablePath)>, CommitError> {
        let logs = files.iter().filter_map(|file| match DataFileName::parse(file.path.file_name()) {
            Some(DataFileName::Log(log)) => Some(log.instant),
            _ => None,
        });
        let archived = match logs.filter(|instant| without.is_before_start(*instant)).min() {
            Some(first) => self.table.timeline.archived_completions(first).await?,
            None => BTreeMap::new(),
        };
        let rules = SliceRules {
            timeline: without,
            layout: TimelineLayout::Two,
            archived: &archived,
            replaced: &BTreeMap::new(),
            changes: false,
            as_of: None,
        };
        let found = file_groups(partition, files, &rules);
        let current = found.iter().filter(|group| groups.contains(&group.id.file_id));
        let mut paths = current.filter_map(FileGroup::latest).flat_map(FileSlice::paths);
        Ok(paths.find_map(|path| {
            let clean = cleaned.get(&(partition.to_owned(), path.file_name().to_owned()))?;
            Some((*clean, path.clone()))
        }))
    }

    /// What cleans have deleted that came after `time`, and what those that are planned are to delete.
    async fn cleaned_since(&self, timeline: &Timeline, time: InstantTime) -> Result<Cleaned, CommitError> {
        let mut cleaned = Cleaned::new();
        for clean in timeline.completed().filter(|i| i.action == Action::Clean && i.time > time) {
            let metadata = self.table.timeline.clean_metadata(clean).await?;
            for (partition, of_partition) in metadata.partition_metadata {
                for file in of_partition.success_delete_files {
                    let name = file.rsplit('/').next().unwrap_or_default().to_owned();
                    cleaned.insert((partition.clone(), name), clean.time);
                }
            }
        }
        for clean in timeline.pending().filter(|i| i.action == Action::Clean) {
            for (partition, name) in self.going_files(clean.time).await? {
                cleaned.insert((partition, name), clean.time);
            }
        }
        Ok(cleaned)
    }

    /// The files that a planned clean is to delete, with their partitions.
    ///
    /// # Errors
    /// A plan that cannot be read.
    pub async fn going_files(&self, clean: InstantTime) -> Result<BTreeSet<(String, String)>, CommitError> {
        let file = TimelineFile::requested(clean, Action::Clean);
        let bytes = match self.table.timeline.read(&file).await {
            // It was completed and archived, or its plan was deleted: nobody carries it out.
            Err(error) if error.is_not_found() => return Ok(BTreeSet::new()),
            bytes => bytes?,
        };
        let plan = CleanerPlan::from_avro(&bytes).map_err(|source| CommitError::ServicePlan {
            path: self.table.timeline.path(&file),
            action: Action::Clean,
            remedy: "its inflight file, then this one".to_owned(),
            source,
        })?;
        let named = plan.files_to_be_deleted_per_partition.into_iter();
        let named =
            named.flat_map(|(partition, names)| names.into_iter().map(move |n| (partition.clone(), n)));
        let paths = plan.file_paths_to_be_deleted_per_partition.into_iter();
        let paths = paths.flat_map(|(partition, files)| {
            files.into_iter().map(move |file| (partition.clone(), file.file_path))
        });
        let last = |path: String| path.rsplit('/').next().unwrap_or_default().to_owned();
        Ok(named.chain(paths).map(|(partition, path)| (partition, last(path))).collect())
    }

    /// Refuses an instant that was archived.
    pub(in crate::commit) async fn check_not_archived(
        &self,
        instant: InstantTime,
    ) -> Result<(), CommitError> {
        let archived = self.table.timeline.archived(instant, HistoryColumns::Instants).await?;
        match archived.iter().any(|entry| entry.instant == instant && entry.action.writes_data()) {
            true => Err(UndoError::Archived { instant }.into()),
            false => Ok(()),
        }
    }
}

/// The groups that a commit wrote to or ended, by partition.
fn touched(metadata: &CommitMetadata) -> BTreeMap<String, BTreeSet<FileId>> {
    let written = metadata.write_stats().filter_map(|(partition, stat)| Some((partition, stat.group()?)));
    let replaced = metadata.replaced_groups().map(|(partition, id)| (partition, id.clone()));
    let mut touched: BTreeMap<String, BTreeSet<FileId>> = BTreeMap::new();
    for (partition, id) in written.chain(replaced) {
        touched.entry(partition.to_owned()).or_default().insert(id);
    }
    touched
}
