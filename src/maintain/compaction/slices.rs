//! The files that a plan names, found.

use std::collections::{BTreeMap, BTreeSet};

use lakebed_hudi::file_name::{DataFileName, PARTITION_METADATA};
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_file::{Action, TimelineFile};
use lakebed_hudi::timeline_metadata::{CompactionOperation, CompactionPlan};

use crate::maintain::MaintainError;
use crate::table::{BaseFile, FileGroupId, FileSlice, LogFile, TableSnapshot, partition_folder};

/// A slice of a plan.
#[derive(Debug, Clone)]
pub(super) struct PlannedSlice {
    /// Its number in the plan.
    pub(super) number: u32,
    pub(super) group: FileGroupId,
    pub(super) slice: FileSlice,
}

/// What the partitions of a plan hold.
#[derive(Debug)]
pub(super) struct PlanFiles {
    /// The slices that are to be rewritten, by their numbers.
    pub(super) slices: Vec<PlannedSlice>,
    /// Partitions that no file says to be some.
    pub(super) unmarked: BTreeSet<String>,
    /// All files there, by path.
    pub(super) sizes: BTreeMap<String, u64>,
}

/// Finds the files that the plan of the compaction `instant` names.
pub(super) async fn find(
    snapshot: &TableSnapshot,
    instant: InstantTime,
    plan: &CompactionPlan,
) -> Result<PlanFiles, MaintainError> {
    check(snapshot, instant, plan)?;
    let partitions: BTreeSet<String> = plan.operations.iter().map(|o| o.partition_path.clone()).collect();
    let listed = snapshot.files_in(partitions).await?;
    let (mut unmarked, mut sizes) = (BTreeSet::new(), BTreeMap::new());
    for (partition, files) in listed {
        if !files.iter().any(|file| file.path.file_name().starts_with(PARTITION_METADATA)) {
            unmarked.insert(partition);
        }
        sizes.extend(files.into_iter().map(|file| (file.path.as_str().to_owned(), file.size)));
    }
    let group = |operation: &CompactionOperation| FileGroupId {
        partition: operation.partition_path.clone(),
        file_id: operation.file_id.clone(),
    };
    let operations =
        plan.operations.iter().zip(0..).map(|(operation, number)| (number, group(operation), operation));
    // Nobody sees rows of a group that was replaced since, and a cleaner may have deleted its files.
    let operations = operations.filter(|(_, group, _)| !snapshot.is_replaced(group));
    let slices = operations.map(|(number, group, operation)| {
        Ok(PlannedSlice { number, group, slice: slice(instant, operation, &sizes)? })
    });
    let slices = slices.collect::<Result<Vec<_>, MaintainError>>()?;
    Ok(PlanFiles { slices, unmarked, sizes })
}

/// Refuses plans that cannot be carried out.
fn check(snapshot: &TableSnapshot, instant: InstantTime, plan: &CompactionPlan) -> Result<(), MaintainError> {
    let unsupported = |what: String| {
        let path = snapshot.table.timeline.path(&TimelineFile::requested(instant, Action::Compaction));
        MaintainError::UnsupportedPlan { path, what }
    };
    if plan.version > CompactionPlan::VERSION {
        return Err(unsupported(format!("version {} of this form", plan.version)));
    }
    let mut groups = BTreeSet::new();
    for CompactionOperation { partition_path, file_id, bootstrap_file_path, .. } in &plan.operations {
        if let Some(path) = bootstrap_file_path.as_deref().filter(|path| !path.is_empty()) {
            return Err(unsupported(format!("the bootstrapped file {path}")));
        }
        if !groups.insert((partition_path, file_id)) {
            let group = FileGroupId { partition: partition_path.clone(), file_id: file_id.clone() };
            return Err(MaintainError::RepeatedGroup { action: Action::Compaction, instant, group });
        }
    }
    Ok(())
}

fn slice(
    instant: InstantTime,
    operation: &CompactionOperation,
    sizes: &BTreeMap<String, u64>,
) -> Result<FileSlice, MaintainError> {
    let CompactionOperation { partition_path, file_id, .. } = operation;
    let folder = partition_folder(partition_path)?;
    let find = |name: &str| {
        // Plans of version 1 have whole paths.
        let name = name.rsplit('/').next().unwrap_or(name);
        let path = folder.join(name)?;
        let Some(size_bytes) = sizes.get(path.as_str()).copied() else {
            return Err(MaintainError::MissingFile { action: Action::Compaction, instant, path });
        };
        match DataFileName::parse(name).filter(|name| name.file_id() == file_id) {
            Some(name) => Ok((name, path, size_bytes)),
            None => {
                let group = FileGroupId { partition: partition_path.clone(), file_id: file_id.clone() };
                Err(MaintainError::OtherFile { action: Action::Compaction, instant, group, path })
            }
        }
    };
    let (mut base, mut logs) = (None, Vec::with_capacity(operation.delta_file_paths.len()));
    let of_base = operation.data_file_path.iter().filter(|name| !name.is_empty());
    for name in of_base.chain(&operation.delta_file_paths) {
        match find(name)? {
            (DataFileName::Base(name), path, size_bytes) => base = Some(BaseFile { name, path, size_bytes }),
            // Change data has none of the slice's rows.
            (DataFileName::Log(name), ..) if name.cdc => {}
            (DataFileName::Log(name), path, size_bytes) => logs.push(LogFile { name, path, size_bytes }),
        }
    }
    logs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(FileSlice { base_instant: operation.base_instant_time, base, logs })
}
