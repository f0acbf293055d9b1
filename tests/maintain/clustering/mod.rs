//! Clustering.

mod beside;
mod catalogue;
mod crash;
mod faults;
mod result;
mod takeover;

use std::collections::BTreeMap;

use lakebed::maintain::clustering::{ClusteringReport, ClusteringRules};
use lakebed::maintain::{MaintainError, Maintainer};
use lakebed::table::{FileGroup, FileGroupId, FileSlice, WriteOperation};
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::table_config::{NewTable, TableType};
use lakebed_hudi::timeline_metadata::{CommitMetadata, OperationType};

use super::place::{MEMORY_OF_ONE, Place, commit};
use crate::recovery::faults::{Files, files_of};
use crate::recovery::model::{Change, Model};
use crate::test_table::{bucket_table, services};

/// A copy-on-write table with keys, and without buckets.
fn keyed_table() -> NewTable {
    NewTable { table_type: TableType::CopyOnWrite, bucket_index: None, ..bucket_table() }
}

/// So many commits, each of which makes a file in both partitions.
const COMMITS: i64 = 4;
const PARTITIONS: [&str; 2] = ["x", "y"];
const GROUPS: usize = COMMITS as usize * PARTITIONS.len();

/// Rows of a commit: later ones have smaller ordering values, so that sorting changes their order.
fn changes(number: i64) -> Vec<Change> {
    let rows = PARTITIONS.iter().flat_map(|partition| (0..3).map(move |row| (*partition, row)));
    rows.map(|(partition, row)| {
        let (id, ts) = (format!("k{number}-{row}"), 100 - number * 10 - row);
        Change::put(&id, partition, ts, &format!("v{number}"))
    })
    .collect()
}

impl Place {
    /// A table of small files, and its rows.
    async fn small_files(new: &NewTable) -> (Self, Model) {
        let place = Self::new(new).await;
        let (mut sink, mut model) =
            (place.sink_for("before", WriteOperation::Insert).await, Model::default());
        for number in 0..COMMITS {
            commit(&mut sink, &changes(number)).await;
            model.upsert(&changes(number));
        }
        (place, model)
    }

    /// The files of such a table, and its rows.
    async fn small_files_template() -> (Files, Model) {
        let (place, model) = Self::small_files(&keyed_table()).await;
        (files_of(place.disk.as_ref()).await, model)
    }

    /// What readers see of each group.
    async fn slices(&self) -> BTreeMap<FileGroupId, FileSlice> {
        let groups = self.table().await.snapshot(None).await.unwrap().all_file_groups().await.unwrap();
        let latest = |group: FileGroup| Some((group.id.clone(), group.latest()?.clone()));
        groups.into_iter().flat_map(|(_, groups)| groups).filter_map(latest).collect()
    }

    /// What the clusterings said that were completed, oldest first.
    async fn clusterings(&self) -> Vec<CommitMetadata> {
        let (table, mut found) = (self.table().await, Vec::new());
        for instant in table.timeline.load().await.unwrap().completed_writes() {
            let metadata = table.timeline.commit_metadata(instant).await.unwrap();
            if metadata.operation_type == Some(OperationType::Cluster) {
                found.push(metadata);
            }
        }
        found
    }
}

fn everything() -> ClusteringRules {
    ClusteringRules::default()
}

async fn planned(maintainer: &Maintainer) -> InstantTime {
    services::schedule_clustering(maintainer, &everything()).await.unwrap().unwrap()
}

/// A table with a planned clustering, and its rows.
async fn with_plan() -> (Place, InstantTime, Model) {
    let (place, model) = Place::small_files(&keyed_table()).await;
    let instant = planned(&place.maintainer().await).await;
    (place, instant, model)
}

type Ran = Result<ClusteringReport, MaintainError>;

/// Carries a clustering out, group after group.
async fn run(place: &Place, instant: InstantTime) -> Ran {
    let maintainer = place.open_within(MEMORY_OF_ONE).await?;
    maintainer.cluster(instant, &services::no_limits(), &|_| {}).await
}
