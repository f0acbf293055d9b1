//! What planners look at.

use std::collections::BTreeMap;

use lakebed_hudi::instant::InstantTime;

use crate::commit::{CommitError, Committer};
use crate::table::{FileGroup, FileGroupId, TableFiles, TableSnapshot};

/// A table as planners see it.
#[derive(Debug, Clone)]
pub struct Survey {
    /// The table at that time.
    pub snapshot: TableSnapshot,
    /// Its file groups, by partition path and file id.
    pub groups: Vec<FileGroup>,
    /// Those that pending services are to rewrite, with the service's instant.
    pub busy: BTreeMap<FileGroupId, InstantTime>,
    /// When this was, in milliseconds since the epoch.
    pub unix_millis: i64,
}

impl Survey {
    /// Looks at the table of `committer`, and lists only what has changed since `known`, if its files were known
    /// before. Returns what is known of them now as well.
    ///
    /// # Errors
    /// A table, or plans of services, that cannot be read.
    pub async fn of(
        committer: &Committer,
        known: Option<TableFiles>,
    ) -> Result<(Self, TableFiles), CommitError> {
        let table = committer.table();
        let unix_millis = table.environment.clock.unix_millis();
        let snapshot = table.snapshot(None).await?;
        let busy = committer.planned_groups(&snapshot.timeline).await?;
        let files = match known {
            Some(known) => known.advance(&snapshot).await?,
            None => TableFiles::list(&snapshot).await?,
        };
        let groups = snapshot.file_groups_in(files.partitions()).await?.into_iter().flatten().collect();
        Ok((Self { snapshot, groups, busy, unix_millis }, files))
    }

    /// The age of an instant in milliseconds.
    pub fn age_millis(&self, instant: InstantTime) -> u64 {
        let then = instant.to_unix_millis(self.snapshot.table.zone).unwrap_or(self.unix_millis);
        u64::try_from(self.unix_millis.saturating_sub(then)).unwrap_or_default()
    }
}
