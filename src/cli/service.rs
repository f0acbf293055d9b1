//! What the commands of table services have in common.

use clap::Args;

use super::Context;
use crate::error::Error;
use crate::maintain::{MaintainOptions, Maintainer};
use crate::settings::{Size, Timezone};
use crate::storage;

/// A table, and what its services may use.
#[derive(Debug, Args)]
pub(super) struct ServiceArgs {
    /// The table.
    pub(super) uri: String,
    /// Memory for all that is done at a time.
    #[arg(long, value_name = "SIZE", default_value = "512MiB")]
    pub(super) memory: Size,
    /// The zone of a timeline in LOCAL time: that of the JVMs that write to the table, such as Europe/Berlin.
    #[arg(long, value_name = "ZONE")]
    pub(super) timeline_timezone: Option<Timezone>,
}

impl ServiceArgs {
    /// Opens the table for its services.
    pub(super) async fn open(&self, context: &Context) -> Result<Maintainer, Error> {
        let storage = storage::open(&self.uri.parse()?, &context.environment).await?;
        let options = MaintainOptions {
            memory_bytes: self.memory.0,
            timeline_zone: self.timeline_timezone.map(|Timezone(zone)| zone),
            ..MaintainOptions::default()
        };
        Ok(Maintainer::open(storage, &context.environment, options).await?)
    }
}
