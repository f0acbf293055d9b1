//! Plans of others: what they may not ask for.

use std::path::Path;

use lakebed::sink::SinkOptions;
use lakebed::storage::TablePath;
use lakebed_hudi::table_config::{NewTable, TableType};
use lakebed_hudi::timeline_file::{Action, TimelineFile};
use lakebed_hudi::timeline_metadata::{CleanFileInfo, CleanerPlan};

use super::*;

/// A table with three versions of a file in each of two partitions.
async fn written() -> TestTable {
    let table = TestTable::create(&NewTable { table_type: TableType::CopyOnWrite, ..bucket_table() }).await;
    let mut sink = table.sink("p", SinkOptions::default()).await;
    for number in 1..=3 {
        sink.write(&rows(&[("a", "x", number, None), ("b", "y", number, None)]), None).await.unwrap();
        assert!(is_committed(&checkpoint(&mut sink, number as u64).await));
    }
    table
}

/// The files of a partition, oldest first.
async fn versions_of(table: &TestTable, partition: &str) -> Vec<TablePath> {
    let snapshot = table.snapshot().await;
    let mut files = snapshot.partition_files(partition).await.unwrap();
    files.retain(|file| file.path.file_name().ends_with(".parquet"));
    let mut paths: Vec<TablePath> = files.into_iter().map(|file| file.path).collect();
    let instant = |path: &TablePath| path.file_name().rsplit_once('_').unwrap().1.to_owned();
    paths.sort_by_key(instant);
    paths
}

fn plan_of(partition: &str, files: &[String]) -> CleanerPlan {
    let file = |path: &String| CleanFileInfo { file_path: path.clone(), is_bootstrap_base_file: false };
    CleanerPlan {
        earliest_instant_to_retain: None,
        last_completed_commit_timestamp: String::new(),
        policy: CleanPolicy::FILE_VERSIONS.into(),
        files_to_be_deleted_per_partition: Default::default(),
        version: CleanerPlan::VERSION,
        file_paths_to_be_deleted_per_partition: [(partition.to_owned(), files.iter().map(file).collect())]
            .into(),
        partitions_to_be_deleted: Vec::new(),
        extra_metadata: Default::default(),
    }
}

/// Puts a plan on the timeline and carries it out.
async fn carried_out(table: &TestTable, plan: Vec<u8>) -> Result<CleanReport, MaintainError> {
    let instant = InstantTime::from_unix_millis(
        table.environment.clock.unix_millis(),
        lakebed_hudi::instant::TimelineZone::Utc,
    );
    let maintainer = table.maintainer().await;
    let path = maintainer.table().timeline.path(&TimelineFile::requested(instant, Action::Clean));
    table.storage.put_if_absent(&path, plan.into()).await.unwrap();
    make_older(Path::new(&table.path("t")).join(path.as_str()));
    let ended = maintainer.clean(instant, &no_limits(), &|_| {}).await;
    if ended.is_err() {
        assert_eq!(table.files_named("clean.inflight"), [""; 0], "it is not even begun");
        table.storage.delete(&path).await.unwrap();
    }
    ended
}

#[tokio::test(flavor = "multi_thread")]
async fn plans_that_ask_for_anything_but_data_files_of_the_table_are_refused() {
    let table = written().await;
    let root = table.path("t");
    let old = versions_of(&table, "p=x").await[0].clone();
    let before = table.data_files();
    let good = format!("file:{root}/{old}");
    for (bad, refusal) in [
        (format!("file:{root}/.hoodie/hoodie.properties"), "which is no data file"),
        (format!("{root}/p=x/.hoodie_partition_metadata"), "which is no data file"),
        (format!("{root}/p=y/{}", old.file_name()), "which is no data file of its partition"),
        (format!("{root}/../t/{old}"), ".."),
        (format!("/elsewhere/{old}"), "elsewhere"),
        (format!("s3://lake/t/{old}"), "s3://lake"),
        (String::new(), ""),
    ] {
        let plan = plan_of("p=x", &[good.clone(), bad.clone()]).to_avro().unwrap();
        let refused = carried_out(&table, plan).await.unwrap_err().to_string();
        assert!(refused.contains(refusal), "{bad}: {refused}");
    }
    let outside = plan_of("../t/p=x", std::slice::from_ref(&good)).to_avro().unwrap();
    carried_out(&table, outside).await.unwrap_err();
    let newer = CleanerPlan { version: 3, ..plan_of("p=x", std::slice::from_ref(&good)) }.to_avro().unwrap();
    let refused = carried_out(&table, newer).await.unwrap_err().to_string();
    assert!(refused.contains("version 3 of this form"), "{refused}");
    let mut bootstrapped = plan_of("p=x", std::slice::from_ref(&good));
    bootstrapped.file_paths_to_be_deleted_per_partition.get_mut("p=x").unwrap()[0].is_bootstrap_base_file =
        true;
    let refused = carried_out(&table, bootstrapped.to_avro().unwrap()).await.unwrap_err().to_string();
    assert!(refused.contains("bootstrapped"), "{refused}");
    let broken = carried_out(&table, b"Obj\x01nonsense".to_vec()).await.unwrap_err();
    assert!(matches!(broken, MaintainError::Plan { .. }), "{broken}");
    carried_out(&table, Vec::new()).await.unwrap_err();
    assert_eq!(table.data_files(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_what_a_plan_names_that_stays_which_somebody_needs() {
    let table = written().await;
    let root = table.path("t");
    let files = versions_of(&table, "p=x").await;
    let stray = "p=x/00000000-0000-0000-0000-000000000009-0_0-0-0_29990101000000000.parquet";
    table.storage.put(&stray.parse().unwrap(), "not ours".into()).await.unwrap();
    let paths: Vec<String> = files
        .iter()
        .map(|path| format!("file:{root}/{path}"))
        .chain([format!("file:{root}/{stray}")])
        .collect();
    let mut plan = plan_of("p=x", &paths);
    plan.partitions_to_be_deleted = vec!["p=x".into(), String::new()];
    let report = carried_out(&table, plan.to_avro().unwrap()).await.unwrap();
    assert!(is_done(&report), "{report:?}");
    let needed: Vec<String> = report.needed.iter().map(ToString::to_string).collect();
    assert_eq!(needed, [files[2].to_string(), stray.to_owned()]);
    assert_eq!((report.files, report.deleted, report.partitions.len()), (4, 2, 0));
    assert_eq!(table.texts().await, ["a x 3 -", "b y 3 -"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn plans_of_the_first_form_have_bare_names() {
    let table = written().await;
    let files = versions_of(&table, "p=y").await;
    let names = files[..2].iter().map(|path| path.file_name().to_owned()).collect();
    let plan = CleanerPlan {
        version: 1,
        files_to_be_deleted_per_partition: [("p=y".to_owned(), names)].into(),
        file_paths_to_be_deleted_per_partition: Default::default(),
        ..plan_of("p=y", &[])
    };
    let report = carried_out(&table, plan.to_avro().unwrap()).await.unwrap();
    assert_eq!((is_done(&report), report.deleted), (true, 2));
    assert_eq!(versions_of(&table, "p=y").await, files[2..]);
}
