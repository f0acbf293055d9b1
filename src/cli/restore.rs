//! `lakebed restore`: takes a table back to a savepoint.

use std::io;

use clap::Args;
use lakebed_hudi::instant::InstantTime;
use serde::Serialize;

use super::confirm::confirm;
use super::output::{Page, Report};
use super::progress::Progress;
use super::service::{TableArgs, outcome_name, outcome_text};
use super::signals::stop_signal;
use super::{Context, Exit, human};
use crate::error::Error;
use crate::maintain::restore::{RestoreEvent, RestoreReport};
use crate::maintain::{Maintainer, RunLimits, RunOutcome};
use crate::timeline::Instant;

const EXAMPLES: &str = "\
Examples:
  lakebed restore /lake/flights --to 20260301120000000 --dry-run    list the commits that would go
  lakebed restore /lake/flights --to 20260301120000000              after a question
  lakebed restore /lake/flights --to 20260301120000000 --yes        without one

Every commit, write and plan that came after the savepoint is undone, the newest first, and its
files are deleted. Stop the writers before: while one may be alive nothing is begun, and until the
restore is completed none begins anything, neither Lakebed's nor Hudi's. Pipelines go on from
where the savepoint says that they were.

A restore that is stopped, or killed, is gone on with by the same command, be it ours or Spark's.

SIGINT and SIGTERM finish the commit that is being undone; a second signal ends at once.";

/// The arguments of `lakebed restore`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct RestoreArgs {
    #[command(flatten)]
    table: TableArgs,
    /// The savepoint; `lakebed savepoint list` shows them.
    #[arg(long, value_name = "SAVEPOINT")]
    to: InstantTime,
    /// List what would be undone, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Restore without a question.
    #[arg(long)]
    yes: bool,
}

/// Runs `lakebed restore`.
pub(super) async fn run(context: &Context, args: RestoreArgs) -> Result<Exit, Error> {
    let maintainer = args.table.open(context).await?;
    let planned = maintainer.plan_restore(args.to).await?;
    if args.dry_run {
        context.output.report(&Planned::of(&maintainer, args.to, &planned))?;
        return Ok(if planned.is_empty() { Exit::NothingToDo } else { Exit::Done });
    }
    if !planned.is_empty() {
        let instants = human::counted(planned.len() as u64, "instant");
        confirm(&format!("{instants} after {} would be undone, and their files deleted", args.to), args.yes)?;
    }
    let progress = Progress::instants(context.output);
    let told = progress.clone();
    let stop = stop_signal(move |stop| told.tell_stop(stop))?;
    let tell = |event: RestoreEvent| match event {
        RestoreEvent::Begun { restore, instants } => {
            progress.begin(instants as u64, format!("restore {restore}"));
        }
        RestoreEvent::TakenBack { .. } => progress.advance(1),
    };
    let restored = maintainer.restore(args.to, &RunLimits { stop, deadline: None }, &tell).await;
    progress.end();
    let Some(report) = restored? else {
        context.output.report(&Planned::of(&maintainer, args.to, &[]))?;
        return Ok(Exit::NothingToDo);
    };
    context.output.report(&Restored::of(&maintainer, args.to, &report))?;
    Ok(match report.outcome {
        RunOutcome::AtWork { .. } => Exit::Conflict,
        _ => Exit::Done,
    })
}

/// An instant that is undone.
#[derive(Debug, Serialize)]
struct Undone {
    instant: InstantTime,
    action: &'static str,
    completed: Option<InstantTime>,
}

impl Undone {
    fn of(instant: &Instant) -> Self {
        let action = instant.file().action.as_str();
        Self { instant: instant.time, action, completed: instant.completion() }
    }
}

fn render_rows(instants: &[Undone], page: &mut Page<'_>) -> io::Result<()> {
    let row = |undone: &Undone| {
        let completed = undone.completed.map_or_else(|| "not completed".to_owned(), |at| at.to_string());
        vec![undone.instant.to_string(), undone.action.to_owned(), completed]
    };
    page.rows(&["INSTANT", "ACTION", "COMPLETED"], instants.iter().map(row).collect())
}

/// What a restore would do.
#[derive(Debug, Serialize)]
struct Planned {
    table: String,
    savepoint: InstantTime,
    /// What would be undone, in its turn.
    instants: Vec<Undone>,
}

impl Planned {
    fn of(maintainer: &Maintainer, savepoint: InstantTime, instants: &[Instant]) -> Self {
        let table = maintainer.table().config.name.clone();
        Self { table, savepoint, instants: instants.iter().map(Undone::of).collect() }
    }
}

impl Report for Planned {
    fn render(&self, page: &mut Page<'_>) -> io::Result<()> {
        if self.instants.is_empty() {
            return page.line(&format!("{}: nothing came after {}", self.table, self.savepoint));
        }
        render_rows(&self.instants, page)?;
        let instants = human::counted(self.instants.len() as u64, "instant");
        page.line(&format!("{instants} would be undone, in this order"))
    }
}

/// What a restore did.
#[derive(Debug, Serialize)]
struct Restored {
    table: String,
    savepoint: InstantTime,
    restore: InstantTime,
    outcome: &'static str,
    #[serde(skip)]
    outcome_text: String,
    /// What was undone, in its turn.
    instants: Vec<Undone>,
    /// How many are left to be.
    left: usize,
    /// Files that were deleted.
    files: usize,
}

impl Restored {
    fn of(maintainer: &Maintainer, savepoint: InstantTime, report: &RestoreReport) -> Self {
        Self {
            table: maintainer.table().config.name.clone(),
            savepoint,
            restore: report.restore,
            outcome: outcome_name(&report.outcome),
            outcome_text: outcome_text(&report.outcome, maintainer, || {
                human::counted(report.left as u64, "instant")
            }),
            instants: report.instants.iter().map(Undone::of).collect(),
            left: report.left,
            files: report.files,
        }
    }
}

impl Report for Restored {
    fn render(&self, page: &mut Page<'_>) -> io::Result<()> {
        if !self.instants.is_empty() {
            render_rows(&self.instants, page)?;
        }
        let undone = human::counted(self.instants.len() as u64, "instant");
        let files = human::counted(self.files as u64, "file");
        let (restore, savepoint, outcome) = (self.restore, self.savepoint, &self.outcome_text);
        page.line(&format!(
            "restore {restore} to {savepoint}: {outcome} · {undone} undone · {files} deleted"
        ))?;
        match self.left {
            0 => Ok(()),
            _ => {
                page.advice("until it is completed nobody can write to the table: run the same command again")
            }
        }
    }
}
