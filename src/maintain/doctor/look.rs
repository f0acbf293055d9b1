//! Looking at a table: all I/O of the doctor.

use std::collections::{BTreeMap, BTreeSet};

use lakebed_hudi::file_name::{DataFileName, PARTITION_METADATA};
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_file::Action;

use super::facts::{Facts, FileInPartition, in_partition};
use crate::commit::{CommitError, Committer};
use crate::maintain::MaintainError;
use crate::storage::{Entry, StorageError, TablePath};
use crate::timeline::{Instant, Timeline};

/// Looks at a table. The files are listed after the markers and before the timeline, so that what is begun meanwhile
/// is known.
pub(super) async fn look(committer: &Committer) -> Result<Facts, MaintainError> {
    let table = committer.table();
    let markers: BTreeSet<InstantTime> = committer.marked_instants().await?.into_iter().collect();
    let heartbeats: BTreeSet<InstantTime> = committer.beating().await?.into_iter().collect();
    let (files, partitions) = list(committer).await?;
    let snapshot = table.snapshot(None).await?;
    let timeline = snapshot.timeline.clone();
    let mut groups = Vec::new();
    for (partition, entries) in &files {
        groups.extend(snapshot.file_groups(partition, entries).await?);
    }
    let instants: BTreeSet<InstantTime> = files.values().flatten().filter_map(instant_of).collect();
    let archived = match instants.iter().find(|instant| timeline.write_at(**instant).is_none()) {
        Some(first) => table.timeline.archived_completions(*first).await?.into_keys().collect(),
        None => BTreeSet::new(),
    };
    let unknown =
        instants.union(&heartbeats).chain(&markers).filter(|time| timeline.write_at(**time).is_none());
    let alive = alive(committer, &timeline, unknown.copied().collect()).await?;
    let (cleaned, cleaned_partitions) = cleaned(committer, &timeline).await?;
    let lock = match table.storage.stat(&TablePath::literal(".hoodie/lock")).await {
        Ok(entry) => Some(entry),
        Err(StorageError::NotFound { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    Ok(Facts {
        uri: table.storage.uri().to_string(),
        zone: table.zone,
        now_unix_millis: table.environment.clock.unix_millis(),
        expiry: committer.options().heartbeat_expiry(),
        archived,
        groups,
        buckets: table.config.bucket_index.as_ref().map(|index| index.buckets),
        named: named(committer, &timeline).await?,
        cleaned,
        cleaned_partitions,
        alive,
        rollbacks: rollbacks(committer, &timeline).await?,
        restore: restore(committer, &timeline).await?,
        plans: plans(committer, &timeline).await?,
        markers,
        heartbeats,
        lock,
        files,
        partitions,
        timeline,
    })
}

fn instant_of(file: &Entry) -> Option<InstantTime> {
    Some(DataFileName::parse(file.path.file_name())?.instant())
}

/// The data files by partition, and the folders that are partitions.
async fn list(
    committer: &Committer,
) -> Result<(BTreeMap<String, Vec<Entry>>, BTreeSet<String>), MaintainError> {
    let mut files: BTreeMap<String, Vec<Entry>> = BTreeMap::new();
    let mut partitions = BTreeSet::new();
    for file in committer.table().storage.list_all(&TablePath::root()).await? {
        let (partition, name) = in_partition(&file.path);
        if partition.split('/').any(|folder| folder == ".hoodie") {
            continue;
        }
        if name.starts_with(PARTITION_METADATA) {
            partitions.insert(partition);
        } else if DataFileName::parse(&name).is_some() {
            files.entry(partition).or_default().push(file);
        }
    }
    Ok((files, partitions))
}

/// The instants that somebody may be at: of those that are pending, and of `unknown` ones.
async fn alive(
    committer: &Committer,
    timeline: &Timeline,
    unknown: BTreeSet<InstantTime>,
) -> Result<BTreeSet<InstantTime>, MaintainError> {
    let mut alive = BTreeSet::new();
    let unknown = unknown.into_iter().map(Instant::begun);
    for pending in timeline.pending().copied().chain(unknown) {
        if committer.last_heard(&pending).await?.is_some() {
            alive.insert(pending.time);
        }
    }
    Ok(alive)
}

/// The files that completed writes name, from where nothing before is archived.
async fn named(
    committer: &Committer,
    timeline: &Timeline,
) -> Result<BTreeMap<InstantTime, BTreeSet<FileInPartition>>, MaintainError> {
    let mut named = BTreeMap::new();
    for commit in timeline.completed_writes().filter(|commit| Some(commit.time) >= timeline.start()) {
        let metadata = committer.table().timeline.metadata_anywhere(commit).await?;
        let paths = metadata.write_stats().filter_map(|(_, stat)| stat.path.as_deref()?.parse().ok());
        named.insert(commit.time, paths.map(|path: TablePath| in_partition(&path)).collect());
    }
    Ok(named)
}

/// The files and the partitions that cleans have deleted, or are about to.
async fn cleaned(
    committer: &Committer,
    timeline: &Timeline,
) -> Result<(BTreeSet<FileInPartition>, BTreeSet<String>), MaintainError> {
    let (mut files, mut partitions) = (BTreeSet::new(), BTreeSet::new());
    for clean in timeline.instants().filter(|i| i.action == Action::Clean) {
        if !clean.is_completed() {
            files.extend(committer.going_files(clean.time).await?);
            continue;
        }
        for (partition, of) in committer.table().timeline.clean_metadata(clean).await?.partition_metadata {
            if of.is_partition_deleted {
                partitions.insert(partition.clone());
            }
            let name = |file: &String| file.rsplit('/').next().unwrap_or_default().to_owned();
            files.extend(of.delete_path_patterns.iter().map(|file| (partition.clone(), name(file))));
        }
    }
    Ok((files, partitions))
}

async fn rollbacks(
    committer: &Committer,
    timeline: &Timeline,
) -> Result<BTreeMap<InstantTime, Option<InstantTime>>, MaintainError> {
    let mut rollbacks = BTreeMap::new();
    for rollback in timeline.pending().filter(|i| i.action == Action::Rollback) {
        rollbacks.insert(rollback.time, committer.rollback_target(rollback.time).await?);
    }
    Ok(rollbacks)
}

async fn restore(
    committer: &Committer,
    timeline: &Timeline,
) -> Result<Option<(InstantTime, InstantTime)>, MaintainError> {
    let Some(restore) = timeline.pending_restore() else { return Ok(None) };
    Ok(Some((restore.time, committer.savepoint_of(timeline, restore.time).await?)))
}

async fn plans(
    committer: &Committer,
    timeline: &Timeline,
) -> Result<Vec<(Instant, Result<BTreeSet<FileInPartition>, String>)>, MaintainError> {
    let mut plans = Vec::new();
    for service in timeline.pending().filter(|i| i.is_pending_service()) {
        let read = match committer.files_read_by(service).await {
            Ok(slices) => Ok(slices
                .into_iter()
                .flat_map(|(group, names)| names.into_iter().map(move |name| (group.partition.clone(), name)))
                .filter(|(_, name)| !name.is_empty())
                .collect()),
            Err(error @ CommitError::ServicePlan { .. }) => Err(error.to_string()),
            Err(error) => return Err(error.into()),
        };
        plans.push((*service, read));
    }
    Ok(plans)
}
