//! The files that a plan names, whoever made it, and which of them may go.

use std::collections::{BTreeMap, BTreeSet};

use lakebed_hudi::file_name::DataFileName;
use lakebed_hudi::timeline_metadata::CleanerPlan;

use super::Facts;
use super::facts::Kept;
use super::survey::{PartitionFiles, partition_files};
use crate::commit::{CommitError, Committer};
use crate::storage::{StorageError, TablePath, TableUri};
use crate::table::{FileGroup, FileSlice, TableError, partition_folder};

/// The files that a plan names, by partition path.
pub(super) type PlannedFiles = BTreeMap<String, BTreeSet<TablePath>>;

/// Why a plan is not carried out.
#[derive(Debug)]
pub(super) enum BadPlan {
    /// It asks for what Lakebed does not do.
    Unsupported(String),
    /// It names something outside of the table.
    Table(TableError),
}

impl From<TableError> for BadPlan {
    fn from(error: TableError) -> Self {
        Self::Table(error)
    }
}

/// The files that `plan` names: all of them data files in the folder of their partition.
pub(super) fn planned_files(plan: &CleanerPlan, uri: &TableUri) -> Result<PlannedFiles, BadPlan> {
    if plan.version > CleanerPlan::VERSION {
        return Err(BadPlan::Unsupported(format!("version {} of this form", plan.version)));
    }
    let mut planned = PlannedFiles::new();
    // Version 1 has bare names.
    for (partition, names) in &plan.files_to_be_deleted_per_partition {
        let folder = partition_folder(partition)?;
        for name in names {
            let path = folder.join(name).map_err(TableError::from)?;
            planned.entry(partition.clone()).or_default().insert(checked(path, &folder)?);
        }
    }
    for (partition, files) in &plan.file_paths_to_be_deleted_per_partition {
        let folder = partition_folder(partition)?;
        for file in files {
            if file.is_bootstrap_base_file {
                let what = format!("the deletion of the bootstrapped file {}", file.file_path);
                return Err(BadPlan::Unsupported(what));
            }
            let path = uri.relative(&file.file_path).map_err(|e| TableError::from(StorageError::from(e)))?;
            planned.entry(partition.clone()).or_default().insert(checked(path, &folder)?);
        }
    }
    Ok(planned)
}

fn checked(path: TablePath, folder: &TablePath) -> Result<TablePath, BadPlan> {
    let is_data = DataFileName::parse(path.file_name()).is_some();
    let is_there = path.parent().unwrap_or_else(TablePath::root) == *folder;
    if is_data && is_there {
        return Ok(path);
    }
    Err(BadPlan::Unsupported(format!("the deletion of {path}, which is no data file of its partition")))
}

/// The files of a plan, as the table is now.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// Those that must not go: a restore, or a savepoint, may have come since the plan was made, and nobody
    /// knows who made it.
    pub(super) needed: BTreeSet<TablePath>,
    /// The sizes of the others that are there.
    pub(super) bytes: BTreeMap<TablePath, u64>,
}

/// Looks at the files of a plan.
pub(super) async fn look(committer: &Committer, planned: &PlannedFiles) -> Result<Look, CommitError> {
    let snapshot = committer.table().snapshot(None).await?;
    let facts = Facts::read(committer, &snapshot).await?;
    let partitions = partition_files(&snapshot, planned.keys().cloned().collect()).await?;
    let kept = Kept::of(&facts.savepoints, &facts.planned);
    let mut look = Look::default();
    for PartitionFiles { path, groups, others } in partitions {
        let Some(planned) = planned.get(&path) else { continue };
        let of_groups = groups.iter().flat_map(|group| needed_of(group, &facts, &kept));
        let needed = of_groups.chain(others.iter());
        look.needed.extend(needed.filter(|path| planned.contains(*path)).cloned());
        let there = groups.iter().flat_map(|group| &group.slices).flat_map(sized);
        let going = there.filter(|(path, _)| planned.contains(*path) && !look.needed.contains(*path));
        look.bytes.extend(going.map(|(path, bytes)| (path.clone(), bytes)));
    }
    Ok(look)
}

fn sized(slice: &FileSlice) -> impl Iterator<Item = (&TablePath, u64)> {
    let base = slice.base.iter().map(|base| (&base.path, base.size_bytes));
    base.chain(slice.logs.iter().map(|log| (&log.path, log.size_bytes)))
}

/// The files of a group that must not go.
fn needed_of<'a>(group: &'a FileGroup, facts: &Facts, kept: &Kept<'_>) -> Vec<&'a TablePath> {
    let is_live = !facts.replaced.contains_key(&group.id);
    let newest = group.latest().filter(|_| is_live).map(|slice| slice.base_instant);
    let slices = group.slices.iter().filter(|slice| {
        newest == Some(slice.base_instant) || kept.any(&group.id, slice.paths().map(TablePath::file_name))
    });
    slices.flat_map(FileSlice::paths).collect()
}
