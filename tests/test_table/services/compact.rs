use lakebed::commit::Scheduled;
use lakebed::maintain::compaction::{CompactionReport, CompactionRules, plan};
use lakebed::maintain::{MaintainError, MaintainOptions, Maintainer, RunLimits, RunOutcome};
use lakebed::table::Table;
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_file::Action;
use tokio::sync::watch;

/// The table, opened for its services.
pub async fn maintainer(table: &Table) -> Maintainer {
    let options = MaintainOptions { memory_bytes: 128 << 20, ..MaintainOptions::default() };
    Maintainer::open(table.storage.clone(), &table.environment, options).await.unwrap()
}

/// A run that nobody stops.
pub fn no_limits() -> RunLimits {
    RunLimits { stop: watch::channel(false).1, deadline: None }
}

/// The compactions that are planned.
pub async fn planned(table: &Table) -> Vec<InstantTime> {
    let timeline = table.timeline.load().await.unwrap();
    let planned = timeline.pending().filter(|instant| instant.requested_as == Action::Compaction);
    planned.map(|instant| instant.time).collect()
}

/// Plans to compact every slice with log files.
pub async fn schedule(maintainer: &Maintainer) -> Result<Option<InstantTime>, MaintainError> {
    let survey = maintainer.survey().await?;
    let draft = plan(&survey, &CompactionRules::everything());
    if draft.groups.is_empty() {
        return Ok(None);
    }
    match maintainer.schedule_compaction(&survey, &draft).await? {
        Scheduled::At(instant) => Ok(Some(instant)),
        other => panic!("{other:?}"),
    }
}

/// Carries out what is planned.
pub async fn run_planned(table: &Table) {
    let maintainer = maintainer(table).await;
    for instant in planned(table).await {
        run(&maintainer, instant).await.unwrap();
    }
}

/// Carries a compaction out that nobody else is at.
pub async fn run(maintainer: &Maintainer, instant: InstantTime) -> Result<CompactionReport, MaintainError> {
    let report = maintainer.compact(instant, &no_limits(), &|_| {}).await?;
    assert!(matches!(report.outcome, RunOutcome::Committed { .. }), "{report:?}");
    Ok(report)
}

/// What the program does by default: carries out what is planned, then compacts every slice with log files.
pub async fn maintain(maintainer: &Maintainer) -> Result<Vec<CompactionReport>, MaintainError> {
    maintainer.sweep().await?;
    let mut reports = Vec::new();
    let timeline = maintainer.table().timeline.load().await?;
    let planned = timeline.pending().filter(|instant| instant.requested_as == Action::Compaction);
    for instant in planned {
        reports.push(maintainer.compact(instant.time, &no_limits(), &|_| {}).await?);
    }
    if let Some(instant) = schedule(maintainer).await? {
        reports.push(maintainer.compact(instant, &no_limits(), &|_| {}).await?);
    }
    Ok(reports)
}

/// As [`maintain`], with nobody else about.
pub async fn compact(table: &Table) {
    let reports = maintain(&maintainer(table).await).await.unwrap();
    let is_committed = |report: &CompactionReport| matches!(report.outcome, RunOutcome::Committed { .. });
    assert!(reports.iter().all(is_committed), "{reports:?}");
}
