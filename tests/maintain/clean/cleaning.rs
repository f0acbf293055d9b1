//! Tables after a clean: what is left of them, and what it took.

use std::collections::BTreeSet;
use std::sync::Arc;

use lakebed::maintain::clean::{CleanPolicy, CleanRules, NothingDue, Scope};
use lakebed::maintain::{MaintainOptions, Maintainer};
use lakebed::sink::{Sink, SinkOptions};
use lakebed::storage::fault::FaultStorage;
use lakebed::storage::{Operation, Storage};
use lakebed::table::{PastError, TableError, WriteOperation};
use lakebed_hudi::table_config::{NewTable, TableType};
use lakebed_hudi::timeline_file::Action;

use super::*;

fn copy_on_write() -> NewTable {
    NewTable { table_type: TableType::CopyOnWrite, ..bucket_table() }
}

async fn put(sink: &mut Sink, number: u64, written: &[Row<'_>]) {
    sink.write(&rows(written), None).await.unwrap();
    assert!(is_committed(&checkpoint(sink, number).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_commits_that_stay_read_is_left_and_all_else_goes() {
    for table_type in [TableType::CopyOnWrite, TableType::MergeOnRead] {
        let table = TestTable::create(&NewTable { table_type, ..bucket_table() }).await;
        let mut sink = table.sink("p", SinkOptions::default()).await;
        put(&mut sink, 1, &[("stays", "y", 1, None)]).await;
        for number in 2..=8 {
            put(&mut sink, number, &[("k", "x", number as i64, None)]).await;
            if table_type == TableType::MergeOnRead && number % 2 == 0 {
                services::compact(&table.snapshot().await.table).await;
            }
        }
        let before = table.snapshot().await;
        let instants: Vec<_> = before.timeline.completed_writes().map(|instant| instant.time).collect();
        let mut was = Vec::new();
        for instant in &instants {
            was.push(texts_of(&before.table.snapshot(Some(*instant)).await.unwrap()).await);
        }
        let files = table.data_files().len();

        let maintainer = table.maintainer().await;
        let report = clean(&maintainer, commits(3)).await.unwrap().unwrap();
        assert!(is_done(&report) && report.deleted > 0 && report.freed_bytes > 0, "{report:?}");
        assert_eq!(table.data_files().len(), files - report.deleted);
        let earliest = instants[instants.len() - 3];
        assert_eq!(report.earliest, Some(earliest));
        for (instant, was) in instants.iter().zip(was) {
            match before.table.snapshot(Some(*instant)).await {
                Ok(snapshot) => assert_eq!(texts_of(&snapshot).await, was, "as of {instant}"),
                Err(TableError::Past(PastError::Cleaned { kept, .. })) => assert_eq!(kept, earliest),
                Err(other) => panic!("{other}"),
            }
        }
        assert!(before.table.snapshot(Some(earliest)).await.is_ok());
        assert_eq!(table.texts().await, ["k x 8 -", "stays y 1 -"]);
        assert!(clean(&maintainer, commits(3)).await.unwrap().is_none(), "nothing is left to do");
        let left = table.storage.list(&".hoodie/.heartbeat".parse().unwrap()).await.unwrap();
        assert!(left.files.is_empty(), "{left:?}");
        // The writer goes on, and so does the cleaner.
        put(&mut sink, 9, &[("k", "x", 9, None)]).await;
        if table_type == TableType::CopyOnWrite {
            assert_eq!(clean(&maintainer, commits(3)).await.unwrap().unwrap().deleted, 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_first_clean_only_partitions_that_were_written_to_are_looked_at() {
    let table = TestTable::create(&copy_on_write()).await;
    let mut sink = table.sink("p", SinkOptions::default()).await;
    for number in 1..=4 {
        put(&mut sink, number, &[("a", "x", number as i64, None), ("b", "y", number as i64, None)]).await;
    }
    put(&mut sink, 5, &[("c", "z", 5, None)]).await;
    let counting = FaultStorage::new(table.storage.clone());
    let storage: Arc<dyn Storage> = Arc::new(counting.clone());
    let maintainer = maintainer(&storage, &table.environment).await;
    let listed = async |rules| {
        let from = counting.operations().len();
        let survey = maintainer.survey_for_clean(rules).await.unwrap();
        let listed = counting.operations().into_iter().skip(from).filter(|o| o.operation == Operation::List);
        let folders: BTreeSet<String> = listed.map(|o| o.path.to_string()).collect();
        (survey.scope, folders.into_iter().filter(|path| path.starts_with("p=")).collect::<Vec<_>>())
    };
    assert_eq!(listed(commits(2)).await, (Scope::All, ["p=x", "p=y", "p=z"].map(str::to_owned).to_vec()));
    let first = clean(&maintainer, commits(2)).await.unwrap().unwrap();
    let since = Scope::Since(first.earliest.unwrap());
    assert_eq!(listed(commits(2)).await, (since, vec![]));
    // New groups make nothing superfluous, and what is superfluous is only so once it is behind the horizon.
    put(&mut sink, 6, &[("a", "x", 6, None), ("d", "w", 6, None)]).await;
    for number in 7..=8 {
        put(&mut sink, number, &[("c", "z", number as i64, None)]).await;
    }
    assert_eq!(listed(commits(2)).await, (since, ["p=x", "p=y"].map(str::to_owned).to_vec()));
    let second = clean(&maintainer, commits(2)).await.unwrap().unwrap();
    assert_eq!((first.deleted, second.deleted), (4, 3));
    assert_eq!(listed(versions(1)).await.0, Scope::All);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_without_files_spares_the_next_one_a_look_at_everything() {
    let table = TestTable::create(&append_table()).await;
    let options = || SinkOptions { operation: WriteOperation::Insert, ..SinkOptions::default() };
    let mut sink = table.sink("p", options()).await;
    for number in 1..=4 {
        put(&mut sink, number, &[("a", "x", number as i64, None)]).await;
    }
    let maintainer = table.maintainer().await;
    let report = clean(&maintainer, commits(2)).await.unwrap().unwrap();
    assert!(is_done(&report), "{report:?}");
    assert_eq!((report.files, table.texts().await.len()), (0, 4));
    put(&mut sink, 5, &[("a", "x", 5, None)]).await;
    let survey = maintainer.survey_for_clean(commits(2)).await.unwrap();
    assert!(survey.partitions.is_empty(), "{survey:?}");
    assert!(clean(&maintainer, commits(2)).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn replaced_partitions_go_with_their_folders() {
    let table = TestTable::create(&bucket_table()).await;
    let mut sink = table.sink("p", SinkOptions::default()).await;
    put(&mut sink, 1, &[("a", "x", 1, None), ("b", "y", 1, None)]).await;
    let options = SinkOptions { operation: WriteOperation::InsertOverwriteTable, ..SinkOptions::default() };
    let mut sink = table.sink("p", options).await;
    put(&mut sink, 2, &[("c", "y", 1, None)]).await;
    let maintainer = table.maintainer().await;
    // A reader that has begun before it needs all of it.
    let hour = CleanRules { reader_window: Duration::from_secs(3600), ..versions(1) };
    assert!(clean(&maintainer, hour).await.unwrap().is_none());

    // So does a writer rely on the folder that it has seen.
    let options =
        || SinkOptions { operation: WriteOperation::InsertOverwriteTable, ..SinkOptions::default() };
    let mut writing = table.sink("q", options()).await;
    writing.write(&rows(&[("d", "x", 1, None)]), None).await.unwrap();
    let prepared = writing.prepare(progress(1)).await.unwrap().unwrap();
    let report = clean(&maintainer, rules(CleanPolicy::KeepLatestFileVersions(1))).await.unwrap().unwrap();
    assert_eq!((report.deleted, report.partitions.len()), (2, 0), "{report:?}");
    assert!(is_committed(&writing.committer().commit(&prepared).await.unwrap()));
    assert_eq!(table.texts().await, ["d x 1 -"]);

    let report = clean(&maintainer, versions(1)).await.unwrap().unwrap();
    assert_eq!((report.deleted, report.partitions), (1, ["p=y".to_owned()].into()));
    assert!(!Path::new(&table.path("t/p=y")).exists());
    let now = table.snapshot().await;
    let cleans: Vec<_> = now.timeline.completed().filter(|i| i.action == Action::Clean).collect();
    let metadata = now.table.timeline.clean_metadata(cleans.last().unwrap()).await.unwrap();
    assert!(metadata.partition_metadata["p=y"].is_partition_deleted);
    // Who writes to it again makes it anew.
    put(&mut table.sink("r", SinkOptions::default()).await, 1, &[("e", "y", 1, None)]).await;
    assert_eq!(table.texts().await, ["d x 1 -", "e y 1 -"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_writes_that_are_not_completed_are_none_of_a_cleaners() {
    let table = TestTable::create(&copy_on_write()).await;
    let mut sink = table.sink("p", SinkOptions::default()).await;
    for number in 1..=3 {
        put(&mut sink, number, &[("k", "x", number as i64, None)]).await;
    }
    write(&mut sink, "k", 4).await;
    let prepared = sink.prepare(progress(4)).await.unwrap().unwrap();
    let maintainer = table.maintainer().await;
    for rules in [commits(1), versions(1)] {
        let _ = clean(&maintainer, rules).await.unwrap();
        for file in &prepared.staged.files {
            assert!(table.storage.stat(&file.path).await.is_ok(), "{rules:?}");
        }
    }
    assert!(is_committed(&sink.committer().commit(&prepared).await.unwrap()));
    assert_eq!(table.texts().await, ["k x 4 -"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_stopped_is_gone_on_with() {
    let table = TestTable::create(&copy_on_write()).await;
    let mut sink = table.sink("p", SinkOptions::default()).await;
    for number in 1..=9 {
        put(&mut sink, number, &[("k", "x", number as i64, None)]).await;
    }
    let maintainer = table.maintainer().await;
    let instant = schedule(&maintainer, versions(1)).await.unwrap().unwrap();
    let nothing = maintainer.survey_for_clean(versions(1)).await.unwrap().horizon.unwrap_err();
    assert_eq!(nothing, NothingDue::Planned { clean: instant });
    let (stop, stopped) = watch::channel(true);
    let limits = RunLimits { stop: stopped, deadline: None };
    let report = maintainer.clean(instant, &limits, &|_| {}).await.unwrap();
    assert_eq!((report.outcome, report.files, report.deleted), (RunOutcome::Stopped, 8, 0));
    stop.send(false).unwrap();
    let report = maintainer.clean(instant, &limits, &|_| {}).await.unwrap();
    assert!(is_done(&report) && report.deleted == 8, "{report:?}");
    let report = maintainer.clean(instant, &limits, &|_| {}).await.unwrap();
    assert_eq!(report.outcome, RunOutcome::Over);
}

#[tokio::test]
async fn tables_that_are_not_maintained_are_refused() {
    let folder = crate::fixtures::unpack("metadata_table");
    let environment = Environment::real();
    let uri = folder.path().display().to_string().parse().unwrap();
    let storage = lakebed::storage::open(&uri, &environment).await.unwrap();
    let refused = Maintainer::open(storage, &environment, MaintainOptions::default()).await.unwrap_err();
    assert!(
        matches!(&refused, MaintainError::Refused(refusal) if refusal.feature.contains("metadata table"))
    );
}
