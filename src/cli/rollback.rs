//! `lakebed rollback`: undoes a write that died, a plan, or the newest commit.

use std::io;

use clap::Args;
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_metadata::RollbackMetadata;
use serde::Serialize;

use super::confirm::confirm;
use super::output::{Page, Report};
use super::service::TableArgs;
use super::{Context, Exit, human};
use crate::commit::RollbackDraft;
use crate::error::Error;
use crate::maintain::Maintainer;

const EXAMPLES: &str = "\
Examples:
  lakebed rollback /lake/flights                     undo the newest commit, after a question
  lakebed rollback /lake/flights --dry-run           list the files that would go with it
  lakebed rollback /lake/flights 20260301120000000   undo a write that died, or a planned compaction
  lakebed rollback /lake/flights 20260301120000000 --yes
                                                     without a question

A completed commit is undone if nothing came after it, and nothing is built on it: no later
commit, no write that is not completed, no plan that reads its files, no savepoint; and if no
clean has deleted what was before it. Readers do not see it from then on, and pipelines go on from
where the commit before it says that they are. To go farther back, restore the table to a
savepoint.

Writes that died are undone by whoever writes next, without this command. Planned compactions and
clusterings are taken back only if they are named. A rollback that is cut off is gone on with by
the same command.";

/// The arguments of `lakebed rollback`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct RollbackArgs {
    #[command(flatten)]
    table: TableArgs,
    /// What is undone: the newest commit if left out.
    instant: Option<InstantTime>,
    /// List the files that would go, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Undo a completed commit without a question.
    #[arg(long)]
    yes: bool,
}

/// Runs `lakebed rollback`.
pub(super) async fn run(context: &Context, args: RollbackArgs) -> Result<Exit, Error> {
    let maintainer = args.table.open(context).await?;
    let committer = maintainer.committer();
    let Some(instant) = args.instant.or(committer.newest_commit().await?) else {
        context.output.report(&Undone::nothing(&maintainer))?;
        return Ok(Exit::NothingToDo);
    };
    if args.dry_run {
        let draft = committer.plan_rollback(instant).await?;
        context.output.report(&Planned::of(&maintainer, &draft))?;
        return Ok(Exit::Done);
    }
    if let Some(commit) = committer.timeline().await?.write_at(instant).filter(|commit| commit.is_completed())
    {
        // What is refused is refused before anybody is asked.
        let draft = committer.plan_rollback(instant).await?;
        let files = human::counted(files_of(&draft).count() as u64, "file");
        confirm(&format!("{} {instant} would be undone, and {files} deleted", commit.action), args.yes)?;
    }
    let told = committer.roll_back(instant).await?;
    context.output.report(&Undone::of(&maintainer, &told))?;
    Ok(Exit::Done)
}

fn files_of(draft: &RollbackDraft) -> impl Iterator<Item = &str> {
    draft.plan.rollback_requests.iter().flat_map(|request| &request.files_to_be_deleted).map(String::as_str)
}

/// What a rollback would do.
#[derive(Debug, Serialize)]
struct Planned<'a> {
    table: String,
    instant: InstantTime,
    action: &'static str,
    is_completed: bool,
    /// The rollback that was begun already.
    begun: Option<InstantTime>,
    files: Vec<&'a str>,
}

impl<'a> Planned<'a> {
    fn of(maintainer: &Maintainer, draft: &'a RollbackDraft) -> Self {
        Self {
            table: maintainer.table().config.name.clone(),
            instant: draft.target.time,
            action: draft.target.file().action.as_str(),
            is_completed: draft.target.is_completed(),
            begun: draft.begun,
            files: files_of(draft).collect(),
        }
    }
}

impl Report for Planned<'_> {
    fn render(&self, page: &mut Page<'_>) -> io::Result<()> {
        for file in &self.files {
            page.line(file)?;
        }
        let state = if self.is_completed { "completed" } else { "not completed" };
        let files = human::counted(self.files.len() as u64, "file");
        page.line(&format!("{} {}, {state} · {files} would be deleted", self.action, self.instant))?;
        match self.begun {
            Some(rollback) => {
                page.advice(&format!("rollback {rollback} of it was begun, and would be gone on with"))
            }
            None => Ok(()),
        }
    }
}

/// What a rollback did.
#[derive(Debug, Serialize)]
struct Undone {
    table: String,
    instant: Option<InstantTime>,
    action: Option<&'static str>,
    rollback: Option<InstantTime>,
    files: i32,
}

impl Undone {
    fn of(maintainer: &Maintainer, told: &RollbackMetadata) -> Self {
        let undone = told.instants_rollback.first();
        Self {
            instant: undone.map(|info| info.commit_time),
            action: undone.map(|info| info.action.as_str()),
            rollback: Some(told.start_rollback_time),
            files: told.total_files_deleted,
            ..Self::nothing(maintainer)
        }
    }

    fn nothing(maintainer: &Maintainer) -> Self {
        let table = maintainer.table().config.name.clone();
        Self { table, instant: None, action: None, rollback: None, files: 0 }
    }
}

impl Report for Undone {
    fn render(&self, page: &mut Page<'_>) -> io::Result<()> {
        let (Some(instant), Some(action)) = (self.instant, self.action) else {
            return page.line(&format!("{}: there is no commit on the active timeline", self.table));
        };
        let files = human::counted(u64::try_from(self.files).unwrap_or_default(), "file");
        page.line(&format!("{}: {action} {instant} is undone · {files} deleted", self.table))
    }
}
