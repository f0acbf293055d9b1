//! Reads of the past: as Spark answers them, or refused where it refuses them.

use std::collections::BTreeSet;
use std::path::Path;

use futures::TryStreamExt as _;
use lakebed::environment::Environment;
use lakebed::maintain::clean::CleanPolicy;
use lakebed::read::{ReadError, Scan, ScanOptions, parse_as_of};
use lakebed::sink::SinkOptions;
use lakebed::storage;
use lakebed::table::{PastError, Table, TableError};
use lakebed_hudi::table_config::{NewTable, TableType};
use lakebed_hudi::timeline_file::Action;

use crate::fixtures::unpack;
use crate::test_table::*;

/// The columns `id` and `v` of all rows, sorted.
async fn rows(folder: &Path, as_of: &str) -> Result<Vec<String>, ReadError> {
    let environment = Environment::real();
    let storage = storage::open(&folder.display().to_string().parse().unwrap(), &environment).await?;
    let table = Table::open(storage, &environment, None).await?;
    let snapshot = table.snapshot(Some(parse_as_of(as_of, None).unwrap())).await?;
    let columns = Some(vec!["id".to_owned(), "v".to_owned()]);
    let scan = Scan::plan(&snapshot, ScanOptions { columns, ..ScanOptions::default() }).await?;
    let mut rows = Vec::new();
    for batch in scan.stream().try_collect::<Vec<_>>().await? {
        let text = |column: usize, row| {
            arrow::util::display::array_value_to_string(batch.column(column), row).unwrap()
        };
        rows.extend((0..batch.num_rows()).map(|row| format!("{} {}", text(0, row), text(1, row))));
    }
    rows.sort();
    Ok(rows)
}

/// Whether the past is refused for that.
fn is_refused(found: &Result<Vec<String>, ReadError>, why: impl Fn(&PastError) -> bool) -> bool {
    matches!(found, Err(ReadError::Table(TableError::Past(past))) if why(past))
}

/// The completed and pending writes of a table, in order.
fn instants(folder: &Path) -> BTreeSet<String> {
    let names = std::fs::read_dir(folder.join(".hoodie/timeline")).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.contains("commit")).map(|name| name[..17].to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_past_is_read_before_the_active_timeline_too() {
    for (fixture, as_of, k0) in [
        ("archived_cow", "20261124165447222", "k0 v0"),
        ("archived_cow", "20261124165447706", "k0 at 20"),
        ("archived_cow", "20261124165450704", "k0 at 25"),
        ("archived_mor", "20261124165452664", "k0 v0"),
        ("archived_mor", "20261124165453207", "k0 newer"),
        ("archived_mor", "20261124165456876", "k0 at 24"),
    ] {
        let folder = unpack(fixture);
        assert_eq!(rows(folder.path(), as_of).await.unwrap(), [k0, "k1 v1", "k2 v2", "k3 v3"], "{as_of}");
    }
    let folder = unpack("archived_cow");
    assert_eq!(rows(folder.path(), "2020-01-01").await.unwrap(), [""; 0], "before the table was there");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_clean_may_have_deleted_is_refused() {
    let folder = unpack("cleaned_cow");
    let instants: Vec<String> = instants(folder.path()).into_iter().collect();
    let is_refused_as_of = async |as_of: &str| {
        let is_kept = |past: &PastError| matches!(past, PastError::Cleaned { kept, .. } if kept.as_str() == instants[3]);
        is_refused(&rows(folder.path(), as_of).await, is_kept)
    };
    for as_of in &instants[..3] {
        assert!(is_refused_as_of(as_of).await, "{as_of}");
    }
    assert_eq!(rows(folder.path(), &instants[3]).await.unwrap()[0], "k0 at 40");
    // Nothing that a savepoint keeps is cleaned.
    let savepoint = format!(".hoodie/timeline/{0}_{0}.savepoint", instants[2]);
    std::fs::write(folder.path().join(savepoint), "").unwrap();
    assert_eq!(rows(folder.path(), &instants[2]).await.unwrap(), ["k0 at 30", "k1 v1", "k2 v2", "k3 v3"]);
    assert!(is_refused_as_of(&instants[1]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_still_change_is_refused() {
    for fixture in ["failed_write_cow", "failed_write_mor"] {
        let folder = unpack(fixture);
        let pending = instants(folder.path()).pop_last().unwrap();
        let before: u64 = pending.parse::<u64>().unwrap() - 1;
        assert_eq!(rows(folder.path(), &before.to_string()).await.unwrap().len(), 4, "{fixture}");
        for as_of in [pending.as_str(), "2999-01-01"] {
            let is_pending = |past: &PastError| matches!(past, PastError::Pending { instant, .. } if instant.as_str() == pending);
            assert!(is_refused(&rows(folder.path(), as_of).await, is_pending), "{fixture} {as_of}");
        }
    }
    for fixture in ["compaction_pending", "compaction_crashed", "clustering_pending", "clustering_crashed"] {
        rows(unpack(fixture).path(), "2999-01-01").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pending_clustering_of_version_6_is_told_by_its_plan() {
    let folder = unpack("v6_clustering");
    let timeline = folder.path().join(".hoodie");
    // As it was while the clustering was under way.
    let (clustering, later) = ("20261124165336363", "20261124165337601");
    for name in [format!("{clustering}.replacecommit"), format!("{later}.commit")] {
        std::fs::remove_file(timeline.join(name)).unwrap();
    }
    std::fs::remove_file(timeline.join(format!("{later}.inflight"))).unwrap();
    std::fs::remove_file(timeline.join(format!("{later}.commit.requested"))).unwrap();
    for as_of in [clustering, "2999-01-01"] {
        assert_eq!(rows(folder.path(), as_of).await.unwrap(), ["k0 newer", "k1 v1", "k2 v2", "k3 v3"]);
    }
    // Without one it is a write.
    std::fs::write(timeline.join(format!("{clustering}.replacecommit.requested")), "").unwrap();
    let is_pending = |past: &PastError| matches!(past, PastError::Pending { instant, .. } if instant.as_str() == clustering);
    assert!(is_refused(&rows(folder.path(), clustering).await, is_pending));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_that_was_archived_is_not_forgotten() {
    let new = NewTable { table_type: TableType::CopyOnWrite, ..bucket_table() };
    let table = TestTable::create(&new).await;
    let mut sink = table.sink("p", SinkOptions::default()).await;
    for number in 1..=5 {
        write(&mut sink, "k", number).await;
        assert!(is_committed(&checkpoint(&mut sink, number as u64).await));
        if number == 3 {
            services::clean_to_latest(&table.snapshot().await.table).await;
        }
    }
    let snapshot = table.snapshot().await;
    let instants: Vec<_> = snapshot.timeline.completed_writes().map(|instant| instant.time).collect();
    table.archive(2).await;
    let table = snapshot.table;
    assert_eq!(texts_of(&table.snapshot(Some(instants[3])).await.unwrap()).await, ["k x 4 -"]);
    for as_of in &instants[..3] {
        let refused = table.snapshot(Some(*as_of)).await.unwrap_err();
        let is_cleaned =
            matches!(&refused, TableError::Past(PastError::Cleaned { kept, .. }) if *kept == instants[3]);
        assert!(is_cleaned, "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_a_clean_deleted_is_named() {
    for table_type in [TableType::CopyOnWrite, TableType::MergeOnRead] {
        let table = TestTable::create(&NewTable { table_type, ..bucket_table() }).await;
        let mut sink = table.sink("p", SinkOptions::default()).await;
        // Groups that stay as they are, and one of which the clean leaves the newest version.
        for (number, partition) in [(1, "w"), (2, "y")] {
            let row = ("stays", partition, 1, None);
            sink.write(&crate::test_table::rows(&[row]), None).await.unwrap();
            assert!(is_committed(&checkpoint(&mut sink, number).await));
        }
        for number in 3..=7 {
            write(&mut sink, "k", number).await;
            assert!(is_committed(&checkpoint(&mut sink, number as u64).await));
            let now = table.snapshot().await.table;
            match number {
                5 if table_type == TableType::MergeOnRead => services::compact(&now).await,
                6 => services::clean_to_latest(&now).await,
                _ => {}
            }
        }
        let snapshot = table.snapshot().await;
        let writes = snapshot.timeline.completed_writes().filter(|i| i.requested_as != Action::Compaction);
        let written: Vec<_> = writes.map(|instant| instant.time).collect();
        let clean = snapshot.timeline.completed().find(|i| i.action == Action::Clean).unwrap().time;
        let table = snapshot.table;
        // A later clean by another policy says nothing of what this one deleted.
        let all_but_one = snapshot.timeline.completed_writes().count() - 1;
        let later = services::clean(&table, CleanPolicy::KeepLatestCommits(all_but_one)).await.unwrap();
        assert_eq!((later.earliest, later.files), (Some(written[1]), 0));
        // The group had no file by then.
        let stays = ["stays w 1 -", "stays y 1 -"];
        assert_eq!(texts_of(&table.snapshot(Some(written[1])).await.unwrap()).await, stays);
        for as_of in &written[2..5] {
            let refused = table.snapshot(Some(*as_of)).await.unwrap_err();
            let told = refused.to_string();
            assert!(matches!(refused, TableError::Past(PastError::CleanedFile { .. })), "{told}");
            assert!(told.contains(&format!("read it as of {clean} or later")), "{told}");
        }
        for (as_of, k) in [(written[5], 6), (clean, 6), (written[6], 7)] {
            let texts = texts_of(&table.snapshot(Some(as_of)).await.unwrap()).await;
            assert_eq!(texts, [format!("k x {k} -").as_str(), stays[0], stays[1]], "{as_of}");
        }
    }
}
