//! `lakebed doctor`: looks for what is broken in a table, and says what mends it.

use std::io;

use clap::Args;
use serde::Serialize;

use super::output::{Page, Report};
use super::service::TableArgs;
use super::{Context, Exit, human};
use crate::error::Error;
use crate::maintain::doctor::{Finding, FindingKind, Mend};

const EXAMPLES: &str = "\
Examples:
  lakebed doctor /lake/flights                  what is broken, and what mends it
  lakebed doctor /lake/flights --format json    for scripts

It changes nothing. Found are files of the timeline that nobody can read; writes, services,
rollbacks and restores that were cut off; plans that nobody can carry out; commits and plans that
name files which are not there, or have another size; files that no commit explains; folders that
are no partition; file groups that no bucket has, or that a bucket has twice; markers, heartbeats
and locks of the dead; and times to come. What lives is none of it: a write whose heartbeat beats,
a plan that waits to be carried out.

It ends with 0 if nothing is found, else with 9. It reads the whole active timeline, and lists all
files.";

/// The arguments of `lakebed doctor`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    table: TableArgs,
}

/// Runs `lakebed doctor`.
pub(super) async fn run(context: &Context, args: DoctorArgs) -> Result<Exit, Error> {
    let maintainer = args.table.open(context).await?;
    let findings = maintainer.examine().await?;
    let exit = if findings.is_empty() { Exit::Done } else { Exit::Findings };
    let findings = findings.into_iter().map(Found::from).collect();
    context.output.report(&DoctorReport { table: maintainer.table().config.name.clone(), findings })?;
    Ok(exit)
}

/// What is broken in a table.
#[derive(Debug, Serialize)]
struct DoctorReport {
    table: String,
    findings: Vec<Found>,
}

/// Something that is.
#[derive(Debug, Serialize)]
struct Found {
    kind: FindingKind,
    subject: String,
    detail: String,
    /// What mends it, for people.
    mend: String,
    /// The arguments of the program that mend it, if a command does.
    arguments: Option<Vec<String>>,
}

impl From<Finding> for Found {
    fn from(finding: Finding) -> Self {
        let Finding { kind, subject, detail, mend } = finding;
        let text = mend.text();
        let arguments = match mend {
            Mend::Command(arguments) => Some(arguments),
            Mend::Advice(_) => None,
        };
        Self { kind, subject, detail, mend: text, arguments }
    }
}

impl Report for DoctorReport {
    fn render(&self, page: &mut Page<'_>) -> io::Result<()> {
        if self.findings.is_empty() {
            return page.line(&format!("{}: nothing is found", self.table));
        }
        for found in &self.findings {
            page.heading(&format!("{}: {}", found.kind.as_str(), found.subject))?;
            page.pairs(&[("what", found.detail.clone()), ("mend", found.mend.clone())])?;
        }
        page.line(&format!("{}: {}", self.table, human::counted(self.findings.len() as u64, "finding")))
    }
}
