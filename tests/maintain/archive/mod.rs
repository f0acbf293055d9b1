//! Archival of the timeline.

mod holds;
mod moving;
mod progress;
mod readers;
mod spark;
mod years;

use std::collections::BTreeMap;
use std::sync::Arc;

use lakebed::environment::Environment;
use lakebed::maintain::archive::{ArchiveReport, ArchiveRules};
use lakebed::maintain::{MaintainError, MaintainOptions, Maintainer};
use lakebed::sink::{Sink, SinkOptions};
use lakebed::storage::Storage;
use lakebed::table::Table;
use lakebed_hudi::history::HistoryColumns;
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::table_config::{NewTable, TableType};
use lakebed_hudi::timeline_file::Action;
use tokio::sync::watch;

use crate::test_table::*;

/// Archives all commits but `min`, if there are more than one more.
pub async fn archive(
    storage: &Arc<dyn Storage>,
    environment: &Environment,
    min: usize,
) -> Result<ArchiveReport, MaintainError> {
    let maintainer = Maintainer::open(storage.clone(), environment, MaintainOptions::default()).await?;
    let rules = ArchiveRules::new(min, min + 1)?;
    maintainer.archive(&rules, &watch::channel(false).1, &|_| {}).await
}

impl TestTable {
    async fn archived(&self, min: usize) -> ArchiveReport {
        archive(&self.storage, &self.environment, min).await.unwrap()
    }

    /// A copy-on-write table with so many commits of pipeline `p1`, each of one row.
    async fn with_commits(count: u64) -> (Self, Sink) {
        let table = Self::create(&copy_on_write()).await;
        let mut sink = table.sink("p1", SinkOptions::default()).await;
        commits(&mut sink, 1..=count).await;
        (table, sink)
    }
}

fn copy_on_write() -> NewTable {
    NewTable { table_type: TableType::CopyOnWrite, ..bucket_table() }
}

async fn commits(sink: &mut Sink, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        write(sink, "a", number as i64).await;
        let outcome = checkpoint(sink, number).await;
        assert!(is_committed(&outcome), "{outcome:?}");
    }
}

/// How often each completed instant is on the active timeline, and in the archive.
pub async fn places(table: &Table) -> BTreeMap<(InstantTime, Action), [usize; 2]> {
    let mut places: BTreeMap<_, [usize; 2]> = BTreeMap::new();
    for instant in table.timeline.load().await.unwrap().completed() {
        places.entry((instant.time, instant.action)).or_default()[0] += 1;
    }
    let first = "00000000000000000".parse().unwrap();
    for entry in table.timeline.archived(first, HistoryColumns::Instants).await.unwrap() {
        places.entry((entry.instant, entry.action)).or_default()[1] += 1;
    }
    places
}
