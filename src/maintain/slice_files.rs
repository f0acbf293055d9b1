//! The files of a slice as plans name them.

use std::collections::BTreeMap;

use lakebed_hudi::file_name::LogFileName;
use lakebed_hudi::instant::InstantTime;
use serde::{Deserialize, Serialize};

use super::SliceFile;
use crate::table::{FileGroupId, FileSlice};

/// What a base file has by Hudi's reckoning where there is none yet (`hoodie.parquet.max.file.size`).
const BASE_FILE_BYTES: u64 = 120 << 20;

/// The files of a slice as plans name them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SliceFiles {
    /// The group.
    pub group: FileGroupId,
    /// The slice's base instant.
    pub base_instant: InstantTime,
    /// Its base file.
    pub base: Option<SliceFile>,
    /// Its log files.
    pub logs: Vec<SliceFile>,
}

impl SliceFiles {
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

    /// When the oldest of its log files was begun.
    pub fn oldest_log(&self) -> Option<InstantTime> {
        let of = |log: &SliceFile| log.name.parse::<LogFileName>().ok().map(|name| name.instant);
        self.logs.iter().filter_map(of).min()
    }

    /// Bytes of its log files.
    pub fn log_bytes(&self) -> u64 {
        self.logs.iter().map(|log| log.bytes).sum()
    }

    /// Bytes of its base file.
    pub fn base_bytes(&self) -> u64 {
        self.base.as_ref().map_or(0, |base| base.bytes)
    }

    /// All its files, each with the partition path.
    pub(super) fn files(&self) -> impl Iterator<Item = (&str, &SliceFile)> {
        self.base.iter().chain(&self.logs).map(|file| (self.group.partition.as_str(), file))
    }

    /// Bytes of all its files.
    pub fn read_bytes(&self) -> u64 {
        self.base_bytes() + self.log_bytes()
    }

    /// How many files it has.
    pub fn read_files(&self) -> u64 {
        self.logs.len() as u64 + u64::from(self.base.is_some())
    }
}

/// The numbers that Hudi's plans have of slices that are rewritten together.
///
/// Source: `FileSliceMetricUtils.addFileSliceCommonMetrics`.
pub(super) fn slice_metrics(slices: &[SliceFiles]) -> BTreeMap<String, f64> {
    let mib = |bytes: u64| (bytes >> 20) as f64;
    let written = |slice: &SliceFiles| match slice.base_bytes() {
        0 => BASE_FILE_BYTES,
        bytes => bytes,
    };
    let read = mib(slices.iter().map(SliceFiles::read_bytes).sum());
    let written = mib(slices.iter().map(written).sum());
    let metrics = [
        ("TOTAL_LOG_FILES", slices.iter().map(|slice| slice.logs.len()).sum::<usize>() as f64),
        ("TOTAL_LOG_FILES_SIZE", slices.iter().map(SliceFiles::log_bytes).sum::<u64>() as f64),
        ("TOTAL_IO_READ_MB", read),
        ("TOTAL_IO_WRITE_MB", written),
        ("TOTAL_IO_MB", read + written),
    ];
    metrics.map(|(name, value)| (name.to_owned(), value)).into()
}
