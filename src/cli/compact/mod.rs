//! `lakebed compact`: merges log files into base files.

mod plan_file;
mod report;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_file::Action;

use super::progress::Progress;
use super::service::ServiceArgs;
use super::signals::stop_signal;
use super::{Context, Exit, human};
use crate::commit::Scheduled;
use crate::error::{Error, ErrorKind};
use crate::maintain::compaction::{
    CompactionDraft, CompactionEvent, CompactionReport, CompactionRules, plan,
};
use crate::maintain::{MaintainError, Maintainer, RunLimits, RunOutcome, Survey};
use crate::memory::keep_within;
use crate::settings::{Size, TimeSpan};

use plan_file::PlanFile;
use report::{CompactReport, PlanReport};

const EXAMPLES: &str = "\
Examples:
  lakebed compact /lake/flights                             compact every group that has log files
  lakebed compact /lake/flights --min-log-files 5 --min-log-ratio 0.2
                                                            those alone that are due
  lakebed compact /lake/flights --max-bytes 20GiB --max-time 10m
                                                            no more than that; the rest is left for later
  lakebed compact /lake/flights --dry-run                   say what would be done
  lakebed compact /lake/flights --schedule                  plan it, for Spark, Flink or a later run
  lakebed compact /lake/flights --run 20260301120000000     carry a pending plan out, whoever made it
  lakebed compact /lake/flights --plan plan.json            write the plan into a file, and change nothing
  lakebed compact /lake/flights --apply plan.json           carry that plan out, unless the table has moved on

Pending compactions are carried out first, then what is due is planned and carried out. Writers go on
meanwhile. A run that is stopped, or killed, is gone on with by the next one: file groups that are done
are not done again. Two runs at once do not disturb each other.

SIGINT and SIGTERM finish the file groups that are begun; a second signal ends at once.";

/// The arguments of `lakebed compact`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CompactArgs {
    #[command(flatten)]
    service: ServiceArgs,
    /// Plan what is due, and leave it to be carried out by a later run or another engine.
    #[arg(long, group = "what")]
    schedule: bool,
    /// Carry this pending compaction out, and no other.
    #[arg(long, value_name = "INSTANT", group = "what")]
    run: Option<InstantTime>,
    /// Write the plan of what is due into a file, and change nothing.
    #[arg(long, value_name = "FILE", group = "what")]
    plan: Option<PathBuf>,
    /// Carry the plan of a file out, which --plan wrote. Refused if a file group has been rewritten since.
    #[arg(long, value_name = "FILE", group = "what")]
    apply: Option<PathBuf>,
    /// Say what would be done, and do nothing.
    #[arg(long, group = "what")]
    dry_run: bool,
    #[command(flatten)]
    due: DueArgs,
    /// Begin no more file groups after this time, such as 10m.
    #[arg(long, value_name = "TIME", conflicts_with_all = ["schedule", "plan", "dry_run"])]
    max_time: Option<TimeSpan>,
}

/// What is due.
#[derive(Debug, Args)]
struct DueArgs {
    /// File groups with so many log files are due.
    #[arg(long, value_name = "N", conflicts_with_all = ["run", "apply"])]
    min_log_files: Option<usize>,
    /// File groups whose log files have so many times the bytes of their base file are due, such as 0.3.
    #[arg(long, value_name = "RATIO", conflicts_with_all = ["run", "apply"])]
    min_log_ratio: Option<f64>,
    /// File groups whose oldest log file is so old are due, such as 6h. They come first, the oldest before all.
    #[arg(long, value_name = "TIME", conflicts_with_all = ["run", "apply"])]
    min_log_age: Option<TimeSpan>,
    /// Plan at most so many file groups, the most valuable ones.
    #[arg(long, value_name = "N", conflicts_with_all = ["run", "apply"])]
    max_groups: Option<usize>,
    /// Plan at most so many bytes to be read; one file group is planned at least.
    #[arg(long, value_name = "SIZE", conflicts_with_all = ["run", "apply"])]
    max_bytes: Option<Size>,
    /// Only the file groups of this partition path; may be given again.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["run", "apply"])]
    partition: Vec<String>,
}

impl DueArgs {
    /// Every group with a log file, unless a threshold says which.
    fn rules(&self) -> CompactionRules {
        let any = self.min_log_files.is_some() || self.min_log_ratio.is_some() || self.min_log_age.is_some();
        let never = Duration::MAX;
        let partitions = self.partition.iter().map(|path| path.trim_end_matches('/').to_owned()).collect();
        CompactionRules {
            due_log_files: self.min_log_files.unwrap_or(if any { usize::MAX } else { 1 }),
            due_log_ratio: self.min_log_ratio.unwrap_or(f64::INFINITY),
            due_log_age: self.min_log_age.map_or(never, |TimeSpan(age)| age),
            max_groups: self.max_groups.unwrap_or(usize::MAX),
            max_read_bytes: self.max_bytes.map_or(u64::MAX, |Size(bytes)| bytes),
            partitions: (!self.partition.is_empty()).then_some(partitions),
        }
    }
}

/// Runs `lakebed compact`.
pub(super) async fn run(context: &Context, args: CompactArgs) -> Result<Exit, Error> {
    let maintainer = args.service.open(context).await?;
    tokio::spawn(keep_within(args.service.memory.0));
    if args.dry_run || args.plan.is_some() {
        return tell_plan(context, &maintainer, &args).await;
    }
    maintainer.sweep().await?;
    if args.schedule {
        return schedule(context, &maintainer, &args).await;
    }
    let progress = Progress::new(context.output);
    let told = progress.clone();
    let stop = stop_signal(move |stop| told.tell_stop(stop))?;
    let clock = &context.environment.clock;
    let deadline = args.max_time.map(|TimeSpan(time)| clock.monotonic() + time);
    let running =
        Running { maintainer: &maintainer, progress: &progress, limits: RunLimits { stop, deadline } };
    let reports = running.all(&args).await;
    progress.end();
    let report = CompactReport::of(&maintainer, &reports?);
    context.output.report(&report)?;
    Ok(report.exit())
}

/// Says what is due, or writes it into a file.
async fn tell_plan(context: &Context, maintainer: &Maintainer, args: &CompactArgs) -> Result<Exit, Error> {
    let survey = maintainer.survey().await?;
    let draft = plan(&survey, &args.due.rules());
    let report = PlanReport::of(maintainer, &survey, &draft).await?;
    if let Some(path) = args.plan.as_ref().filter(|_| !draft.groups.is_empty()) {
        PlanFile::of(maintainer, &survey, draft).write(path)?;
    }
    let exit = if report.is_empty() { Exit::NothingToDo } else { Exit::Done };
    context.output.report(&report)?;
    Ok(exit)
}

async fn schedule(context: &Context, maintainer: &Maintainer, args: &CompactArgs) -> Result<Exit, Error> {
    let survey = maintainer.survey().await?;
    let draft = plan(&survey, &args.due.rules());
    let scheduled = match draft.groups.is_empty() {
        true => None,
        false => put_plan(maintainer, &survey, &draft).await?,
    };
    let report = PlanReport::of(maintainer, &survey, &draft).await?.scheduled(scheduled);
    context.output.report(&report)?;
    Ok(if scheduled.is_some() { Exit::Done } else { Exit::NothingToDo })
}

/// Puts a plan on the timeline; `None` if nothing of it is left to do.
async fn put_plan(
    maintainer: &Maintainer,
    survey: &Survey,
    draft: &CompactionDraft,
) -> Result<Option<InstantTime>, Error> {
    match maintainer.schedule_compaction(survey, draft).await? {
        Scheduled::At(instant) => Ok(Some(instant)),
        Scheduled::Nothing => Ok(None),
        Scheduled::Stale { reason } => Err(MaintainError::Conflict { reason }.into()),
    }
}

/// Carries compactions out.
struct Running<'a> {
    maintainer: &'a Maintainer,
    progress: &'a Progress,
    limits: RunLimits,
}

impl Running<'_> {
    async fn all(&self, args: &CompactArgs) -> Result<Vec<CompactionReport>, Error> {
        let pending = self.pending().await?;
        if let Some(instant) = args.run {
            if !pending.contains(&instant) {
                let action = Action::Compaction;
                return Err(MaintainError::NoPlan { instant, action, pending }.into());
            }
            return Ok(vec![self.one(instant).await?]);
        }
        if let Some(path) = &args.apply {
            let survey = self.maintainer.survey().await?;
            let draft = PlanFile::read(path)?.draft(path, self.maintainer, &survey)?;
            return match put_plan(self.maintainer, &survey, &draft).await? {
                Some(instant) => Ok(vec![self.one(instant).await?]),
                None => Ok(Vec::new()),
            };
        }
        let mut reports = Vec::new();
        for instant in pending {
            reports.push(self.one(instant).await?);
        }
        if !self.limits.are_reached(self.maintainer.table().environment.clock.as_ref()) {
            let survey = self.maintainer.survey().await?;
            let draft = plan(&survey, &args.due.rules());
            if !draft.groups.is_empty()
                && let Some(instant) = put_plan(self.maintainer, &survey, &draft).await?
            {
                reports.push(self.one(instant).await?);
            }
        }
        Ok(reports)
    }

    /// Pending compactions, oldest first.
    async fn pending(&self) -> Result<Vec<InstantTime>, Error> {
        let timeline = self.maintainer.table().timeline.load().await?;
        let pending = timeline.pending().filter(|instant| instant.requested_as == Action::Compaction);
        Ok(pending.map(|instant| instant.time).collect())
    }

    async fn one(&self, instant: InstantTime) -> Result<CompactionReport, Error> {
        let tell = |event: CompactionEvent| match event {
            CompactionEvent::Begun { instant, groups, bytes } => {
                let message =
                    format!("compaction {instant}, {}", human::counted(groups as u64, "file group"));
                self.progress.begin(bytes, message);
            }
            CompactionEvent::Finished { read_bytes, .. } => self.progress.advance(read_bytes),
        };
        let report = self.maintainer.compact(instant, &self.limits, &tell).await?;
        Ok(report)
    }
}

impl CompactReport {
    /// Somebody else at work on all there is to do is worth another try; what was stopped goes on later.
    fn exit(&self) -> Exit {
        let outcomes = || self.compactions.iter().map(|compaction| compaction.outcome);
        if self.compactions.is_empty() {
            return Exit::NothingToDo;
        }
        if outcomes().all(|outcome| matches!(outcome, RunOutcome::AtWork { .. })) {
            return Exit::Conflict;
        }
        Exit::Done
    }
}

fn unreadable(path: &std::path::Path, problem: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::FixInput, format!("{}: {problem}", path.display()))
}
