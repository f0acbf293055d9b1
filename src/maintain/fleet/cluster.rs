//! Which tables of a fleet are clustered.

use super::settings::ClusteringSettings;
use crate::maintain::clustering::{self, ClusteringDraft, check_fit};
use crate::maintain::{MaintainError, Maintainer, Survey};

/// Whether a table is clustered, as far as its properties tell.
pub(super) fn is_clustered(maintainer: &Maintainer, settings: &ClusteringSettings) -> bool {
    let config = &maintainer.table().config;
    let is_enabled = settings.enabled.unwrap_or(config.record_key.is_none());
    is_enabled && check_fit(config, std::iter::empty()).is_ok()
}

/// What is due in a table that is clustered, of which `survey` tells, with what its planner looked at; `None` if
/// it has an index that its properties say nothing of.
pub(super) async fn draft(
    maintainer: &Maintainer,
    survey: Survey,
    settings: &ClusteringSettings,
    max_read_bytes: u64,
) -> Result<Option<(Survey, ClusteringDraft)>, MaintainError> {
    let mut rules = settings.rules()?;
    rules.max_read_bytes = rules.max_read_bytes.min(max_read_bytes);
    let survey = match maintainer.fit_for_clustering(survey).await {
        Err(MaintainError::Refused(refusal)) => {
            tracing::debug!(%refusal, "the table is not clustered");
            return Ok(None);
        }
        survey => survey?,
    };
    let draft = clustering::plan(&survey, &rules);
    Ok((!draft.groups.is_empty()).then_some((survey, draft)))
}
