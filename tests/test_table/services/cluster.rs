use lakebed::commit::Scheduled;
use lakebed::maintain::clustering::{ClusteringReport, ClusteringRules, plan};
use lakebed::maintain::{MaintainError, Maintainer, RunOutcome};
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_file::Action;

use super::no_limits;

/// Plans to cluster what is worth it; `None` if nothing is.
pub async fn schedule_clustering(
    maintainer: &Maintainer,
    rules: &ClusteringRules,
) -> Result<Option<InstantTime>, MaintainError> {
    let survey = maintainer.survey_for_clustering().await?;
    let draft = plan(&survey, rules);
    if draft.groups.is_empty() {
        return Ok(None);
    }
    match maintainer.schedule_clustering(&survey, &draft).await? {
        Scheduled::At(instant) => Ok(Some(instant)),
        other => panic!("{other:?}"),
    }
}

/// Carries a clustering out that nobody else is at.
pub async fn clustered(
    maintainer: &Maintainer,
    instant: InstantTime,
) -> Result<ClusteringReport, MaintainError> {
    let report = maintainer.cluster(instant, &no_limits(), &|_| {}).await?;
    assert!(matches!(report.outcome, RunOutcome::Committed { .. }), "{report:?}");
    Ok(report)
}

/// What the program does: carries out what is planned, then clusters what is worth it.
pub async fn cluster(
    maintainer: &Maintainer,
    rules: &ClusteringRules,
) -> Result<Vec<ClusteringReport>, MaintainError> {
    maintainer.sweep().await?;
    let mut reports = Vec::new();
    let timeline = maintainer.table().timeline.load().await?;
    for instant in timeline.pending().filter(|instant| instant.requested_as == Action::Clustering) {
        reports.push(maintainer.cluster(instant.time, &no_limits(), &|_| {}).await?);
    }
    if let Some(instant) = schedule_clustering(maintainer, rules).await? {
        reports.push(maintainer.cluster(instant, &no_limits(), &|_| {}).await?);
    }
    Ok(reports)
}
