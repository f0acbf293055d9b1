//! How much memory and how many files a write may use.

use arrow::datatypes::Schema;
use lakebed_hudi::base_file::META_COLUMNS;

use super::parquet_writer::COLUMN_BYTES;

/// How much memory and how many files a write may use.
#[derive(Debug, Clone)]
pub struct WriteOptions {
    /// Bytes of rows that wait in buffers, at most. Merging and encoding take memory besides.
    pub buffer_bytes: usize,
    /// Bytes that merging rows with those of one base file may take.
    pub merge_bytes: usize,
    /// Files that are finished at the same time.
    pub files_at_once: usize,
    /// Base files of inserts that are open at the same time; more partitions than that get
    /// smaller files.
    pub open_files_max: usize,
    /// The size that base files of inserts grow to (`hoodie.parquet.max.file.size`).
    pub base_file_target_bytes: u64,
}

/// What a file takes while it is written: half of it for merging, half for an open row group.
const FILE_BYTES: u64 = 32 << 20;
const FILES_AT_ONCE_MAX: u64 = 8;

/// So many columns cost no memory that counts.
const COLUMNS_FREE: usize = 128;

impl WriteOptions {
    /// With less memory than this nothing of `schema` is written.
    pub fn least_memory_bytes(schema: &Schema) -> u64 {
        2 * file_bytes(schema)
    }

    /// What a write of rows of `schema` may use that has `memory_bytes` in all: three eighths for
    /// buffers, a half for the files that are merged and encoded at a time, and the rest for what the
    /// allocator keeps between the two. Base files grow to 120 MiB, as Hudi makes them.
    pub fn of_memory(memory_bytes: u64, schema: &Schema) -> Self {
        let half_bytes = memory_bytes / 2;
        let files_at_once = (half_bytes / file_bytes(schema)).clamp(1, FILES_AT_ONCE_MAX);
        let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        Self {
            buffer_bytes: bytes(half_bytes / 4 * 3),
            merge_bytes: bytes(half_bytes / files_at_once / 2),
            files_at_once: bytes(files_at_once),
            open_files_max: 256,
            base_file_target_bytes: 120 << 20,
        }
    }
}

fn file_bytes(schema: &Schema) -> u64 {
    let columns = META_COLUMNS.len() + schema.flattened_fields().len();
    FILE_BYTES + (columns.saturating_sub(COLUMNS_FREE) * COLUMN_BYTES) as u64
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, Field};

    use super::*;

    #[test]
    fn many_columns_need_more_memory_and_leave_fewer_files_at_once() {
        let of = |columns: usize| {
            let fields = (0..columns).map(|n| Field::new(format!("c{n}"), DataType::Utf8, true));
            Schema::new(fields.collect::<Vec<_>>())
        };
        assert_eq!(WriteOptions::least_memory_bytes(&of(20)), 64 << 20);
        assert!(WriteOptions::least_memory_bytes(&of(8_000)) > 700 << 20);
        let at_once = |columns| WriteOptions::of_memory(1 << 30, &of(columns)).files_at_once;
        assert_eq!((at_once(20), at_once(2_000), at_once(20_000)), (8, 4, 1));
    }
}
