//! A clean that is planned and has no instant yet.

use std::collections::{BTreeMap, BTreeSet};

use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_metadata::{ActionInstant, CleanFileInfo, CleanerPlan};
use serde::{Deserialize, Serialize};

use super::CleanRules;
use super::facts::{Kept, SAVEPOINTS_KEY};
use crate::commit::{News, our_mark};
use crate::maintain::SliceFile;
use crate::storage::{TablePathError, TableUri};
use crate::table::{FileGroupId, TableError, partition_folder};

/// A file slice that is to go.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DraftedSlice {
    /// Its group.
    pub group: FileGroupId,
    /// Its base instant.
    pub base_instant: InstantTime,
    /// Its files.
    pub files: Vec<SliceFile>,
}

/// A clean that is planned and has no instant yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CleanDraft {
    /// By which rules.
    pub rules: CleanRules,
    /// From this instant on the table stays readable, and of groups that were replaced before it nothing is
    /// left.
    pub earliest: Option<ActionInstant>,
    /// The last completed commit.
    pub last_completed: Option<InstantTime>,
    /// The savepoints of which the files are left.
    pub savepoints: BTreeSet<InstantTime>,
    /// The slices that go.
    pub slices: Vec<DraftedSlice>,
    /// The partitions of which nothing stays.
    pub partitions: BTreeSet<String>,
    /// Whether the next clean need not look at all partitions any more if this one is made, though it
    /// deletes nothing.
    pub spares_next: bool,
}

impl CleanDraft {
    /// Whether there is anything to do.
    pub fn is_due(&self) -> bool {
        // Hudi carries out no plan without files that names no instant.
        !self.slices.is_empty()
            || self.earliest.is_some() && (self.spares_next || !self.partitions.is_empty())
    }

    /// The files that go.
    pub fn files(&self) -> impl Iterator<Item = &SliceFile> {
        self.slices.iter().flat_map(|slice| &slice.files)
    }

    /// Bytes of the files that go.
    pub fn bytes(&self) -> u64 {
        self.files().map(|file| file.bytes).sum()
    }

    /// What is left of it after `news`: slices stay that somebody is to keep or to read since, and
    /// partitions in which something was written.
    pub fn after(&self, news: &News) -> Self {
        let none_planned = BTreeMap::new();
        let kept = Kept::of(&news.savepoints, &none_planned);
        let stays = |slice: &DraftedSlice| {
            let names = slice.files.iter().map(|file| file.name.as_str());
            news.planned.contains_key(&slice.group) || kept.any(&slice.group, names)
        };
        let (stay, go): (Vec<_>, Vec<_>) = self.slices.iter().cloned().partition(stays);
        let of_commits = news.commits.iter().flat_map(|(_, metadata)| metadata.write_stats());
        let mut in_use: BTreeSet<&str> = of_commits.map(|(partition, _)| partition).collect();
        in_use.extend(stay.iter().map(|slice| slice.group.partition.as_str()));
        in_use.extend(news.planned.keys().map(|group| group.partition.as_str()));
        let is_free = |partition: &&String| !in_use.contains(partition.as_str());
        let mut savepoints = self.savepoints.clone();
        savepoints.extend(news.savepoints.keys());
        let partitions = self.partitions.iter().filter(is_free).cloned().collect();
        Self { savepoints, slices: go, partitions, ..self.clone() }
    }

    /// The plan of a table at `uri`, as it is after `news`; `None` if nothing is left to do.
    ///
    /// Source: `CleanPlanActionExecutor.requestClean`.
    ///
    /// # Errors
    /// Partitions and names that lead out of the table.
    pub fn settled(&self, news: &News, uri: &TableUri) -> Result<Option<CleanerPlan>, TableError> {
        let draft = self.after(news);
        if !draft.is_due() {
            return Ok(None);
        }
        let mut files: BTreeMap<String, Vec<CleanFileInfo>> = BTreeMap::new();
        for slice in &draft.slices {
            let folder = partition_folder(&slice.group.partition)?;
            let of_slice = slice.files.iter().map(|file| {
                let file_path = uri.with_scheme(&folder.join(&file.name)?);
                Ok::<_, TablePathError>(CleanFileInfo { file_path, is_bootstrap_base_file: false })
            });
            let of_slice = of_slice.collect::<Result<Vec<_>, _>>()?;
            files.entry(slice.group.partition.clone()).or_default().extend(of_slice);
        }
        let savepoints: Vec<&str> = draft.savepoints.iter().map(InstantTime::as_str).collect();
        let savepoints = (!savepoints.is_empty()).then(|| (SAVEPOINTS_KEY.to_owned(), savepoints.join(",")));
        Ok(Some(CleanerPlan {
            earliest_instant_to_retain: draft.earliest,
            last_completed_commit_timestamp: draft
                .last_completed
                .map(|time| time.to_string())
                .unwrap_or_default(),
            policy: draft.rules.policy.as_str().to_owned(),
            files_to_be_deleted_per_partition: BTreeMap::new(),
            version: CleanerPlan::VERSION,
            file_paths_to_be_deleted_per_partition: files,
            partitions_to_be_deleted: draft.partitions.into_iter().collect(),
            extra_metadata: savepoints.into_iter().chain([our_mark()]).collect(),
        }))
    }
}
