//! What the commands of table services have in common.

mod drive;
mod plan_file;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::{Context, human};
use crate::error::{Error, ErrorKind};
use crate::maintain::fleet::{Fleet, FleetTables};
use crate::maintain::{MaintainOptions, Maintainer, RunOutcome};
use crate::settings::{Size, Timezone};
use crate::storage::{self, TableUri};

pub(super) use drive::{Driver, Pending, Service, WhatArgs};

/// A table that is to be changed.
#[derive(Debug, Args)]
pub(super) struct TableArgs {
    /// The table.
    pub(super) uri: String,
    /// The zone of a timeline in LOCAL time: that of the JVMs that write to the table, such as Europe/Berlin.
    #[arg(long, value_name = "ZONE")]
    timeline_timezone: Option<Timezone>,
    /// The file of a fleet that has the table: its lock, heartbeats and clocks are as that says. Without it, nobody
    /// else writes the table, or with Hudi's defaults on this machine.
    #[arg(long, value_name = "FLEET.yaml")]
    fleet: Option<PathBuf>,
}

impl TableArgs {
    /// Opens the table.
    pub(super) async fn open(&self, context: &Context) -> Result<Maintainer, Error> {
        self.open_with(context, &MaintainOptions::default()).await
    }

    /// Opens the table, with what the arguments and the fleet say over these options.
    async fn open_with(&self, context: &Context, options: &MaintainOptions) -> Result<Maintainer, Error> {
        let uri: TableUri = self.uri.parse()?;
        let mut options = match &self.fleet {
            Some(file) => self.options_in(file, &uri, context, options).await?,
            None => options.clone(),
        };
        if let Some(Timezone(zone)) = self.timeline_timezone {
            options.timeline_zone = Some(zone);
        }
        let storage = storage::open(&uri, &context.environment).await?;
        Ok(Maintainer::open(storage, &context.environment, options).await?)
    }

    /// `options` for the table, as the fleet of `file` says.
    async fn options_in(
        &self,
        file: &Path,
        uri: &TableUri,
        context: &Context,
        options: &MaintainOptions,
    ) -> Result<MaintainOptions, Error> {
        let fix = |error: Box<dyn std::error::Error + Send + Sync>| Error::new(ErrorKind::FixInput, error);
        let fleet = fleet_in(file)?;
        let found = FleetTables::find(&fleet, &context.environment).await;
        let tables = found.map_err(|error| fix(error.into()))?.tables;
        let table = tables.iter().find(|table| table.uri.to_string() == uri.to_string());
        let table = table.ok_or_else(|| {
            let (file, tables) = (file.display(), human::counted(tables.len() as u64, "table"));
            fix(format!("{file} has {tables}, but not {uri}: add it there, or leave --fleet out").into())
        })?;
        Ok(table.options(options))
    }
}

/// The fleet of a file.
pub(super) fn fleet_in(file: &Path) -> Result<Fleet, Error> {
    let named = |error| Error::new(ErrorKind::FixInput, format!("{}: {error}", file.display()));
    Fleet::from_file(file).map_err(named)
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
        MaintainOptions { memory_bytes: self.memory.0, ..MaintainOptions::default() }
    }

    /// Opens the table for its services.
    pub(super) async fn open(&self, context: &Context) -> Result<Maintainer, Error> {
        self.open_with(context, &self.options()).await
    }

    /// Opens the table for its services, with these options.
    pub(super) async fn open_with(
        &self,
        context: &Context,
        options: &MaintainOptions,
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
pub(super) fn outcome_text(
    outcome: &RunOutcome,
    maintainer: &Maintainer,
    left: impl FnOnce() -> String,
) -> String {
    match outcome {
        RunOutcome::Committed { completion } => format!("committed at {completion}"),
        RunOutcome::Over => "somebody else has completed it".to_owned(),
        RunOutcome::AtWork { seen_unix_millis, expiry } => at_work(*seen_unix_millis, *expiry, maintainer),
        RunOutcome::Stopped => format!("stopped, {} left for the next run", left()),
    }
}

/// That somebody else is at work, who was last seen at a time, and until when that counts.
fn at_work(seen_unix_millis: i64, expiry: Duration, maintainer: &Maintainer) -> String {
    let now = maintainer.table().environment.clock.unix_millis();
    let silence =
        Duration::from_millis(u64::try_from(now.saturating_sub(seen_unix_millis)).unwrap_or_default());
    format!(
        "somebody else is at work on it: the last that was heard of them is {} ago; if nothing more is, they count as \
         dead in {}",
        human::lasting(silence),
        human::lasting(expiry.saturating_sub(silence))
    )
}
