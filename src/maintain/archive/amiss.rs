//! Files that are there and should not be, and files that should be there and are not: what tells of them is the
//! active timeline alone.

use std::collections::{BTreeMap, BTreeSet};

use futures::stream::{self, StreamExt as _};
use lakebed_hudi::file_name::DataFileName;
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_metadata::CommitMetadata;

use super::hold::{HeldBy, Hold};
use super::plan::ArchivePlan;
use super::survey::ArchiveSurvey;
use crate::maintain::MaintainError;
use crate::storage::TablePath;
use crate::table::{FileGroupId, Table};
use crate::timeline::{Instant, TimelineError};

/// How many commits are read at the same time.
const READS: usize = 16;

/// The data files of a table.
#[derive(Debug, Default)]
struct DataFiles {
    /// One file of each instant.
    instants: BTreeMap<InstantTime, TablePath>,
    paths: BTreeSet<TablePath>,
    /// The newest base file of each group.
    newest: BTreeMap<FileGroupId, InstantTime>,
}

impl DataFiles {
    async fn of(table: &Table) -> Result<Self, MaintainError> {
        let listed = table.storage.list_all(&TablePath::root()).await.map_err(TimelineError::from)?;
        let mut files = Self::default();
        for path in listed.into_iter().map(|file| file.path) {
            let Some(name) = DataFileName::parse(path.file_name()) else { continue };
            if path.as_str().starts_with(".hoodie/") {
                continue;
            }
            if let DataFileName::Base(base) = &name {
                let newest = files.newest.entry(group_of(&path, &name)).or_insert(base.instant);
                *newest = base.instant.max(*newest);
            }
            files.instants.entry(name.instant()).or_insert_with(|| path.clone());
            files.paths.insert(path);
        }
        Ok(files)
    }

    /// A file of an instant that is nowhere on the timeline, and behind which it would begin.
    async fn stray(
        &self,
        table: &Table,
        survey: &ArchiveSurvey,
        stays: InstantTime,
    ) -> Result<Option<(InstantTime, TablePath)>, MaintainError> {
        let Some(start) = survey.timeline.start() else { return Ok(None) };
        let is_known = |instant: &InstantTime| {
            survey.timeline.write_at(*instant).is_some() || survey.swept_before.contains(instant)
        };
        let unknown = self.instants.range(start..stays);
        let unknown: Vec<_> = unknown.filter(|(instant, _)| !is_known(instant)).collect();
        let Some((first, _)) = unknown.first() else { return Ok(None) };
        let archived = table.timeline.archived_completions(**first).await?;
        let stray = unknown.into_iter().find(|(instant, _)| !archived.contains_key(*instant));
        Ok(stray.map(|(instant, path)| (*instant, path.clone())))
    }

    /// The files that `commit` wrote, that are not there, and are the newest of their groups or on it.
    fn lost(&self, commit: &Instant, metadata: &CommitMetadata) -> Vec<(FileGroupId, TablePath)> {
        let paths = metadata.write_stats().filter_map(|(_, stat)| stat.path.as_deref()?.parse().ok());
        let lost = paths.filter(|path: &TablePath| !self.paths.contains(path)).filter_map(|path| {
            let name = DataFileName::parse(path.file_name())?;
            let group = group_of(&path, &name);
            let newest = self.newest.get(&group).copied();
            let is_superseded = match name {
                DataFileName::Base(base) => newest > Some(base.instant),
                DataFileName::Log(log) => log.cdc || newest >= commit.completion(),
            };
            (!is_superseded).then_some((group, path))
        });
        lost.collect()
    }
}

fn group_of(path: &TablePath, name: &DataFileName) -> FileGroupId {
    let partition = path.parent().map(|parent| parent.to_string()).unwrap_or_default();
    FileGroupId { partition, file_id: name.file_id().clone() }
}

/// What holds `plan` back because of files: of an instant that is nowhere on the timeline, they would be part of the
/// table behind it; of commits that go, nobody would know any more that they are lost. The table is listed.
///
/// # Errors
/// Those of the storage; commits that cannot be read.
pub(super) async fn amiss(
    table: &Table,
    survey: &ArchiveSurvey,
    plan: &ArchivePlan,
) -> Result<Option<Hold>, MaintainError> {
    let Some(stays) = plan.stays else { return Ok(None) };
    let files = DataFiles::of(table).await?;
    let writes: Vec<Instant> = plan.going.iter().filter(|i| i.action.writes_data()).copied().collect();
    let mut holds = Vec::new();
    if let Some((instant, file)) = files.stray(table, survey, stays.time).await? {
        let before = writes.iter().rfind(|write| write.time < instant).map_or(instant, |write| write.time);
        holds.push(Hold { from: before, by: HeldBy::Stray { instant, file } });
    }
    let mut replaced = None;
    let mut reading = stream::iter(writes)
        .map(|commit| async move { (commit, table.timeline.metadata_anywhere(&commit).await) })
        .buffered(READS);
    while let Some((commit, metadata)) = reading.next().await {
        let mut lost = files.lost(&commit, &metadata?);
        if lost.is_empty() {
            continue;
        }
        // Nothing is left of groups that were replaced once they are cleaned.
        let replaced = match &mut replaced {
            Some(replaced) => replaced,
            none => none.insert(table.snapshot(None).await?.replaced().clone()),
        };
        lost.retain(|(group, _)| !replaced.contains_key(group));
        if let Some((_, file)) = lost.into_iter().next() {
            holds.push(Hold { from: commit.time, by: HeldBy::Lost { instant: commit.time, file } });
            break;
        }
    }
    Ok(holds.into_iter().min_by_key(|hold| hold.from))
}
