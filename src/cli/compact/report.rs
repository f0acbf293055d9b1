//! What compactions did, and what one would do.

use std::io;

use lakebed_hudi::instant::InstantTime;
use serde::Serialize;

use crate::cli::human;
use crate::cli::output::{Page, Report};
use crate::cli::service::{Pending, outcome_name, outcome_text};
use crate::maintain::Maintainer;
use crate::maintain::SliceFiles;
use crate::maintain::compaction::{CompactionDraft, CompactionReport};
use crate::table::Table;

/// What compactions did.
#[derive(Debug, Serialize)]
pub(super) struct CompactReport {
    table: String,
    compactions: Vec<CompactionDone>,
}

/// What one did.
#[derive(Debug, Serialize)]
struct CompactionDone {
    instant: InstantTime,
    outcome: &'static str,
    #[serde(skip)]
    outcome_text: String,
    /// File groups of the plan; those that earlier runs had done, and those that this one did.
    groups: usize,
    resumed: usize,
    finished: usize,
    read_bytes: u64,
    written_bytes: u64,
    copied_bytes: u64,
    rows: u64,
}

impl CompactReport {
    pub(super) fn of(maintainer: &Maintainer, reports: &[CompactionReport]) -> Self {
        let done = |report: &CompactionReport| CompactionDone {
            instant: report.instant,
            outcome: outcome_name(&report.outcome),
            outcome_text: outcome_text(&report.outcome, maintainer, || {
                let left = report.groups - report.resumed - report.finished;
                human::counted(left as u64, "file group")
            }),
            groups: report.groups,
            resumed: report.resumed,
            finished: report.finished,
            read_bytes: report.read_bytes,
            written_bytes: report.written_bytes,
            copied_bytes: report.copied_bytes,
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
        let columns =
            ["COMPACTION", "GROUPS>", "RESUMED>", "READ>", "WRITTEN>", "COPIED>", "ROWS>", "OUTCOME"];
        page.rows(&columns, self.compactions.iter().map(CompactionDone::row).collect())
    }
}

impl CompactionDone {
    fn row(&self) -> Vec<String> {
        vec![
            self.instant.to_string(),
            human::count(self.groups as u64),
            human::count(self.resumed as u64),
            human::bytes(self.read_bytes),
            human::bytes(self.written_bytes),
            human::bytes(self.copied_bytes),
            human::count(self.rows),
            self.outcome_text.clone(),
        ]
    }
}

/// What a compaction would do.
#[derive(Debug, Serialize)]
pub(super) struct PlanReport {
    table: String,
    #[serde(flatten)]
    on_timeline: Pending,
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
    pub(super) fn of(table: &Table, draft: &CompactionDraft, on_timeline: Pending) -> Self {
        let group = |drafted: &SliceFiles| GroupPlan {
            partition: drafted.group.partition.clone(),
            file_id: drafted.group.file_id.to_string(),
            base_bytes: drafted.base_bytes(),
            log_files: drafted.logs.len(),
            log_bytes: drafted.log_bytes(),
        };
        Self {
            table: table.config.name.clone(),
            on_timeline,
            groups: draft.groups.iter().map(group).collect(),
            read_bytes: draft.read_bytes(),
            log_files: draft.groups.iter().map(|drafted| drafted.logs.len()).sum(),
            left_out: draft.left_out.iter().cloned().collect(),
        }
    }
}

impl Report for PlanReport {
    fn render(&self, page: &mut Page<'_>) -> io::Result<()> {
        for pending in &self.on_timeline.pending {
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
        page.first_rows(&columns, self.groups.iter().map(row))?;
        page.line("")?;
        let mut parts = vec![
            human::counted(self.groups.len() as u64, "file group"),
            human::counted(self.log_files as u64, "log file"),
            format!("{} to read", human::bytes(self.read_bytes)),
        ];
        parts.extend(self.on_timeline.scheduled.map(|instant| format!("scheduled at {instant}")));
        page.line(&parts.join(" · "))
    }
}
