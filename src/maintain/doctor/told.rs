//! What completed instants say of themselves, as far as it can be read.

use std::collections::{BTreeMap, BTreeSet};

use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_file::Action;
use lakebed_hudi::timeline_metadata::{
    CleanMetadata, CommitMetadata, MetadataError, RestoreMetadata, RollbackMetadata, SavepointMetadata,
};

use super::facts::{BrokenFile, FileInPartition, in_partition};
use crate::storage::TablePath;
use crate::timeline::{Instant, Timeline, TimelineError, TimelineStore};

/// What the completed instants of a timeline say of themselves.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// The files that writes name, with the bytes they are to have: from where nothing before is archived.
    pub(super) named: BTreeMap<InstantTime, BTreeMap<FileInPartition, u64>>,
    /// The writes that replace file groups.
    pub(super) replaces: Vec<(InstantTime, CommitMetadata)>,
    /// The files that cleans have deleted.
    pub(super) cleaned: BTreeSet<FileInPartition>,
    /// The partitions that cleans have deleted.
    pub(super) cleaned_partitions: BTreeSet<String>,
    /// The files that cannot be read.
    pub(super) broken: Vec<BrokenFile>,
}

impl Told {
    /// Reads the files of all completed instants.
    pub(super) async fn by(store: &TimelineStore, timeline: &Timeline) -> Result<Self, TimelineError> {
        let mut told = Self::default();
        for instant in timeline.completed() {
            let bytes = store.read_anywhere(instant).await?;
            let is_named = Some(instant.time) >= timeline.start();
            if let Err(source) = told.add(instant, is_named, &bytes) {
                let path = store.path(&instant.file()).to_string();
                told.broken.push(BrokenFile { path, of: Some(*instant), why: source.to_string() });
            }
        }
        Ok(told)
    }

    fn add(&mut self, instant: &Instant, is_named: bool, bytes: &[u8]) -> Result<(), MetadataError> {
        match instant.action {
            Action::Clean => self.add_clean(CleanMetadata::from_avro(bytes)?),
            Action::Rollback => drop(RollbackMetadata::from_avro(bytes)?),
            Action::Restore => drop(RestoreMetadata::from_avro(bytes)?),
            Action::Savepoint => drop(SavepointMetadata::from_avro(bytes)?),
            action if action.writes_data() => {
                let metadata = CommitMetadata::from_bytes(bytes)?;
                if is_named {
                    self.named.insert(instant.time, named(&metadata));
                }
                if action == Action::ReplaceCommit {
                    self.replaces.push((instant.time, metadata));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn add_clean(&mut self, metadata: CleanMetadata) {
        for (partition, of) in metadata.partition_metadata {
            if of.is_partition_deleted {
                self.cleaned_partitions.insert(partition.clone());
            }
            let name = |file: &String| file.rsplit('/').next().unwrap_or_default().to_owned();
            self.cleaned.extend(of.delete_path_patterns.iter().map(|file| (partition.clone(), name(file))));
        }
    }
}

/// The files that a write names, with their bytes; 0 where it does not say.
fn named(metadata: &CommitMetadata) -> BTreeMap<FileInPartition, u64> {
    let named = metadata.write_stats().filter_map(|(_, stat)| {
        let path: TablePath = stat.path.as_deref()?.parse().ok()?;
        Some((in_partition(&path), u64::try_from(stat.file_size_in_bytes).unwrap_or_default()))
    });
    named.collect()
}
