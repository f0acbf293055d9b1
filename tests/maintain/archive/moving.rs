//! Instants that go from the active timeline to the archive.

use std::collections::BTreeMap;

use bytes::Bytes;
use lakebed::commit::Outcome;
use lakebed::sink::SinkOptions;
use lakebed::table::Table;
use lakebed_hudi::history::{HistoryColumns, HistoryManifest};
use lakebed_hudi::timeline_file::{Action, TimelineFile};

use super::*;
use crate::test_table::services;

#[tokio::test]
async fn what_is_too_much_goes_and_the_rows_stay() {
    let (table, mut sink) = TestTable::with_commits(6).await;
    let before = places(&table.snapshot().await.table).await;
    let report = table.archived(2).await;
    let ordered: Vec<_> = before.keys().map(|(time, _)| *time).collect();
    assert_eq!((report.instants, report.commits, report.left, report.hold), (4, 4, 2, None));
    assert_eq!(report.range, Some((ordered[0], ordered[3])));
    let after = places(&table.snapshot().await.table).await;
    assert_eq!(after.keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
    assert_eq!(
        after.values().collect::<Vec<_>>(),
        [[0, 1]; 4].iter().chain(&[[1, 0]; 2]).collect::<Vec<_>>()
    );
    assert_eq!(table.texts().await, ["a x 6 -"]);
    // Of what went no file is left, be it requested or inflight.
    assert_eq!(table.files_named(ordered[0].as_str()).iter().filter(|n| n.contains("commit")).count(), 0);

    assert_eq!(table.archived(2).await.instants, 0);
    commits(&mut sink, 7..=9).await;
    assert_eq!(table.archived(2).await.instants, 3);
    assert_eq!(table.texts().await, ["a x 9 -"]);
}

/// The bytes of all files of the timeline.
async fn bytes_of(table: &Table) -> BTreeMap<TimelineFile, Bytes> {
    let mut bytes = BTreeMap::new();
    for file in table.storage.list(&".hoodie/timeline".parse().unwrap()).await.unwrap().files {
        let Ok(Some(parsed)) = TimelineFile::parse(file.path.file_name(), table.config.version.layout())
        else {
            continue;
        };
        bytes.insert(parsed, table.timeline.read(&parsed).await.unwrap());
    }
    bytes
}

#[tokio::test]
async fn entries_are_the_bytes_that_hudi_keeps() {
    let table = TestTable::create(&bucket_table()).await;
    let mut sink = table.sink("p1", SinkOptions::default()).await;
    commits(&mut sink, 1..=2).await;
    services::compact(&table.snapshot().await.table).await;
    let overwrite =
        SinkOptions { operation: lakebed::table::WriteOperation::InsertOverwrite, ..SinkOptions::default() };
    commits(&mut table.sink("p1", overwrite).await, 3..=3).await;
    commits(&mut table.sink("p1", SinkOptions::default()).await, 4..=5).await;
    services::compact(&table.snapshot().await.table).await;
    services::clean_to_latest(&table.snapshot().await.table).await;
    commits(&mut table.sink("p1", SinkOptions::default()).await, 6..=12).await;
    let before = bytes_of(&table.snapshot().await.table).await;
    let report = table.archived(2).await;

    let first = "00000000000000000".parse().unwrap();
    let timeline = table.snapshot().await.table.timeline;
    let entries = timeline.archived(first, HistoryColumns::All).await.unwrap();
    assert_eq!(entries.len(), report.instants);
    let mut seen = BTreeMap::new();
    for entry in entries {
        let completed = TimelineFile::completed(entry.instant, entry.action, entry.completion);
        assert_eq!(entry.metadata.as_ref(), before.get(&completed), "{completed:?}");
        let of = |action, state: fn(_, _) -> TimelineFile| before.get(&state(entry.instant, action));
        let compaction = of(Action::Compaction, TimelineFile::requested);
        let plan = match entry.action {
            Action::Commit => compaction,
            Action::Clean => of(Action::Clean, TimelineFile::requested),
            // What an overwrite is about to do, where that is told.
            Action::ReplaceCommit => of(Action::ReplaceCommit, TimelineFile::inflight),
            _ => None,
        };
        assert_eq!(entry.plan.as_ref(), plan, "{completed:?}");
        *seen.entry(entry.action).or_insert(0) += 1;
    }
    let want =
        [(Action::Commit, 2), (Action::DeltaCommit, 6), (Action::ReplaceCommit, 1), (Action::Clean, 1)];
    assert_eq!(seen, BTreeMap::from(want));
}

#[tokio::test]
async fn files_of_the_archive_are_merged_and_old_snapshots_go() {
    let (table, mut sink) = TestTable::with_commits(1).await;
    let mut merged = 0;
    for number in 2..=45 {
        commits(&mut sink, number..=number).await;
        merged += table.archived(1).await.merged;
    }
    // Two commits go each time: 22 files of the lowest level.
    assert_eq!(merged, 2);
    let history = table.storage.list(&".hoodie/timeline/history".parse().unwrap()).await.unwrap().files;
    let names: Vec<&str> = history.iter().map(|file| file.path.file_name()).collect();
    let manifests: Vec<&&str> = names.iter().filter(|name| name.starts_with("manifest_")).collect();
    assert_eq!(manifests, [&"manifest_22", &"manifest_23", &"manifest_24"]);
    let count = |level| names.iter().filter(|name| name.ends_with(&format!("_{level}.parquet"))).count();
    assert_eq!((count(0), count(1), names.len()), (2, 2, 8), "{names:?}");
    let newest = table.storage.get(&".hoodie/timeline/history/manifest_24".parse().unwrap(), 1 << 20).await;
    let manifest = HistoryManifest::from_json(&newest.unwrap().bytes).unwrap();
    for file in &manifest.files {
        let path = format!(".hoodie/timeline/history/{}", file.file_name).parse().unwrap();
        assert_eq!(table.storage.stat(&path).await.unwrap().size, file.file_len);
    }
    let places = places(&table.snapshot().await.table).await;
    assert_eq!(places.len(), 45);
    assert!(places.values().all(|[active, archived]| active + archived == 1), "{places:?}");
}

#[tokio::test]
async fn archivals_at_the_same_time_enter_everything_once() {
    let (table, mut sink) = TestTable::with_commits(250).await;
    let archivals = (0..4).map(|_| {
        let (storage, environment) = (table.storage.clone(), table.environment.clone());
        tokio::spawn(async move { archive(&storage, &environment, 2).await.unwrap().instants })
    });
    let writing = commits(&mut sink, 251..=270);
    let (archived, ()) = tokio::join!(futures::future::join_all(archivals), writing);
    let archived: usize = archived.into_iter().map(Result::unwrap).sum();
    let places = places(&table.snapshot().await.table).await;
    assert_eq!(places.len(), 270);
    assert!(places.values().all(|[active, archived]| active + archived == 1), "{places:?}");
    assert_eq!(places.values().filter(|[_, archived]| *archived == 1).count(), archived);
    assert!(archived >= 240, "{archived}");
    assert_eq!(table.texts().await, ["a x 270 -"]);
}

#[tokio::test]
async fn between_the_steps_of_a_checkpoint_all_but_what_it_needs_goes() {
    let (table, mut sink) = TestTable::with_commits(5).await;
    write(&mut sink, "a", 6).await;
    // The one before the write that is begun stays with it.
    assert_eq!(table.archived(1).await.left, 1);
    let first = sink.prepare(progress(6)).await.unwrap().unwrap();
    write(&mut sink, "b", 7).await;
    let second = sink.prepare(progress(7)).await.unwrap().unwrap();
    assert_eq!(table.archived(1).await.instants, 0);
    assert!(is_committed(&sink.committer().commit(&first).await.unwrap()));
    assert_eq!(table.archived(1).await.instants, 0, "two are no more than may be there");
    assert!(is_committed(&sink.committer().commit(&second).await.unwrap()));
    commits(&mut sink, 8..=8).await;
    assert_eq!(table.archived(1).await.instants, 3);
    // Who tries again what is archived learns that it is done.
    for prepared in [&first, &second] {
        let again = sink.committer().commit(prepared).await.unwrap();
        assert_eq!(again, Outcome::AlreadyCommitted { instant: Some(prepared.task.instant) });
    }
    commits(&mut sink, 9..=9).await;
    assert_eq!(table.texts().await, ["a x 9 -", "b x 7 -"]);
}

#[tokio::test]
async fn a_run_that_is_stopped_is_gone_on_with() {
    let (table, _) = TestTable::with_commits(210).await;
    let options = MaintainOptions::default();
    let maintainer = Maintainer::open(table.storage.clone(), &table.environment, options).await.unwrap();
    let (stop, stopped) = watch::channel(false);
    let gone = std::sync::atomic::AtomicUsize::new(0);
    let tell = |event| {
        if let lakebed::maintain::archive::ArchiveEvent::Gone { instants } = event {
            gone.fetch_add(instants, std::sync::atomic::Ordering::Relaxed);
            stop.send(true).unwrap();
        }
    };
    let rules = ArchiveRules::new(2, 3).unwrap();
    let report = maintainer.archive(&rules, &stopped, &tell).await.unwrap();
    assert_eq!((report.instants, report.left, report.was_stopped), (100, 110, true));
    assert_eq!(gone.into_inner(), 100, "the batch that was begun");
    assert_eq!(table.archived(2).await.instants, 108);
    assert!(places(&table.snapshot().await.table).await.values().all(|[a, b]| a + b == 1));
}
