//! A table as it is, or was, at one point of its timeline.

use std::collections::BTreeMap;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use lakebed_hudi::file_name::{FileId, LogFileName, PARTITION_METADATA};
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::schema::TableSchema;
use lakebed_hudi::table_config::key;
use lakebed_hudi::timeline_file::{Action, TimelineLayout};
use lakebed_hudi::timeline_metadata::CommitMetadata;

use super::file_group::{FileGroup, FileGroupId, SliceRules, file_groups};
use super::past::{check_past, check_versions};
use super::{Table, TableError, file_schema, schema_history};
use crate::storage::{Entry, Listing, TablePath};
use crate::timeline::{Instant, Timeline};

/// How many folders are listed at the same time.
const LISTINGS: usize = 16;
/// How many commits are read at the same time.
const READS: usize = 16;
/// The folder of Hudi's own files; other folders of that name hold no partitions either.
const META_FOLDER: &str = ".hoodie";

/// A table as it is, or was, at one point of its timeline.
///
/// Later commits do not show. Files are listed when they are asked for; a snapshot is good for
/// as long as the cleaner keeps its files.
#[derive(Debug, Clone)]
pub struct TableSnapshot {
    /// The table.
    pub table: Table,
    /// Its whole timeline.
    pub timeline: Timeline,
    /// The greatest instant that shows; all completed ones if `None`.
    pub as_of: Option<InstantTime>,
    replaced: BTreeMap<FileGroupId, InstantTime>,
}

impl TableSnapshot {
    pub(super) async fn load(table: &Table, as_of: Option<InstantTime>) -> Result<Self, TableError> {
        let mut snapshot =
            Self { table: table.clone(), timeline: Timeline::default(), as_of, replaced: BTreeMap::new() };
        snapshot.refresh().await?;
        if let Some(time) = as_of {
            check_versions(&snapshot, time).await?;
        }
        Ok(snapshot)
    }

    /// Brings a snapshot of the present up to date: of the commits that replace groups those are read
    /// that are new.
    ///
    /// # Errors
    /// A timeline that cannot be read; the snapshot is as before then.
    pub(crate) async fn refresh(&mut self) -> Result<(), TableError> {
        let timeline = self.table.timeline.load().await?;
        if let Some(time) = self.as_of {
            check_past(&self.table, &timeline, time).await?;
        }
        // Where one is gone, a restore may have taken it back.
        let all_stay = self.replaces(&self.timeline).all(|i| timeline.get(i.time, i.action) == Some(i));
        let is_new = |i: &&Instant| !all_stay || self.timeline.get(i.time, i.action) != Some(i);
        let news: Vec<Instant> = self.replaces(&timeline).filter(is_new).copied().collect();
        let store = &self.table.timeline;
        let metadata: Vec<(InstantTime, CommitMetadata)> = stream::iter(news)
            .map(|instant| async move {
                Ok::<_, TableError>((instant.time, store.metadata_anywhere(&instant).await?))
            })
            .buffered(READS)
            .try_collect()
            .await?;
        if !all_stay {
            self.replaced.clear();
        }
        for (instant, metadata) in metadata {
            self.add_replaced(instant, metadata);
        }
        self.timeline = timeline;
        Ok(())
    }

    /// The present of a table by `timeline`, of which these are the commits that replace groups.
    pub(crate) fn by_timeline(
        table: &Table,
        timeline: Timeline,
        replaces: impl IntoIterator<Item = (InstantTime, CommitMetadata)>,
    ) -> Self {
        let mut snapshot = Self { table: table.clone(), timeline, as_of: None, replaced: BTreeMap::new() };
        for (instant, metadata) in replaces {
            snapshot.add_replaced(instant, metadata);
        }
        snapshot
    }

    fn add_replaced(&mut self, instant: InstantTime, metadata: CommitMetadata) {
        for (partition, ids) in metadata.partition_to_replace_file_ids.into_iter().flatten() {
            for file_id in ids {
                let group = FileGroupId { partition: partition.clone(), file_id };
                let by = self.replaced.entry(group).or_insert(instant);
                *by = instant.max(*by);
            }
        }
    }

    /// The commits of `timeline` that replace groups, as far as they show.
    fn replaces<'a>(&self, timeline: &'a Timeline) -> impl Iterator<Item = &'a Instant> + use<'a> {
        let as_of = self.as_of;
        let shows = move |instant: &&Instant| as_of.is_none_or(|time| instant.time <= time);
        timeline.completed_writes().filter(|i| i.action == Action::ReplaceCommit).filter(shows)
    }

    /// The partition paths of the table with the files in them, sorted; `""` alone in a table
    /// without partitions.
    ///
    /// A folder is a partition if it holds `.hoodie_partition_metadata`, which may have an ending, for
    /// Spark and so for us; further ones are looked for in all others but `.hoodie`. The one partition
    /// of a table without partition columns is its own folder, with or without such a file.
    ///
    /// Source: `FileSystemBackedTableMetadata.getPartitionPathWithPathPrefix`,
    /// `HoodiePartitionMetadata.hasPartitionMetadata`.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn partitions(&self) -> Result<Vec<(String, Vec<Entry>)>, TableError> {
        if self.table.config.partition_path.parts.is_empty() {
            return Ok(vec![(String::new(), self.partition_files("").await?)]);
        }
        let mut found = Vec::new();
        let mut folders = vec![TablePath::root()];
        while !folders.is_empty() {
            let listings: Vec<(TablePath, Listing)> = stream::iter(folders)
                .map(|folder| async move {
                    let listing = self.table.storage.list(&folder).await?;
                    Ok::<_, TableError>((folder, listing))
                })
                .buffered(LISTINGS)
                .try_collect()
                .await?;
            folders = Vec::new();
            for (folder, listing) in listings {
                if listing.files.iter().any(|file| file.path.file_name().starts_with(PARTITION_METADATA)) {
                    found.push((folder.as_str().to_owned(), listing.files));
                } else if folder.file_name() != META_FOLDER {
                    folders.extend(listing.folders);
                }
            }
        }
        found.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(found)
    }

    /// The files in the folder of one partition; none if it does not exist.
    ///
    /// # Errors
    /// Those of the storage, and partition paths that lead out of the table.
    pub async fn partition_files(&self, partition: &str) -> Result<Vec<Entry>, TableError> {
        let folder = partition_folder(partition)?;
        Ok(self.table.storage.list(&folder).await?.files)
    }

    /// The files of each of `partitions`, as [`TableSnapshot::partition_files`], in their order.
    ///
    /// # Errors
    /// As there.
    pub async fn files_in(
        &self,
        partitions: impl IntoIterator<Item = String, IntoIter: Send>,
    ) -> Result<Vec<(String, Vec<Entry>)>, TableError> {
        stream::iter(partitions)
            .map(|partition| async move {
                let files = self.partition_files(&partition).await?;
                Ok((partition, files))
            })
            .buffered(LISTINGS)
            .try_collect()
            .await
    }

    /// The file groups among `files`, a listing of the folder of `partition`.
    ///
    /// # Errors
    /// A history that cannot be read, where log files of archived instants ask for it.
    pub async fn file_groups(&self, partition: &str, files: &[Entry]) -> Result<Vec<FileGroup>, TableError> {
        let archived = self.archived_completions(self.first_archived_log(files)).await?;
        Ok(file_groups(partition, files, &self.rules(&archived)))
    }

    /// The file groups of every partition, sorted by partition path.
    ///
    /// # Errors
    /// As [`TableSnapshot::partitions`] and [`TableSnapshot::file_groups`].
    pub async fn all_file_groups(&self) -> Result<Vec<(String, Vec<FileGroup>)>, TableError> {
        let partitions = self.partitions().await?;
        let groups = self.file_groups_in(&partitions).await?;
        Ok(partitions.into_iter().map(|(partition, _)| partition).zip(groups).collect())
    }

    /// The file groups of each of `partitions`, with the files there.
    ///
    /// # Errors
    /// As [`TableSnapshot::file_groups`].
    pub async fn file_groups_in(
        &self,
        partitions: &[(String, Vec<Entry>)],
    ) -> Result<Vec<Vec<FileGroup>>, TableError> {
        let archived = self.archived_completions_in(partitions).await?;
        let rules = self.rules(&archived);
        Ok(partitions.iter().map(|(partition, files)| file_groups(partition, files, &rules)).collect())
    }

    /// All file groups in `partitions`, with the files there: also those that were replaced, and with
    /// files of captured changes.
    ///
    /// # Errors
    /// As [`TableSnapshot::file_groups`].
    pub async fn all_versions(
        &self,
        partitions: &[(String, Vec<Entry>)],
    ) -> Result<Vec<FileGroup>, TableError> {
        let archived = self.archived_completions_in(partitions).await?;
        let none_replaced = BTreeMap::new();
        let rules = SliceRules { replaced: &none_replaced, changes: true, ..self.rules(&archived) };
        Ok(partitions.iter().flat_map(|(partition, files)| file_groups(partition, files, &rules)).collect())
    }

    async fn archived_completions_in(
        &self,
        partitions: &[(String, Vec<Entry>)],
    ) -> Result<BTreeMap<InstantTime, InstantTime>, TableError> {
        let first = partitions.iter().filter_map(|(_, files)| self.first_archived_log(files)).min();
        self.archived_completions(first).await
    }

    async fn archived_completions(
        &self,
        first: Option<InstantTime>,
    ) -> Result<BTreeMap<InstantTime, InstantTime>, TableError> {
        match first {
            Some(first) => Ok(self.table.timeline.archived_completions(first).await?),
            None => Ok(BTreeMap::new()),
        }
    }

    fn rules<'a>(&'a self, archived: &'a BTreeMap<InstantTime, InstantTime>) -> SliceRules<'a> {
        SliceRules {
            timeline: &self.timeline,
            layout: self.table.config.version.layout(),
            archived,
            replaced: &self.replaced,
            changes: false,
            as_of: self.as_of,
        }
    }

    /// Whether a group was replaced, as far as the active timeline tells.
    pub(crate) fn is_replaced(&self, group: &FileGroupId) -> bool {
        self.replaced.contains_key(group)
    }

    /// The groups of `partition` that were replaced, as far as the active timeline tells.
    pub fn replaced_groups(&self, partition: &str) -> impl Iterator<Item = &FileId> {
        self.replaced.keys().filter(move |group| group.partition == partition).map(|group| &group.file_id)
    }

    /// The groups that were replaced, with the newest instant that did, as far as the active timeline
    /// tells.
    pub fn replaced(&self) -> &BTreeMap<FileGroupId, InstantTime> {
        &self.replaced
    }

    /// The first log file whose completion time only the history knows.
    fn first_archived_log(&self, files: &[Entry]) -> Option<InstantTime> {
        if self.table.config.version.layout() == TimelineLayout::One {
            return None;
        }
        let logs = files.iter().filter_map(|file| file.path.file_name().parse::<LogFileName>().ok());
        logs.map(|log| log.instant).filter(|instant| self.timeline.is_before_start(*instant)).min()
    }

    /// The schema that readers see: that of the newest commit that may change it, else that of
    /// the newest data file, else the one the table was created with. Of a past of which the active
    /// timeline has no commit it is that of the present.
    ///
    /// Source: `TableSchemaResolver.getTableAvroSchema`.
    ///
    /// # Errors
    /// Commits and files that cannot be read, schemas that cannot be understood, none at all, and
    /// tables whose columns are renamed or dropped by a history of schemas.
    pub async fn schema(&self) -> Result<TableSchema, TableError> {
        schema_history::check_files(&self.table).await?;
        let mut commits = Vec::new();
        let first = self.timeline.completed_writes().next().map(|first| first.time);
        let upto = self.as_of.filter(|time| first.is_some_and(|first| first <= *time));
        let shown = self.timeline.completed_writes().filter(|i| upto.is_none_or(|upto| i.time <= upto));
        for instant in shown.rev() {
            let metadata = self.table.timeline.metadata_anywhere(instant).await?;
            schema_history::check_commit(&self.table.config, instant.time, &metadata)?;
            let may_change = metadata.operation_type.as_ref().is_none_or(|o| o.may_change_schema());
            if let Some(schema) = metadata.schema().filter(|_| may_change) {
                return Ok(TableSchema::from_avro(schema)?);
            }
            commits.push(metadata);
        }
        for commit in &commits {
            if let Some(schema) = file_schema::of_commit(&self.table, commit).await? {
                return Ok(schema);
            }
        }
        match self.table.config.properties.get(key::CREATE_SCHEMA) {
            Some(schema) => Ok(TableSchema::from_avro(schema)?),
            None => Err(TableError::NoSchema { uri: self.table.storage.uri().to_string() }),
        }
    }
}

/// The folder of a partition.
///
/// # Errors
/// A partition path that leads out of the table.
pub(crate) fn partition_folder(partition: &str) -> Result<TablePath, TableError> {
    if partition.is_empty() {
        return Ok(TablePath::root());
    }
    Ok(partition.parse()?)
}

/// Says why no reader would find files in the folder of a partition, if so.
///
/// Source: `FileSystemBackedTableMetadata` passes Hudi's own folder by wherever it is met; local file
/// systems end names at 255 bytes.
pub(crate) fn hidden_partition(partition: &str) -> Option<&'static str> {
    const NAME_BYTES_MAX: usize = 255;
    match partition_folder(partition) {
        Ok(folder) if folder.segments().any(|name| name == ".hoodie") => Some("that is Hudi's own folder"),
        Ok(folder) if folder.segments().any(|name| name.len() > NAME_BYTES_MAX) => {
            Some("a folder's name has at most 255 bytes")
        }
        Ok(_) => None,
        Err(TableError::Path(error)) => Some(error.reason),
        Err(_) => Some("that is no folder of the table"),
    }
}
