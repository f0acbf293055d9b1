//! Writes of every kind, by both sides.

use super::super::step::{Step, deletes, rows};

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
        Step::SparkCreates(vec![rows(0..8, 9, 90), rows(50..54, 10, 91)]),
        Step::Spark(vec![rows(50..52, 20, 92), rows(54..56, 10, 93)]),
    ];
    steps.extend(short());
    steps
}

/// [`theirs`], and everything else that Spark does.
pub fn theirs_full() -> Vec<Step> {
    let mut steps = theirs();
    steps.extend(full().into_iter().skip(short().len()));
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

/// Spark writes for long and archives past what we wrote: a writer that starts anew, and one that was
/// idle meanwhile, go on from the progress in there.
pub fn archived() -> Vec<Step> {
    let spark = |order: u32| (0..4).map(move |n| Step::Spark(vec![rows(n..n + 6, order + n, 2)]));
    let mut steps = vec![Step::Ours(vec![rows(0..12, 10, 1)]), Step::Ours(vec![rows(0..3, 20, 1)])];
    steps.extend(spark(30));
    steps.extend([Step::Compact, Step::Archive, Step::ArchivedProgress, Step::Reopen]);
    steps.push(Step::Ours(vec![rows(2..8, 40, 3), rows(12..14, 10, 3)]));
    steps.extend(spark(50));
    steps.extend([Step::Compact, Step::Archive, Step::ArchivedProgress]);
    steps.extend([Step::Ours(vec![rows(4..16, 60, 4)]), Step::Reopen, Step::Ours(vec![rows(0..2, 70, 5)])]);
    steps
}

/// Both sides add a column and widen another one.
pub fn widening() -> Vec<Step> {
    vec![
        Step::Ours(vec![rows(0..12, 10, 1)]),
        Step::SparkWidens,
        Step::Spark(vec![rows(0..3, 20, 2), rows(12..14, 10, 2)]),
        // Rows without the new column: it stays, with the values that others have in it.
        Step::Ours(vec![rows(0..1, 30, 3), rows(4..6, 30, 3), deletes(6..7, 30)]),
        Step::Compact,
        Step::Ours(vec![rows(7..8, 30, 4), rows(14..16, 10, 4)]),
        Step::Reopen,
        Step::Ours(vec![rows(8..9, 30, 5)]),
        Step::Widen,
        Step::Ours(vec![rows(1..2, 40, 6), rows(9..10, 40, 6), rows(16..18, 10, 6)]),
        Step::Spark(vec![rows(2..3, 50, 7), rows(16..17, 50, 7)]),
        Step::Compact,
        Step::Ours(vec![rows(10..12, 60, 8), deletes(16..17, 60)]),
    ]
}

/// We add a column and widen another one; Spark goes on.
pub fn widened() -> Vec<Step> {
    vec![
        Step::Ours(vec![rows(0..12, 10, 1)]),
        Step::Spark(vec![rows(0..2, 20, 2)]),
        Step::Widen,
        Step::Ours(vec![rows(2..4, 20, 3), rows(12..14, 10, 3)]),
        Step::SparkWidens,
        Step::Spark(vec![rows(3..5, 30, 4), rows(14..16, 10, 4)]),
        Step::SparkDelete(5..6),
        Step::Compact,
        Step::Ours(vec![rows(4..5, 40, 5), rows(6..7, 40, 5)]),
    ]
}

/// Rows that say nothing of some columns, from both sides.
pub fn partial() -> Vec<Step> {
    vec![
        Step::Ours(vec![rows(0..12, 10, 1)]),
        Step::Ours(vec![rows(0..6, 20, 2), rows(12..14, 20, 2)]),
        Step::Spark(vec![rows(0..3, 30, 3), rows(6..9, 30, 3), rows(14..16, 30, 3)]),
        Step::Ours(vec![rows(1..4, 40, 5), rows(14..15, 40, 5), deletes(11..12, 40)]),
        Step::Compact,
        Step::Ours(vec![rows(2..5, 50, 6), rows(16..17, 50, 6)]),
        Step::Spark(vec![rows(2..4, 60, 7), rows(13..14, 60, 7)]),
        Step::SparkDelete(10..11),
        Step::Compact,
        Step::Spark(vec![rows(0..5, 70, 9)]),
        Step::Ours(vec![rows(3..7, 80, 11)]),
    ]
}

/// We delete by commits of nothing else, over rows of either side and in files of either kind.
pub fn deleting() -> Vec<Step> {
    vec![
        Step::Ours(vec![rows(0..12, 10, 1)]),
        Step::Delete(vec![deletes(0..2, 20), deletes(2..3, 5), deletes(20..21, 10)]),
        Step::Spark(vec![rows(3..5, 30, 2), rows(12..15, 10, 2)]),
        Step::Delete(vec![deletes(3..4, 40), deletes(4..5, 20), deletes(12..13, 10)]),
        Step::Compact,
        Step::Reopen,
        Step::Delete(vec![deletes(5..7, 50)]),
        Step::Ours(vec![rows(0..1, 60, 3), rows(6..8, 60, 3)]),
        Step::Spark(vec![rows(5..6, 70, 4)]),
    ]
}

/// Rows that say of themselves that they are deleted, from both sides.
pub fn flagged() -> Vec<Step> {
    let mut steps = short();
    steps.extend([
        Step::Spark(vec![deletes(1..2, 40), deletes(2..3, 5), rows(17..18, 10, 12), deletes(40..41, 10)]),
        Step::Ours(vec![deletes(4..5, 50), deletes(17..18, 20), rows(1..2, 60, 13)]),
        Step::Compact,
        Step::Ours(vec![deletes(10..11, 70), deletes(41..42, 10), rows(11..12, 70, 14)]),
    ]);
    steps
}

/// Rows that say of themselves that they are deleted are no rows to append.
pub fn flagged_inserts() -> Vec<Step> {
    vec![
        Step::Insert(vec![rows(0..8, 10, 1), deletes(8..10, 10)]),
        Step::Insert(vec![rows(10..12, 10, 2), deletes(12..14, 10)]),
        Step::SparkInsert(vec![rows(14..16, 10, 3), deletes(16..18, 10)]),
        Step::Spark(vec![rows(0..2, 20, 3), deletes(2..4, 20)]),
        Step::Insert(vec![rows(20..22, 10, 4), deletes(22..24, 10)]),
    ]
}

/// Spark ends file groups that we have written to.
pub fn replacing() -> Vec<Step> {
    vec![
        Step::Ours(vec![rows(0..12, 10, 1)]),
        Step::SparkDeletePartition(0),
        Step::Ours(vec![rows(0..2, 5, 2), rows(1..2, 20, 2)]),
        Step::SparkOverwrite(vec![rows(1..2, 3, 3), rows(21..22, 3, 3)]),
        Step::Ours(vec![rows(1..2, 4, 4), rows(3..4, 1, 4), deletes(21..22, 4)]),
        Step::Spark(vec![rows(0..4, 30, 5)]),
        Step::Compact,
        Step::SparkDeletePartition(1),
        Step::Clean,
        Step::Reopen,
        Step::Ours(vec![rows(0..6, 40, 6)]),
    ]
}

/// A metadata table comes, is dropped, and comes again.
pub fn metadata_table() -> Vec<Step> {
    vec![
        Step::Ours(vec![rows(0..12, 10, 1)]),
        Step::SparkIndexes(vec![rows(0..2, 20, 2)]),
        Step::Conflict(vec![rows(2..4, 30, 3)]),
        Step::Refused,
        Step::DropMetadata,
        Step::Ours(vec![rows(2..4, 30, 4)]),
        Step::Spark(vec![rows(3..6, 40, 5)]),
        Step::SparkIndexes(vec![rows(5..7, 50, 6)]),
        Step::Refused,
    ]
}
