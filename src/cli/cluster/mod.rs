//! `lakebed cluster`: makes few files of many small ones.

mod report;

use std::num::NonZeroUsize;

use clap::Args;
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_file::Action;

use super::output::Report;
use super::progress::Progress;
use super::service::{Driver, Pending, Service, ServiceArgs, WhatArgs};
use super::{Context, Exit, human};
use crate::commit::Scheduled;
use crate::error::Error;
use crate::maintain::clustering::{
    ClusteringDraft, ClusteringEvent, ClusteringReport, ClusteringRules, DraftedGroup, plan,
};
use crate::maintain::{MaintainError, Maintainer, RunLimits, RunOutcome, SliceFiles, Survey};
use crate::memory::keep_within;
use crate::settings::{Size, TimeSpan};
use crate::table::FileGroupId;
use crate::timeline::Timeline;

use report::{ClusterReport, PlanReport};

const EXAMPLES: &str = "\
Examples:
  lakebed cluster /lake/flights                   make files of 120 MiB of those below 100 MiB
  lakebed cluster /lake/flights --target-file-bytes 512MiB
                                                  make larger ones
  lakebed cluster /lake/flights --sort carrier,flight
                                                  and sort their rows, so that filters skip more
  lakebed cluster /lake/flights --min-small-files 10 --max-bytes 20GiB --max-time 10m
                                                  only where it is worth it, and no more than that
  lakebed cluster /lake/flights --dry-run         say what would be done
  lakebed cluster /lake/flights --schedule        plan it, for Spark or a later run
  lakebed cluster /lake/flights --run 20260301120000000
                                                  carry a pending plan out, whoever made it
  lakebed cluster /lake/flights --plan plan.json  write the plan into a file, and change nothing
  lakebed cluster /lake/flights --apply plan.json
                                                  carry that plan out, unless the table has moved on

Pending clusterings are carried out first, then what is due is planned and carried out. Rows,
their commit times and what earlier times show stay as they are; the old files stay for readers
until lakebed clean. A run that is stopped, or killed, is gone on with by the next one. From the
plan on until it is carried out nobody may update the file groups in it: Spark refuses to. Inserts
go on.

Tables with a bucket index are refused: their writers find the file group of a key by its name.

SIGINT and SIGTERM finish what is begun; a second signal ends at once.";

/// The arguments of `lakebed cluster`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ClusterArgs {
    #[command(flatten)]
    service: ServiceArgs,
    #[command(flatten)]
    what: WhatArgs,
    #[command(flatten)]
    due: DueArgs,
    /// Begin no more files after this time, such as 10m.
    #[arg(long, value_name = "TIME", conflicts_with_all = ["schedule", "plan", "dry_run"])]
    max_time: Option<TimeSpan>,
}

/// What is due, and what is made of it.
#[derive(Debug, Args)]
struct DueArgs {
    /// Sort rows by these columns, ascending.
    #[arg(long, value_name = "COLUMN,…", value_delimiter = ',', conflicts_with_all = ["run", "apply"])]
    sort: Vec<String>,
    /// Make files of this size.
    #[arg(long, value_name = "SIZE", default_value = "120MiB", conflicts_with_all = ["run", "apply"])]
    target_file_bytes: Size,
    /// Files of this size and more stay as they are: five sixths of the target if left out.
    #[arg(long, value_name = "SIZE", conflicts_with_all = ["run", "apply"])]
    small_file_bytes: Option<Size>,
    /// Partitions with so many small files are due: 2 if left out.
    #[arg(long, value_name = "N", conflicts_with_all = ["run", "apply"])]
    min_small_files: Option<usize>,
    /// Sort at most so many bytes together: 2GiB if left out.
    #[arg(long, value_name = "SIZE", requires = "sort")]
    max_group_bytes: Option<Size>,
    /// Plan at most so many groups of files, those first of which most files go for each byte.
    #[arg(long, value_name = "N", conflicts_with_all = ["run", "apply"])]
    max_groups: Option<NonZeroUsize>,
    /// Plan at most so many bytes to be read; one group is planned at least.
    #[arg(long, value_name = "SIZE", conflicts_with_all = ["run", "apply"])]
    max_bytes: Option<Size>,
    /// Only this partition path; may be given again.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["run", "apply"])]
    partition: Vec<String>,
}

impl DueArgs {
    fn rules(&self) -> Result<ClusteringRules, MaintainError> {
        let partitions = self.partition.iter().map(|path| path.trim_end_matches('/').to_owned()).collect();
        let small_file_bytes = self.small_file_bytes.map(|Size(bytes)| bytes);
        let rules = ClusteringRules::of_target(self.target_file_bytes.0, small_file_bytes)?;
        Ok(ClusteringRules {
            max_group_bytes: self.max_group_bytes.map_or(rules.max_group_bytes, |Size(bytes)| bytes),
            sort_columns: self.sort.clone(),
            due_small_files: self.min_small_files.unwrap_or(rules.due_small_files),
            max_groups: self.max_groups.map_or(rules.max_groups, NonZeroUsize::get),
            max_read_bytes: self.max_bytes.map_or(rules.max_read_bytes, |Size(bytes)| bytes),
            partitions: (!self.partition.is_empty()).then_some(partitions),
            ..rules
        })
    }
}

/// Runs `lakebed cluster`.
pub(super) async fn run(context: &Context, args: ClusterArgs) -> Result<Exit, Error> {
    let rules = args.due.rules()?;
    let maintainer = args.service.open(context).await?;
    tokio::spawn(keep_within(args.service.memory.0));
    let service = Cluster { maintainer, rules };
    let driver = Driver { service: &service, output: context.output, max_time: args.max_time };
    driver.run(&args.what).await
}

/// Clustering.
struct Cluster {
    maintainer: Maintainer,
    rules: ClusteringRules,
}

impl Service for Cluster {
    const ACTION: Action = Action::Clustering;
    type Survey = Survey;
    type Draft = ClusteringDraft;
    type Done = ClusteringReport;

    fn maintainer(&self) -> &Maintainer {
        &self.maintainer
    }

    async fn survey(&self, _: Option<&ClusteringDraft>) -> Result<Survey, Error> {
        Ok(self.maintainer.survey_for_clustering().await?)
    }

    fn timeline(survey: &Survey) -> &Timeline {
        &survey.snapshot.timeline
    }

    fn plan(&self, survey: &Survey) -> ClusteringDraft {
        plan(survey, &self.rules)
    }

    fn is_due(draft: &ClusteringDraft) -> bool {
        !draft.groups.is_empty()
    }

    fn rewritten(draft: &ClusteringDraft) -> Vec<&FileGroupId> {
        draft.groups.iter().flat_map(|group| &group.slices).map(|slice| &slice.group).collect()
    }

    async fn check(&self, survey: &Survey) -> Result<(), Error> {
        self.maintainer.check_memory(&survey.snapshot).await?;
        self.maintainer.check_sort(&survey.snapshot, &self.rules.sort_columns).await?;
        Ok(survey.check_partitions(self.rules.partitions.iter().flatten()).await?)
    }

    fn renewed(
        draft: ClusteringDraft,
        _: Option<InstantTime>,
        survey: &Survey,
    ) -> Result<ClusteringDraft, String> {
        for slice in draft.groups.iter().flat_map(|group: &DraftedGroup| &group.slices) {
            if let Some(what) = moved_on(slice, survey) {
                let FileGroupId { partition, file_id } = &slice.group;
                return Err(format!("file group {file_id} of partition {partition:?} {what}"));
            }
        }
        Ok(draft)
    }

    async fn schedule(&self, survey: &Survey, draft: &ClusteringDraft) -> Result<Scheduled, MaintainError> {
        self.maintainer.schedule_clustering(survey, draft).await
    }

    async fn run(
        &self,
        instant: InstantTime,
        limits: &RunLimits,
        progress: &Progress,
    ) -> Result<ClusteringReport, MaintainError> {
        let tell = |event: ClusteringEvent| match event {
            ClusteringEvent::Begun { instant, groups, bytes } => {
                let groups = human::counted(groups as u64, "file group");
                progress.begin(bytes, format!("clustering {instant}, {groups}"));
            }
            ClusteringEvent::Finished { read_bytes, .. } => progress.advance(read_bytes),
        };
        self.maintainer.cluster(instant, limits, &tell).await
    }

    fn outcome(done: &ClusteringReport) -> RunOutcome {
        done.outcome
    }

    fn plan_report(&self, _: &Survey, draft: &ClusteringDraft, pending: Pending) -> impl Report {
        PlanReport::of(self.maintainer.table(), draft, pending)
    }

    fn report(&self, done: &[ClusteringReport], _: Option<String>) -> impl Report {
        ClusterReport::of(&self.maintainer, done)
    }
}

/// Why a slice is not the one that was planned any more, if so.
fn moved_on(drafted: &SliceFiles, survey: &Survey) -> Option<String> {
    if let Some(instant) = survey.busy.get(&drafted.group) {
        return Some(format!("is being written to, or is to be rewritten, by {instant}, which began since"));
    }
    let group = survey.groups.iter().find(|group| group.id == drafted.group);
    let Some(slice) = group.and_then(|group| group.latest()) else {
        return Some("is not there any more".to_owned());
    };
    let now = SliceFiles::of(drafted.group.clone(), slice);
    (now != *drafted).then(|| "has been written to since".to_owned())
}
