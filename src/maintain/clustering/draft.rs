//! A clustering that is planned and has no instant yet.

use std::collections::{BTreeMap, BTreeSet};

use lakebed_hudi::timeline_metadata::{
    ClusteringGroup, ClusteringPlan, ClusteringSlice, OperationType, RequestedReplaceMetadata,
};
use serde::{Deserialize, Serialize};

use super::order;
use crate::commit::News;
use crate::maintain::SliceFiles;
use crate::maintain::slice_files::slice_metrics;
use crate::storage::{TablePathError, TableUri};
use crate::table::{TableError, partition_folder};

/// Slices of a partition that are to be written anew together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DraftedGroup {
    /// The partition.
    pub partition: String,
    /// The slices.
    pub slices: Vec<SliceFiles>,
    /// How many files are made of them, at most.
    pub files: u32,
}

impl DraftedGroup {
    /// Bytes that it reads.
    pub fn read_bytes(&self) -> u64 {
        self.slices.iter().map(SliceFiles::read_bytes).sum()
    }

    /// How many files a reader has to open now.
    pub fn read_files(&self) -> u64 {
        self.slices.iter().map(SliceFiles::read_files).sum()
    }

    /// How many files fewer there are then for a reader to open; 0 where there are no fewer groups.
    pub fn saved_files(&self) -> u64 {
        let fewer = self.slices.len() as u64 > u64::from(self.files);
        if fewer { self.read_files().saturating_sub(self.files.into()) } else { 0 }
    }
}

/// A clustering that is planned and has no instant yet.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ClusteringDraft {
    /// What is written anew, the most valuable first.
    pub groups: Vec<DraftedGroup>,
    /// Rows are sorted by these columns.
    pub sort_columns: Vec<String>,
    /// Partitions that have more small files: Hudi's planners come back to them, who otherwise look only at
    /// partitions that were written to since the last clustering.
    pub left_out: BTreeSet<String>,
}

impl ClusteringDraft {
    /// The plan, after what happened since it was drafted: slices that somebody has written to, ended or planned
    /// for are left out, and so is what is not worth it without them. `None` if nothing is left.
    ///
    /// # Errors
    /// A partition path that leads out of the table.
    pub fn settled(
        &self,
        news: &News,
        uri: &TableUri,
    ) -> Result<Option<RequestedReplaceMetadata>, TableError> {
        let mut gone: BTreeMap<_, _> = news.touched();
        gone.extend(news.planned.clone());
        let mut left_out = self.left_out.clone();
        let mut input_groups = Vec::with_capacity(self.groups.len());
        for drafted in &self.groups {
            let mut group = drafted.clone();
            group.slices.retain(|slice| !gone.contains_key(&slice.group));
            if group.slices.len() < drafted.slices.len() {
                left_out.insert(group.partition.clone());
            }
            if group.saved_files() > 0 {
                input_groups.push(planned(group, uri)?);
            }
        }
        Ok((!input_groups.is_empty()).then(|| RequestedReplaceMetadata {
            operation_type: Some(OperationType::Cluster),
            clustering_plan: Some(ClusteringPlan {
                input_groups,
                strategy: Some(order::strategy(&self.sort_columns)),
                version: ClusteringPlan::VERSION,
                preserve_hoodie_metadata: true,
                missing_schedule_partitions: left_out.into_iter().collect(),
                ..ClusteringPlan::default()
            }),
            extra_metadata: Some(BTreeMap::new()),
            version: Some(1),
        }))
    }

    /// Bytes that it reads.
    pub fn read_bytes(&self) -> u64 {
        self.groups.iter().map(DraftedGroup::read_bytes).sum()
    }

    /// Slices that it replaces.
    pub fn slices(&self) -> usize {
        self.groups.iter().map(|group| group.slices.len()).sum()
    }
}

/// A group of a plan.
///
/// Source: `ClusteringPlanStrategy.getFileSliceInfo`.
fn planned(group: DraftedGroup, uri: &TableUri) -> Result<ClusteringGroup, TableError> {
    let metrics = slice_metrics(&group.slices);
    let folder = partition_folder(&group.partition)?;
    let absolute = |name: &str| Ok::<_, TablePathError>(uri.with_scheme(&folder.join(name)?));
    let slice = |slice: SliceFiles| {
        Ok(ClusteringSlice {
            data_file_path: slice.base.map_or(Ok(String::new()), |base| absolute(&base.name))?,
            delta_file_paths: slice.logs.iter().map(|log| absolute(&log.name)).collect::<Result<_, _>>()?,
            file_id: slice.group.file_id,
            partition_path: slice.group.partition,
            bootstrap_file_path: String::new(),
            version: 1,
        })
    };
    Ok(ClusteringGroup {
        slices: group.slices.into_iter().map(slice).collect::<Result<_, TablePathError>>()?,
        metrics,
        num_output_file_groups: i32::try_from(group.files).unwrap_or(i32::MAX),
        extra_metadata: None,
        version: 1,
    })
}
