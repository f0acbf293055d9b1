//! The steps of scripts.

use std::fmt;
use std::ops::Range;

use lakebed::maintain::clean::CleanPolicy;
use lakebed_hudi::table_config::TableType;

use super::shape::{Cell, Partitioning, Shape};

/// Rows of a range of key numbers.
#[derive(Debug, Clone)]
pub struct Change {
    /// The keys.
    pub keys: Range<u32>,
    /// The number that their ordering values are made from.
    pub order: u32,
    /// The number that their other values are made from.
    pub salt: u32,
    /// Whether the rows only say that their key is deleted.
    pub delete: bool,
}

impl Change {
    /// The rows of a writer that knows of the columns of a wide table, or does not.
    pub fn cells(&self, wide: bool) -> impl Iterator<Item = Cell> {
        let Self { order, salt, .. } = *self;
        self.keys.clone().map(move |key| Cell { key, order, salt, wide })
    }
}

/// Rows to write.
pub fn rows(keys: Range<u32>, order: u32, salt: u32) -> Change {
    Change { keys, order, salt, delete: false }
}

/// Deletes with an ordering value.
pub fn deletes(keys: Range<u32>, order: u32) -> Change {
    Change { keys, order, salt: 0, delete: true }
}

/// One step.
#[derive(Debug, Clone)]
pub enum Step {
    /// We commit a checkpoint.
    Ours(Vec<Change>),
    /// We delete keys, by a commit that has no row.
    Delete(Vec<Change>),
    /// We insert rows with new keys.
    Insert(Vec<Change>),
    /// We replace the partitions that rows go to.
    Overwrite(Vec<Change>),
    /// We replace the table's rows.
    OverwriteTable(Vec<Change>),
    /// We start anew: another run of the pipeline takes over.
    Reopen,
    /// We start anew with a column more, and a wider one.
    Widen,
    /// We write a checkpoint, learn at its commit that the table is another one, and take it back.
    Conflict(Vec<Change>),
    /// We write a checkpoint, Spark upserts, we write another one; then both are committed. On a
    /// copy-on-write table Spark's commit goes before: ours are taken back and written anew.
    InFlight([Vec<Change>; 3]),
    /// We write a checkpoint, and Spark fails to write; for longer than a silent writer counts as alive nothing is
    /// done but that we beat. Spark then rolls back what it left itself, and we commit.
    Outlasts([Vec<Change>; 2]),
    /// Our process dies with the files of a checkpoint written.
    Dies(Vec<Change>),
    /// Our process dies after the first operation of a run, the next one after its second, and so on until one
    /// comes to its end; then the same with a run that lives after each.
    DiesEverywhere(Vec<Change>),
    /// We start anew and are refused: the table has a metadata table.
    Refused,
    /// We start anew and have the metadata table dropped.
    DropMetadata,
    /// Spark creates the table with rows.
    SparkCreates(Vec<Change>),
    /// Spark upserts.
    Spark(Vec<Change>),
    /// Spark inserts rows with new keys.
    SparkInsert(Vec<Change>),
    /// Spark deletes keys (without ordering values).
    SparkDelete(Range<u32>),
    /// Spark replaces the partitions that rows go to.
    SparkOverwrite(Vec<Change>),
    /// Spark deletes the partition of a key.
    SparkDeletePartition(u32),
    /// From here on Spark's rows have a column more, and a wider one.
    SparkWidens,
    /// Spark upserts and, as by its defaults, builds a metadata table.
    SparkIndexes(Vec<Change>),
    /// Spark writes, and fails when its files are written.
    SparkFails(Vec<Change>),
    /// Spark rolls back what writers left that count as dead.
    SparkRecovers,
    /// Spark schedules a compaction.
    Schedule,
    /// Spark runs the pending compactions, scheduling one if there is none.
    Compact,
    /// We schedule a compaction of everything.
    ScheduleOurs,
    /// We run the pending compactions, scheduling one if there is none.
    CompactOurs,
    /// We clean, by a policy that leaves nothing for readers who began before.
    CleanOurs(CleanPolicy),
    /// We plan such a clean, and leave it to whoever comes next.
    ScheduleCleanOurs(CleanPolicy),
    /// Spark cleans and dies before it has said so, with half of the files deleted.
    CleanDies,
    /// No clean is pending.
    Cleaned,
    /// Spark schedules a clustering, with rows sorted by the key.
    ScheduleCluster,
    /// Spark runs the pending clusterings; if there is none, it rewrites all file groups into new ones.
    Cluster,
    /// We schedule a clustering, with rows sorted by the key.
    ScheduleClusterOurs,
    /// We schedule a clustering, and are stopped when some of its files are there.
    ClusterStops,
    /// We run the pending clusterings, scheduling one if there is none; Spark then sees the same of the past.
    ClusterOurs,
    /// Spark cleans.
    Clean,
    /// Spark savepoints the newest commit.
    Savepoint,
    /// Spark takes the table back to the savepoint.
    Restore,
    /// We savepoint the newest commit.
    SavepointOurs,
    /// We take the table back to the savepoint.
    RestoreOurs,
    /// We begin to, and stop after the first commit that is taken back; Spark goes on with it.
    RestoreStops,
    /// Something is committed, and we roll it back.
    TakenBack(Box<Self>),
    /// The same, but our process dies when the commit has left the timeline.
    RollbackDies(Box<Self>),
    /// Spark archives most of the timeline.
    Archive,
    /// We archive most of the timeline; Spark then sees the same of the past as before.
    ArchiveOurs,
    /// We upsert a row for each number of a range, and archive after each, so often that files of the archive
    /// are merged.
    ArchivesOften(Range<u32>),
    /// Both upsert at the same time, a commit each for every number of a range.
    Together(Range<u32>),
    /// So much time passes that writers of which nothing was heard since count as dead.
    Silence,
    /// Nothing that dead writers left is there any more.
    NoStrays,
    /// The active timeline begins after all dead writers.
    ArchivedPastDead,
    /// No commit of the active timeline says how far we came.
    ArchivedProgress,
}

impl Step {
    /// Whether that can be done to tables of a shape.
    pub fn fits(&self, shape: &Shape) -> bool {
        match self {
            Self::Schedule | Self::Compact | Self::ScheduleOurs | Self::CompactOurs => {
                shape.table_type == TableType::MergeOnRead
            }
            Self::Spark(_) => shape.spark_upserts(),
            Self::TakenBack(step) | Self::RollbackDies(step) => step.fits(shape),
            Self::SparkDeletePartition(_) => shape.partitioning != Partitioning::None,
            _ => true,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ours(_) => "Lakebed upserts and deletes",
            Self::Delete(_) => "Lakebed deletes",
            Self::Insert(_) => "Lakebed inserts",
            Self::Overwrite(_) => "Lakebed overwrites partitions",
            Self::OverwriteTable(_) => "Lakebed overwrites the table",
            Self::Reopen => "Lakebed opens the table anew",
            Self::Widen => "Lakebed adds a column",
            Self::Conflict(_) => "Lakebed conflicts",
            Self::InFlight(_) => "Spark commits between checkpoints in flight",
            Self::Outlasts(_) => "Spark rolls dead writes back, but none of a Lakebed that beats",
            Self::Dies(_) => "Lakebed dies",
            Self::DiesEverywhere(_) => "Lakebed dies after each of its operations",
            Self::Refused => "Lakebed refuses a metadata table",
            Self::DropMetadata => "Lakebed drops the metadata table",
            Self::SparkCreates(_) => "Spark creates the table",
            Self::Spark(_) => "Spark upserts",
            Self::SparkInsert(_) => "Spark inserts",
            Self::SparkDelete(_) => "Spark deletes",
            Self::SparkOverwrite(_) => "Spark overwrites partitions",
            Self::SparkDeletePartition(_) => "Spark deletes a partition",
            Self::SparkWidens => "Spark adds a column",
            Self::SparkIndexes(_) => "Spark builds a metadata table",
            Self::SparkFails(_) => "Spark fails to write",
            Self::SparkRecovers => "Spark rolls dead writes back",
            Self::Schedule => "Spark schedules a compaction",
            Self::Compact => "Spark compacts",
            Self::ScheduleOurs => "Lakebed schedules a compaction",
            Self::CompactOurs => "Lakebed compacts",
            Self::CleanOurs(_) => "Lakebed cleans",
            Self::ScheduleCleanOurs(_) => "Lakebed schedules a clean",
            Self::CleanDies => "Spark dies while it cleans",
            Self::Cleaned => "no clean is pending",
            Self::ScheduleCluster => "Spark schedules a clustering",
            Self::Cluster => "Spark clusters",
            Self::ScheduleClusterOurs => "Lakebed schedules a clustering",
            Self::ClusterStops => "Lakebed is stopped while it clusters",
            Self::ClusterOurs => "Lakebed clusters",
            Self::Clean => "Spark cleans",
            Self::Savepoint => "Spark savepoints",
            Self::Restore => "Spark restores",
            Self::SavepointOurs => "Lakebed savepoints",
            Self::RestoreOurs => "Lakebed restores",
            Self::RestoreStops => "Lakebed begins to restore, and Spark goes on",
            Self::TakenBack(_) => "Lakebed rolls back what was just committed",
            Self::RollbackDies(_) => "Lakebed dies while it rolls back what was just committed",
            Self::Archive => "Spark archives",
            Self::ArchiveOurs => "Lakebed archives",
            Self::ArchivesOften(_) => "Lakebed upserts and archives many times",
            Self::Together(_) => "Spark and Lakebed upsert at the same time",
            Self::Silence => "nothing is heard of dead writers",
            Self::ArchivedPastDead => "the archive has come past dead writers",
            Self::ArchivedProgress => "Lakebed's progress is archived",
            Self::NoStrays => "nothing of dead writers is left",
        })
    }
}
