//! How far back a table can be read.

use std::collections::BTreeMap;

use lakebed_hudi::file_name::DataFileName;
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_file::Action;
use lakebed_hudi::timeline_metadata::CleanMetadata;

use super::{FileGroupId, Table, TableError, TableSnapshot, partition_folder};
use crate::storage::TablePath;
use crate::timeline::{Instant, Timeline, TimelineError};

/// Why the rows of some time in the past cannot be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PastError {
    /// A write that began by then may still complete, and its rows would belong there.
    #[error(
        "table {table} cannot be read as of {time}: the {action} {instant} had begun by then and has not \
         completed; read it as of an earlier time"
    )]
    Pending {
        /// The table's name.
        table: String,
        /// The time that was asked for.
        time: InstantTime,
        /// What was begun.
        action: Action,
        /// When it was begun.
        instant: InstantTime,
    },
    /// Files of that time may have been deleted.
    #[error(
        "table {table} cannot be read as of {time}: the clean {clean} left what was there from {kept} on and \
         may have deleted files of that time; read it as of {kept} or later"
    )]
    Cleaned {
        /// The table's name.
        table: String,
        /// The time that was asked for.
        time: InstantTime,
        /// The newest clean.
        clean: InstantTime,
        /// The oldest time that can be read.
        kept: InstantTime,
    },
    /// A file of that time was deleted.
    #[error(
        "table {table} cannot be read as of {time}: the clean {clean} deleted {path}, which had rows of that time; \
         read it as of {clean} or later"
    )]
    CleanedFile {
        /// The table's name.
        table: String,
        /// The time that was asked for.
        time: InstantTime,
        /// The clean.
        clean: InstantTime,
        /// The file.
        path: TablePath,
    },
}

/// Refuses to read the table as of `time` where that would give other rows than were there.
///
/// Where file versions are counted, a clean does not say how far back it left everything: then the
/// active timeline is as far as one can look, and [`check_versions`] looks.
///
/// Source: `TimelineUtils.validateTimestampAsOf`, which also refuses instants that savepoints keep, and
/// does not see cleans that were archived.
pub(super) async fn check_past(
    table: &Table,
    timeline: &Timeline,
    time: InstantTime,
) -> Result<(), TableError> {
    let name = || table.config.name.clone();
    let writes = timeline.pending().filter(|i| i.action.writes_data() && !i.is_pending_service());
    for pending in writes.filter(|i| i.time <= time) {
        if !table.timeline.is_clustering(pending).await? {
            let (action, instant) = (pending.action, pending.time);
            return Err(PastError::Pending { table: name(), time, action, instant }.into());
        }
    }
    if timeline.get(time, Action::Savepoint).is_some_and(Instant::is_completed) {
        return Ok(());
    }
    let Some((clean, kept)) = newest_clean(table, timeline, time).await? else { return Ok(()) };
    let kept = kept.or_else(|| timeline.completed_writes().next().map(|first| first.time));
    match kept.filter(|kept| time < *kept) {
        Some(kept) => Err(PastError::Cleaned { table: name(), time, clean, kept }.into()),
        None => Ok(()),
    }
}

/// The newest clean that may have deleted files of `time`, and from when on it left everything.
async fn newest_clean(
    table: &Table,
    timeline: &Timeline,
    time: InstantTime,
) -> Result<Option<(InstantTime, Option<InstantTime>)>, TimelineError> {
    if let Some(clean) = timeline.completed().rfind(|i| i.action == Action::Clean) {
        let metadata = table.timeline.clean_metadata(clean).await?;
        return Ok(Some((clean.time, metadata.earliest_retained())));
    }
    if !timeline.is_before_start(time) {
        return Ok(None);
    }
    let picked = table.timeline.newest_archived(|entry| {
        let metadata = entry.metadata.as_ref().and_then(|bytes| CleanMetadata::from_avro(bytes).ok());
        let kept = metadata.and_then(|metadata| metadata.earliest_retained());
        (entry.action == Action::Clean).then_some((entry.instant, kept))
    });
    picked.await
}

/// Refuses to read the past if cleans deleted files of it: those that count file versions may have.
///
/// A file version of that time is read until a newer base file of its group is there, which it then is,
/// or until its group is replaced. What a clean before that time deleted was not read any more. A group
/// whose replacement is archived since counts as read.
///
/// Hudi does not look: it reads the rows that are left.
pub(super) async fn check_versions(snapshot: &TableSnapshot, time: InstantTime) -> Result<(), TableError> {
    if snapshot.timeline.get(time, Action::Savepoint).is_some_and(Instant::is_completed) {
        return Ok(());
    }
    let mut listed = None;
    for (group, deleted) in deleted_versions(snapshot, time).await? {
        if snapshot.replaced_groups(&group.partition).any(|replaced| *replaced == group.file_id) {
            continue;
        }
        let groups = match listed.take() {
            Some((partition, groups)) if partition == group.partition => groups,
            _ => {
                let files = snapshot.partition_files(&group.partition).await?;
                snapshot.file_groups(&group.partition, &files).await?
            }
        };
        let of_group = groups.iter().filter(|left| left.id == group).flat_map(|left| &left.slices);
        let is_superseded =
            of_group.filter_map(|slice| slice.base.as_ref()).any(|base| base.name.instant > deleted.instant);
        if !is_superseded {
            let path = partition_folder(&group.partition)?.join(&deleted.file)?;
            let (table, clean) = (snapshot.table.config.name.clone(), deleted.clean);
            return Err(PastError::CleanedFile { table, time, clean, path }.into());
        }
        listed = Some((group.partition, groups));
    }
    Ok(())
}

/// A file that a clean deleted.
struct Deleted {
    /// The file's own instant.
    instant: InstantTime,
    file: String,
    clean: InstantTime,
}

/// The newest file of each group, of those from `time` or before it, that cleans after it deleted, but
/// for cleans that say that they left everything of that time.
async fn deleted_versions(
    snapshot: &TableSnapshot,
    time: InstantTime,
) -> Result<BTreeMap<FileGroupId, Deleted>, TableError> {
    let mut newest: BTreeMap<FileGroupId, Deleted> = BTreeMap::new();
    let cleans = snapshot.timeline.completed().filter(|i| i.action == Action::Clean && i.time > time);
    for clean in cleans.rev() {
        let metadata = snapshot.table.timeline.clean_metadata(clean).await?;
        if metadata.earliest_retained().is_some_and(|kept| kept <= time) {
            continue;
        }
        for (partition, of_partition) in metadata.partition_metadata {
            for path in of_partition.success_delete_files {
                let file = path.rsplit('/').next().unwrap_or_default().to_owned();
                let Some(name) = DataFileName::parse(&file).filter(|name| name.instant() <= time) else {
                    continue;
                };
                let group = FileGroupId { partition: partition.clone(), file_id: name.file_id().clone() };
                let (instant, clean) = (name.instant(), clean.time);
                if newest.get(&group).is_none_or(|known| known.instant < instant) {
                    newest.insert(group, Deleted { instant, file, clean });
                }
            }
        }
    }
    Ok(newest)
}
