//! Arbitrary values, each field drawn from a list of numbers.

use std::collections::BTreeMap;

use super::*;
use crate::file_name::FileId;
use crate::instant::{InstantTime, TimelineZone};
use crate::timeline_file::Action;

/// Numbers to draw from; 0 for ever once they are used up.
pub(super) struct Source<'a> {
    numbers: std::slice::Iter<'a, u32>,
}

impl<'a> Source<'a> {
    pub(super) fn new(numbers: &'a [u32]) -> Self {
        Self { numbers: numbers.iter() }
    }

    fn number(&mut self) -> u32 {
        self.numbers.next().copied().unwrap_or_default()
    }

    fn int(&mut self) -> i32 {
        self.number().cast_signed()
    }

    fn long(&mut self) -> i64 {
        (i64::from(self.int()) << 32) ^ i64::from(self.int())
    }

    fn double(&mut self) -> f64 {
        f64::from(self.int()) / 7.0
    }

    fn bool(&mut self) -> bool {
        self.number() % 2 == 1
    }

    fn text(&mut self) -> String {
        let number = self.number();
        match number % 5 {
            0 => String::new(),
            1 => "null".to_owned(),
            2 => format!("p=\u{fc}/{number}"),
            3 => "x".repeat(number as usize % 300),
            _ => number.to_string(),
        }
    }

    fn instant(&mut self) -> InstantTime {
        InstantTime::from_unix_millis(i64::from(self.number()) * 1009, TimelineZone::Utc)
    }

    fn action(&mut self) -> Action {
        Action::ALL[self.number() as usize % Action::ALL.len()]
    }

    fn file_id(&mut self) -> FileId {
        FileId::of_bucket(self.number() % 1000)
    }

    fn operation(&mut self) -> OperationType {
        let at = self.number() as usize % (OperationType::ALL.len() + 1);
        OperationType::ALL.get(at).cloned().unwrap_or(OperationType::Other("TELEPORT".into()))
    }

    fn option<T>(&mut self, value: fn(&mut Self) -> T) -> Option<T> {
        self.bool().then(|| value(self))
    }

    fn list<T>(&mut self, item: fn(&mut Self) -> T) -> Vec<T> {
        (0..self.number() % 4).map(|_| item(self)).collect()
    }

    fn map<K: Ord, V>(&mut self, key: fn(&mut Self) -> K, value: fn(&mut Self) -> V) -> BTreeMap<K, V> {
        (0..self.number() % 4).map(|_| (key(self), value(self))).collect()
    }

    fn texts(&mut self) -> Vec<String> {
        self.list(Self::text)
    }

    fn text_map(&mut self) -> BTreeMap<String, String> {
        self.map(Self::text, Self::text)
    }

    fn sizes(&mut self) -> BTreeMap<String, i64> {
        self.map(Self::text, Self::long)
    }
}

fn write_stat(s: &mut Source<'_>) -> WriteStat {
    WriteStat {
        file_id: s.text(),
        path: s.option(Source::text),
        prev_commit: s.text(),
        num_writes: s.long(),
        num_deletes: s.long(),
        num_update_writes: s.long(),
        total_write_bytes: s.long(),
        total_write_errors: s.long(),
        partition_path: s.option(Source::text),
        total_log_records: s.long(),
        total_log_files: s.option(Source::long),
        total_updated_records_compacted: s.long(),
        num_inserts: s.long(),
        total_log_blocks: s.long(),
        total_corrupt_log_block: s.long(),
        total_rollback_blocks: s.long(),
        file_size_in_bytes: s.long(),
        log_version: s.option(Source::int),
        log_offset: s.option(Source::long),
        base_file: s.option(Source::text),
        log_files: s.option(Source::texts),
        cdc_stats: s.option(Source::sizes),
        prev_base_file: s.option(Source::text),
        min_event_time: s.option(Source::long),
        max_event_time: s.option(Source::long),
        runtime_stats: s.option(|s| RuntimeStats {
            total_scan_time: s.long(),
            total_create_time: s.long(),
            total_upsert_time: s.long(),
        }),
        total_log_files_compacted: s.long(),
        total_log_read_time_ms: s.long(),
        total_log_size_compacted: s.long(),
        temp_path: s.option(Source::text),
        num_updates: s.long(),
    }
}

pub(super) fn commit_metadata(s: &mut Source<'_>) -> CommitMetadata {
    CommitMetadata {
        partition_to_replace_file_ids: s.option(|s| s.map(Source::text, |s| s.list(Source::file_id))),
        partition_to_write_stats: s.map(Source::text, |s| s.list(write_stat)),
        compacted: s.bool(),
        extra_metadata: s.text_map(),
        version: s.option(Source::int),
        operation_type: s.option(Source::operation),
    }
}

pub(super) fn compaction_plan(s: &mut Source<'_>) -> CompactionPlan {
    CompactionPlan {
        operations: s.list(|s| CompactionOperation {
            base_instant_time: s.instant(),
            delta_file_paths: s.texts(),
            data_file_path: s.option(Source::text),
            file_id: s.file_id(),
            partition_path: s.text(),
            metrics: s.map(Source::text, Source::double),
            bootstrap_file_path: s.option(Source::text),
        }),
        extra_metadata: s.text_map(),
        version: s.int(),
        strategy: s.option(|s| CompactionStrategy {
            compactor_class_name: s.option(Source::text),
            strategy_params: s.text_map(),
            version: s.int(),
        }),
        preserve_hoodie_metadata: s.bool(),
        missing_schedule_partitions: s.texts(),
    }
}

pub(super) fn requested_replace_metadata(s: &mut Source<'_>) -> RequestedReplaceMetadata {
    RequestedReplaceMetadata {
        operation_type: s.option(Source::operation),
        clustering_plan: s.option(|s| ClusteringPlan {
            input_groups: s.list(clustering_group),
            strategy: s.option(|s| ClusteringStrategy {
                strategy_class_name: s.option(Source::text),
                strategy_params: s.text_map(),
                version: s.int(),
            }),
            extra_metadata: s.text_map(),
            version: s.int(),
            preserve_hoodie_metadata: s.bool(),
            missing_schedule_partitions: s.texts(),
        }),
        extra_metadata: s.option(Source::text_map),
        version: s.option(Source::int),
    }
}

fn clustering_group(s: &mut Source<'_>) -> ClusteringGroup {
    ClusteringGroup {
        slices: s.list(|s| ClusteringSlice {
            data_file_path: s.text(),
            delta_file_paths: s.texts(),
            file_id: s.file_id(),
            partition_path: s.text(),
            bootstrap_file_path: s.text(),
            version: s.int(),
        }),
        metrics: s.map(Source::text, Source::double),
        num_output_file_groups: s.int(),
        extra_metadata: s.option(Source::text_map),
        version: s.int(),
    }
}

fn instant_info(s: &mut Source<'_>) -> InstantInfo {
    InstantInfo { commit_time: s.instant(), action: s.action() }
}

pub(super) fn rollback_plan(s: &mut Source<'_>) -> RollbackPlan {
    RollbackPlan {
        instant_to_rollback: s.option(instant_info),
        rollback_requests: s.list(|s| RollbackRequest {
            partition_path: s.text(),
            file_id: s.text(),
            latest_base_instant: s.text(),
            files_to_be_deleted: s.texts(),
            log_blocks_to_be_deleted: s.sizes(),
        }),
        version: s.int(),
    }
}

pub(super) fn rollback_metadata(s: &mut Source<'_>) -> RollbackMetadata {
    RollbackMetadata {
        start_rollback_time: s.instant(),
        time_taken_in_millis: s.long(),
        total_files_deleted: s.int(),
        commits_rollback: s.list(Source::instant),
        partition_metadata: s.map(Source::text, |s| RollbackPartitionMetadata {
            partition_path: s.text(),
            success_delete_files: s.texts(),
            failed_delete_files: s.texts(),
            rollback_log_files: s.sizes(),
            log_files_from_failed_commit: s.sizes(),
        }),
        version: s.int(),
        instants_rollback: s.list(instant_info),
    }
}

pub(super) fn cleaner_plan(s: &mut Source<'_>) -> CleanerPlan {
    CleanerPlan {
        earliest_instant_to_retain: s.option(|s| ActionInstant {
            timestamp: s.instant(),
            action: s.action(),
            state: s.text(),
        }),
        last_completed_commit_timestamp: s.text(),
        policy: s.text(),
        files_to_be_deleted_per_partition: s.map(Source::text, Source::texts),
        version: s.int(),
        file_paths_to_be_deleted_per_partition: s.map(Source::text, |s| {
            s.list(|s| CleanFileInfo { file_path: s.text(), is_bootstrap_base_file: s.bool() })
        }),
        partitions_to_be_deleted: s.texts(),
        extra_metadata: s.text_map(),
    }
}

pub(super) fn clean_metadata(s: &mut Source<'_>) -> CleanMetadata {
    CleanMetadata {
        start_clean_time: s.instant(),
        time_taken_in_millis: s.long(),
        total_files_deleted: s.int(),
        earliest_commit_to_retain: s.text(),
        last_completed_commit_timestamp: s.text(),
        partition_metadata: s.map(Source::text, clean_partition_metadata),
        version: s.int(),
        bootstrap_partition_metadata: s.map(Source::text, clean_partition_metadata),
        extra_metadata: s.text_map(),
    }
}

fn clean_partition_metadata(s: &mut Source<'_>) -> CleanPartitionMetadata {
    CleanPartitionMetadata {
        partition_path: s.text(),
        policy: s.text(),
        delete_path_patterns: s.texts(),
        success_delete_files: s.texts(),
        failed_delete_files: s.texts(),
        is_partition_deleted: s.bool(),
    }
}

pub(super) fn savepoint_metadata(s: &mut Source<'_>) -> SavepointMetadata {
    SavepointMetadata {
        savepointed_by: s.text(),
        savepointed_at_ms: s.long(),
        comments: s.text(),
        partition_metadata: s.map(Source::text, |s| SavepointPartitionMetadata {
            partition_path: s.text(),
            savepoint_data_file: s.texts(),
        }),
        version: s.int(),
    }
}

pub(super) fn restore_plan(s: &mut Source<'_>) -> RestorePlan {
    RestorePlan {
        instants_to_rollback: s.list(instant_info),
        version: s.int(),
        savepoint_to_restore_timestamp: s.option(Source::instant),
    }
}

pub(super) fn restore_metadata(s: &mut Source<'_>) -> RestoreMetadata {
    RestoreMetadata {
        start_restore_time: s.instant(),
        time_taken_in_millis: s.long(),
        instants_to_rollback: s.list(Source::instant),
        hoodie_restore_metadata: s.map(Source::instant, |s| s.list(rollback_metadata)),
        version: s.int(),
        restore_instant_info: s.list(instant_info),
    }
}
