//! A compaction that is planned and has no instant yet.

use std::collections::{BTreeMap, BTreeSet};

use lakebed_hudi::file_name::DataFileName;
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_metadata::{CommitMetadata, CompactionOperation, CompactionPlan, WriteStat};
use serde::{Deserialize, Serialize};

use crate::commit::News;
use crate::table::{FileGroupId, FileSlice};

/// What a base file has by Hudi's reckoning where there is none yet (`hoodie.parquet.max.file.size`).
const BASE_FILE_BYTES: u64 = 120 << 20;

/// A file of a slice.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SliceFile {
    /// Its name.
    pub name: String,
    /// Its size.
    pub bytes: u64,
}

/// A file slice that is to be compacted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DraftedGroup {
    /// The group.
    pub group: FileGroupId,
    /// The slice's base instant.
    pub base_instant: InstantTime,
    /// Its base file.
    pub base: Option<SliceFile>,
    /// Its log files.
    pub logs: Vec<SliceFile>,
}

impl DraftedGroup {
    /// A slice as it is.
    pub fn of(group: FileGroupId, slice: &FileSlice) -> Self {
        let base = slice.base.as_ref();
        let logs = slice.logs.iter();
        Self {
            group,
            base_instant: slice.base_instant,
            base: base
                .map(|base| SliceFile { name: base.path.file_name().to_owned(), bytes: base.size_bytes }),
            logs: logs
                .map(|log| SliceFile { name: log.path.file_name().to_owned(), bytes: log.size_bytes })
                .collect(),
        }
    }

    /// Bytes of its log files.
    pub fn log_bytes(&self) -> u64 {
        self.logs.iter().map(|log| log.bytes).sum()
    }

    /// Bytes of its base file.
    pub fn base_bytes(&self) -> u64 {
        self.base.as_ref().map_or(0, |base| base.bytes)
    }

    /// Bytes that compacting it reads.
    pub fn read_bytes(&self) -> u64 {
        self.base_bytes() + self.log_bytes()
    }

    /// The operation of a plan, with the numbers that Hudi's strategies order by.
    ///
    /// Source: `FileSliceMetricUtils.addFileSliceCommonMetrics`.
    fn operation(self) -> CompactionOperation {
        let mib = |bytes: u64| (bytes >> 20) as f64;
        let read = mib(self.read_bytes());
        let written = mib(if self.base_bytes() > 0 { self.base_bytes() } else { BASE_FILE_BYTES });
        let metrics = [
            ("TOTAL_LOG_FILES", self.logs.len() as f64),
            ("TOTAL_LOG_FILES_SIZE", self.log_bytes() as f64),
            ("TOTAL_IO_READ_MB", read),
            ("TOTAL_IO_WRITE_MB", written),
            ("TOTAL_IO_MB", read + written),
        ];
        CompactionOperation {
            base_instant_time: self.base_instant,
            delta_file_paths: self.logs.into_iter().map(|log| log.name).collect(),
            data_file_path: self.base.map(|base| base.name),
            file_id: self.group.file_id,
            partition_path: self.group.partition,
            metrics: metrics.map(|(name, value)| (name.to_owned(), value)).into(),
            bootstrap_file_path: None,
        }
    }
}

/// A compaction that is planned and has no instant yet.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CompactionDraft {
    /// The slices, the most valuable first.
    pub groups: Vec<DraftedGroup>,
    /// Partitions that have more groups with log files: Hudi's planners come back to them, who otherwise
    /// look only at partitions that were written to since the last compaction.
    pub left_out: BTreeSet<String>,
}

impl CompactionDraft {
    /// The plan, after what happened since it was drafted: log files that came are merged as well, since
    /// they lie on the old base file; groups that somebody else has rewritten, ended or planned for are
    /// left out. `None` if no group is left.
    ///
    /// Source: `BaseTableServicePlanActionExecutor.fetchMissingPartitions` for the partitions left out.
    pub fn settled(&self, news: &News) -> Option<CompactionPlan> {
        let mut changes = Changes::of(news);
        let mut left_out = self.left_out.clone();
        let mut operations = Vec::with_capacity(self.groups.len());
        for drafted in &self.groups {
            match changes.taken_in(drafted) {
                Some(drafted) => operations.push(drafted.operation()),
                None => _ = left_out.insert(drafted.group.partition.clone()),
            }
        }
        // Whatever came to other groups is theirs who look at what was written since this instant.
        (!operations.is_empty()).then(|| CompactionPlan {
            operations,
            version: CompactionPlan::VERSION,
            missing_schedule_partitions: left_out.into_iter().collect(),
            ..CompactionPlan::default()
        })
    }

    /// Bytes that it reads.
    pub fn read_bytes(&self) -> u64 {
        self.groups.iter().map(DraftedGroup::read_bytes).sum()
    }
}

/// What happened to file groups.
struct Changes {
    /// Log files that came, in the order in which they were completed.
    logs: BTreeMap<FileGroupId, Vec<SliceFile>>,
    /// Groups that somebody else has rewritten, ended or planned for.
    gone: BTreeSet<FileGroupId>,
}

impl Changes {
    fn of(news: &News) -> Self {
        let mut changes = Self { logs: BTreeMap::new(), gone: news.planned.keys().cloned().collect() };
        for (commit, metadata) in &news.commits {
            changes.gone.extend(replaced(metadata));
            for (partition, stat) in metadata.write_stats() {
                let Some(file_id) = stat.group() else { continue };
                let group = FileGroupId { partition: partition.to_owned(), file_id };
                match written(commit.time, stat) {
                    Some(files) => changes.logs.entry(group).or_default().extend(files),
                    None => _ = changes.gone.insert(group),
                }
            }
        }
        changes
    }

    fn taken_in(&mut self, drafted: &DraftedGroup) -> Option<DraftedGroup> {
        if self.gone.contains(&drafted.group) {
            return None;
        }
        let mut taken_in = drafted.clone();
        for log in self.logs.remove(&drafted.group).unwrap_or_default() {
            if !taken_in.logs.iter().any(|known| known.name == log.name) {
                taken_in.logs.push(log);
            }
        }
        Some(taken_in)
    }
}

fn replaced(metadata: &CommitMetadata) -> impl Iterator<Item = FileGroupId> {
    let partitions = metadata.partition_to_replace_file_ids.iter().flatten();
    partitions.flat_map(|(partition, ids)| {
        ids.iter().map(|id| FileGroupId { partition: partition.clone(), file_id: id.clone() })
    })
}

/// The log files that the write of `instant` made of a group; `None` if it made anything else, or does not
/// say what. Hudi's writers name those as well that were there before.
fn written(instant: InstantTime, stat: &WriteStat) -> Option<Vec<SliceFile>> {
    let own = stat.path.as_deref()?.rsplit('/').next()?;
    let of_write = |name: &str| match DataFileName::parse(name) {
        Some(DataFileName::Log(log)) => !log.cdc && log.instant == instant,
        _ => false,
    };
    if !of_write(own) {
        return None;
    }
    let bytes = u64::try_from(stat.file_size_in_bytes).unwrap_or_default();
    let mut files = vec![SliceFile { name: own.to_owned(), bytes }];
    let others = stat.log_files.iter().flatten().filter(|name| *name != own && of_write(name));
    files.extend(others.map(|name| SliceFile { name: name.clone(), bytes: 0 }));
    Some(files)
}
