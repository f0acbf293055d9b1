//! What is asked of a service, against the table, before anything is planned.

use std::collections::BTreeSet;

use super::share::MemoryShare;
use super::{MaintainError, Maintainer, Survey};
use crate::table::TableSnapshot;
use crate::write::ClusteringWriter;

impl Maintainer {
    /// Refuses less memory than rows of the table need to be rewritten.
    ///
    /// # Errors
    /// [`MaintainError::Memory`]; a table whose schema cannot be read.
    pub async fn check_memory(&self, snapshot: &TableSnapshot) -> Result<(), MaintainError> {
        // A table without a commit may have no schema either, and nothing to rewrite.
        if snapshot.timeline.completed_writes().next().is_some() {
            MemoryShare::of(self.options(), &snapshot.schema().await?)?;
        }
        Ok(())
    }

    /// Refuses columns that rows of the table cannot be sorted by.
    ///
    /// # Errors
    /// Columns that are named twice, or that the table does not have, or whose values have no order; a table whose
    /// schema cannot be read.
    pub async fn check_sort(
        &self,
        snapshot: &TableSnapshot,
        columns: &[String],
    ) -> Result<(), MaintainError> {
        let mut seen = BTreeSet::new();
        if let Some(twice) = columns.iter().find(|column| !seen.insert(*column)) {
            let problem = format!("rows are to be sorted by column {twice:?} twice: leave one out");
            return Err(MaintainError::Rules { problem });
        }
        if !columns.is_empty() && snapshot.timeline.completed_writes().next().is_some() {
            ClusteringWriter::check_sort(self.table(), &snapshot.schema().await?, columns)?;
        }
        Ok(())
    }
}

impl Survey {
    /// Refuses partitions that the table does not have.
    ///
    /// # Errors
    /// The first of them; those of the storage.
    pub async fn check_partitions<'a>(
        &self,
        partitions: impl Iterator<Item = &'a String>,
    ) -> Result<(), MaintainError> {
        let of_groups: BTreeSet<&str> = self.groups.iter().map(|group| group.id.partition.as_str()).collect();
        for partition in partitions.filter(|partition| !of_groups.contains(partition.as_str())) {
            // It may have no file group.
            let there = self.snapshot.partitions().await?;
            if there.iter().any(|(known, _)| known == partition) {
                continue;
            }
            let known = match there.first() {
                Some((first, _)) => format!("it has {} of them, such as {first:?}", there.len()),
                None => "it has none".to_owned(),
            };
            let problem = format!("the table has no partition {partition:?}; {known}");
            return Err(MaintainError::Rules { problem });
        }
        Ok(())
    }
}
