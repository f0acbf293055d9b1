//! What clusterings did, and what one would do.

use std::io;

use lakebed_hudi::instant::InstantTime;
use serde::Serialize;

use crate::cli::human;
use crate::cli::output::{Page, Report};
use crate::cli::service::{Pending, outcome_name, outcome_text};
use crate::maintain::Maintainer;
use crate::maintain::clustering::{ClusteringDraft, ClusteringReport, DraftedGroup, LeftOut};
use crate::table::Table;

/// What clusterings did.
#[derive(Debug, Serialize)]
pub(super) struct ClusterReport {
    table: String,
    clusterings: Vec<ClusteringDone>,
}

/// What one did.
#[derive(Debug, Serialize)]
struct ClusteringDone {
    instant: InstantTime,
    outcome: &'static str,
    #[serde(skip)]
    outcome_text: String,
    /// File groups that are rewritten; those that earlier runs had done, and those that this one did.
    groups: usize,
    resumed: usize,
    finished: usize,
    /// File groups that others have written to, or ended, since they were planned.
    left_out: Vec<LeftOut>,
    files: usize,
    read_bytes: u64,
    written_bytes: u64,
    rows: u64,
}

impl ClusterReport {
    pub(super) fn of(maintainer: &Maintainer, reports: &[ClusteringReport]) -> Self {
        let done = |report: &ClusteringReport| ClusteringDone {
            instant: report.instant,
            outcome: outcome_name(&report.outcome),
            outcome_text: outcome_text(&report.outcome, maintainer, || {
                let left = report.groups - report.resumed - report.finished;
                human::counted(left as u64, "file group")
            }),
            groups: report.groups,
            resumed: report.resumed,
            finished: report.finished,
            left_out: report.left_out.clone(),
            files: report.files,
            read_bytes: report.read_bytes,
            written_bytes: report.written_bytes,
            rows: report.rows,
        };
        Self {
            table: maintainer.table().config.name.clone(),
            clusterings: reports.iter().map(done).collect(),
        }
    }
}

impl Report for ClusterReport {
    fn render(&self, page: &mut Page<'_>) -> io::Result<()> {
        if self.clusterings.is_empty() {
            return page.line(&format!("{}: nothing is due", self.table));
        }
        let columns =
            ["CLUSTERING", "GROUPS>", "RESUMED>", "FILES>", "READ>", "WRITTEN>", "ROWS>", "OUTCOME"];
        page.rows(&columns, self.clusterings.iter().map(ClusteringDone::row).collect())?;
        for LeftOut { group, why } in self.clusterings.iter().flat_map(|done| &done.left_out) {
            let (id, partition) = (&group.file_id, &group.partition);
            let text = format!("left as it is: file group {id} of partition {partition:?}, {why} meanwhile");
            page.line(&text)?;
        }
        Ok(())
    }
}

impl ClusteringDone {
    fn row(&self) -> Vec<String> {
        vec![
            self.instant.to_string(),
            human::count(self.groups as u64),
            human::count(self.resumed as u64),
            human::count(self.files as u64),
            human::bytes(self.read_bytes),
            human::bytes(self.written_bytes),
            human::count(self.rows),
            self.outcome_text.clone(),
        ]
    }
}

/// What a clustering would do.
#[derive(Debug, Serialize)]
pub(super) struct PlanReport {
    table: String,
    #[serde(flatten)]
    on_timeline: Pending,
    groups: Vec<GroupPlan>,
    file_groups: usize,
    read_bytes: u64,
    sort_columns: Vec<String>,
    /// Partitions that have more small files.
    left_out: Vec<String>,
}

#[derive(Debug, Serialize)]
struct GroupPlan {
    partition: String,
    file_groups: usize,
    read_bytes: u64,
    /// Files to be read, and to be made at most.
    read_files: u64,
    files: u32,
}

impl PlanReport {
    pub(super) fn of(table: &Table, draft: &ClusteringDraft, on_timeline: Pending) -> Self {
        let group = |drafted: &DraftedGroup| GroupPlan {
            partition: drafted.partition.clone(),
            file_groups: drafted.slices.len(),
            read_bytes: drafted.read_bytes(),
            read_files: drafted.read_files(),
            files: drafted.files,
        };
        Self {
            table: table.config.name.clone(),
            on_timeline,
            groups: draft.groups.iter().map(group).collect(),
            file_groups: draft.slices(),
            read_bytes: draft.read_bytes(),
            sort_columns: draft.sort_columns.clone(),
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
        let row = |group: &GroupPlan| {
            vec![
                group.partition.clone(),
                human::count(group.file_groups as u64),
                human::count(group.read_files),
                human::bytes(group.read_bytes),
                human::count(group.files.into()),
            ]
        };
        let columns = ["PARTITION", "FILE GROUPS>", "FILES>", "BYTES>", "INTO>"];
        page.first_rows(&columns, self.groups.iter().map(row))?;
        page.line("")?;
        let mut parts = vec![
            human::counted(self.file_groups as u64, "file group"),
            format!("{} to read", human::bytes(self.read_bytes)),
        ];
        if !self.sort_columns.is_empty() {
            parts.push(format!("sorted by {}", self.sort_columns.join(", ")));
        }
        parts.extend(self.on_timeline.scheduled.map(|instant| format!("scheduled at {instant}")));
        page.line(&parts.join(" · "))
    }
}
