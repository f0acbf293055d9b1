//! Which services of the table are run beside the job.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::maintain::fleet::{
    ArchiveSettings, CleanSettings, ClusteringSettings, CompactionSettings, Services,
};
use crate::settings::{Size, TimeSpan};

/// The services of the table, run beside the job for those who have no cron: `lakebed maintain` does the same
/// from outside. A round begins after a commit and never stops the job; a run that ends by itself does a last
/// one.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceSettings {
    /// Time between two rounds; 5m if not set.
    #[serde(default)]
    pub interval: Option<TimeSpan>,
    /// Memory for a round, beside that of the job; 256 MiB if not set.
    #[serde(default)]
    pub memory: Option<Size>,
    /// Log files are merged into base files.
    #[serde(default)]
    pub compaction: CompactionSettings,
    /// Small files are made into fewer large ones.
    #[serde(default)]
    pub clustering: ClusteringSettings,
    /// Files that no reader needs any more are deleted.
    #[serde(default)]
    pub clean: CleanSettings,
    /// Old instants go from the active timeline.
    #[serde(default)]
    pub archive: ArchiveSettings,
}

impl ServiceSettings {
    /// What a round does.
    pub(in crate::ingest) fn services(&self) -> Services {
        let Self { compaction, clustering, clean, archive, .. } = *self;
        Services { compaction, clustering, clean, archive }
    }
}
