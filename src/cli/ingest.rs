//! `lakebed ingest`: runs a job.

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::output::{Page, Report};
use super::{Context, Exit, human};
use crate::error::{Error, ErrorKind};
use crate::ingest::job::{Job, json_schema};
use crate::ingest::{Event, RunOptions, Summary, run as run_job};

/// The arguments of `lakebed ingest`.
#[derive(Debug, Args)]
pub(super) struct IngestArgs {
    /// The job file.
    #[arg(required_unless_present = "print_schema")]
    job: Option<PathBuf>,
    /// Read what there is and end, whatever the job says of following files.
    #[arg(long)]
    once: bool,
    /// Forget how far the pipeline has come, and read everything again.
    #[arg(long)]
    reset_progress: bool,
    /// Print the JSON Schema of job files, for editors, and end.
    #[arg(long)]
    print_schema: bool,
}

/// Runs `lakebed ingest`.
pub(super) async fn run(context: &Context, args: IngestArgs) -> Result<Exit, Error> {
    let Some(path) = args.job.filter(|_| !args.print_schema) else {
        context.output.report(&JobSchema(json_schema()))?;
        return Ok(Exit::Done);
    };
    let text = std::fs::read_to_string(&path).map_err(|error| {
        Error::new(ErrorKind::FixInput, format!("{}: the job file cannot be read: {error}", path.display()))
    })?;
    let job = Job::from_yaml(&text)
        .map_err(|error| Error::new(ErrorKind::FixInput, format!("{}: {error}", path.display())))?;
    let options = RunOptions {
        once: args.once,
        reset_progress: args.reset_progress,
        stdin: Some(Box::new(io::stdin())),
    };
    let progress = Progress::new();
    let shown = progress.clone();
    let events = Arc::new(move |event: &Event| shown.show(event));
    let summary = run_job(job, options, &context.environment, stop_signal()?, events).await;
    progress.end();
    let summary = summary?;
    context.output.report(&summary)?;
    Ok(if summary.records == 0 { Exit::NothingToDo } else { Exit::Done })
}

/// Turns true at the first SIGINT or SIGTERM; a second one ends the program at once.
fn stop_signal() -> Result<watch::Receiver<bool>, Error> {
    let failed = |error| Error::new(ErrorKind::Failed, format!("signals cannot be received: {error}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        for times in 1.. {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if times > 1 {
                tracing::warn!("stopped by a second signal; the open checkpoint is not committed");
                std::process::exit(Exit::Failed.code().into());
            }
            tracing::info!("finishing the checkpoint; a second signal stops at once");
            // Nobody listens any more if the run has just ended.
            let _ = stop.send(true);
        }
    });
    Ok(stopped)
}

/// Shows how a run goes on: a line that moves on a terminal, else a line per commit.
#[derive(Clone)]
struct Progress {
    bar: Option<ProgressBar>,
}

impl Progress {
    fn new() -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            bar.enable_steady_tick(Duration::from_millis(120));
            let style = ProgressStyle::with_template("{spinner} {human_pos} records, {per_sec}  {msg}");
            style.map_or(bar.clone(), |style| bar.with_style(style))
        });
        Self { bar }
    }

    fn show(&self, event: &Event) {
        match (event, &self.bar) {
            (Event::Written { input, records, bytes }, Some(bar)) => {
                bar.set_position(*records);
                bar.set_message(format!("{} read, at {input}", HumanBytes(*bytes)));
            }
            (Event::Written { .. }, None) => {}
            (event, Some(bar)) => bar.suspend(|| tell(event)),
            (event, None) => tell(event),
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A line on standard error.
fn tell(event: &Event) {
    let line = match event {
        Event::Created { uri, columns } => format!("created {uri} with {columns} columns"),
        Event::Started { epoch, checkpoint: 0 } => format!("epoch {epoch}: nothing is committed yet"),
        Event::Started { epoch, checkpoint } => {
            format!("epoch {epoch}: going on after checkpoint {checkpoint}")
        }
        Event::Written { .. } => return,
        Event::Committed { checkpoint, instant, rows } => {
            format!("checkpoint {checkpoint} committed at {instant}: {} rows", HumanCount(*rows))
        }
        Event::Rewound { reason } => format!("going back to the last commit: {reason}"),
        Event::Retrying { reason } => format!("trying again: {reason}"),
    };
    // Progress that nobody can see is no failure.
    let _ = io::Write::write_all(&mut io::stderr(), format!("{line}\n").as_bytes());
}

impl Report for Summary {
    fn render(&self, page: &mut Page<'_>) -> io::Result<()> {
        if self.records == 0 {
            return page.line("nothing new to read");
        }
        let seconds = self.milliseconds.max(1) as f64 / 1e3;
        page.line(&format!(
            "{} read from {} ({}); {} written in {} and {} of {}, {}; {} rows a second",
            human::counted(self.records, "record"),
            human::counted(self.inputs, "input"),
            human::bytes(self.input_bytes),
            human::counted(self.rows, "row"),
            human::counted(self.commits, "commit"),
            human::counted(self.files, "file"),
            human::bytes(self.bytes),
            human::duration(self.milliseconds),
            human::count((self.rows as f64 / seconds) as u64),
        ))?;
        if self.deletes > 0 {
            page.line(&format!("{} of these only deleted their key", human::counted(self.deletes, "row")))?;
        }
        if self.bad_records > 0 {
            page.line(&format!("{} could not be taken", human::counted(self.bad_records, "bad record")))?;
        }
        Ok(())
    }
}

/// The JSON Schema of job files.
#[derive(serde::Serialize)]
#[serde(transparent)]
struct JobSchema(serde_json::Value);

impl Report for JobSchema {
    fn render(&self, page: &mut Page<'_>) -> io::Result<()> {
        page.line(&serde_json::to_string_pretty(&self.0).map_err(io::Error::other)?)
    }
}
