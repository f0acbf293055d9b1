//! What others do to a table while a write of ours goes on.

use std::collections::{BTreeMap, BTreeSet};

use lakebed_hudi::file_name::DataFileName;
use lakebed_hudi::history::HistoryColumns;
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_file::{Action, State, TimelineFile};
use lakebed_hudi::timeline_metadata::{
    ClusteringSlice, CommitMetadata, CompactionOperation, CompactionPlan, RequestedReplaceMetadata,
};

use super::conflict::{OtherKind, OtherWrite};
use super::publish::Publication;
use super::{Begun, CommitError, Committer};
use crate::storage::TablePath;
use crate::table::FileGroupId;
use crate::timeline::{Instant, Timeline};

impl Committer {
    /// What others did since the write began, or plan to do.
    pub(super) async fn others(
        &self,
        publication: &Publication<'_>,
        timeline: &Timeline,
    ) -> Result<Vec<OtherWrite>, CommitError> {
        let mut others = Vec::new();
        let since = publication.begun.snapshot_time;
        let mut is_archived = timeline.start() > publication.begun.settled_time;
        for instant in timeline.completed_writes() {
            if instant.completion() <= since || publication.built_on.contains(&instant.time) {
                continue;
            }
            match self.table.timeline.commit_metadata(instant).await {
                // It has gone there since it was listed.
                Err(error) if error.is_not_found() => is_archived = true,
                metadata => others.extend(written(instant.time, &metadata?)),
            }
        }
        if is_archived {
            others.extend(self.archived_writes(publication).await?);
        }
        let ours = |i: &Instant| i.time == publication.begun.instant;
        for instant in timeline.pending().filter(|i| !ours(i)) {
            if instant.is_pending_service() {
                others.extend(self.planned(instant).await?);
            } else if instant.action.writes_data() {
                // Later checkpoints of the same pipeline are built on this one.
                if self.pipeline_of(instant).await?.as_ref() == Some(&publication.epoch.pipeline) {
                    continue;
                }
                let groups = self.unfinished_groups(instant.time).await?;
                others.push(OtherWrite { instant: instant.time, kind: OtherKind::Unfinished, groups });
            }
        }
        Ok(others)
    }

    /// What others did since the write began and is archived already.
    async fn archived_writes(&self, publication: &Publication<'_>) -> Result<Vec<OtherWrite>, CommitError> {
        let Begun { instant, snapshot_time, settled_time, .. } = publication.begun;
        let from = settled_time.unwrap_or(instant);
        let mut others = Vec::new();
        for entry in self.table.timeline.archived(from, HistoryColumns::All).await? {
            let is_new = Some(entry.completion) > snapshot_time && entry.action.writes_data();
            if let Some(bytes) = entry.metadata.filter(|_| is_new)
                && !publication.built_on.contains(&entry.instant)
            {
                others.extend(written(entry.instant, &CommitMetadata::from_bytes(&bytes)?));
            }
        }
        Ok(others)
    }

    /// The groups that an unfinished write has begun to write, by its markers.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn unfinished_groups(
        &self,
        instant: InstantTime,
    ) -> Result<BTreeSet<FileGroupId>, CommitError> {
        let group = |path: TablePath| {
            let file_id = DataFileName::parse(path.file_name())?.file_id().clone();
            let partition = path.parent().map(|parent| parent.to_string()).unwrap_or_default();
            Some(FileGroupId { partition, file_id })
        };
        Ok(self.files_of(instant).await?.into_iter().filter_map(group).collect())
    }

    /// The groups that unfinished writes on `timeline` have begun to write, with the write's instant.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn groups_being_written(
        &self,
        timeline: &Timeline,
    ) -> Result<BTreeMap<FileGroupId, InstantTime>, CommitError> {
        let mut written = BTreeMap::new();
        for write in timeline.pending().filter(|i| i.action.writes_data() && !i.is_pending_service()) {
            let groups = self.unfinished_groups(write.time).await?;
            written.extend(groups.into_iter().map(|group| (group, write.time)));
        }
        Ok(written)
    }

    /// The groups that pending services on `timeline` are about to rewrite, with the service's instant.
    ///
    /// # Errors
    /// Plans that cannot be read.
    pub async fn planned_groups(
        &self,
        timeline: &Timeline,
    ) -> Result<BTreeMap<FileGroupId, InstantTime>, CommitError> {
        let mut planned = BTreeMap::new();
        for service in timeline.pending().filter(|i| i.is_pending_service()) {
            let groups = self.planned(service).await?.map(|other| other.groups).unwrap_or_default();
            planned.extend(groups.into_iter().map(|group| (group, service.time)));
        }
        Ok(planned)
    }

    /// The files that pending services on `timeline` read, by name.
    ///
    /// # Errors
    /// Plans that cannot be read.
    pub async fn planned_files(
        &self,
        timeline: &Timeline,
    ) -> Result<BTreeMap<FileGroupId, BTreeSet<String>>, CommitError> {
        let mut planned: BTreeMap<FileGroupId, BTreeSet<String>> = BTreeMap::new();
        for service in timeline.pending().filter(|i| i.is_pending_service()) {
            for (group, files) in self.planned_slices(service).await?.into_iter().flat_map(|(_, s)| s) {
                planned.entry(group).or_default().extend(files);
            }
        }
        Ok(planned)
    }

    /// The files that a pending compaction or clustering reads, by name.
    ///
    /// # Errors
    /// A plan that cannot be read.
    pub async fn files_read_by(
        &self,
        service: &Instant,
    ) -> Result<Vec<(FileGroupId, Vec<String>)>, CommitError> {
        Ok(self.planned_slices(service).await?.map(|(_, slices)| slices).unwrap_or_default())
    }

    /// The groups that a pending service is about to rewrite.
    pub(super) async fn planned(&self, instant: &Instant) -> Result<Option<OtherWrite>, CommitError> {
        let planned = self.planned_slices(instant).await?;
        Ok(planned.map(|(kind, slices)| {
            let groups = slices.into_iter().map(|(group, _)| group).collect();
            OtherWrite { instant: instant.time, kind, groups }
        }))
    }

    /// The slices that a pending service is about to rewrite, with the names of their files.
    pub(super) async fn planned_slices(
        &self,
        instant: &Instant,
    ) -> Result<Option<PlannedSlices>, CommitError> {
        let file = TimelineFile::requested(instant.time, instant.requested_as);
        let broken = |source| CommitError::ServicePlan {
            path: self.table.timeline.path(&file),
            action: instant.requested_as,
            remedy: plan_remedy(instant),
            source,
        };
        Ok(Some(match instant.requested_as {
            Action::Compaction | Action::LogCompaction => {
                let plan =
                    CompactionPlan::from_avro(&self.table.timeline.read(&file).await?).map_err(broken)?;
                (OtherKind::PendingCompaction, plan.operations.into_iter().map(of_compaction).collect())
            }
            Action::Clustering => {
                let plan = RequestedReplaceMetadata::from_avro(&self.table.timeline.read(&file).await?)
                    .map_err(broken)?;
                let slices =
                    plan.clustering_plan.into_iter().flat_map(|p| p.input_groups).flat_map(|g| g.slices);
                (OtherKind::PendingClustering, slices.map(of_clustering).collect())
            }
            _ => return Ok(None),
        }))
    }
}

/// Slices that a service is about to rewrite, with the names of their files.
type PlannedSlices = (OtherKind, Vec<(FileGroupId, Vec<String>)>);

fn of_compaction(operation: CompactionOperation) -> (FileGroupId, Vec<String>) {
    let group = FileGroupId { partition: operation.partition_path, file_id: operation.file_id };
    (group, names(operation.delta_file_paths.into_iter().chain(operation.data_file_path)))
}

fn of_clustering(slice: ClusteringSlice) -> (FileGroupId, Vec<String>) {
    let files = names(slice.delta_file_paths.into_iter().chain([slice.data_file_path]));
    (FileGroupId { partition: slice.partition_path, file_id: slice.file_id }, files)
}

/// The names at the end of paths.
fn names(paths: impl Iterator<Item = String>) -> Vec<String> {
    paths.map(|path| path.rsplit('/').next().unwrap_or_default().to_owned()).collect()
}

/// What to do about a pending service without a plan.
fn plan_remedy(service: &Instant) -> String {
    match service.state {
        State::Inflight => format!(
            "first the data files with {} in their names, then {} and this file",
            service.time,
            service.file().name()
        ),
        _ => "this file: the service has not begun".to_owned(),
    }
}

/// What a completed commit touched.
pub(super) fn written(
    instant: InstantTime,
    metadata: &CommitMetadata,
) -> impl Iterator<Item = OtherWrite> + use<> {
    let groups = metadata.write_stats().filter_map(|(partition, stat)| {
        Some(FileGroupId { partition: partition.to_owned(), file_id: stat.group()? })
    });
    let written = OtherWrite { instant, kind: OtherKind::Written, groups: groups.collect() };
    let replaced = metadata
        .replaced_groups()
        .map(|(partition, id)| FileGroupId { partition: partition.to_owned(), file_id: id.clone() });
    let replaced = OtherWrite { instant, kind: OtherKind::Replaced, groups: replaced.collect() };
    [written, replaced].into_iter().filter(|other| !other.groups.is_empty())
}
