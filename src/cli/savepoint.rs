//! `lakebed savepoint`: keeps commits to go back to.

use std::io;

use clap::{Args, Subcommand};
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_file::Action;
use lakebed_hudi::timeline_metadata::SavepointMetadata;
use serde::Serialize;

use super::output::{Page, Report};
use super::service::TableArgs;
use super::{Context, Exit, human};
use crate::commit::Savepointed;
use crate::error::Error;
use crate::maintain::Maintainer;

const EXAMPLES: &str = "\
Examples:
  lakebed savepoint create /lake/flights --comment 'before the backfill'
  lakebed savepoint create /lake/flights 20260301120000000
  lakebed savepoint list /lake/flights
  lakebed savepoint delete /lake/flights 20260301120000000

No file that the table had as of a savepoint is deleted, and no commit from it on is archived, so
that the table can be taken back to it (lakebed restore). Delete savepoints that are not needed
any more: they hold cleaning and archival back.";

/// What is done to savepoints.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(super) enum SavepointCommand {
    /// Keep a commit.
    Create(CreateArgs),
    /// Show the savepoints of a table.
    List(ListArgs),
    /// Keep a commit no longer: its files go with a later clean.
    Delete(DeleteArgs),
}

/// The arguments of `lakebed savepoint create`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CreateArgs {
    #[command(flatten)]
    table: TableArgs,
    /// The commit: the newest one that none which is not completed can come before, if left out.
    instant: Option<InstantTime>,
    /// Who makes it.
    #[arg(long, value_name = "NAME", default_value = "lakebed")]
    user: String,
    /// What for.
    #[arg(long, value_name = "TEXT", default_value = "")]
    comment: String,
}

/// The arguments of `lakebed savepoint list`.
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// The table.
    uri: String,
}

/// The arguments of `lakebed savepoint delete`.
#[derive(Debug, Args)]
pub(super) struct DeleteArgs {
    #[command(flatten)]
    table: TableArgs,
    /// The commit that is kept.
    instant: InstantTime,
}

/// Runs `lakebed savepoint`.
pub(super) async fn run(context: &Context, command: SavepointCommand) -> Result<Exit, Error> {
    match command {
        SavepointCommand::Create(args) => create(context, args).await,
        SavepointCommand::List(args) => list(context, args).await,
        SavepointCommand::Delete(args) => delete(context, args).await,
    }
}

async fn create(context: &Context, args: CreateArgs) -> Result<Exit, Error> {
    let maintainer = args.table.open(context).await?;
    let made = maintainer.committer().savepoint(args.instant, &args.user, &args.comment).await?;
    context.output.report(&Created::of(&maintainer, &made))?;
    Ok(if made.is_new { Exit::Done } else { Exit::NothingToDo })
}

async fn list(context: &Context, args: ListArgs) -> Result<Exit, Error> {
    let table = context.open(&args.uri).await?;
    let timeline = table.timeline.load().await?;
    let mut savepoints = Vec::new();
    for savepoint in timeline.instants().filter(|instant| instant.action == Action::Savepoint) {
        savepoints.push(match savepoint.is_completed() {
            true => Kept::of(savepoint.time, &table.timeline.savepoint_metadata(savepoint).await?),
            false => Kept::cut_off(savepoint.time),
        });
    }
    context.output.report(&Savepoints { table: table.config.name, savepoints })?;
    Ok(Exit::Done)
}

async fn delete(context: &Context, args: DeleteArgs) -> Result<Exit, Error> {
    let maintainer = args.table.open(context).await?;
    maintainer.committer().delete_savepoint(args.instant).await?;
    let table = maintainer.table().config.name.clone();
    context.output.report(&Deleted { table, instant: args.instant })?;
    Ok(Exit::Done)
}

/// A savepoint.
#[derive(Debug, Serialize)]
struct Kept {
    instant: InstantTime,
    is_completed: bool,
    user: String,
    comment: String,
    made_unix_millis: i64,
    partitions: usize,
    files: usize,
}

impl Kept {
    fn of(instant: InstantTime, metadata: &SavepointMetadata) -> Self {
        Self {
            instant,
            is_completed: true,
            user: metadata.savepointed_by.clone(),
            comment: metadata.comments.clone(),
            made_unix_millis: metadata.savepointed_at_ms,
            partitions: metadata.partition_metadata.len(),
            files: metadata.partition_metadata.values().map(|kept| kept.savepoint_data_file.len()).sum(),
        }
    }

    /// One that was cut off while it was made, or deleted.
    fn cut_off(instant: InstantTime) -> Self {
        let (user, comment) = (String::new(), String::new());
        Self { instant, is_completed: false, user, comment, made_unix_millis: 0, partitions: 0, files: 0 }
    }
}

/// The savepoints of a table, oldest first.
#[derive(Debug, Serialize)]
struct Savepoints {
    table: String,
    savepoints: Vec<Kept>,
}

impl Report for Savepoints {
    fn render(&self, page: &mut Page<'_>) -> io::Result<()> {
        if self.savepoints.is_empty() {
            return page.line(&format!("{}: there is no savepoint", self.table));
        }
        let columns = ["SAVEPOINT", "MADE", "USER", "PARTITIONS>", "FILES>", "COMMENT"];
        let row = |kept: &Kept| {
            let made = match kept.is_completed {
                true => human::event_time(kept.made_unix_millis),
                false => "not completed".to_owned(),
            };
            let [partitions, files] = [kept.partitions, kept.files].map(|number| human::count(number as u64));
            vec![kept.instant.to_string(), made, kept.user.clone(), partitions, files, kept.comment.clone()]
        };
        page.rows(&columns, self.savepoints.iter().map(row).collect())
    }
}

/// What became of a savepoint that was to be made.
#[derive(Debug, Serialize)]
struct Created {
    table: String,
    #[serde(flatten)]
    kept: Kept,
    is_new: bool,
    /// What is not completed, so that later commits could not be chosen.
    held_by: Option<InstantTime>,
}

impl Created {
    fn of(maintainer: &Maintainer, made: &Savepointed) -> Self {
        Self {
            table: maintainer.table().config.name.clone(),
            kept: Kept::of(made.instant, &made.metadata),
            is_new: made.is_new,
            held_by: made.held_by.map(|pending| pending.time),
        }
    }
}

impl Report for Created {
    fn render(&self, page: &mut Page<'_>) -> io::Result<()> {
        let (instant, files) = (self.kept.instant, human::counted(self.kept.files as u64, "file"));
        let how = if self.is_new { "is kept" } else { "was kept already" };
        page.line(&format!("{}: {instant} {how} · {files}", self.table))?;
        match self.held_by {
            Some(pending) => page.advice(&format!(
                "there are later commits, but {pending} is not completed, and came before them"
            )),
            None => Ok(()),
        }
    }
}

/// A savepoint that was deleted.
#[derive(Debug, Serialize)]
struct Deleted {
    table: String,
    instant: InstantTime,
}

impl Report for Deleted {
    fn render(&self, page: &mut Page<'_>) -> io::Result<()> {
        page.line(&format!("{}: {} is kept no longer", self.table, self.instant))
    }
}
