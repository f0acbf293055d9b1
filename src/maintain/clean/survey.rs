//! What the planner looks at.

use std::collections::BTreeSet;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use lakebed_hudi::file_name::PARTITION_METADATA;
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::table_config::TableType;
use lakebed_hudi::timeline_file::Action;
use lakebed_hudi::timeline_metadata::{CommitMetadata, OperationType};

use super::{CleanRules, Facts, Horizon, NothingDue};
use crate::commit::{CommitError, Committer};
use crate::storage::{Entry, TablePath};
use crate::table::{FileGroup, FileSlice, TableSnapshot};
use crate::timeline::Instant;

/// How many partitions are listed, and how many commits are read, at the same time.
const AT_ONCE: usize = 16;

/// A table as the planner of cleans sees it.
#[derive(Debug, Clone)]
pub struct CleanSurvey {
    /// By which rules it is cleaned.
    pub rules: CleanRules,
    /// What the timeline tells.
    pub facts: Facts,
    /// How far back the table stays readable.
    pub horizon: Result<Horizon, NothingDue>,
    /// Which partitions were looked at.
    pub scope: Scope,
    /// The partitions that were looked at.
    pub partitions: Vec<PartitionFiles>,
}

/// Which partitions are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All of them.
    All,
    /// Those in which something may have ceased to be needed since a clean that left what was there from
    /// this instant on.
    Since(InstantTime),
}

/// The files of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionFiles {
    /// The partition path.
    pub path: String,
    /// Its file groups, also those that were replaced.
    pub groups: Vec<FileGroup>,
    /// Files of no group: of instants that are not completed, or of nobody knows whom.
    pub others: BTreeSet<TablePath>,
}

impl CleanSurvey {
    /// Looks at the table of `committer`.
    ///
    /// # Errors
    /// A table, its savepoints, or plans of services, that cannot be read.
    pub async fn of(committer: &Committer, rules: CleanRules) -> Result<Self, CommitError> {
        let snapshot = committer.table().snapshot(None).await?;
        let mut facts = Facts::read(committer, &snapshot).await?;
        facts.archived = facts.archived_in_window(committer, &rules).await?;
        let horizon = Horizon::of(&facts, &rules);
        let scope = Scope::of(&facts, &rules);
        let partitions = match &horizon {
            Ok(horizon) => listed(&snapshot, scope, horizon).await?,
            Err(_) => Vec::new(),
        };
        Ok(Self { rules, facts, horizon, scope, partitions })
    }
}

impl Scope {
    /// What was left of the past at the last clean had ceased to be current after the instant that it names,
    /// so that it is enough to look where something was written since: but for files that a savepoint kept
    /// which is gone. A clean that counts versions names no such instant, or not for that.
    ///
    /// Source: `CleanPlanner.getPartitionPathsForCleanByCommits`.
    pub(super) fn of(facts: &Facts, rules: &CleanRules) -> Self {
        let counts_versions = rules.policy.counts_versions();
        let last = facts.last_clean.as_ref().filter(|last| !counts_versions && !last.by_versions);
        let Some(last) = last else { return Self::All };
        let all_stay = last.savepoints.iter().all(|instant| facts.savepoints.contains_key(instant));
        let is_there =
            |earliest: &InstantTime| facts.timeline.start().is_some_and(|start| *earliest >= start);
        match last.earliest.filter(is_there) {
            Some(earliest) if all_stay => Self::Since(earliest),
            _ => Self::All,
        }
    }
}

impl PartitionFiles {
    pub(super) fn of(path: String, files: &[Entry], groups: Vec<FileGroup>) -> Self {
        let slices = groups.iter().flat_map(|group| &group.slices);
        let known: BTreeSet<&TablePath> = slices.flat_map(FileSlice::paths).collect();
        let is_other = |file: &&Entry| {
            !known.contains(&file.path) && !file.path.file_name().starts_with(PARTITION_METADATA)
        };
        let others = files.iter().filter(is_other).map(|file| file.path.clone()).collect();
        Self { path, groups, others }
    }
}

async fn listed(
    snapshot: &TableSnapshot,
    scope: Scope,
    horizon: &Horizon,
) -> Result<Vec<PartitionFiles>, CommitError> {
    match (scope, horizon.earliest) {
        (Scope::Since(since), Some(earliest)) => {
            let changed = changed_partitions(snapshot, since, earliest.time).await?;
            partition_files(snapshot, changed).await
        }
        _ => of_listings(snapshot, snapshot.partitions().await?).await,
    }
}

/// The files of some partitions.
pub(super) async fn partition_files(
    snapshot: &TableSnapshot,
    partitions: BTreeSet<String>,
) -> Result<Vec<PartitionFiles>, CommitError> {
    of_listings(snapshot, snapshot.files_in(partitions).await?).await
}

async fn of_listings(
    snapshot: &TableSnapshot,
    listings: Vec<(String, Vec<Entry>)>,
) -> Result<Vec<PartitionFiles>, CommitError> {
    let mut groups = snapshot.all_versions(&listings).await?.into_iter().peekable();
    let of_partition = |(path, files): (String, Vec<Entry>)| {
        let mut here = Vec::new();
        while let Some(group) = groups.next_if(|group| group.id.partition == path) {
            here.push(group);
        }
        PartitionFiles::of(path, &files, here)
    };
    Ok(listings.into_iter().map(of_partition).collect())
}

/// The partitions that commits from `since` on and before `earliest` wrote to, or replaced groups of.
async fn changed_partitions(
    snapshot: &TableSnapshot,
    since: InstantTime,
    earliest: InstantTime,
) -> Result<BTreeSet<String>, CommitError> {
    let is_between = |i: &&Instant| (since..earliest).contains(&i.time);
    let instants: Vec<Instant> = snapshot.timeline.completed_writes().filter(is_between).copied().collect();
    let store = &snapshot.table.timeline;
    let copies = snapshot.table.config.table_type == TableType::CopyOnWrite;
    let touched: Vec<BTreeSet<String>> = stream::iter(instants)
        .map(|instant| async move {
            let metadata = store.commit_metadata(&instant).await?;
            Ok::<_, CommitError>(touched(&metadata, copies && instant.action == Action::Commit))
        })
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    Ok(touched.into_iter().flatten().collect())
}

/// The partitions in which a commit may have made something superfluous. One that writes copies says of each
/// file on which one it builds: new groups make nothing superfluous.
///
/// Source: `CleanPlanner.getPartitionsForInstants`.
fn touched(metadata: &CommitMetadata, copies: bool) -> BTreeSet<String> {
    use OperationType::{BulkInsert, BulkInsertPrepped, Insert, InsertPrepped, Upsert, UpsertPrepped};
    let tells = copies
        && matches!(
            metadata.operation_type,
            Some(Upsert | UpsertPrepped | Insert | InsertPrepped | BulkInsert | BulkInsertPrepped)
        );
    let written = metadata.write_stats().filter(|(_, stat)| !tells || stat.prev_instant().is_some());
    let partitions = written.map(|(partition, _)| partition);
    partitions.chain(metadata.replaced_groups().map(|(partition, _)| partition)).map(str::to_owned).collect()
}
