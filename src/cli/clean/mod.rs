//! `lakebed clean`: deletes files that no reader needs any more.

mod report;

use clap::Args;
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_file::Action;

use super::output::Report;
use super::progress::Progress;
use super::service::{Driver, Pending, Service, ServiceArgs, WhatArgs};
use super::{Context, Exit, human};
use crate::commit::Scheduled;
use crate::error::{Error, ErrorKind};
use crate::maintain::clean::{
    CleanDraft, CleanEvent, CleanPolicy, CleanReport, CleanRules, CleanSurvey, DraftedSlice, PolicyName, plan,
};
use crate::maintain::{MaintainError, Maintainer, RunLimits, RunOutcome};
use crate::memory::keep_within;
use crate::settings::Window;
use crate::table::FileGroupId;
use crate::timeline::Timeline;

use report::{CleansReport, PlanReport};

const EXAMPLES: &str = "\
Examples:
  lakebed clean /lake/flights                     leave what the newest 10 commits read
  lakebed clean /lake/flights --retain-commits 30
                                                  leave what the newest 30 read
  lakebed clean /lake/flights --retain-hours 24   leave what was read within a day
  lakebed clean /lake/flights --retain-file-versions 1
                                                  leave the newest version of each group
  lakebed clean /lake/flights --reader-window 4h  some readers take hours
  lakebed clean /lake/flights --dry-run           say what would be deleted
  lakebed clean /lake/flights --plan plan.json    write the plan into a file, and change nothing
  lakebed clean /lake/flights --apply plan.json   carry that plan out, unless the table has moved on

The table can be read as of any commit that stays, and by whoever began to read within the reader
window. The newest files, what a savepoint keeps and what a pending compaction or clustering reads
are never deleted, nor are files of writes that are not completed. Writers and readers go on
meanwhile.

Pending cleans are carried out first, those of Spark and Flink as well. A run that is stopped, or
killed, is gone on with by the next one.";

/// The arguments of `lakebed clean`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CleanArgs {
    #[command(flatten)]
    service: ServiceArgs,
    #[command(flatten)]
    what: WhatArgs,
    #[command(flatten)]
    stays: StaysArgs,
}

/// What stays.
#[derive(Debug, Args)]
struct StaysArgs {
    /// Which versions of files stay: KEEP_LATEST_COMMITS, KEEP_LATEST_BY_HOURS or KEEP_LATEST_FILE_VERSIONS;
    /// the first if no setting below says otherwise.
    #[arg(long, value_name = "POLICY", conflicts_with_all = ["run", "apply"])]
    policy: Option<PolicyName>,
    /// What the newest so many commits read stays: 10 if left out.
    #[arg(long, value_name = "N", group = "retain", conflicts_with_all = ["run", "apply"])]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    retain_commits: Option<u32>,
    /// What was read since the first commit within so many hours stays: 24 if left out.
    #[arg(long, value_name = "N", group = "retain", conflicts_with_all = ["run", "apply"])]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    retain_hours: Option<u32>,
    /// So many versions of each file group stay: 3 if left out.
    #[arg(long, value_name = "N", group = "retain", conflicts_with_all = ["run", "apply"])]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    retain_file_versions: Option<u32>,
    /// Leave what anybody reads who began to so long ago, such as 4h, whatever the policy says; 0 for nothing.
    #[arg(long, value_name = "TIME", default_value = "1h", conflicts_with_all = ["run", "apply"])]
    reader_window: Window,
}

impl StaysArgs {
    fn rules(&self) -> Result<CleanRules, Error> {
        let policy = CleanPolicy::chosen(
            self.policy,
            self.retain_commits,
            self.retain_hours,
            self.retain_file_versions,
        );
        let policy = policy.map_err(|text| Error::new(ErrorKind::FixInput, text))?;
        Ok(CleanRules { policy, reader_window: self.reader_window.0 })
    }
}

/// Runs `lakebed clean`.
pub(super) async fn run(context: &Context, args: CleanArgs) -> Result<Exit, Error> {
    let rules = args.stays.rules()?;
    let maintainer = args.service.open(context).await?;
    tokio::spawn(keep_within(args.service.memory.0));
    let service = Clean { maintainer, rules };
    Driver { service: &service, output: context.output, max_time: None }.run(&args.what).await
}

/// Cleaning.
struct Clean {
    maintainer: Maintainer,
    rules: CleanRules,
}

impl Service for Clean {
    const ACTION: Action = Action::Clean;
    type Survey = CleanSurvey;
    type Draft = CleanDraft;
    type Done = CleanReport;

    fn maintainer(&self) -> &Maintainer {
        &self.maintainer
    }

    async fn survey(&self, draft: Option<&CleanDraft>) -> Result<CleanSurvey, Error> {
        let rules = draft.map_or(self.rules, |draft| draft.rules);
        Ok(self.maintainer.survey_for_clean(rules).await?)
    }

    fn timeline(survey: &CleanSurvey) -> &Timeline {
        &survey.facts.timeline
    }

    fn plan(&self, survey: &CleanSurvey) -> CleanDraft {
        plan(survey)
    }

    fn is_due(draft: &CleanDraft) -> bool {
        draft.is_due()
    }

    fn idle(survey: &CleanSurvey) -> Option<String> {
        survey.horizon.as_ref().err().map(ToString::to_string)
    }

    /// Whatever may be deleted may be so later, too: but for what others did meanwhile.
    fn renewed(
        draft: CleanDraft,
        made_at: Option<InstantTime>,
        survey: &CleanSurvey,
    ) -> Result<CleanDraft, String> {
        if let Err(why) = &survey.horizon {
            return Err(why.to_string());
        }
        if let Some(last) = survey.facts.last_clean.as_ref().filter(|last| Some(last.instant) > made_at) {
            return Err(format!("clean {} was made since", last.instant));
        }
        let now = plan(survey);
        if let Some(slice) = draft.slices.iter().find(|slice| !now.slices.contains(slice)) {
            let DraftedSlice { group: FileGroupId { partition, file_id }, base_instant, .. } = slice;
            return Err(format!(
                "what file group {file_id} of partition {partition:?} had at {base_instant} is gone, or is needed now"
            ));
        }
        let partitions = draft.partitions.intersection(&now.partitions).cloned().collect();
        Ok(CleanDraft { savepoints: now.savepoints, partitions, ..draft })
    }

    async fn schedule(&self, survey: &CleanSurvey, draft: &CleanDraft) -> Result<Scheduled, MaintainError> {
        self.maintainer.schedule_clean(survey, draft).await
    }

    async fn run(
        &self,
        instant: InstantTime,
        limits: &RunLimits,
        progress: &Progress,
    ) -> Result<CleanReport, MaintainError> {
        let tell = |event: CleanEvent| match event {
            CleanEvent::Begun { instant, files, bytes } => {
                progress.begin(bytes, format!("clean {instant}, {}", human::counted(files as u64, "file")));
            }
            CleanEvent::Deleted { bytes } => progress.advance(bytes),
        };
        self.maintainer.clean(instant, limits, &tell).await
    }

    fn outcome(done: &CleanReport) -> RunOutcome {
        done.outcome
    }

    fn plan_report(&self, survey: &CleanSurvey, draft: &CleanDraft, pending: Pending) -> impl Report {
        PlanReport::of(self.maintainer.table(), survey, draft, pending)
    }

    fn report(&self, done: &[CleanReport], idle: Option<String>) -> impl Report {
        CleansReport::of(&self.maintainer, done, idle)
    }
}
