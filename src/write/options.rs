//! How much memory and how many files a write may use.

use crate::merge::SpillArea;

/// How much memory and how many files a write may use.
#[derive(Debug, Clone)]
pub struct WriteOptions {
    /// Bytes of rows that wait in buffers, at most. Merging and encoding take memory besides.
    pub buffer_bytes: usize,
    /// Bytes that merging rows with those of one base file may take.
    pub merge_bytes: usize,
    /// Where rows go that do not fit.
    pub spill: SpillArea,
    /// Files that are finished at the same time.
    pub files_at_once: usize,
    /// Base files of inserts that are open at the same time; more partitions than that get
    /// smaller files.
    pub open_files_max: usize,
    /// The size that base files of inserts grow to (`hoodie.parquet.max.file.size`).
    pub base_file_target_bytes: u64,
}

/// What a file takes while it is written: half of it for merging, half for an open row group.
const FILE_BYTES: usize = 32 << 20;
const FILES_AT_ONCE_MAX: usize = 8;

impl WriteOptions {
    /// With less memory than this nothing is written.
    pub const LEAST_MEMORY_BYTES: u64 = 64 << 20;

    /// What a write may use that has `memory_bytes` in all: three eighths for buffers, a half for the
    /// files that are merged and encoded at a time, and the rest for what the allocator keeps between
    /// the two. Base files grow to 120 MiB, as Hudi makes them.
    pub fn of_memory(memory_bytes: u64) -> Self {
        let half_bytes = usize::try_from(memory_bytes / 2).unwrap_or(usize::MAX);
        let files_at_once = (half_bytes / FILE_BYTES).clamp(1, FILES_AT_ONCE_MAX);
        Self {
            buffer_bytes: half_bytes / 4 * 3,
            merge_bytes: half_bytes / files_at_once / 2,
            spill: SpillArea::default(),
            files_at_once,
            open_files_max: 256,
            base_file_target_bytes: 120 << 20,
        }
    }
}
