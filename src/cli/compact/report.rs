//! What compactions did, and what one would do.

use std::io;

use lakebed_hudi::instant::InstantTime;
use serde::{Serialize, Serializer};

use crate::cli::human;
use crate::cli::output::{Page, Report};
use crate::error::Error;
use crate::maintain::compaction::{CompactionDraft, CompactionReport, DraftedGroup};
use crate::maintain::{Maintainer, RunOutcome, Survey};

/// What compactions did.
#[derive(Debug, Serialize)]
pub(super) struct CompactReport {
    table: String,
    pub(super) compactions: Vec<CompactionDone>,
}

/// What one did.
#[derive(Debug, Serialize)]
pub(super) struct CompactionDone {
    instant: InstantTime,
    #[serde(serialize_with = "outcome_name")]
    pub(super) outcome: RunOutcome,
    /// File groups of the plan; those that earlier runs had done, and those that this one did.
    groups: usize,
    resumed: usize,
    finished: usize,
    read_bytes: u64,
    written_bytes: u64,
    rows: u64,
}

fn outcome_name<S: Serializer>(outcome: &RunOutcome, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(match outcome {
        RunOutcome::Committed { .. } => "committed",
        RunOutcome::Over => "over",
        RunOutcome::AtWork { .. } => "at_work",
        RunOutcome::Stopped => "stopped",
    })
}

impl CompactReport {
    pub(super) fn of(maintainer: &Maintainer, reports: &[CompactionReport]) -> Self {
        let done = |report: &CompactionReport| CompactionDone {
            instant: report.instant,
            outcome: report.outcome,
            groups: report.groups,
            resumed: report.resumed,
            finished: report.finished,
            read_bytes: report.read_bytes,
            written_bytes: report.written_bytes,
            rows: report.rows,
        };
        Self {
            table: maintainer.table().config.name.clone(),
            compactions: reports.iter().map(done).collect(),
        }
    }
}

impl Report for CompactReport {
    fn render(&self, page: &mut Page<'_>) -> io::Result<()> {
        if self.compactions.is_empty() {
            return page.line(&format!("{}: nothing is due", self.table));
        }
        let columns = ["COMPACTION", "GROUPS>", "RESUMED>", "READ>", "WRITTEN>", "ROWS>", "OUTCOME"];
        page.rows(&columns, self.compactions.iter().map(CompactionDone::row).collect())
    }
}

impl CompactionDone {
    fn row(&self) -> Vec<String> {
        let outcome = match self.outcome {
            RunOutcome::Committed { completion } => format!("committed at {completion}"),
            RunOutcome::Over => "somebody else has completed it".to_owned(),
            RunOutcome::AtWork { .. } => "somebody else is at work on it".to_owned(),
            RunOutcome::Stopped => {
                let left = self.groups - self.resumed - self.finished;
                format!("stopped, {} left for the next run", human::counted(left as u64, "file group"))
            }
        };
        vec![
            self.instant.to_string(),
            human::count(self.groups as u64),
            human::count(self.resumed as u64),
            human::bytes(self.read_bytes),
            human::bytes(self.written_bytes),
            human::count(self.rows),
            outcome,
        ]
    }
}

/// What a compaction would do.
#[derive(Debug, Serialize)]
pub(super) struct PlanReport {
    table: String,
    /// Where the plan is, if it was put on the timeline.
    scheduled: Option<InstantTime>,
    /// Compactions that are pending already, and come first.
    pending: Vec<InstantTime>,
    groups: Vec<GroupPlan>,
    read_bytes: u64,
    log_files: usize,
    /// Partitions that have more groups with log files.
    left_out: Vec<String>,
}

#[derive(Debug, Serialize)]
struct GroupPlan {
    partition: String,
    file_id: String,
    base_bytes: u64,
    log_files: usize,
    log_bytes: u64,
}

impl PlanReport {
    pub(super) async fn of(
        maintainer: &Maintainer,
        survey: &Survey,
        draft: &CompactionDraft,
    ) -> Result<Self, Error> {
        let group = |drafted: &DraftedGroup| GroupPlan {
            partition: drafted.group.partition.clone(),
            file_id: drafted.group.file_id.to_string(),
            base_bytes: drafted.base_bytes(),
            log_files: drafted.logs.len(),
            log_bytes: drafted.log_bytes(),
        };
        let pending: std::collections::BTreeSet<InstantTime> = survey.busy.values().copied().collect();
        Ok(Self {
            table: maintainer.table().config.name.clone(),
            scheduled: None,
            pending: pending.into_iter().collect(),
            groups: draft.groups.iter().map(group).collect(),
            read_bytes: draft.read_bytes(),
            log_files: draft.groups.iter().map(|drafted| drafted.logs.len()).sum(),
            left_out: draft.left_out.iter().cloned().collect(),
        })
    }

    pub(super) fn scheduled(self, scheduled: Option<InstantTime>) -> Self {
        Self { scheduled, ..self }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty() && self.pending.is_empty()
    }
}

/// So many file groups are listed for people.
const GROUPS_SHOWN: usize = 40;

impl Report for PlanReport {
    fn render(&self, page: &mut Page<'_>) -> io::Result<()> {
        for pending in &self.pending {
            page.line(&format!("pending, and carried out first: {pending}"))?;
        }
        if self.groups.is_empty() {
            return page.line(&format!("{}: nothing is due", self.table));
        }
        let columns = ["PARTITION", "FILE GROUP", "BASE>", "LOGS>", "LOG BYTES>"];
        let row = |group: &GroupPlan| {
            vec![
                group.partition.clone(),
                group.file_id.clone(),
                human::bytes(group.base_bytes),
                human::count(group.log_files as u64),
                human::bytes(group.log_bytes),
            ]
        };
        page.rows(&columns, self.groups.iter().take(GROUPS_SHOWN).map(row).collect())?;
        if let Some(more) = self.groups.len().checked_sub(GROUPS_SHOWN).filter(|more| *more > 0) {
            page.line(&format!("… and {more} more, which --format json lists"))?;
        }
        page.line("")?;
        let mut parts = vec![
            human::counted(self.groups.len() as u64, "file group"),
            human::counted(self.log_files as u64, "log file"),
            format!("{} to read", human::bytes(self.read_bytes)),
        ];
        parts.extend(self.scheduled.map(|instant| format!("scheduled at {instant}")));
        page.line(&parts.join(" · "))
    }
}
