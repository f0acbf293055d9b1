//! What cleans did, and what one would do.

use std::collections::BTreeMap;
use std::io;

use lakebed_hudi::instant::InstantTime;
use serde::Serialize;

use crate::cli::human;
use crate::cli::output::{Page, Report};
use crate::cli::service::{Pending, outcome_name, outcome_text};
use crate::maintain::Maintainer;
use crate::maintain::clean::{CleanDraft, CleanReport, CleanSurvey, DraftedSlice, Hold};
use crate::storage::TablePath;
use crate::table::Table;

/// What cleans did.
#[derive(Debug, Serialize)]
pub(super) struct CleansReport {
    table: String,
    cleans: Vec<CleanDone>,
    /// Why nothing more is due, if that has a reason of its own.
    idle: Option<String>,
}

/// What one did.
#[derive(Debug, Serialize)]
struct CleanDone {
    instant: InstantTime,
    outcome: &'static str,
    #[serde(skip)]
    outcome_text: String,
    /// Files of the plan, and those of them that are gone.
    files: usize,
    deleted: usize,
    freed_bytes: u64,
    /// Files of the plan that stay, since somebody needs them.
    needed: Vec<TablePath>,
    /// Partitions of which nothing is left.
    partitions: Vec<String>,
    /// From when on everything can be read.
    earliest: Option<InstantTime>,
}

impl CleansReport {
    pub(super) fn of(maintainer: &Maintainer, reports: &[CleanReport], idle: Option<String>) -> Self {
        let done = |report: &CleanReport| CleanDone {
            instant: report.instant,
            outcome: outcome_name(&report.outcome),
            outcome_text: outcome_text(&report.outcome, maintainer, || {
                let left = report.files - report.deleted - report.needed.len();
                human::counted(left as u64, "file")
            }),
            files: report.files,
            deleted: report.deleted,
            freed_bytes: report.freed_bytes,
            needed: report.needed.iter().cloned().collect(),
            partitions: report.partitions.iter().cloned().collect(),
            earliest: report.earliest,
        };
        Self {
            table: maintainer.table().config.name.clone(),
            cleans: reports.iter().map(done).collect(),
            idle,
        }
    }
}

impl Report for CleansReport {
    fn render(&self, page: &mut Page<'_>) -> io::Result<()> {
        if self.cleans.is_empty() {
            return page.line(&nothing_due(&self.table, self.idle.as_deref()));
        }
        let columns = ["CLEAN", "FILES>", "DELETED>", "FREED>", "READABLE FROM", "OUTCOME"];
        let row = |done: &CleanDone| {
            vec![
                done.instant.to_string(),
                human::count(done.files as u64),
                human::count(done.deleted as u64),
                human::bytes(done.freed_bytes),
                done.earliest.map(|earliest| earliest.to_string()).unwrap_or_default(),
                done.outcome_text.clone(),
            ]
        };
        page.rows(&columns, self.cleans.iter().map(row).collect())?;
        for path in self.cleans.iter().flat_map(|done| &done.needed) {
            page.advice(&format!("{path} stays: the plan names it, but somebody needs it"))?;
        }
        Ok(())
    }
}

fn nothing_due(table: &str, why: Option<&str>) -> String {
    match why {
        Some(why) => format!("{table}: nothing is due: {why}"),
        None => format!("{table}: nothing is due"),
    }
}

/// What a clean would do.
#[derive(Debug, Serialize)]
pub(super) struct PlanReport<'a> {
    table: String,
    #[serde(flatten)]
    on_timeline: Pending,
    policy: &'static str,
    /// From when on everything can be read then.
    earliest: Option<InstantTime>,
    /// Why it does not go farther.
    held_by: Option<String>,
    idle: Option<String>,
    files: usize,
    bytes: u64,
    slices: &'a [DraftedSlice],
    /// Partitions of which nothing stays.
    partitions: Vec<&'a str>,
    is_due: bool,
}

impl<'a> PlanReport<'a> {
    pub(super) fn of(
        table: &Table,
        survey: &CleanSurvey,
        draft: &'a CleanDraft,
        on_timeline: Pending,
    ) -> Self {
        let held_by = survey.horizon.as_ref().ok().and_then(|horizon| horizon.held_by);
        let held_by = held_by.map(|hold| match hold {
            Hold::Pending(instant) => {
                format!("the {} {} is not completed", instant.requested_as, instant.time)
            }
            Hold::Readers => "somebody may still read what was superseded since (--reader-window)".to_owned(),
        });
        Self {
            table: table.config.name.clone(),
            on_timeline,
            policy: draft.rules.policy.as_str(),
            earliest: draft.earliest.as_ref().map(|earliest| earliest.timestamp),
            held_by,
            idle: survey.horizon.as_ref().err().map(ToString::to_string),
            files: draft.files().count(),
            bytes: draft.bytes(),
            slices: &draft.slices,
            partitions: draft.partitions.iter().map(String::as_str).collect(),
            is_due: draft.is_due(),
        }
    }

    /// Partitions with the numbers of their slices and files that go, and bytes of them.
    fn by_partition(&self) -> BTreeMap<&str, (usize, usize, u64)> {
        let mut partitions = BTreeMap::new();
        for slice in self.slices {
            let (slices, files, bytes) =
                partitions.entry(slice.group.partition.as_str()).or_insert((0, 0, 0));
            *slices += 1;
            *files += slice.files.len();
            *bytes += slice.files.iter().map(|file| file.bytes).sum::<u64>();
        }
        partitions
    }
}

impl Report for PlanReport<'_> {
    fn render(&self, page: &mut Page<'_>) -> io::Result<()> {
        for pending in &self.on_timeline.pending {
            page.line(&format!("pending, and carried out first: {pending}"))?;
        }
        if !self.is_due {
            page.line(&nothing_due(&self.table, self.idle.as_deref()))?;
        } else {
            self.render_slices(page)?;
            let mut parts = vec![
                human::counted(self.files as u64, "file"),
                format!("{} to free", human::bytes(self.bytes)),
            ];
            parts.extend(self.earliest.map(|earliest| format!("readable from {earliest} on")));
            parts.extend(self.on_timeline.scheduled.map(|instant| format!("scheduled at {instant}")));
            page.line(&parts.join(" · "))?;
        }
        match &self.held_by {
            Some(held_by) => page.advice(&format!("more stays than {} asks for: {held_by}", self.policy)),
            None => Ok(()),
        }
    }
}

impl PlanReport<'_> {
    fn render_slices(&self, page: &mut Page<'_>) -> io::Result<()> {
        let partitions = self.by_partition();
        if partitions.is_empty() {
            return Ok(());
        }
        let columns = ["PARTITION", "SLICES>", "FILES>", "BYTES>", "NOTE"];
        let row = |(partition, (slices, files, bytes)): (&&str, &(usize, usize, u64))| {
            let goes = self.partitions.contains(partition);
            vec![
                (*partition).to_owned(),
                human::count(*slices as u64),
                human::count(*files as u64),
                human::bytes(*bytes),
                if goes { "nothing is left of it" } else { "" }.to_owned(),
            ]
        };
        page.first_rows(&columns, partitions.iter().map(row))?;
        page.line("")
    }
}
