//! Clustering, by either side.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use lakebed::commit::{News, Scheduled};
use lakebed::maintain::clustering::{ClusteringEvent, ClusteringRules, plan};
use lakebed::maintain::{MaintainOptions, Maintainer, RunLimits, RunOutcome};
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_file::{Action, TimelineFile};
use lakebed_hudi::timeline_metadata::{
    ClusteringGroup, ClusteringPlan, ClusteringStrategy, RequestedReplaceMetadata,
};
use tokio::sync::watch;

use super::Failed;
use super::ours::Ours;
use super::stage::Stage;
use crate::rows;
use crate::spark::Query;

/// As much memory as one group takes: groups are done one after the other.
const MEMORY_OF_ONE: u64 = 100 << 20;

impl Stage<'_> {
    /// Spark schedules a clustering, as we would.
    pub(super) fn spark_schedules_clustering(&mut self) -> Result<(), Failed> {
        let ours = self.runtime.block_on(self.ours.drafted_clustering())?;
        self.spark_table().sql(&call("schedule"))?;
        let theirs = self.runtime.block_on(self.ours.pending_clustering())?;
        let (ours, theirs) = (groups(ours), groups(theirs));
        if ours != theirs {
            return Err(format!("Spark plans {theirs:#?}, and we {ours:#?}").into());
        }
        Ok(())
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

/// What is said of slices that are rewritten together, by their file ids; Spark orders them by size, and rewrites
/// single ones, too.
fn groups(plan: ClusteringPlan) -> BTreeMap<Vec<String>, (ClusteringGroup, Option<ClusteringStrategy>)> {
    let strategy = plan.strategy;
    let sorted = plan.input_groups.into_iter().map(|mut group| {
        group.slices.sort_by(|a, b| a.file_id.cmp(&b.file_id));
        let ids: Vec<String> = group.slices.iter().map(|slice| slice.file_id.to_string()).collect();
        (ids, (group, strategy.clone()))
    });
    sorted.filter(|(ids, _)| ids.len() > 1).collect()
}

fn call(operation: &str) -> String {
    format!("call run_clustering(path => '{{path}}', op => '{operation}', order => 'id')")
}

fn rules() -> ClusteringRules {
    ClusteringRules { sort_columns: vec!["id".to_owned()], ..ClusteringRules::default() }
}

impl Ours {
    /// The plan that we would put on the timeline.
    async fn drafted_clustering(&self) -> Result<ClusteringPlan, Failed> {
        let maintainer = self.maintainer().await?;
        let draft = plan(&maintainer.survey_for_clustering().await?, &rules());
        let requested = draft.settled(&News::default(), maintainer.table().storage.uri())?;
        Ok(requested.and_then(|requested| requested.clustering_plan).ok_or("there is nothing to cluster")?)
    }

    /// The plan that is on the timeline.
    async fn pending_clustering(&self) -> Result<ClusteringPlan, Failed> {
        let table = self.table().await?;
        let timeline = table.timeline.load().await?;
        let pending = timeline.pending().find(|instant| instant.requested_as == Action::Clustering);
        let pending = pending.ok_or("no clustering was scheduled")?;
        let bytes = table.timeline.read(&TimelineFile::requested(pending.time, Action::Clustering)).await?;
        let requested = RequestedReplaceMetadata::from_avro(&bytes)?;
        Ok(requested.clustering_plan.ok_or("the clustering has no plan")?)
    }

    /// Puts a clustering on the timeline.
    pub async fn schedule_clustering(&self) -> Result<InstantTime, Failed> {
        let maintainer = self.maintainer().await?;
        let survey = maintainer.survey_for_clustering().await?;
        match maintainer.schedule_clustering(&survey, &plan(&survey, &rules())).await? {
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

    /// Schedules a clustering of several groups, and stops when one of them is done.
    pub async fn cluster_some(&self) -> Result<(), Failed> {
        let instant = self.schedule_clustering().await?;
        let (stop, stopped) = watch::channel(false);
        let limits = RunLimits { stop: stopped, deadline: None };
        let options = MaintainOptions { memory_bytes: MEMORY_OF_ONE, ..MaintainOptions::default() };
        let maintainer = Maintainer::open(self.storage().await?, &self.environment, options).await?;
        let tell = |event| {
            if matches!(event, ClusteringEvent::Finished { .. }) {
                stop.send_replace(true);
            }
        };
        let report = maintainer.cluster(instant, &limits, &tell).await?;
        if report.outcome != RunOutcome::Stopped || report.finished == 0 {
            return Err(format!("it was not stopped when some of it was done: {report:?}").into());
        }
        Ok(())
    }
}
