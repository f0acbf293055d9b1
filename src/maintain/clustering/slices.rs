//! The slices that a plan names, found.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use lakebed_hudi::file_name::DataFileName;
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_file::{Action, TimelineFile};
use lakebed_hudi::timeline_metadata::{ClusteringGroup, ClusteringPlan, ClusteringSlice};
use serde::Serialize;

use crate::maintain::MaintainError;
use crate::storage::TablePath;
use crate::table::{FileGroup, FileGroupId, FileSlice, TableSnapshot, partition_folder};
use crate::write::SlicesTogether;

/// A group of a plan.
#[derive(Debug, Clone)]
pub(super) struct PlannedGroup {
    pub(super) slices: SlicesTogether,
    /// The file groups that it replaces.
    pub(super) replaces: Vec<FileGroupId>,
}

impl PlannedGroup {
    pub(super) fn read_bytes(&self) -> u64 {
        self.slices.slices.iter().map(FileSlice::total_bytes).sum()
    }
}

/// A file group that stays as it is, and so does what was planned together with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// The group.
    #[serde(flatten)]
    pub group: FileGroupId,
    /// Why.
    pub why: WhyLeftOut,
}

/// Why a file group is left out that was planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WhyLeftOut {
    /// Somebody has ended it since.
    Replaced,
    /// Somebody has written to it since.
    Written,
}

impl fmt::Display for WhyLeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Replaced => "replaced",
            Self::Written => "written to",
        })
    }
}

/// What the partitions of a plan hold.
#[derive(Debug, Default)]
pub(super) struct PlanFiles {
    /// The groups that are to be rewritten, by their numbers.
    pub(super) groups: Vec<PlannedGroup>,
    pub(super) left_out: Vec<LeftOut>,
    /// All file groups there.
    pub(super) there: BTreeMap<FileGroupId, FileGroup>,
    /// All files there, by path.
    pub(super) sizes: BTreeMap<String, u64>,
}

impl PlanFiles {
    /// The data files of an instant that were there: of attempts at it, whose markers may be gone.
    pub(super) fn made_at(&self, instant: InstantTime) -> BTreeSet<TablePath> {
        let paths = self.sizes.keys().filter_map(|path| path.parse::<TablePath>().ok());
        let is_of = |path: &TablePath| {
            DataFileName::parse(path.file_name()).is_some_and(|name| name.instant() == instant)
        };
        paths.filter(is_of).collect()
    }
}

/// Finds the slices that the plan of the clustering `instant` names.
pub(super) async fn find(
    snapshot: &TableSnapshot,
    instant: InstantTime,
    plan: &ClusteringPlan,
) -> Result<PlanFiles, MaintainError> {
    check(snapshot, instant, plan)?;
    let slices = plan.input_groups.iter().flat_map(|group| &group.slices);
    let partitions: BTreeSet<String> = slices.map(|slice| slice.partition_path.clone()).collect();
    let listed = snapshot.files_in(partitions).await?;
    let groups = snapshot.file_groups_in(&listed).await?.into_iter().flatten();
    let mut found = PlanFiles::default();
    found.there.extend(groups.map(|group| (group.id.clone(), group)));
    let files = listed.into_iter().flat_map(|(_, files)| files);
    found.sizes.extend(files.map(|file| (file.path.as_str().to_owned(), file.size)));
    let finding = Finding { snapshot, instant };
    for (group, number) in plan.input_groups.iter().zip(0..) {
        match finding.group(number, group, &found)? {
            Ok(planned) => found.groups.push(planned),
            Err(left_out) => found.left_out.extend(left_out),
        }
    }
    Ok(found)
}

/// Refuses plans that cannot be carried out.
fn check(snapshot: &TableSnapshot, instant: InstantTime, plan: &ClusteringPlan) -> Result<(), MaintainError> {
    let unsupported = |what: String| {
        let path = snapshot.table.timeline.path(&TimelineFile::requested(instant, Action::Clustering));
        Err(MaintainError::UnsupportedPlan { path, what })
    };
    if plan.version > ClusteringPlan::VERSION {
        return unsupported(format!("version {} of this form", plan.version));
    }
    if !plan.preserve_hoodie_metadata {
        return unsupported("new commit times for all rows".to_owned());
    }
    let mut groups = BTreeSet::new();
    for ClusteringGroup { slices, .. } in &plan.input_groups {
        let partitions: BTreeSet<&String> = slices.iter().map(|slice| &slice.partition_path).collect();
        if partitions.len() != 1 {
            return unsupported(format!("a group of slices of {} partitions", partitions.len()));
        }
        for slice in slices {
            if !slice.bootstrap_file_path.is_empty() {
                return unsupported(format!("the bootstrapped file {}", slice.bootstrap_file_path));
            }
            if slice.data_file().is_none() && slice.delta_file_paths.is_empty() {
                return unsupported(format!("a slice of file group {} without a file", slice.file_id));
            }
            if !groups.insert((&slice.partition_path, &slice.file_id)) {
                let group = group_of(slice);
                return Err(MaintainError::RepeatedGroup { action: Action::Clustering, instant, group });
            }
        }
    }
    Ok(())
}

fn group_of(slice: &ClusteringSlice) -> FileGroupId {
    FileGroupId { partition: slice.partition_path.clone(), file_id: slice.file_id.clone() }
}

/// A plan whose slices are looked for.
struct Finding<'a> {
    snapshot: &'a TableSnapshot,
    instant: InstantTime,
}

impl Finding<'_> {
    fn group(
        &self,
        number: u32,
        group: &ClusteringGroup,
        found: &PlanFiles,
    ) -> Result<Result<PlannedGroup, Vec<LeftOut>>, MaintainError> {
        let (mut slices, mut left_out, mut partition) = (Vec::new(), Vec::new(), String::new());
        for planned in &group.slices {
            match self.slice(planned, found)? {
                Ok(slice) => slices.push(slice),
                Err(why) => left_out.push(LeftOut { group: group_of(planned), why }),
            }
            partition.clone_from(&planned.partition_path);
        }
        if !left_out.is_empty() {
            return Ok(Err(left_out));
        }
        let bytes: u64 = slices.iter().map(FileSlice::total_bytes).sum();
        let max_files = u32::try_from(group.num_output_file_groups).unwrap_or_default().max(1);
        let target_bytes = bytes.div_ceil(max_files.into());
        Ok(Ok(PlannedGroup {
            slices: SlicesTogether { number, partition, slices, max_files, target_bytes },
            replaces: group.slices.iter().map(group_of).collect(),
        }))
    }

    /// A slice, if it is the newest of its group as it was planned.
    fn slice(
        &self,
        planned: &ClusteringSlice,
        found: &PlanFiles,
    ) -> Result<Result<FileSlice, WhyLeftOut>, MaintainError> {
        let group = group_of(planned);
        if self.snapshot.is_replaced(&group) {
            return Ok(Err(WhyLeftOut::Replaced));
        }
        let (instant, folder) = (self.instant, partition_folder(&planned.partition_path)?);
        let (mut names, mut begun, mut missing) = (BTreeSet::new(), None, None);
        for file in planned.data_file().into_iter().chain(planned.delta_file_paths.iter().map(String::as_str))
        {
            let path = folder.join(file.rsplit('/').next().unwrap_or(file))?;
            let Some(name) =
                DataFileName::parse(path.file_name()).filter(|name| *name.file_id() == group.file_id)
            else {
                return Err(MaintainError::OtherFile { action: Action::Clustering, instant, group, path });
            };
            // Change data has none of the slice's rows.
            if !matches!(&name, DataFileName::Log(log) if log.cdc) {
                begun = begun.max(Some(name.instant()));
                names.insert(path.file_name().to_owned());
                if !found.sizes.contains_key(path.as_str()) {
                    missing = missing.or(Some(path));
                }
            }
        }
        let latest = found.there.get(&group).and_then(FileGroup::latest);
        match (latest, missing) {
            (Some(latest), None) if file_names(latest) == names => Ok(Ok(latest.clone())),
            // Once there is a newer base file a cleaner may have deleted those of before.
            (Some(latest), _) if Some(latest.base_instant) > begun => Ok(Err(WhyLeftOut::Written)),
            (_, Some(path)) => Err(MaintainError::MissingFile { action: Action::Clustering, instant, path }),
            (_, None) => Ok(Err(WhyLeftOut::Written)),
        }
    }
}

fn file_names(slice: &FileSlice) -> BTreeSet<String> {
    slice.paths().map(|path| path.file_name().to_owned()).collect()
}
