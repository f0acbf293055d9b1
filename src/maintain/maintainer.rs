//! A table that is opened for its services.

use std::sync::Arc;

use lakebed_hudi::instant::TimelineZone;
use lakebed_hudi::table_config::{DeclaredZone, TableConfig, key};

use super::{MaintainError, Survey, finished};
use crate::commit::{CommitOptions, Committer};
use crate::environment::Environment;
use crate::storage::Storage;
use crate::storage::lock::{LockOptions, TableLock};
use crate::table::{Refusal, Table, TableFiles, check_writable};

/// How a table's services are run.
#[derive(Debug, Clone)]
pub struct MaintainOptions {
    /// Bytes of memory for all that is done at a time.
    pub memory_bytes: u64,
    /// File groups that are rewritten at the same time, at most.
    pub threads: usize,
    /// The zone of a timeline in LOCAL time: that of the JVMs which write to the table.
    pub timeline_zone: Option<TimelineZone>,
    /// Whether base files are written anew as a whole: else what stays of them is copied where that can be
    /// done.
    pub rewrite_whole: bool,
    /// Whether log files are merged that have corrupt blocks. Readers pass those over, so nothing shows that
    /// did not before, but what is in them is lost for good; else such a file group is refused.
    pub skip_corrupt_blocks: bool,
    /// How commits are made.
    pub commit: CommitOptions,
    /// The table lock.
    pub lock: LockOptions,
}

impl Default for MaintainOptions {
    /// 512 MiB, all cores, and Hudi's defaults.
    fn default() -> Self {
        Self {
            memory_bytes: 512 << 20,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            timeline_zone: None,
            rewrite_whole: false,
            skip_corrupt_blocks: false,
            commit: CommitOptions::default(),
            lock: LockOptions::default(),
        }
    }
}

/// A table that is opened for its services.
#[derive(Debug, Clone)]
pub struct Maintainer {
    committer: Committer,
    options: MaintainOptions,
}

impl Maintainer {
    /// Opens the table in `storage`. Changes nothing.
    ///
    /// # Errors
    /// No table, or one that Lakebed does not maintain: of version 6, with a metadata table, or with what
    /// [`check_writable`] refuses.
    pub async fn open(
        storage: Arc<dyn Storage>,
        environment: &Environment,
        options: MaintainOptions,
    ) -> Result<Self, MaintainError> {
        let table = Table::open(storage.clone(), environment, options.timeline_zone).await?;
        check_maintainable(&table.config, &options)?;
        let lock = TableLock::new(storage, environment, options.lock)?;
        Ok(Self { committer: Committer::new(table, lock, options.commit), options })
    }

    /// The table.
    pub fn table(&self) -> &Table {
        self.committer.table()
    }

    /// Changes its timeline.
    pub fn committer(&self) -> &Committer {
        &self.committer
    }

    /// How its services are run.
    pub fn options(&self) -> &MaintainOptions {
        &self.options
    }

    /// Removes what processes that died left of services and writes that are over: markers, heartbeats, notes
    /// of what was finished, files of what was rolled back, half-written metadata. Whoever runs services does so
    /// first.
    ///
    /// # Errors
    /// Those of the storage; call it again.
    pub async fn sweep(&self) -> Result<(), MaintainError> {
        self.committer.sweep().await?;
        self.committer.sweep_metadata(None).await?;
        Ok(finished::sweep(&self.committer).await?)
    }

    /// A number that no other attempt at a service has.
    pub(super) fn token_stage(&self) -> u32 {
        // Hudi reads it as a positive Int.
        (self.table().environment.ids.uuid().as_u128() as u32) >> 1
    }

    /// What planners look at.
    ///
    /// # Errors
    /// A table that cannot be read.
    pub async fn survey(&self) -> Result<Survey, MaintainError> {
        Ok(self.survey_from(None).await?.0)
    }

    /// The same, and of the files of the table only those are listed that may have come or gone since they were
    /// `known`. Returns what is known of them now as well.
    ///
    /// # Errors
    /// As [`Maintainer::survey`].
    pub async fn survey_from(
        &self,
        known: Option<TableFiles>,
    ) -> Result<(Survey, TableFiles), MaintainError> {
        Ok(Survey::of(&self.committer, known).await?)
    }
}

/// Refuses tables that Lakebed does not maintain.
fn check_maintainable(config: &TableConfig, options: &MaintainOptions) -> Result<(), Refusal> {
    check_writable(config)?;
    let refuse = |feature: String, advice| Err(Refusal { table: config.name.clone(), feature, advice });
    if config.zone == DeclaredZone::Local && options.timeline_zone.is_none() {
        return refuse(
            format!("maintaining a timeline in LOCAL time without its zone ({} is not UTC)", key::TIMEZONE),
            "state the zone of the JVMs that write to it: as timeline_timezone in the file of a fleet or a job, to \
             commands of one table as --timeline-timezone",
        );
    }
    let metadata = config.metadata_partitions();
    if !metadata.is_empty() {
        return refuse(
            format!("maintaining a table with a metadata table ({})", metadata.join(", ")),
            "have its own writers run the services, or turn the metadata table off for all of them \
             (hoodie.metadata.enable=false)",
        );
    }
    Ok(())
}
