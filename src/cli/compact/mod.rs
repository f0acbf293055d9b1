//! `lakebed compact`: merges log files into base files.

mod report;

use std::num::NonZeroUsize;
use std::time::Duration;

use clap::Args;
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_file::Action;

use super::output::Report;
use super::progress::Progress;
use super::service::{Driver, Pending, Service, ServiceArgs, WhatArgs};
use super::{Context, Exit, human};
use crate::commit::Scheduled;
use crate::error::Error;
use crate::maintain::compaction::{
    CompactionDraft, CompactionEvent, CompactionReport, CompactionRules, plan,
};
use crate::maintain::{
    MaintainError, MaintainOptions, Maintainer, RunLimits, RunOutcome, SliceFiles, Survey,
};
use crate::memory::keep_within;
use crate::settings::{Size, TimeSpan};
use crate::table::FileGroupId;
use crate::timeline::Timeline;

use report::{CompactReport, PlanReport};

const EXAMPLES: &str = "\
Examples:
  lakebed compact /lake/flights                   compact every group that has log files
  lakebed compact /lake/flights --min-log-files 5 --min-log-ratio 0.2
                                                  those alone that are due
  lakebed compact /lake/flights --max-bytes 20GiB --max-time 10m
                                                  no more than that; the rest is left for later
  lakebed compact /lake/flights --dry-run         say what would be done
  lakebed compact /lake/flights --schedule        plan it, for Spark, Flink or a later run
  lakebed compact /lake/flights --run 20260301120000000
                                                  carry a pending plan out, whoever made it
  lakebed compact /lake/flights --plan plan.json  write the plan into a file, and change nothing
  lakebed compact /lake/flights --apply plan.json
                                                  carry that plan out, unless the table has moved on

Pending compactions are carried out first, then what is due is planned and carried out. Writers go
on meanwhile. A run that is stopped, or killed, is gone on with by the next one: file groups that
are done are not done again. Two runs at once do not disturb each other.

SIGINT and SIGTERM finish the file groups that are begun; a second signal ends at once.";

/// The arguments of `lakebed compact`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CompactArgs {
    #[command(flatten)]
    service: ServiceArgs,
    #[command(flatten)]
    what: WhatArgs,
    #[command(flatten)]
    due: DueArgs,
    /// Begin no more file groups after this time, such as 10m.
    #[arg(long, value_name = "TIME", conflicts_with_all = ["schedule", "plan", "dry_run"])]
    max_time: Option<TimeSpan>,
    /// Merge log files with corrupt blocks, too: readers pass these over, and what is in them is lost then.
    #[arg(long)]
    skip_corrupt_blocks: bool,
}

/// What is due.
#[derive(Debug, Args)]
struct DueArgs {
    /// File groups with so many log files are due.
    #[arg(long, value_name = "N", conflicts_with_all = ["run", "apply"])]
    min_log_files: Option<usize>,
    /// File groups whose log files have so many times the bytes of their base file are due, such as 0.3.
    #[arg(long, value_name = "RATIO", value_parser = ratio, conflicts_with_all = ["run", "apply"])]
    min_log_ratio: Option<f64>,
    /// File groups whose oldest log file is so old are due, such as 6h. They come first, the oldest before all.
    #[arg(long, value_name = "TIME", conflicts_with_all = ["run", "apply"])]
    min_log_age: Option<TimeSpan>,
    /// Plan at most so many file groups, the most valuable ones.
    #[arg(long, value_name = "N", conflicts_with_all = ["run", "apply"])]
    max_groups: Option<NonZeroUsize>,
    /// Plan at most so many bytes to be read; one file group is planned at least.
    #[arg(long, value_name = "SIZE", conflicts_with_all = ["run", "apply"])]
    max_bytes: Option<Size>,
    /// Only the file groups of this partition path; may be given again.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["run", "apply"])]
    partition: Vec<String>,
}

fn ratio(text: &str) -> Result<f64, String> {
    let ratio = text.parse().ok().filter(|ratio: &f64| *ratio >= 0.0);
    ratio.ok_or_else(|| "expected a number from 0 on, such as 0.3".to_owned())
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
            max_groups: self.max_groups.map_or(usize::MAX, NonZeroUsize::get),
            max_read_bytes: self.max_bytes.map_or(u64::MAX, |Size(bytes)| bytes),
            partitions: (!self.partition.is_empty()).then_some(partitions),
        }
    }
}

/// Runs `lakebed compact`.
pub(super) async fn run(context: &Context, args: CompactArgs) -> Result<Exit, Error> {
    let options = MaintainOptions { skip_corrupt_blocks: args.skip_corrupt_blocks, ..args.service.options() };
    let maintainer = args.service.open_with(context, &options).await?;
    tokio::spawn(keep_within(args.service.memory.0));
    let service = Compact { maintainer, rules: args.due.rules() };
    let driver = Driver { service: &service, output: context.output, max_time: args.max_time };
    driver.run(&args.what).await
}

/// Compaction.
struct Compact {
    maintainer: Maintainer,
    rules: CompactionRules,
}

impl Service for Compact {
    const ACTION: Action = Action::Compaction;
    type Survey = Survey;
    type Draft = CompactionDraft;
    type Done = CompactionReport;

    fn maintainer(&self) -> &Maintainer {
        &self.maintainer
    }

    async fn survey(&self, _: Option<&CompactionDraft>) -> Result<Survey, Error> {
        Ok(self.maintainer.survey().await?)
    }

    fn timeline(survey: &Survey) -> &Timeline {
        &survey.snapshot.timeline
    }

    fn plan(&self, survey: &Survey) -> CompactionDraft {
        plan(survey, &self.rules)
    }

    fn is_due(draft: &CompactionDraft) -> bool {
        !draft.groups.is_empty()
    }

    fn rewritten(draft: &CompactionDraft) -> Vec<&FileGroupId> {
        draft.groups.iter().map(|drafted| &drafted.group).collect()
    }

    async fn check(&self, survey: &Survey) -> Result<(), Error> {
        self.maintainer.check_memory(&survey.snapshot).await?;
        Ok(survey.check_partitions(self.rules.partitions.iter().flatten()).await?)
    }

    /// Log files that came since are taken in.
    fn renewed(
        draft: CompactionDraft,
        _: Option<InstantTime>,
        survey: &Survey,
    ) -> Result<CompactionDraft, String> {
        let groups = draft.groups.into_iter().map(|drafted| {
            now(&drafted, survey).map_err(|what| {
                let FileGroupId { partition, file_id } = &drafted.group;
                format!("file group {file_id} of partition {partition:?} {what}")
            })
        });
        Ok(CompactionDraft { groups: groups.collect::<Result<_, _>>()?, left_out: draft.left_out })
    }

    async fn schedule(&self, survey: &Survey, draft: &CompactionDraft) -> Result<Scheduled, MaintainError> {
        self.maintainer.schedule_compaction(survey, draft).await
    }

    async fn run(
        &self,
        instant: InstantTime,
        limits: &RunLimits,
        progress: &Progress,
    ) -> Result<CompactionReport, MaintainError> {
        let tell = |event: CompactionEvent| match event {
            CompactionEvent::Begun { instant, groups, bytes } => {
                let groups = human::counted(groups as u64, "file group");
                progress.begin(bytes, format!("compaction {instant}, {groups}"));
            }
            CompactionEvent::Finished { read_bytes, .. } => progress.advance(read_bytes),
        };
        self.maintainer.compact(instant, limits, &tell).await
    }

    fn outcome(done: &CompactionReport) -> RunOutcome {
        done.outcome
    }

    fn plan_report(&self, _: &Survey, draft: &CompactionDraft, pending: Pending) -> impl Report {
        PlanReport::of(self.maintainer.table(), draft, pending)
    }

    fn report(&self, done: &[CompactionReport], _: Option<String>) -> impl Report {
        CompactReport::of(&self.maintainer, done)
    }
}

/// A group as it is now, or why it is not the one that was planned any more.
fn now(drafted: &SliceFiles, survey: &Survey) -> Result<SliceFiles, String> {
    if let Some(instant) = survey.busy.get(&drafted.group) {
        return Err(format!("is to be rewritten by {instant}, which was planned since"));
    }
    let group = survey.groups.iter().find(|group| group.id == drafted.group);
    let Some(slice) = group.and_then(|group| group.latest()) else {
        return Err("is not there any more".to_owned());
    };
    let now = SliceFiles::of(drafted.group.clone(), slice);
    let is_there = |log| now.logs.contains(log);
    if now.base != drafted.base || !drafted.logs.iter().all(is_there) {
        return Err("has been rewritten since".to_owned());
    }
    Ok(now)
}
