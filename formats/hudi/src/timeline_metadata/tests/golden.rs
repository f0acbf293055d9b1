//! Files by Java Hudi, made as `golden/timeline/README.md` says.

use std::path::Path;

use apache_avro::Reader;
use apache_avro::types::Value;
use serde_json::Value as Json;

use super::*;
use crate::instant::InstantTime;
use crate::timeline_file::Action;
use crate::timeline_metadata::container;

fn golden(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/timeline");
    std::fs::read(folder.join(name)).unwrap()
}

fn time(text: &str) -> InstantTime {
    text.parse().unwrap()
}

/// Java orders maps by its hashes, so that records with a map of several keys come back with
/// the same length and value but in another order.
const ENTRIES_REORDERED: [&str; 7] = [
    "merge_on_read/compaction.requested",
    "log_compaction/logcompaction.requested",
    "layout_1/compaction.requested",
    "copy_on_write/by_versions.clean.requested",
    "copy_on_write/by_versions.clean",
    "copy_on_write/clustering.requested",
    "copy_on_write/clustering.replacecommit",
];

const FILES: [(&str, &[&str]); 10] = [
    (
        "CommitMetadata",
        &[
            "merge_on_read/insert.deltacommit",
            "merge_on_read/upsert.deltacommit.inflight",
            "merge_on_read/upsert.deltacommit",
            "merge_on_read/delete.deltacommit",
            "merge_on_read/compaction.commit",
            "log_compaction/logcompaction.deltacommit",
            "copy_on_write/insert.inflight",
            "copy_on_write/insert.commit",
            "copy_on_write/upsert.commit",
            "copy_on_write/clustering.replacecommit",
            "copy_on_write/insert_overwrite.replacecommit.inflight",
            "copy_on_write/insert_overwrite.replacecommit",
            "copy_on_write/delete_partition.replacecommit",
            "change_capture/upsert.commit",
        ],
    ),
    (
        "CompactionPlan",
        &[
            "merge_on_read/compaction.requested",
            "log_compaction/logcompaction.requested",
            "layout_1/compaction.requested",
        ],
    ),
    (
        "RequestedReplaceMetadata",
        &[
            "copy_on_write/clustering.requested",
            "copy_on_write/insert_overwrite.replacecommit.requested",
            "copy_on_write/delete_partition.replacecommit.requested",
        ],
    ),
    ("RollbackPlan", &["merge_on_read/rollback.requested", "layout_1/rollback.requested"]),
    ("RollbackMetadata", &["merge_on_read/rollback", "layout_1/rollback"]),
    (
        "CleanerPlan",
        &["copy_on_write/by_commits.clean.requested", "copy_on_write/by_versions.clean.requested"],
    ),
    ("CleanMetadata", &["copy_on_write/by_commits.clean", "copy_on_write/by_versions.clean"]),
    ("SavepointMetadata", &["merge_on_read/savepoint"]),
    ("RestorePlan", &["merge_on_read/restore.requested"]),
    ("RestoreMetadata", &["merge_on_read/restore"]),
];

#[test]
fn files_by_java_come_back_byte_for_byte_but_for_the_sync_marker() {
    for (kind, names) in FILES {
        for name in names {
            let theirs = golden(name);
            let ours = (codec(kind).again)(&theirs).unwrap();
            let (opened, expected) = (container::open(&ours).unwrap(), container::open(&theirs).unwrap());
            assert_eq!(without_docs(opened.schema), without_docs(expected.schema), "{name}");
            assert_eq!(opened.record.len(), expected.record.len(), "{name}");
            assert_eq!(library_value(&ours), library_value(&theirs), "{name}");
            assert_eq!(opened.record != expected.record, ENTRIES_REORDERED.contains(name), "{name}");
        }
    }
}

/// What the library's own reader makes of a file; its maps have no order.
fn library_value(bytes: &[u8]) -> Value {
    Reader::new(bytes).unwrap().next().unwrap().unwrap()
}

fn without_docs(schema: &[u8]) -> String {
    fn drop_docs(json: &mut Json) {
        if let Json::Object(object) = json {
            object.shift_remove("doc");
            object.values_mut().for_each(drop_docs);
        } else if let Json::Array(items) = json {
            items.iter_mut().for_each(drop_docs);
        }
    }
    let mut json: Json = serde_json::from_slice(schema).unwrap();
    drop_docs(&mut json);
    json.to_string()
}

#[test]
fn a_compaction_is_read_in_full() {
    let got = CommitMetadata::from_bytes(&golden("merge_on_read/compaction.commit")).unwrap();
    let group = "00000001-9e92-4ec4-8c38-8758b0d97483-0";
    let want = WriteStat {
        file_id: group.into(),
        path: Some(format!("p=a/{group}_0-19-29_20261123194338278.parquet")),
        prev_commit: "20261123194330252".into(),
        num_writes: 2,
        num_update_writes: 1,
        total_write_bytes: 434_192,
        partition_path: Some("p=a".into()),
        total_log_records: 1,
        total_updated_records_compacted: 1,
        total_log_blocks: 1,
        file_size_in_bytes: 434_192,
        prev_base_file: Some(format!("{group}_1-3-7_20261123194330252.parquet")),
        runtime_stats: Some(RuntimeStats {
            total_scan_time: 193,
            total_create_time: 0,
            total_upsert_time: 778,
        }),
        total_log_files_compacted: 1,
        total_log_read_time_ms: 193,
        total_log_size_compacted: 114,
        ..WriteStat::default()
    };
    let (partition, stat) = got.write_stats().next().unwrap();
    assert_eq!((partition, stat), ("p=a", &want));
    assert_eq!(stat.prev_instant(), Some(time("20261123194330252")));
    assert_eq!(stat.group().unwrap().bucket(), Some(1));
    assert_eq!(got.write_stats().count(), 2);
    assert!(got.compacted);
    assert_eq!(got.operation_type, Some(OperationType::Compact));
    assert!(got.schema().unwrap().contains("hoodie.mor"));
    assert_eq!((got.version, got.partition_to_replace_file_ids), (None, None));
}

#[test]
fn log_appends_change_capture_and_work_profiles_keep_their_rare_fields() {
    let upsert = CommitMetadata::from_avro(&golden("merge_on_read/upsert.deltacommit")).unwrap();
    let (_, stat) = upsert.write_stats().next().unwrap();
    let log = ".00000000-066c-4edf-8d90-6123d2bfd0e7-0_20261123194335393.log.1_0-13-21";
    assert_eq!(stat.log_files.as_deref(), Some(&[log.to_owned()][..]));
    assert_eq!((stat.log_version, stat.log_offset, stat.base_file.as_deref()), (Some(1), Some(0), Some("")));
    assert_eq!(stat.base_file_name(), None);

    let captured = CommitMetadata::from_avro(&golden("change_capture/upsert.commit")).unwrap();
    let (partition, stat) = captured.write_stats().next().unwrap();
    let file = ".590f326d-564b-447b-a044-e681a5f9dd51-0_20261123194401638.log.1_0-311-434.cdc";
    assert_eq!((partition, &stat.cdc_stats), ("", &Some([(file.to_owned(), 777)].into())));

    let profile = CommitMetadata::from_avro(&golden("copy_on_write/insert.inflight")).unwrap();
    let (_, stat) = profile.write_stats().next().unwrap();
    assert_eq!((stat.num_inserts, stat.group(), stat.prev_instant()), (4, None, None));
    assert_eq!((&stat.path, &stat.partition_path, &stat.runtime_stats), (&None, &None, &None));
}

#[test]
fn replaced_groups_are_read_from_completed_replacements_only() {
    let done = CommitMetadata::from_avro(&golden("copy_on_write/insert_overwrite.replacecommit")).unwrap();
    let group = "6830a82d-b0b1-404e-9f0c-e44e9ea8c0d2-0".parse().unwrap();
    assert_eq!(done.partition_to_replace_file_ids, Some([("p=a".to_owned(), vec![group])].into()));
    assert_eq!(done.operation_type, Some(OperationType::InsertOverwrite));
    let running =
        CommitMetadata::from_avro(&golden("copy_on_write/insert_overwrite.replacecommit.inflight")).unwrap();
    assert_eq!(running.partition_to_replace_file_ids, None);
}

#[test]
fn plans_of_compactions_are_read() {
    let plan = CompactionPlan::from_avro(&golden("merge_on_read/compaction.requested")).unwrap();
    assert_eq!((plan.version, plan.preserve_hoodie_metadata, &plan.strategy), (2, false, &None));
    let group = "00000001-9e92-4ec4-8c38-8758b0d97483-0";
    let operation = &plan.operations[0];
    assert_eq!(operation.base_instant_time, time("20261123194330252"));
    assert_eq!(operation.delta_file_paths, [format!(".{group}_20261123194335393.log.1_1-13-22")]);
    assert_eq!(operation.data_file_path, Some(format!("{group}_1-3-7_20261123194330252.parquet")));
    assert_eq!((operation.file_id.as_str(), operation.partition_path.as_str()), (group, "p=a"));
    assert_eq!(operation.metrics["TOTAL_LOG_FILES_SIZE"], 876.0);
    assert_eq!(plan.operations.len(), 2);

    let logs = CompactionPlan::from_avro(&golden("log_compaction/logcompaction.requested")).unwrap();
    let executor = "org.apache.hudi.table.action.compact.LogCompactionExecutionHelper";
    assert_eq!(logs.strategy.unwrap().compactor_class_name.as_deref(), Some(executor));
    assert!(logs.preserve_hoodie_metadata);
    assert_eq!(logs.operations[0].partition_path, "");
}

#[test]
fn plans_of_replacements_are_read() {
    let requested =
        RequestedReplaceMetadata::from_avro(&golden("copy_on_write/clustering.requested")).unwrap();
    assert_eq!(requested.operation_type, Some(OperationType::Cluster));
    let plan = requested.clustering_plan.unwrap();
    assert_eq!((plan.input_groups.len(), plan.preserve_hoodie_metadata), (2, true));
    let slice = &plan.input_groups[0].slices[0];
    assert!(slice.data_file().unwrap().starts_with("file:/lake/cow/p=a/"), "{slice:?}");
    assert_eq!((slice.partition_path.as_str(), slice.bootstrap_file_path.as_str()), ("p=a", ""));
    let strategy = plan.strategy.unwrap();
    assert_eq!(strategy.strategy_params["hoodie.clustering.plan.strategy.sort.columns"], "n");

    let overwrite = golden("copy_on_write/insert_overwrite.replacecommit.requested");
    assert_eq!(RequestedReplaceMetadata::from_avro(&overwrite), Ok(RequestedReplaceMetadata::default()));
    let delete = golden("copy_on_write/delete_partition.replacecommit.requested");
    let want = RequestedReplaceMetadata {
        operation_type: Some(OperationType::DeletePartition),
        clustering_plan: None,
        extra_metadata: Some([].into()),
        version: Some(1),
    };
    assert_eq!(RequestedReplaceMetadata::from_avro(&delete), Ok(want));
}

#[test]
fn rollbacks_are_read() {
    let failed = InstantInfo { commit_time: time("20261123194340099"), action: Action::DeltaCommit };
    let file = "/lake/mor/p=a/.00000000-066c-4edf-8d90-6123d2bfd0e7-0_20261123194340099.log.1_0-27-41";
    let plan = RollbackPlan::from_avro(&golden("merge_on_read/rollback.requested")).unwrap();
    assert_eq!((plan.instant_to_rollback, plan.version), (Some(failed), 1));
    let request = &plan.rollback_requests[0];
    assert_eq!(
        (request.base_instant(), &request.files_to_be_deleted[..]),
        (Some(failed.commit_time), &[file.to_owned()][..])
    );

    let done = RollbackMetadata::from_avro(&golden("merge_on_read/rollback")).unwrap();
    assert_eq!((done.start_rollback_time, done.total_files_deleted), (time("20261123194341977"), 1));
    assert_eq!(
        (&done.commits_rollback[..], &done.instants_rollback[..]),
        (&[failed.commit_time][..], &[failed][..])
    );
    assert_eq!(done.partition_metadata["p=a"].success_delete_files, [file]);

    let old = RollbackMetadata::from_avro(&golden("layout_1/rollback")).unwrap();
    let partition = &old.partition_metadata["p=a"];
    let sizes = |map: &std::collections::BTreeMap<String, i64>| map.values().copied().collect::<Vec<_>>();
    assert_eq!(sizes(&partition.rollback_log_files), [105]);
    assert_eq!(sizes(&partition.log_files_from_failed_commit), [881]);
}

#[test]
fn cleans_are_read() {
    let plan = CleanerPlan::from_avro(&golden("copy_on_write/by_commits.clean.requested")).unwrap();
    let retained = plan.earliest_instant_to_retain.clone().unwrap();
    let want = time("20261123194350512");
    assert_eq!(
        (retained.timestamp, retained.action, retained.state.as_str()),
        (want, Action::Commit, "COMPLETED")
    );
    assert_eq!(
        (plan.last_completed(), plan.policy.as_str(), plan.version),
        (Some(want), "KEEP_LATEST_COMMITS", 2)
    );
    let file = "dae25493-ef0d-4e66-956c-7b801cedc81f-0_0-94-135_20261123194347750.parquet";
    let want =
        CleanFileInfo { file_path: format!("file:/lake/cow/p=a/{file}"), is_bootstrap_base_file: false };
    assert_eq!(plan.file_paths_to_be_deleted_per_partition["p=a"], [want]);

    let done = CleanMetadata::from_avro(&golden("copy_on_write/by_commits.clean")).unwrap();
    assert_eq!(
        (done.start_clean_time, done.earliest_retained()),
        (time("20261123194351643"), Some(retained.timestamp))
    );
    assert_eq!(done.partition_metadata["p=a"].success_delete_files, [file]);

    let plan = CleanerPlan::from_avro(&golden("copy_on_write/by_versions.clean.requested")).unwrap();
    assert_eq!(
        (plan.earliest_instant_to_retain, &plan.partitions_to_be_deleted[..]),
        (None, &["p=b".to_owned()][..])
    );
    let done = CleanMetadata::from_avro(&golden("copy_on_write/by_versions.clean")).unwrap();
    assert_eq!((done.earliest_retained(), done.total_files_deleted), (None, 5));
    assert!(done.partition_metadata["p=b"].is_partition_deleted);
}

#[test]
fn savepoints_and_restores_are_read() {
    let savepoint = SavepointMetadata::from_avro(&golden("merge_on_read/savepoint")).unwrap();
    assert_eq!((savepoint.savepointed_by.as_str(), savepoint.comments.as_str()), ("u", "c"));
    assert_eq!(savepoint.savepointed_at_ms, 1_795_463_023_369);
    assert_eq!(savepoint.partition_metadata["p=a"].savepoint_data_file.len(), 3);

    let undone = InstantInfo { commit_time: time("20261123194343531"), action: Action::DeltaCommit };
    let plan = RestorePlan::from_avro(&golden("merge_on_read/restore.requested")).unwrap();
    let want = RestorePlan {
        instants_to_rollback: vec![undone],
        version: RestorePlan::VERSION,
        savepoint_to_restore_timestamp: Some(time("20261123194342370")),
    };
    assert_eq!(plan, want);
    let done = RestoreMetadata::from_avro(&golden("merge_on_read/restore")).unwrap();
    assert_eq!(
        (done.start_restore_time, &done.instants_to_rollback[..]),
        (time("20261123194344362"), &[undone.commit_time][..])
    );
    assert_eq!(done.hoodie_restore_metadata[&undone.commit_time][0].total_files_deleted, 1);
    assert_eq!(done.restore_instant_info, [undone]);
}

#[test]
fn commits_of_layout_1_are_read_from_json() {
    let upsert = CommitMetadata::from_bytes(&golden("layout_1/upsert.deltacommit")).unwrap();
    let (partition, stat) = upsert.write_stats().next().unwrap();
    let group = "943b312b-037a-4768-998f-ad134ef2d552-0";
    assert_eq!((partition, stat.file_id.as_str(), stat.num_update_writes), ("p=a", group, 1));
    assert_eq!(stat.prev_instant(), Some(time("20261123194403977")));
    let base = format!("{group}_0-332-464_20261123194403977.parquet");
    assert_eq!(stat.base_file_name(), Some(base.as_str()));
    assert_eq!(stat.log_files.as_ref().unwrap().len(), 1);
    assert_eq!((upsert.operation_type, upsert.compacted), (Some(OperationType::Upsert), false));

    let profile = CommitMetadata::from_bytes(&golden("layout_1/upsert.deltacommit.inflight")).unwrap();
    assert_eq!(profile.write_stats().next().unwrap().1.path, None);
    let replaced = CommitMetadata::from_bytes(&golden("layout_1/insert_overwrite.replacecommit")).unwrap();
    assert_eq!(replaced.partition_to_replace_file_ids.unwrap()["p=a"].len(), 1);
    assert!(CommitMetadata::from_bytes(&golden("layout_1/insert.commit")).unwrap().schema().is_some());
}

#[test]
fn files_of_hudi_0_with_fewer_fields_are_read() {
    let requested = golden("hudi_0/insert_overwrite.replacecommit.requested");
    assert!(!String::from_utf8_lossy(&requested).contains("missingSchedulePartitions"));
    assert_eq!(RequestedReplaceMetadata::from_avro(&requested), Ok(RequestedReplaceMetadata::default()));
    let done = CommitMetadata::from_bytes(&golden("hudi_0/insert_overwrite.replacecommit")).unwrap();
    assert_eq!(done.operation_type, Some(OperationType::InsertOverwriteTable));
    assert_eq!(done.partition_to_replace_file_ids.as_ref().unwrap().len(), 3);
    assert_eq!(done.write_stats().next().unwrap().1.total_write_bytes, 441_392);
    assert!(CommitMetadata::from_bytes(&golden("hudi_0/insert_overwrite.replacecommit.inflight")).is_ok());
}
