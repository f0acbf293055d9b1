//! A clustering goes on after whatever stopped it.

use lakebed::maintain::RunOutcome;

use super::*;
use crate::maintain::matrix::{Crashing, Disk, Template};
use crate::recovery::faults::{ALL_KINDS, ON_DISK};

/// Clusterings of a table of small files, group after group.
struct Clustering;

impl Crashing for Clustering {
    async fn run(process: Place) -> Result<Vec<RunOutcome>, MaintainError> {
        let reports = services::cluster(&process.open_within(MEMORY_OF_ONE).await?, &everything()).await?;
        Ok(reports.into_iter().map(|report| report.outcome).collect())
    }

    async fn go_on(place: Place) -> Result<Vec<String>, MaintainError> {
        let later = place.later(8);
        Self::run(later.clone()).await?;
        let slices = later.slices().await;
        let is_one_each = slices.len() == PARTITIONS.len();
        let problem = (!is_one_each).then(|| format!("{} file groups are left: {slices:?}", slices.len()));
        Ok(problem.into_iter().collect())
    }
}

async fn template() -> Template {
    Template::of(Place::small_files_template().await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clustering_goes_on_after_any_operation_failed_or_stopped_it() {
    template().await.matrix::<Clustering>(Disk::Memory, &ALL_KINDS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clustering_on_local_disk_goes_on_after_a_stop_at_any_operation() {
    template().await.matrix::<Clustering>(Disk::Local, &ON_DISK).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clustering_goes_on_after_death_upon_death() {
    template().await.death_upon_death::<Clustering>().await;
}
