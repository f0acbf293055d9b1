//! Clusterings that cannot be carried out: each is told by name, changes nothing that shows, and stays planned.

use lakebed::storage::TablePath;
use lakebed::{Error, ErrorKind};
use lakebed_hudi::timeline_metadata::{ClusteringPlan, RequestedReplaceMetadata};

use super::*;

fn plan_path(instant: InstantTime) -> TablePath {
    format!(".hoodie/timeline/{instant}.clustering.requested").parse().unwrap()
}

async fn plan_of(place: &Place, instant: InstantTime) -> ClusteringPlan {
    let bytes = place.disk.get(&plan_path(instant), u64::MAX).await.unwrap().bytes;
    RequestedReplaceMetadata::from_avro(&bytes).unwrap().clustering_plan.unwrap()
}

/// Puts another plan in the place of this one.
async fn replan(place: &Place, instant: InstantTime, change: impl FnOnce(&mut ClusteringPlan)) {
    let mut plan = plan_of(place, instant).await;
    change(&mut plan);
    let requested = RequestedReplaceMetadata {
        operation_type: Some(OperationType::Cluster),
        clustering_plan: Some(plan),
        ..RequestedReplaceMetadata::default()
    };
    place.disk.put(&plan_path(instant), requested.to_avro().unwrap().into()).await.unwrap();
}

/// Runs it, expects that it fails with all of `told`, and that the table is as before.
async fn fails(place: &Place, instant: InstantTime, kind: ErrorKind, told: &[&str]) {
    let data_files = data_files(place).await;
    let error = Error::from(run(place, instant).await.unwrap_err());
    let text = error.chain().join(": ");
    assert_eq!(error.kind(), kind, "{text}");
    for told in told {
        assert!(text.contains(told), "{told:?} is not in {text:?}");
    }
    let timeline = place.table().await.timeline.load().await.unwrap();
    assert_eq!(timeline.pending().map(|i| i.time).collect::<Vec<_>>(), [instant], "it is planned still");
    assert_eq!(self::data_files(place).await, data_files, "nothing was written");
    let beats = place.disk.list(&".hoodie/.heartbeat".parse().unwrap()).await.unwrap().files;
    assert!(beats.is_empty(), "whoever comes next need not wait: {beats:?}");
}

async fn data_files(place: &Place) -> Vec<String> {
    let all = place.disk.list_all(&TablePath::root()).await.unwrap();
    let names = all.into_iter().map(|file| file.path.as_str().to_owned());
    names.filter(|path| path.ends_with(".parquet")).collect()
}

#[tokio::test]
async fn a_file_that_vanished_is_named_before_anything_is_written() {
    let (place, instant, model) = with_plan().await;
    let path = place.slices().await.values().next().unwrap().base.clone().unwrap().path;
    let bytes = place.disk.get(&path, u64::MAX).await.unwrap().bytes;
    place.disk.delete(&path).await.unwrap();
    fails(&place, instant, ErrorKind::Failed, &[path.as_str(), "which is not there"]).await;
    place.disk.put(&path, bytes).await.unwrap();
    run(&place, instant).await.unwrap();
    assert_eq!(place.problems(&model).await, [""; 0]);
}

#[tokio::test]
async fn a_damaged_file_is_named_with_its_groups_and_what_is_whole_is_kept() {
    let (place, instant, model) = with_plan().await;
    let last = plan_of(&place, instant).await.input_groups.pop().unwrap().slices.swap_remove(0);
    let path = place.disk.uri().relative(&last.data_file_path).unwrap();
    let bytes = place.disk.get(&path, u64::MAX).await.unwrap().bytes;
    place.disk.put(&path, bytes.slice(..bytes.len() - 9)).await.unwrap();
    let error = Error::from(run(&place, instant).await.unwrap_err());
    let text = error.chain().join(": ");
    assert!(text.contains(path.as_str()) && text.contains(&last.partition_path), "{text}");
    place.disk.put(&path, bytes).await.unwrap();
    let report = run(&place.later(9), instant).await.unwrap();
    assert_eq!((report.resumed, report.finished), (GROUPS / 2, GROUPS / 2), "{report:?}");
    assert_eq!(place.later(10).problems(&model).await, [""; 0]);
}

#[tokio::test]
async fn plans_that_ask_for_what_is_not_done_are_refused_by_name() {
    type Change = fn(&mut ClusteringPlan);
    let changes: [(Change, ErrorKind, &str); 10] = [
        (
            |plan| {
                let strategy = plan.strategy.as_mut().unwrap();
                strategy.strategy_class_name = Some("org.example.Hilbert".to_owned());
            },
            ErrorKind::Refused,
            "the execution strategy org.example.Hilbert",
        ),
        (
            |plan| plan.strategy = None,
            ErrorKind::Refused,
            "the execution strategy of its engine's own choice",
        ),
        (
            |plan| {
                let params = &mut plan.strategy.as_mut().unwrap().strategy_params;
                params.insert("hoodie.x".to_owned(), "y".to_owned());
            },
            ErrorKind::Refused,
            "hoodie.x=y",
        ),
        (
            |plan| {
                let params = &mut plan.strategy.as_mut().unwrap().strategy_params;
                params
                    .insert("hoodie.clustering.plan.strategy.sort.columns".to_owned(), "id, nope".to_owned());
            },
            ErrorKind::FixInput,
            "\"nope\", which the table does not have",
        ),
        (|plan| plan.version = 2, ErrorKind::Refused, "version 2"),
        (|plan| plan.preserve_hoodie_metadata = false, ErrorKind::Refused, "new commit times"),
        (
            |plan| plan.input_groups[0].slices[0].bootstrap_file_path = "/b".to_owned(),
            ErrorKind::Refused,
            "the bootstrapped file /b",
        ),
        (
            |plan| {
                let slice = plan.input_groups[0].slices[0].clone();
                plan.input_groups[1].slices.push(slice);
            },
            ErrorKind::Refused,
            "slices of 2 partitions",
        ),
        (
            |plan| {
                let slice = plan.input_groups[0].slices[0].clone();
                plan.input_groups[0].slices.push(slice);
            },
            ErrorKind::Failed,
            "twice",
        ),
        (
            |plan| {
                let other = plan.input_groups[0].slices[1].data_file_path.clone();
                plan.input_groups[0].slices[0].data_file_path = other;
            },
            ErrorKind::Failed,
            "and it is none",
        ),
    ];
    for (change, kind, told) in changes {
        let (place, instant, _) = with_plan().await;
        replan(&place, instant, change).await;
        fails(&place, instant, kind, &[told]).await;
    }
}

#[tokio::test]
async fn a_partition_path_that_leads_out_of_the_table_is_refused() {
    let (place, instant, _) = with_plan().await;
    let escape = |plan: &mut ClusteringPlan| {
        plan.input_groups[0].slices.iter_mut().for_each(|slice| slice.partition_path = "../x".to_owned());
    };
    replan(&place, instant, escape).await;
    fails(&place, instant, ErrorKind::Failed, &["../x"]).await;
}

#[tokio::test]
async fn broken_plans_are_named_and_tables_with_buckets_refused() {
    let (place, instant, _) = with_plan().await;
    place.disk.put(&plan_path(instant), "Obj".into()).await.unwrap();
    let told = Error::from(run(&place, instant).await.unwrap_err()).chain().join(": ");
    assert!(told.contains("the plan is broken"), "{told}");

    let (buckets, _) = Place::written().await;
    let maintainer = buckets.maintainer().await;
    let error = Error::from(services::schedule_clustering(&maintainer, &everything()).await.unwrap_err());
    assert_eq!(error.kind(), ErrorKind::Refused);
    let told = error.chain().join(": ");
    assert!(told.contains("a bucket index") && told.contains("fewer buckets"), "{told}");
}

#[tokio::test]
async fn columns_that_are_not_there_are_named_before_anything_is_planned() {
    let (place, _) = Place::small_files(&keyed_table()).await;
    let rules = ClusteringRules { sort_columns: vec!["nope".to_owned()], ..everything() };
    let maintainer = place.maintainer().await;
    let error = Error::from(services::schedule_clustering(&maintainer, &rules).await.unwrap_err());
    assert_eq!(error.kind(), ErrorKind::FixInput);
    assert!(error.chain().join(": ").contains("\"nope\""));
    assert_eq!(place.table().await.timeline.load().await.unwrap().pending().count(), 0);
}

#[tokio::test]
async fn less_memory_than_a_file_takes_is_refused() {
    let (place, instant, _) = with_plan().await;
    let maintainer = place.open_within(1 << 20).await.unwrap();
    let error = maintainer.cluster(instant, &services::no_limits(), &|_| {}).await.unwrap_err();
    assert!(matches!(error, MaintainError::Memory { .. }), "{error}");
}
