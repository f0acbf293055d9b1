//! How much memory and how many files a write may use.

/// How much memory and how many files a write may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriteOptions {
    /// Bytes of rows that wait in buffers, at most. Encoding takes memory besides.
    pub buffer_bytes: usize,
    /// Files that are finished at the same time.
    pub files_at_once: usize,
    /// Base files of inserts that are open at the same time; more partitions than that get
    /// smaller files.
    pub open_files_max: usize,
    /// The size that base files of inserts grow to (`hoodie.parquet.max.file.size`).
    pub base_file_target_bytes: u64,
}

impl WriteOptions {
    /// With less memory than this nothing is written.
    pub const LEAST_MEMORY_BYTES: u64 = 64 << 20;

    /// What a write may use that has `memory_bytes` in all: a half for buffers, the rest for what
    /// is being encoded. Base files grow to 120 MiB, as Hudi makes them.
    pub fn of_memory(memory_bytes: u64) -> Self {
        Self {
            buffer_bytes: usize::try_from(memory_bytes / 2).unwrap_or(usize::MAX),
            files_at_once: 8,
            open_files_max: 256,
            base_file_target_bytes: 120 << 20,
        }
    }
}
