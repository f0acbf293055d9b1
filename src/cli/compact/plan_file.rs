//! A compaction plan in a file.

use std::path::Path;

use lakebed_hudi::instant::InstantTime;
use serde::{Deserialize, Serialize};

use super::unreadable;
use crate::error::{Error, ErrorKind};
use crate::maintain::compaction::{CompactionDraft, DraftedGroup};
use crate::maintain::{Maintainer, Survey};
use crate::table::FileGroupId;

/// The only form there is.
const VERSION: u32 = 1;

/// A compaction plan in a file.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PlanFile {
    version: u32,
    table: String,
    uri: String,
    /// The greatest time on the timeline that it was made on.
    made_at: Option<InstantTime>,
    #[serde(flatten)]
    draft: CompactionDraft,
}

impl PlanFile {
    pub(super) fn of(maintainer: &Maintainer, survey: &Survey, draft: CompactionDraft) -> Self {
        let table = maintainer.table();
        Self {
            version: VERSION,
            table: table.config.name.clone(),
            uri: table.storage.uri().to_string(),
            made_at: survey.snapshot.timeline.latest_time(),
            draft,
        }
    }

    pub(super) fn write(&self, path: &Path) -> Result<(), Error> {
        let text = serde_json::to_string_pretty(self).unwrap_or_default() + "\n";
        std::fs::write(path, text)
            .map_err(|error| Error::new(ErrorKind::Failed, format!("{}: {error}", path.display())))
    }

    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(|error| unreadable(path, error))?;
        let file: Self = serde_json::from_str(&text)
            .map_err(|error| unreadable(path, format!("it is no plan of a compaction: {error}")))?;
        if file.version != VERSION {
            let problem = format!("version {} of plans is not known, only {VERSION}", file.version);
            return Err(unreadable(path, problem));
        }
        Ok(file)
    }

    /// The plan, on the table as it is now: log files that came since are taken in.
    pub(super) fn draft(
        self,
        path: &Path,
        maintainer: &Maintainer,
        survey: &Survey,
    ) -> Result<CompactionDraft, Error> {
        let uri = maintainer.table().storage.uri().to_string();
        if self.uri != uri {
            return Err(unreadable(path, format!("it is a plan for {}, and not for {uri}", self.uri)));
        }
        let mut draft = CompactionDraft { groups: Vec::new(), left_out: self.draft.left_out };
        for drafted in self.draft.groups {
            let FileGroupId { partition, file_id } = &drafted.group;
            let stale = |what| {
                let path = path.display();
                let text = format!(
                    "{path}: the plan is stale: file group {file_id} of partition {partition:?} {what}; nothing was \
                     changed: plan anew"
                );
                Error::new(ErrorKind::Refused, text)
            };
            draft.groups.push(now(&drafted, survey).map_err(stale)?);
        }
        Ok(draft)
    }
}

/// A group as it is now, or why it is not the one that was planned any more.
fn now(drafted: &DraftedGroup, survey: &Survey) -> Result<DraftedGroup, String> {
    if let Some(instant) = survey.busy.get(&drafted.group) {
        return Err(format!("is to be rewritten by {instant}, which was planned since"));
    }
    let group = survey.groups.iter().find(|group| group.id == drafted.group);
    let Some(slice) = group.and_then(|group| group.latest()) else {
        return Err("is not there any more".to_owned());
    };
    let now = DraftedGroup::of(drafted.group.clone(), slice);
    let is_there = |log| now.logs.contains(log);
    if now.base != drafted.base || !drafted.logs.iter().all(is_there) {
        return Err("has been rewritten since".to_owned());
    }
    Ok(now)
}
