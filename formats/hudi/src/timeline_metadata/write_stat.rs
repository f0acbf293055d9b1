//! What a commit says of one file that it wrote.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::file_name::FileId;
use crate::instant::InstantTime;

/// What a commit says of one file that it wrote: a base file or a log file.
///
/// Counts are rows, sizes bytes. A count that a writer left out reads as 0, as in Java, whose
/// own counts cannot be null.
///
/// Source: `HoodieWriteStat`, `HoodieDeltaWriteStat`, `HoodieReadStats`; table versions 6 to 9.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct WriteStat {
    /// The file group; empty in the stats of an inflight file that stand for new groups.
    pub file_id: String,
    /// The file, relative to the table, without a leading slash; `None` while inflight.
    pub path: Option<String>,
    /// The text of the instant that this file builds on, or [`WriteStat::NULL_COMMIT`]; see
    /// [`WriteStat::prev_instant`].
    pub prev_commit: String,
    /// Rows in the file.
    pub num_writes: i64,
    /// Rows deleted.
    pub num_deletes: i64,
    /// Rows that replaced a row of the same key.
    pub num_update_writes: i64,
    /// Bytes written.
    pub total_write_bytes: i64,
    /// Rows that could not be written.
    pub total_write_errors: i64,
    /// The partition path, `""` in a table without partitions; `None` while inflight.
    pub partition_path: Option<String>,
    /// Compaction: rows read from logs.
    pub total_log_records: i64,
    /// Compaction: log files read; Java writes null and counts in
    /// [`WriteStat::total_log_files_compacted`].
    pub total_log_files: Option<i64>,
    /// Compaction: rows read from logs that replaced a row.
    pub total_updated_records_compacted: i64,
    /// Rows whose key was new.
    pub num_inserts: i64,
    /// Compaction: log blocks read.
    pub total_log_blocks: i64,
    /// Compaction: log blocks passed over as corrupt.
    pub total_corrupt_log_block: i64,
    /// Compaction: rollback blocks met.
    pub total_rollback_blocks: i64,
    /// The file's size.
    pub file_size_in_bytes: i64,
    /// Log file: its version number.
    pub log_version: Option<i32>,
    /// Log file: where the written blocks start; 0 from table version 8 on.
    pub log_offset: Option<i64>,
    /// Log file: the base file it lies on, `""` without one; see [`WriteStat::base_file_name`].
    pub base_file: Option<String>,
    /// Log file: the names of the log files written.
    pub log_files: Option<Vec<String>>,
    /// Change capture: the files of it and their sizes.
    pub cdc_stats: Option<BTreeMap<String, i64>>,
    /// Base file: the name of the base file it replaces.
    pub prev_base_file: Option<String>,
    /// The least event time written, milliseconds since the epoch.
    pub min_event_time: Option<i64>,
    /// The greatest event time written, milliseconds since the epoch.
    pub max_event_time: Option<i64>,
    /// How long it took; `None` while inflight.
    pub runtime_stats: Option<RuntimeStats>,
    /// Compaction: log files merged.
    pub total_log_files_compacted: i64,
    /// Compaction: milliseconds spent on reading logs.
    pub total_log_read_time_ms: i64,
    /// Compaction: bytes of the logs merged.
    pub total_log_size_compacted: i64,
    /// Where the file was while it was written; only before table version 6.
    pub temp_path: Option<String>,
    /// Compaction: rows updated.
    pub num_updates: i64,
}

impl WriteStat {
    /// What [`WriteStat::prev_commit`] says of a file that builds on nothing.
    pub const NULL_COMMIT: &str = "null";

    /// The instant that this file builds on: that of the base file which it replaces; of a log
    /// file its own (layout 2) or its base file's (layout 1). `None` for the first of a group.
    pub fn prev_instant(&self) -> Option<InstantTime> {
        self.prev_commit.parse().ok()
    }

    /// Log file: the name of the base file it lies on.
    pub fn base_file_name(&self) -> Option<&str> {
        self.base_file.as_deref().filter(|name| !name.is_empty())
    }

    /// The file group, where [`WriteStat::file_id`] names one.
    pub fn group(&self) -> Option<FileId> {
        self.file_id.parse().ok()
    }
}

/// How long the writing of a file took, in milliseconds.
///
/// Source: `HoodieWriteStat.RuntimeStats`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RuntimeStats {
    /// Reading logs.
    pub total_scan_time: i64,
    /// Writing a file with new rows only.
    pub total_create_time: i64,
    /// Writing a file with updated rows.
    pub total_upsert_time: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_stand_for_nothing_give_nothing() {
        for nothing in ["", "null"] {
            let stat = WriteStat {
                prev_commit: nothing.into(),
                base_file: Some(String::new()),
                ..WriteStat::default()
            };
            assert_eq!((stat.prev_instant(), stat.base_file_name(), stat.group()), (None, None, None));
        }
    }
}
