//! What is done to a table, step by step.

use std::fmt;
use std::ops::Range;

use lakebed_hudi::table_config::TableType;

use super::shape::Shape;

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
    /// We insert rows with new keys.
    Insert(Vec<Change>),
    /// We replace the partitions that rows go to.
    Overwrite(Vec<Change>),
    /// We replace the table's rows.
    OverwriteTable(Vec<Change>),
    /// We start anew: another run of the pipeline takes over.
    Reopen,
    /// Spark upserts.
    Spark(Vec<Change>),
    /// Spark deletes keys (without ordering values).
    SparkDelete(Range<u32>),
    /// Spark writes, and fails when its files are written.
    SparkFails(Vec<Change>),
    /// Spark schedules a compaction.
    Schedule,
    /// Spark runs the pending compactions, scheduling one if there is none.
    Compact,
    /// Spark cleans.
    Clean,
    /// Spark savepoints the newest commit.
    Savepoint,
    /// Spark archives most of the timeline.
    Archive,
}

impl Step {
    /// Whether that can be done to tables of a shape.
    pub fn fits(&self, shape: &Shape) -> bool {
        match self {
            Self::Schedule | Self::Compact => shape.table_type == TableType::MergeOnRead,
            Self::Spark(_) => shape.spark_upserts(),
            _ => true,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ours(_) => "Lakebed upserts and deletes",
            Self::Insert(_) => "Lakebed inserts",
            Self::Overwrite(_) => "Lakebed overwrites partitions",
            Self::OverwriteTable(_) => "Lakebed overwrites the table",
            Self::Reopen => "Lakebed opens the table anew",
            Self::Spark(_) => "Spark upserts",
            Self::SparkDelete(_) => "Spark deletes",
            Self::SparkFails(_) => "Spark fails to write",
            Self::Schedule => "Spark schedules a compaction",
            Self::Compact => "Spark compacts",
            Self::Clean => "Spark cleans",
            Self::Savepoint => "Spark savepoints",
            Self::Archive => "Spark archives",
        })
    }
}

/// We write, Spark writes, deletes and compacts, we go on.
pub fn short() -> Vec<Step> {
    vec![
        Step::Ours(vec![rows(0..12, 10, 1)]),
        Step::Ours(vec![
            rows(0..3, 20, 2),
            rows(3..5, 5, 3),
            rows(5..6, 10, 4),
            deletes(6..7, 20),
            deletes(7..8, 5),
            rows(12..14, 10, 5),
        ]),
        Step::Spark(vec![rows(8..10, 30, 6), rows(14..16, 10, 7), rows(0..1, 15, 8)]),
        Step::SparkDelete(9..10),
        Step::Compact,
        Step::Ours(vec![rows(1..2, 30, 9), rows(6..7, 6, 10), rows(16..17, 10, 11), deletes(14..15, 11)]),
    ]
}

/// Spark has created the table and written to it; we go on.
pub fn theirs() -> Vec<Step> {
    let mut steps = vec![
        Step::Spark(vec![rows(0..8, 9, 90), rows(50..54, 10, 91)]),
        Step::Spark(vec![rows(50..52, 20, 92), rows(54..56, 10, 93)]),
    ];
    steps.extend(short());
    steps
}

/// We overwrite, and both go on in the new groups.
pub fn overwriting() -> Vec<Step> {
    vec![
        Step::Ours(vec![rows(0..12, 10, 1)]),
        Step::Spark(vec![rows(0..4, 20, 2)]),
        Step::Overwrite(vec![rows(0..1, 1, 3), rows(20..21, 1, 3)]),
        Step::Ours(vec![rows(0..1, 2, 4), rows(2..4, 1, 4)]),
        Step::Spark(vec![rows(20..23, 2, 5)]),
        Step::Compact,
        Step::OverwriteTable(vec![rows(30..33, 1, 6)]),
        Step::Spark(vec![rows(30..31, 2, 7), rows(33..35, 1, 7)]),
        Step::Ours(vec![rows(31..32, 3, 8), deletes(32..33, 3)]),
        Step::Clean,
        Step::Ours(vec![rows(36..40, 3, 9)]),
    ]
}

/// We append to a table without a bucket index, and Spark changes it.
pub fn inserting() -> Vec<Step> {
    vec![
        Step::Insert(vec![rows(0..12, 10, 1)]),
        Step::Insert(vec![rows(12..16, 10, 2)]),
        Step::Spark(vec![rows(0..2, 20, 3), rows(12..13, 20, 3), rows(20..22, 10, 3)]),
        Step::SparkDelete(3..5),
        Step::Insert(vec![rows(30..36, 10, 4)]),
        Step::Overwrite(vec![rows(40..41, 10, 5)]),
        Step::Spark(vec![rows(31..32, 20, 6), rows(40..41, 20, 6)]),
        Step::Insert(vec![rows(50..53, 10, 7)]),
    ]
}

/// [`short`], and everything else that Spark does to a table that we go on writing to.
pub fn full() -> Vec<Step> {
    let mut steps = short();
    steps.extend([
        Step::Schedule,
        Step::Ours(vec![rows(2..3, 40, 12), deletes(10..11, 40), rows(17..18, 10, 13)]),
        Step::Spark(vec![rows(11..12, 40, 14), rows(2..3, 35, 15)]),
        Step::Compact,
        Step::Ours(vec![rows(3..4, 50, 16), rows(2..3, 36, 17)]),
        Step::Clean,
        Step::Ours(vec![rows(18..22, 10, 18)]),
        Step::Savepoint,
        Step::SparkFails(vec![rows(0..4, 90, 19), rows(30..34, 90, 19)]),
        Step::Reopen,
        Step::Ours(vec![rows(4..6, 60, 20), deletes(18..19, 60)]),
        Step::Spark(vec![rows(19..20, 60, 21)]),
        Step::Ours(vec![rows(20..21, 60, 22)]),
        Step::Compact,
        Step::Archive,
        Step::Ours(vec![rows(0..24, 70, 23)]),
        Step::Reopen,
        Step::Ours(vec![rows(0..2, 80, 24), deletes(2..4, 80)]),
        Step::Archive,
        Step::Spark(vec![rows(24..26, 10, 25)]),
    ]);
    steps
}
