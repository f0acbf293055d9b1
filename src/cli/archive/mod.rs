//! `lakebed archive`: moves old instants to the archived timeline.

mod report;

use clap::Args;

use super::progress::Progress;
use super::service::ServiceArgs;
use super::signals::stop_signal;
use super::{Context, Exit};
use crate::error::Error;
use crate::maintain::archive::{ArchiveEvent, ArchiveRules};
use crate::memory::keep_within;

use report::{ArchiveDone, ArchivePlanned};

const EXAMPLES: &str = "\
Examples:
  lakebed archive /lake/flights                    leave 20 commits if there are more than 30
  lakebed archive /lake/flights --min-commits 100  leave 100 if there are more than 110
  lakebed archive /lake/flights --dry-run          say what would go, and what holds the rest

Nothing goes from the first savepoint on, from the last commit before a pending write or service
on, nor while files of replaced groups or of dead writers are there: clean first. What holds
instants back that would have gone is told.

Writers go on meanwhile: they wait for a batch of instants at most. A run that is stopped, or
killed, is gone on with by the next one; two runs at once do not disturb each other.

SIGINT and SIGTERM finish the batch that is begun; a second signal ends at once.";

/// The arguments of `lakebed archive`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ArchiveArgs {
    #[command(flatten)]
    service: ServiceArgs,
    /// So many completed commits stay: 20, or fewer than --max-commits.
    #[arg(long, value_name = "N")]
    min_commits: Option<usize>,
    /// As soon as there are more than so many, all but --min-commits go: 30, or 10 more than those.
    #[arg(long, value_name = "N")]
    max_commits: Option<usize>,
    /// Say what would go, and change nothing.
    #[arg(long)]
    dry_run: bool,
}

/// Runs `lakebed archive`.
pub(super) async fn run(context: &Context, args: ArchiveArgs) -> Result<Exit, Error> {
    let rules = ArchiveRules::chosen(args.min_commits, args.max_commits)?;
    let maintainer = args.service.open(context).await?;
    tokio::spawn(keep_within(args.service.memory.0));
    if args.dry_run {
        let report = ArchivePlanned::of(&maintainer, maintainer.plan_archive(&rules).await?);
        context.output.report(&report)?;
        return Ok(if report.is_empty() { Exit::NothingToDo } else { Exit::Done });
    }
    let progress = Progress::instants(context.output);
    let told = progress.clone();
    let stop = stop_signal(move |stop| told.tell_stop(stop))?;
    let tell = |event: ArchiveEvent| match event {
        ArchiveEvent::Begun { instants } => progress.begin(instants as u64, "archiving".to_owned()),
        ArchiveEvent::Gone { instants } => progress.advance(instants as u64),
    };
    let archived = maintainer.archive(&rules, &stop, &tell).await;
    progress.end();
    let report = ArchiveDone::of(&maintainer, archived?);
    context.output.report(&report)?;
    Ok(if report.is_empty() { Exit::NothingToDo } else { Exit::Done })
}
