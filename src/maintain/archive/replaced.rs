//! File groups that were replaced and of which files are left.

use std::collections::{BTreeMap, BTreeSet};

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use lakebed_hudi::file_name::{DataFileName, FileId};
use lakebed_hudi::timeline_file::Action;
use lakebed_hudi::timeline_metadata::CommitMetadata;

use super::hold::{HeldBy, Hold};
use crate::maintain::MaintainError;
use crate::storage::TablePath;
use crate::table::{Table, TableError, partition_folder};
use crate::timeline::{Instant, TimelineError};

/// How many commits are read, and how many partitions are listed, at the same time.
const READS: usize = 16;

/// The file groups of partitions, each with one of its files.
type Groups = BTreeMap<String, BTreeMap<FileId, TablePath>>;

/// What holds an archival of `going` because the cleaner has not come past it: without the commit that replaced
/// them, the groups of which files are left would be part of the table again.
///
/// Hudi asks what the last clean says that it has done. We look whether the files are gone.
///
/// Source: `ClusteringUtils.getEarliestInstantToRetainForClustering`.
///
/// # Errors
/// Those of the storage; commits that cannot be read.
pub(super) async fn uncleaned(table: &Table, going: &[Instant]) -> Result<Option<Hold>, MaintainError> {
    let replaces: Vec<Instant> =
        going.iter().filter(|instant| instant.action == Action::ReplaceCommit).copied().collect();
    let mut reading = stream::iter(replaces)
        .map(|commit| async move {
            let metadata = table.timeline.metadata_anywhere(&commit).await?;
            Ok::<_, TimelineError>((commit, metadata))
        })
        .buffered(READS);
    let mut there = Groups::new();
    while let Some(read) = reading.next().await {
        let (commit, metadata) = read?;
        look(table, &metadata, &mut there).await?;
        let mut left = metadata.replaced_groups().filter_map(|(partition, id)| there.get(partition)?.get(id));
        if let Some(file) = left.next().cloned() {
            let by = HeldBy::Replaced { instant: commit.time, file };
            return Ok(Some(Hold { from: commit.time, by }));
        }
    }
    Ok(None)
}

/// Lists the partitions in which `commit` replaced groups, if they are not listed yet.
async fn look(table: &Table, commit: &CommitMetadata, there: &mut Groups) -> Result<(), TableError> {
    let partitions = commit.replaced_groups().map(|(partition, _)| partition);
    let unknown: BTreeSet<String> =
        partitions.filter(|name| !there.contains_key(*name)).map(str::to_owned).collect();
    let listed: Vec<(String, BTreeMap<FileId, TablePath>)> = stream::iter(unknown)
        .map(|partition| async move {
            let files = table.storage.list(&partition_folder(&partition)?).await?.files;
            let groups = files.into_iter().filter_map(|file| {
                let name = DataFileName::parse(file.path.file_name())?;
                Some((name.file_id().clone(), file.path))
            });
            Ok::<_, TableError>((partition, groups.collect()))
        })
        .buffered(READS)
        .try_collect()
        .await?;
    there.extend(listed);
    Ok(())
}
