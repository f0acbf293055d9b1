//! Looking at a table: all I/O of the doctor.

use std::collections::{BTreeMap, BTreeSet};

use lakebed_hudi::file_name::{DataFileName, PARTITION_METADATA};
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_file::Action;

use super::facts::{BrokenFile, Facts, FileInPartition, Plan, in_partition};
use super::plans::Plans;
use super::told::Told;
use crate::commit::{CommitError, Committer};
use crate::maintain::MaintainError;
use crate::storage::{Entry, Storage, StorageError, TablePath};
use crate::table::{FileGroup, TableSnapshot, partition_folder};
use crate::timeline::{Instant, Timeline, TimelineError};

/// Looks at a table. The files are listed after the markers and before the timeline, so that what is begun meanwhile
/// is known.
pub(super) async fn look(committer: &Committer) -> Result<Facts, MaintainError> {
    let table = committer.table();
    let markers: BTreeSet<InstantTime> = committer.marked_instants().await?.into_iter().collect();
    let heartbeats: BTreeSet<InstantTime> = committer.beating().await?.into_iter().collect();
    let (files, partitions) = list(committer).await?;
    let (timeline, unknown) = table.timeline.load_known().await?;
    let mut told = Told::by(&table.timeline, &timeline).await?;
    let archived = archived(committer, &timeline, &files, &mut told).await?;
    let snapshot = TableSnapshot::by_timeline(table, timeline.clone(), told.replaces);
    let groups = match archived {
        Some(_) => groups(&snapshot, &files).await?,
        None => Vec::new(),
    };
    let of_files: BTreeSet<InstantTime> = files.values().flatten().filter_map(instant_of).collect();
    let strange =
        of_files.union(&heartbeats).chain(&markers).filter(|time| timeline.write_at(**time).is_none());
    let alive = alive(committer, &timeline, strange.copied().collect()).await?;
    let plans = Plans::of(committer, &timeline).await?;
    told.cleaned.extend(plans.going);
    let mut facts = Facts {
        uri: table.storage.uri().to_string(),
        zone: table.zone,
        now_unix_millis: table.environment.clock.unix_millis(),
        expiry: committer.options().heartbeat_expiry(),
        unknown: unknown.into_iter().map(|(path, error)| (path.to_string(), error.to_string())).collect(),
        broken: told.broken,
        archived,
        groups,
        buckets: table.config.bucket_index.as_ref().map(|index| index.buckets),
        named: told.named,
        cleaned: told.cleaned,
        cleaned_partitions: told.cleaned_partitions,
        alive,
        rollbacks: plans.rollbacks,
        restore: plans.restore,
        plans: plans.plans,
        undoable: BTreeSet::new(),
        restorable: BTreeSet::new(),
        markers,
        heartbeats,
        lock: if_there(table.storage.as_ref(), &TablePath::literal(".hoodie/lock")).await?,
        files,
        partitions,
        timeline,
    };
    look_again(table.storage.as_ref(), &mut facts).await?;
    (facts.undoable, facts.restorable) = ways_back(committer, &facts).await?;
    Ok(facts)
}

/// The file groups that readers see.
async fn groups(
    snapshot: &TableSnapshot,
    files: &BTreeMap<String, Vec<Entry>>,
) -> Result<Vec<FileGroup>, MaintainError> {
    let mut groups = Vec::new();
    for (partition, entries) in files {
        groups.extend(snapshot.file_groups(partition, entries).await?);
    }
    Ok(groups)
}

async fn if_there(storage: &dyn Storage, path: &TablePath) -> Result<Option<Entry>, MaintainError> {
    match storage.stat(path).await {
        Ok(entry) => Ok(Some(entry)),
        Err(StorageError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The archived writes, from the oldest data file on.
async fn archived(
    committer: &Committer,
    timeline: &Timeline,
    files: &BTreeMap<String, Vec<Entry>>,
    told: &mut Told,
) -> Result<Option<BTreeSet<InstantTime>>, MaintainError> {
    let instants = files.values().flatten().filter_map(instant_of);
    let Some(first) = instants.filter(|instant| timeline.write_at(*instant).is_none()).min() else {
        return Ok(Some(BTreeSet::new()));
    };
    match committer.table().timeline.archived_completions(first).await {
        Ok(archived) => Ok(Some(archived.into_keys().collect())),
        Err(TimelineError::History { path, source }) => {
            told.broken.push(BrokenFile { path: path.to_string(), of: None, why: source.to_string() });
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// Looks again for files that are not as a commit says: it may have been completed after they were listed.
async fn look_again(storage: &dyn Storage, facts: &mut Facts) -> Result<(), MaintainError> {
    let lost = facts.lost().map(|(_, file)| file.clone());
    let other = facts.of_other_size().map(|other| other.file.clone());
    for (partition, name) in lost.chain(other).collect::<BTreeSet<FileInPartition>>() {
        let path = partition_folder(&partition)?.join(&name)?;
        let Some(entry) = if_there(storage, &path).await? else { continue };
        let files = facts.files.entry(partition).or_default();
        match files.binary_search_by(|file| file.path.file_name().cmp(&name)) {
            Ok(found) => files[found] = entry,
            Err(place) => files.insert(place, entry),
        }
    }
    Ok(())
}

/// Which instants with files that are not there can be rolled back, and to which savepoints the table can be taken
/// back.
async fn ways_back(
    committer: &Committer,
    facts: &Facts,
) -> Result<(BTreeSet<InstantTime>, BTreeSet<InstantTime>), MaintainError> {
    let (mut undoable, mut restorable) = (BTreeSet::new(), BTreeSet::new());
    let misses: BTreeSet<InstantTime> = facts.lost().map(|(commit, _)| commit).collect();
    let is_useless = |plan: &Plan| match plan {
        Plan::Reads(files) => files.iter().any(|file| facts.size_of(file).is_none()),
        Plan::Repeats(_) => true,
        Plan::Broken(_) => false,
    };
    let useless = facts.plans.iter().filter(|(_, plan)| is_useless(plan)).map(|(service, _)| service.time);
    for instant in misses.iter().copied().chain(useless) {
        if is_accepted(committer.plan_rollback(instant).await)? {
            undoable.insert(instant);
        }
    }
    let is_told = !misses.is_empty() || facts.of_other_size().next().is_some();
    for savepoint in facts.timeline.completed().filter(|i| is_told && i.action == Action::Savepoint) {
        if is_accepted(committer.plan_restore(savepoint.time).await)? {
            restorable.insert(savepoint.time);
        }
    }
    Ok((undoable, restorable))
}

/// Whether what was asked for can be done.
fn is_accepted<T>(planned: Result<T, CommitError>) -> Result<bool, MaintainError> {
    match planned {
        Ok(_) => Ok(true),
        Err(error @ CommitError::Storage(_)) => Err(error.into()),
        Err(_) => Ok(false),
    }
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
