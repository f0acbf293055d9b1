//! What the commands of table services have in common.

mod drive;
mod plan_file;

use clap::Args;

use super::Context;
use crate::error::Error;
use crate::maintain::{MaintainOptions, Maintainer, RunOutcome};
use crate::settings::{Size, Timezone};
use crate::storage;

pub(super) use drive::{Driver, Pending, Service, WhatArgs};

/// A table that is to be changed.
#[derive(Debug, Args)]
pub(super) struct TableArgs {
    /// The table.
    pub(super) uri: String,
    /// The zone of a timeline in LOCAL time: that of the JVMs that write to the table, such as Europe/Berlin.
    #[arg(long, value_name = "ZONE")]
    timeline_timezone: Option<Timezone>,
}

impl TableArgs {
    /// What the arguments say.
    fn options(&self) -> MaintainOptions {
        MaintainOptions {
            timeline_zone: self.timeline_timezone.map(|Timezone(zone)| zone),
            ..MaintainOptions::default()
        }
    }

    /// Opens the table.
    pub(super) async fn open(&self, context: &Context) -> Result<Maintainer, Error> {
        self.open_with(context, self.options()).await
    }

    async fn open_with(&self, context: &Context, options: MaintainOptions) -> Result<Maintainer, Error> {
        let storage = storage::open(&self.uri.parse()?, &context.environment).await?;
        Ok(Maintainer::open(storage, &context.environment, options).await?)
    }
}

/// A table, and what its services may use.
#[derive(Debug, Args)]
pub(super) struct ServiceArgs {
    #[command(flatten)]
    table: TableArgs,
    /// Memory for all that is done at a time.
    #[arg(long, value_name = "SIZE", default_value = "512MiB")]
    pub(super) memory: Size,
}

impl ServiceArgs {
    /// What the arguments say.
    pub(super) fn options(&self) -> MaintainOptions {
        MaintainOptions { memory_bytes: self.memory.0, ..self.table.options() }
    }

    /// Opens the table for its services.
    pub(super) async fn open(&self, context: &Context) -> Result<Maintainer, Error> {
        self.open_with(context, self.options()).await
    }

    /// Opens the table for its services, with these options.
    pub(super) async fn open_with(
        &self,
        context: &Context,
        options: MaintainOptions,
    ) -> Result<Maintainer, Error> {
        self.table.open_with(context, options).await
    }
}

/// The name of an outcome, for scripts.
pub(super) fn outcome_name(outcome: &RunOutcome) -> &'static str {
    match outcome {
        RunOutcome::Committed { .. } => "committed",
        RunOutcome::Over => "over",
        RunOutcome::AtWork { .. } => "at_work",
        RunOutcome::Stopped => "stopped",
    }
}

/// An outcome, for people; `left` says what a stopped run leaves for the next one.
pub(super) fn outcome_text(outcome: &RunOutcome, left: impl FnOnce() -> String) -> String {
    match outcome {
        RunOutcome::Committed { completion } => format!("committed at {completion}"),
        RunOutcome::Over => "somebody else has completed it".to_owned(),
        RunOutcome::AtWork { .. } => "somebody else is at work on it".to_owned(),
        RunOutcome::Stopped => format!("stopped, {} left for the next run", left()),
    }
}
