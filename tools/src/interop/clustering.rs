//! Clustering, by either side.

use arrow::array::RecordBatch;
use lakebed::commit::Scheduled;
use lakebed::maintain::clustering::{ClusteringRules, plan};
use lakebed::maintain::{RunLimits, RunOutcome};
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_file::Action;
use tokio::sync::watch;

use super::Failed;
use super::ours::Ours;
use super::stage::Stage;
use crate::rows;
use crate::spark::Query;

impl Stage<'_> {
    /// Spark schedules a clustering.
    pub(super) fn spark_schedules_clustering(&mut self) -> Result<(), Failed> {
        self.spark_table().sql(&call("schedule"))?;
        match self.is_clustering_pending()? {
            true => Ok(()),
            false => Err("no clustering was scheduled".into()),
        }
    }

    /// Spark runs the pending clusterings, scheduling one if there is none.
    pub(super) fn spark_clusters(&mut self) -> Result<(), Failed> {
        let operation = if self.is_clustering_pending()? { "execute" } else { "scheduleAndExecute" };
        self.spark_table().some_rows(&call(operation))?;
        match self.is_clustering_pending()? {
            true => Err("the clustering is still pending".into()),
            false => Ok(()),
        }
    }

    fn is_clustering_pending(&self) -> Result<bool, Failed> {
        Ok(self.timeline()?.pending().any(|instant| instant.requested_as == Action::Clustering))
    }

    /// We cluster, and Spark sees what it saw as of the commit before.
    pub(super) fn cluster(&mut self) -> Result<(), Failed> {
        let newest = self.timeline()?.completed_writes().next_back().map(|instant| instant.time);
        let query = Query::AsOf(newest.ok_or("there is no commit")?.to_string());
        let before = without_file_names(self.spark_table().read(&query)?)?;
        self.runtime.block_on(self.ours.cluster())?;
        let after = without_file_names(self.spark_table().read(&query)?)?;
        match rows::difference(&[before], &[after])? {
            Some(difference) => Err(format!("Spark reads {query:?} otherwise: {difference}").into()),
            None => Ok(()),
        }
    }
}

/// Of a clustering that was planned before the newest commit, that commit has the rows where they are now.
fn without_file_names(mut rows: RecordBatch) -> Result<RecordBatch, Failed> {
    rows.remove_column(rows.schema().index_of("_hoodie_file_name")?);
    Ok(rows)
}

fn call(operation: &str) -> String {
    format!("call run_clustering(path => '{{path}}', op => '{operation}', order => 'id')")
}

impl Ours {
    /// Puts a clustering on the timeline.
    pub async fn schedule_clustering(&self) -> Result<InstantTime, Failed> {
        let maintainer = self.maintainer().await?;
        let rules = ClusteringRules { sort_columns: vec!["id".to_owned()], ..ClusteringRules::default() };
        let survey = maintainer.survey_for_clustering().await?;
        match maintainer.schedule_clustering(&survey, &plan(&survey, &rules)).await? {
            Scheduled::At(instant) => Ok(instant),
            other => Err(format!("no clustering was scheduled: {other:?}").into()),
        }
    }

    /// Runs the pending clusterings, scheduling one if there is none. After it nothing is left to cluster.
    pub async fn cluster(&self) -> Result<(), Failed> {
        let maintainer = self.maintainer().await?;
        let timeline = maintainer.table().timeline.load().await?;
        let pending = timeline.pending().filter(|i| i.requested_as == Action::Clustering);
        let mut instants: Vec<InstantTime> = pending.map(|i| i.time).collect();
        if instants.is_empty() {
            instants.push(self.schedule_clustering().await?);
        }
        for instant in instants {
            let limits = RunLimits { stop: watch::channel(false).1, deadline: None };
            let report = maintainer.cluster(instant, &limits, &|_| {}).await?;
            if !matches!(report.outcome, RunOutcome::Committed { .. }) || !report.left_out.is_empty() {
                return Err(format!("not clustered: {report:?}").into());
            }
        }
        Ok(())
    }
}
