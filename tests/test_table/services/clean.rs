use std::time::Duration;

use lakebed::commit::Scheduled;
use lakebed::maintain::clean::{CleanPolicy, CleanReport, CleanRules, plan};
use lakebed::maintain::{MaintainError, Maintainer};
use lakebed::table::Table;
use lakebed_hudi::instant::InstantTime;

use super::{maintainer, no_limits};

/// Deletes what no reader needs who begins now, by `policy`, if that is anything.
pub async fn clean(table: &Table, policy: CleanPolicy) -> Option<CleanReport> {
    cleaned(&maintainer(table).await, CleanRules { policy, reader_window: Duration::ZERO }).await.unwrap()
}

/// Deletes what the latest slices do not need.
pub async fn clean_to_latest(table: &Table) {
    clean(table, CleanPolicy::KeepLatestFileVersions(1)).await;
}

/// Plans a clean and puts it on the timeline, if anything is due.
pub async fn schedule_clean(
    maintainer: &Maintainer,
    rules: CleanRules,
) -> Result<Option<InstantTime>, MaintainError> {
    let survey = maintainer.survey_for_clean(rules).await?;
    let draft = plan(&survey);
    if !draft.is_due() {
        return Ok(None);
    }
    match maintainer.schedule_clean(&survey, &draft).await? {
        Scheduled::At(instant) => Ok(Some(instant)),
        Scheduled::Nothing => Ok(None),
        Scheduled::Stale { reason } => Err(MaintainError::Conflict { reason }),
    }
}

/// Plans a clean and carries it out, if anything is due.
pub async fn cleaned(
    maintainer: &Maintainer,
    rules: CleanRules,
) -> Result<Option<CleanReport>, MaintainError> {
    match schedule_clean(maintainer, rules).await? {
        Some(instant) => Ok(Some(maintainer.clean(instant, &no_limits(), &|_| {}).await?)),
        None => Ok(None),
    }
}
