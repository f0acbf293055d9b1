//! Planning a service and carrying it out, as its command is asked to.

use std::path::PathBuf;

use clap::Args;
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_file::Action;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::plan_file::{PlanFile, stale};
use crate::cli::Exit;
use crate::cli::output::{Output, Report};
use crate::cli::progress::Progress;
use crate::cli::signals::stop_signal;
use crate::commit::Scheduled;
use crate::error::Error;
use crate::maintain::{MaintainError, Maintainer, RunLimits, RunOutcome};
use crate::settings::TimeSpan;
use crate::table::FileGroupId;
use crate::timeline::Timeline;

/// What is to be done.
#[derive(Debug, Args)]
pub(in crate::cli) struct WhatArgs {
    /// Plan what is due, and leave it to be carried out by a later run or another engine.
    #[arg(long, group = "what")]
    schedule: bool,
    /// Carry this pending plan out, and no other.
    #[arg(long, value_name = "INSTANT", group = "what")]
    run: Option<InstantTime>,
    /// Write the plan of what is due into a file, and change nothing.
    #[arg(long, value_name = "FILE", group = "what")]
    plan: Option<PathBuf>,
    /// Carry the plan of a file out, which --plan wrote. Refused if the table has moved on from it since.
    #[arg(long, value_name = "FILE", group = "what")]
    apply: Option<PathBuf>,
    /// Say what would be done, and do nothing.
    #[arg(long, group = "what")]
    dry_run: bool,
}

/// A table service, as its command runs it.
pub(in crate::cli) trait Service {
    /// What it is requested as.
    const ACTION: Action;
    /// What its planner looks at.
    type Survey;
    /// What it plans.
    type Draft: Clone + Serialize + DeserializeOwned;
    /// What a run of it did.
    type Done;

    /// The table.
    fn maintainer(&self) -> &Maintainer;

    /// Looks at the table, to plan by the arguments, or to see whether `draft` still holds.
    async fn survey(&self, draft: Option<&Self::Draft>) -> Result<Self::Survey, Error>;

    /// The timeline that a planner looked at.
    fn timeline(survey: &Self::Survey) -> &Timeline;

    /// What is due.
    fn plan(&self, survey: &Self::Survey) -> Self::Draft;

    /// Whether anything is.
    fn is_due(draft: &Self::Draft) -> bool;

    /// The file groups that are rewritten, each of which can be so once.
    fn rewritten(_draft: &Self::Draft) -> Vec<&FileGroupId> {
        Vec::new()
    }

    /// Refuses arguments that the table cannot follow, whether anything is due or not.
    async fn check(&self, _survey: &Self::Survey) -> Result<(), Error> {
        Ok(())
    }

    /// Why nothing is, if that has a reason of its own.
    fn idle(_survey: &Self::Survey) -> Option<String> {
        None
    }

    /// A draft that was made on the timeline up to `made_at`, on the table as it is now; or why it is stale.
    fn renewed(
        draft: Self::Draft,
        made_at: Option<InstantTime>,
        survey: &Self::Survey,
    ) -> Result<Self::Draft, String>;

    /// Puts a plan on the timeline.
    async fn schedule(&self, survey: &Self::Survey, draft: &Self::Draft) -> Result<Scheduled, MaintainError>;

    /// Carries a pending plan out.
    async fn run(
        &self,
        instant: InstantTime,
        limits: &RunLimits,
        progress: &Progress,
    ) -> Result<Self::Done, MaintainError>;

    /// How a run ended.
    fn outcome(done: &Self::Done) -> RunOutcome;

    /// Tells what is due.
    fn plan_report(&self, survey: &Self::Survey, draft: &Self::Draft, pending: Pending) -> impl Report;

    /// Tells what was done, and why no more is due, if known.
    fn report(&self, done: &[Self::Done], idle: Option<String>) -> impl Report;
}

/// The plans of a service that are on the timeline.
#[derive(Debug, Clone, Default, Serialize)]
pub(in crate::cli) struct Pending {
    /// Where the plan is, if it was put there.
    pub(in crate::cli) scheduled: Option<InstantTime>,
    /// Those that are pending already, and come first.
    pub(in crate::cli) pending: Vec<InstantTime>,
}

impl Pending {
    /// Those of `action` on a timeline, oldest first.
    fn on(timeline: &Timeline, action: Action) -> Self {
        let pending = timeline.pending().filter(|instant| instant.requested_as == action);
        Self { scheduled: None, pending: pending.map(|instant| instant.time).collect() }
    }
}

/// Does what a command of a service is asked to.
pub(in crate::cli) struct Driver<'a, S> {
    pub(in crate::cli) service: &'a S,
    pub(in crate::cli) output: Output,
    pub(in crate::cli) max_time: Option<TimeSpan>,
}

impl<S: Service> Driver<'_, S> {
    /// Does `what`.
    pub(in crate::cli) async fn run(&self, what: &WhatArgs) -> Result<Exit, Error> {
        if what.dry_run || what.plan.is_some() {
            return self.tell_plan(what).await;
        }
        self.service.maintainer().sweep().await?;
        if what.schedule {
            return self.schedule().await;
        }
        let progress = Progress::new(self.output);
        let told = progress.clone();
        let stop = stop_signal(move |stop| told.tell_stop(stop))?;
        let clock = &self.service.maintainer().table().environment.clock;
        let deadline = self.max_time.map(|TimeSpan(time)| clock.monotonic() + time);
        let running =
            Running { service: self.service, progress: &progress, limits: RunLimits { stop, deadline } };
        let done = running.all(what).await;
        progress.end();
        let (done, idle) = done?;
        self.output.report(&self.service.report(&done, idle))?;
        Ok(exit_of::<S>(&done))
    }

    /// Says what is due, or writes it into a file.
    async fn tell_plan(&self, what: &WhatArgs) -> Result<Exit, Error> {
        let survey = self.service.survey(None).await?;
        self.service.check(&survey).await?;
        let draft = self.service.plan(&survey);
        let pending = Pending::on(S::timeline(&survey), S::ACTION);
        let is_due = S::is_due(&draft);
        let exit = if is_due || !pending.pending.is_empty() { Exit::Done } else { Exit::NothingToDo };
        if let Some(path) = what.plan.as_ref().filter(|_| is_due) {
            let table = self.service.maintainer().table();
            PlanFile::of::<S>(table, &survey, draft.clone()).write(path)?;
        }
        self.output.report(&self.service.plan_report(&survey, &draft, pending))?;
        Ok(exit)
    }

    async fn schedule(&self) -> Result<Exit, Error> {
        let survey = self.service.survey(None).await?;
        self.service.check(&survey).await?;
        let draft = self.service.plan(&survey);
        let scheduled = put_plan(self.service, &survey, &draft).await?;
        let pending = Pending { scheduled, ..Pending::on(S::timeline(&survey), S::ACTION) };
        self.output.report(&self.service.plan_report(&survey, &draft, pending))?;
        Ok(if scheduled.is_some() { Exit::Done } else { Exit::NothingToDo })
    }
}

/// Puts a plan on the timeline; `None` if nothing of it is left to do.
async fn put_plan<S: Service>(
    service: &S,
    survey: &S::Survey,
    draft: &S::Draft,
) -> Result<Option<InstantTime>, Error> {
    if !S::is_due(draft) {
        return Ok(None);
    }
    match service.schedule(survey, draft).await? {
        Scheduled::At(instant) => Ok(Some(instant)),
        Scheduled::Nothing => Ok(None),
        Scheduled::Stale { reason } => Err(MaintainError::Conflict { reason }.into()),
    }
}

/// Carries plans out.
struct Running<'a, S> {
    service: &'a S,
    progress: &'a Progress,
    limits: RunLimits,
}

impl<S: Service> Running<'_, S> {
    /// Says what was done, and why no more is due, if known.
    async fn all(&self, what: &WhatArgs) -> Result<(Vec<S::Done>, Option<String>), Error> {
        let table = self.service.maintainer().table();
        let pending = Pending::on(&table.timeline.load().await?, S::ACTION).pending;
        if let Some(instant) = what.run {
            if !pending.contains(&instant) {
                return Err(MaintainError::NoPlan { instant, action: S::ACTION, pending }.into());
            }
            return Ok((vec![self.one(instant).await?], None));
        }
        if let Some(path) = &what.apply {
            let file = PlanFile::read::<S>(path, table)?;
            let survey = self.service.survey(Some(&file.draft)).await?;
            self.service.check(&survey).await?;
            let draft = S::renewed(file.draft, file.made_at, &survey).map_err(|why| stale(path, &why))?;
            return Ok((self.planned(&survey, &draft).await?.into_iter().collect(), None));
        }
        let (mut done, mut idle) = (Vec::new(), None);
        for instant in pending {
            done.push(self.one(instant).await?);
        }
        if !self.limits.are_reached(table.environment.clock.as_ref()) {
            let survey = self.service.survey(None).await?;
            self.service.check(&survey).await?;
            let planned = self.planned(&survey, &self.service.plan(&survey)).await?;
            idle = S::idle(&survey).filter(|_| planned.is_none());
            done.extend(planned);
        }
        Ok((done, idle))
    }

    /// Puts a plan on the timeline and carries it out.
    async fn planned(&self, survey: &S::Survey, draft: &S::Draft) -> Result<Option<S::Done>, Error> {
        match put_plan(self.service, survey, draft).await? {
            Some(instant) => Ok(Some(self.one(instant).await?)),
            None => Ok(None),
        }
    }

    async fn one(&self, instant: InstantTime) -> Result<S::Done, Error> {
        Ok(self.service.run(instant, &self.limits, self.progress).await?)
    }
}

/// Somebody else at work on all there is to do is worth another try; what was stopped goes on later.
fn exit_of<S: Service>(done: &[S::Done]) -> Exit {
    if done.is_empty() {
        return Exit::NothingToDo;
    }
    let at_work = |done| matches!(S::outcome(done), RunOutcome::AtWork { .. });
    if done.iter().all(at_work) { Exit::Conflict } else { Exit::Done }
}
