//! `lakebed ingest`: runs a job.

mod display;
mod report;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use super::metrics_server::{self, MetricsServer, MetricsText};
use super::output::JsonSchema;
use super::signals::stop_signal;
use super::{Context, Exit};
use crate::error::{Error, ErrorKind};
use crate::ingest::job::{Job, json_schema};
use crate::ingest::{
    DryRun, Events, IngestError, Metrics, RunOptions, Summary, committed_progress, drop_progress, dry_run,
    run as run_job,
};
use crate::memory::{default_budget_bytes, keep_within};

use display::Display;
use report::{DroppedReport, ProgressReport};

const EXAMPLES: &str = "\
Examples:
  lakebed ingest flights.yaml --once           read what there is, commit it and end
  lakebed ingest flights.yaml --metrics 9100   serve http://127.0.0.1:9100/metrics meanwhile
  lakebed ingest flights.yaml --dry-run        say what would be written where
  lakebed ingest flights.yaml --show-progress  how far the pipeline has come
  lakebed ingest --print-schema                every setting of a job file, for editors

A run ends with its files, unless the job says source.follow: it waits for new ones then. SIGINT
and SIGTERM finish the checkpoint and end with exit code 0; an overwrite, which is one commit of
all records, is given up and ends with exit code 1. A second signal ends at once, and the next run
goes on from the last commit. With --format json what happens is told by JSON lines on standard
error, and the summary is one JSON document on standard output.";

/// The arguments of `lakebed ingest`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct IngestArgs {
    /// The job file.
    #[arg(required_unless_present = "print_schema")]
    job: Option<PathBuf>,
    /// Read what there is and end, whatever the job says of following files.
    #[arg(long)]
    once: bool,
    /// Read and map what there is, say what would be written where, and write nothing. Ends with the
    /// exit code that bad records would give the run.
    #[arg(long, conflicts_with = "metrics")]
    dry_run: bool,
    /// Forget how far the pipeline has come, and read everything again.
    #[arg(long)]
    reset_progress: bool,
    /// Show how far the pipelines of the table have come, and end.
    #[arg(long, conflicts_with_all = ["once", "dry_run", "reset_progress", "metrics"])]
    show_progress: bool,
    /// Drop the progress of a pipeline of the table that never runs again, and end. Every commit carries
    /// the progress of all pipelines; started again, this one would read everything anew.
    #[arg(long, value_name = "PIPELINE", conflicts_with_all = ["once", "dry_run", "reset_progress", "show_progress", "metrics"])]
    drop_progress: Option<String>,
    /// Serve metrics in Prometheus' form at http://ADDR/metrics: a port, which is one of this machine
    /// alone, or an address with a port.
    #[arg(long, value_name = "ADDR", value_parser = metrics_server::parse_address)]
    metrics: Option<String>,
    /// Print the JSON Schema of job files, for editors, and end.
    #[arg(long, conflicts_with_all = ["once", "dry_run", "reset_progress", "show_progress", "drop_progress"])]
    print_schema: bool,
}

/// Runs `lakebed ingest`.
pub(super) async fn run(context: &Context, args: IngestArgs) -> Result<Exit, Error> {
    let Some(path) = args.job.filter(|_| !args.print_schema) else {
        context.output.report(&JsonSchema(json_schema()))?;
        return Ok(Exit::Done);
    };
    let job = Job::from_file(&path)
        .map_err(|error| Error::new(ErrorKind::FixInput, format!("{}: {error}", path.display())))?;
    if args.show_progress {
        let progress = committed_progress(&job, &context.environment).await;
        let progress = progress.map_err(|error| in_job(&path, error))?;
        context.output.report(&ProgressReport::of(&job, progress))?;
        return Ok(Exit::Done);
    }
    if let Some(pipeline) = args.drop_progress {
        let progress = drop_progress(&job, &pipeline, &context.environment).await;
        let progress = progress.map_err(|error| in_job(&path, error))?;
        context.output.report(&DroppedReport::of(&job, pipeline, progress))?;
        return Ok(Exit::Done);
    }
    let options = RunOptions {
        once: args.once,
        reset_progress: args.reset_progress,
        stdin: Some(Box::new(io::stdin())),
        ..RunOptions::default()
    };
    let display = Display::new(context.output);
    let told = display.clone();
    let stop = stop_signal(move |stop| told.tell_stop(stop))?;
    let metrics = Arc::new(Metrics::new(&job.pipeline, &context.environment));
    let server = match &args.metrics {
        Some(address) => Some(MetricsServer::start(address, text_of(&metrics)).await?),
        None => None,
    };
    if let Some(server) = &server {
        display.tell_metrics(server.address);
    }
    let shown = display.clone();
    let events: Events = Arc::new(move |event| {
        metrics.observe(event);
        shown.show(event);
    });
    let budget_bytes = job.memory.map_or_else(default_budget_bytes, |size| size.0);
    tokio::spawn(keep_within(budget_bytes));
    match args.dry_run {
        true => {
            let dry = dry_run(job, options, &context.environment, stop, events).await;
            display.end();
            tell_dry_run(context, dry.map_err(|error| in_job(&path, error))?)
        }
        false => {
            let summary = run_job(job, options, &context.environment, stop.clone(), events).await;
            display.end();
            tell_run(context, &summary.map_err(|error| in_job(&path, error))?, *stop.borrow())
        }
    }
}

/// An error of a job; one of its settings with the file that has it.
fn in_job(path: &Path, error: IngestError) -> Error {
    let is_of_settings = matches!(error, IngestError::Job(_) | IngestError::Mapping(_));
    let error = Error::from(error);
    match is_of_settings {
        true => Error::new(error.kind(), format!("{}: {error}", path.display())),
        false => error,
    }
}

fn tell_run(context: &Context, summary: &Summary, stopped: bool) -> Result<Exit, Error> {
    context.output.report(summary)?;
    let nothing = summary.is_nothing() && !stopped;
    Ok(if nothing { Exit::NothingToDo } else { Exit::Done })
}

fn tell_dry_run(context: &Context, dry: DryRun) -> Result<Exit, Error> {
    context.output.report(&dry)?;
    match dry.stopped_by {
        Some(error) => Err(error.into()),
        None if dry.records == 0 && dry.commits == 0 && !dry.interrupted => Ok(Exit::NothingToDo),
        None => Ok(Exit::Done),
    }
}

fn text_of(metrics: &Arc<Metrics>) -> MetricsText {
    let metrics = metrics.clone();
    Arc::new(move || metrics.to_text())
}
