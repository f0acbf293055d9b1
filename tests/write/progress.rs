//! Whose progress commits carry, and how much of it.

use lakebed::commit::{CommitError, Outcome, PipelineProgress, Progress, SourceProgress};
use lakebed::sink::{MetadataTablePolicy, Sink, SinkError, SinkOptions};
use lakebed::storage::TablePath;
use lakebed::table::WriteOperation;
use lakebed::{Error, ErrorKind};
use lakebed_hudi::table_config::{TableType, key};

use crate::test_table::*;

async fn commit(sink: &mut Sink, number: u64) {
    sink.write(&rows(&[("a", "x", number as i64, None)]), None).await.unwrap();
    assert!(is_committed(&checkpoint(sink, number).await));
}

async fn drop_progress(table: &TestTable, pipeline: &str) -> Outcome {
    let operation = WriteOperation::Insert;
    let options =
        SinkOptions { operation, commit_empty: true, drop_progress: true, ..SinkOptions::default() };
    let mut sink = table.sink(pipeline, options).await;
    let last = sink.progress().unwrap();
    let prepared = sink.prepare(last).await.unwrap().unwrap();
    sink.committer().commit(&prepared).await.unwrap()
}

async fn pipelines(table: &TestTable) -> Vec<String> {
    let newest = table.commits().await.pop().unwrap();
    Progress::of(&newest).unwrap().unwrap().pipelines.into_keys().collect()
}

#[tokio::test]
async fn dropped_progress_is_not_carried_any_more_and_a_living_run_is_fenced() {
    for table_type in [TableType::MergeOnRead, TableType::CopyOnWrite] {
        let table =
            TestTable::create(&lakebed_hudi::table_config::NewTable { table_type, ..bucket_table() }).await;
        let mut old = table.sink("old", SinkOptions::default()).await;
        commit(&mut old, 1).await;
        let mut kept = table.sink("kept", SinkOptions::default()).await;
        commit(&mut kept, 2).await;
        old.write(&rows(&[("a", "x", 9, None)]), None).await.unwrap();
        assert!(is_committed(&drop_progress(&table, "old").await));
        assert_eq!(pipelines(&table).await, ["kept"]);
        // Not by what another pipeline, or the old one, knew before.
        commit(&mut kept, 3).await;
        assert_eq!(pipelines(&table).await, ["kept"]);
        assert_eq!(checkpoint(&mut old, 2).await, Outcome::Fenced { by: 2 });
        assert_eq!(table.texts().await, ["a x 3 -"]);

        let mut again = table.sink("old", SinkOptions::default()).await;
        assert_eq!((again.progress(), again.epoch().number), (None, 3));
        commit(&mut again, 1).await;
        assert_eq!(pipelines(&table).await, ["kept", "old"]);
    }
}

#[tokio::test]
async fn the_last_pipelines_progress_can_be_dropped() {
    let table = TestTable::create(&bucket_table()).await;
    commit(&mut table.sink("old", SinkOptions::default()).await, 1).await;
    assert!(is_committed(&drop_progress(&table, "old").await));
    assert!(pipelines(&table).await.is_empty());
    assert_eq!(table.sink("old", SinkOptions::default()).await.progress(), None);
}

#[tokio::test]
async fn one_pipeline_too_many_is_refused_until_another_one_is_dropped() {
    let table = TestTable::create(&bucket_table()).await;
    commit(&mut table.sink("p0", SinkOptions::default()).await, 1).await;
    // As if so many had written.
    let snapshot = table.snapshot().await;
    let instant = snapshot.timeline.completed_writes().next().unwrap();
    let mut metadata = snapshot.table.timeline.commit_metadata(instant).await.unwrap();
    let mut all = Progress::default();
    for number in 0..Progress::MAX_PIPELINES {
        all.pipelines.insert(format!("p{number}"), progress(1));
    }
    metadata.extra_metadata.insert("lakebed.progress".into(), serde_json::to_string(&all).unwrap());
    let path = snapshot.table.timeline.path(&instant.file());
    table.storage.put(&path, metadata.to_avro().unwrap().into()).await.unwrap();

    // A metadata table is dropped when the table is opened, but not for somebody who is refused.
    let properties: TablePath = ".hoodie/hoodie.properties".parse().unwrap();
    let mut with_metadata = table.snapshot().await.table.config.properties;
    with_metadata.set(key::METADATA_PARTITIONS, "files");
    table.storage.put(&properties, with_metadata.to_bytes("changed").into()).await.unwrap();
    let open = || {
        let options = SinkOptions { metadata_table: MetadataTablePolicy::Drop, ..SinkOptions::default() };
        Sink::open(table.storage.clone(), &table.environment, "new", Vec::new(), options)
    };
    let error = open().await.unwrap_err();
    assert_eq!(table.snapshot().await.table.config.metadata_partitions(), ["files"]);
    with_metadata.remove(key::METADATA_PARTITIONS);
    table.storage.put(&properties, with_metadata.to_bytes("changed").into()).await.unwrap();
    assert!(
        matches!(&error, SinkError::Commit(CommitError::TooManyPipelines { pipeline }) if pipeline == "new")
    );
    let text = error.to_string();
    assert!(text.starts_with("the table keeps the progress of 100 pipelines, which is the most"), "{text}");
    assert!(text.contains("--drop-progress NAME"), "{text}");
    assert_eq!(Error::from(error).kind(), ErrorKind::Refused);
    assert!(table.files_named("epoch-").len() == 1, "nothing was claimed");

    commit(&mut table.sink("p7", SinkOptions::default()).await, 2).await;
    assert!(is_committed(&drop_progress(&table, "p7").await));
    commit(&mut open().await.unwrap(), 1).await;
}

#[tokio::test]
async fn a_run_that_no_other_could_follow_is_refused() {
    let table = TestTable::create(&bucket_table()).await;
    let path = ".hoodie/.aux/lakebed/p1/epoch-18446744073709551615.json".parse().unwrap();
    table.storage.put(&path, "{}".into()).await.unwrap();
    let (storage, options) = (table.storage.clone(), SinkOptions::default());
    let error = Sink::open(storage, &table.environment, "p1", Vec::new(), options).await.unwrap_err();
    assert!(
        error.to_string().contains("epoch-18446744073709551615.json claims the greatest number"),
        "{error}"
    );
    assert_eq!(Error::from(error).kind(), ErrorKind::Refused);
}

#[tokio::test]
async fn progress_that_is_too_large_to_be_carried_is_refused() {
    let table = TestTable::create(&bucket_table()).await;
    let mut sink = table.sink("p1", SinkOptions::default()).await;
    let stands = |bytes: usize| {
        let source = SourceProgress { position: "x".repeat(bytes).into(), watermark: None };
        PipelineProgress { checkpoint: 1, sources: [("s".to_owned(), source)].into(), epoch: 0 }
    };
    sink.write(&rows(&[("a", "x", 1, None)]), None).await.unwrap();
    let error = sink.prepare(stands(PipelineProgress::MAX_BYTES)).await.unwrap_err();
    assert!(error.to_string().contains("and every commit carries it: expected at most 65536"), "{error}");
    assert_eq!(Error::from(error).kind(), ErrorKind::Failed);
    let prepared = sink.prepare(stands(PipelineProgress::MAX_BYTES - 200)).await.unwrap().unwrap();
    assert!(is_committed(&sink.committer().commit(&prepared).await.unwrap()));
}

#[tokio::test]
async fn epochs_go_on_from_the_last_commit_where_their_claims_are_gone() {
    let table = TestTable::create(&bucket_table()).await;
    let _first = table.sink("p1", SinkOptions::default()).await;
    let mut old = table.sink("p1", SinkOptions::default()).await;
    commit(&mut old, 1).await;
    old.write(&rows(&[("a", "x", 2, None)]), None).await.unwrap();
    table.storage.delete_dir(&".hoodie/.aux/lakebed".parse().unwrap()).await.unwrap();
    let new = table.sink("p1", SinkOptions::default()).await;
    assert_eq!(new.epoch().number, 3);
    assert_eq!(checkpoint(&mut old, 2).await, Outcome::Fenced { by: 3 });
}

#[tokio::test]
async fn a_run_whose_claim_is_gone_before_any_commit_stops() {
    let claims = ".hoodie/.aux/lakebed".parse().unwrap();
    for has_begun_again in [false, true] {
        let table = TestTable::create(&bucket_table()).await;
        let mut old = table.sink("p1", SinkOptions::default()).await;
        old.write(&rows(&[("a", "x", 1, None)]), None).await.unwrap();
        let prepared = old.prepare(progress(1)).await.unwrap().unwrap();
        table.storage.delete_dir(&claims).await.unwrap();
        if !has_begun_again {
            let error = old.committer().commit(&prepared).await.unwrap_err();
            let told = error.to_string();
            assert!(told.starts_with(".hoodie/.aux/lakebed/p1/epoch-0000000001.json is gone"), "{told}");
            assert_eq!(Error::from(error).kind(), ErrorKind::Conflict);
        }
        let mut new = table.sink("p1", SinkOptions::default()).await;
        assert_eq!((old.epoch().number, new.epoch().number), (1, 1), "nothing tells of the first one");
        assert_eq!(old.committer().commit(&prepared).await.unwrap(), Outcome::Fenced { by: 1 });
        commit(&mut new, 1).await;
        assert_eq!(table.texts().await, ["a x 1 -"]);
    }
}
