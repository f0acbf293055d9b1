//! What is done to tables, step by step.

use lakebed::maintain::clean::CleanPolicy;

use super::step::{Step, deletes, rows};

/// Both sides schedule compactions and run those of the other, while both write.
pub fn compacting() -> Vec<Step> {
    vec![
        Step::Ours(vec![rows(0..12, 10, 1)]),
        Step::Spark(vec![rows(0..3, 20, 2), rows(12..14, 10, 2)]),
        Step::ScheduleOurs,
        Step::Ours(vec![rows(2..5, 30, 3), deletes(6..7, 30), rows(14..16, 10, 3)]),
        Step::Spark(vec![rows(4..6, 35, 4), rows(7..8, 5, 4)]),
        Step::Compact,
        Step::Ours(vec![rows(0..1, 40, 5), deletes(8..10, 40)]),
        Step::Schedule,
        Step::Spark(vec![rows(1..3, 40, 6)]),
        Step::Ours(vec![rows(2..4, 45, 7), rows(16..18, 10, 7)]),
        Step::CompactOurs,
        Step::Spark(vec![rows(3..4, 50, 8)]),
        Step::SparkDelete(16..17),
        Step::CompactOurs,
        Step::Ours(vec![deletes(0..14, 60)]),
        Step::CompactOurs,
        Step::Spark(vec![rows(0..4, 70, 9)]),
        Step::Ours(vec![rows(2..6, 80, 10)]),
        Step::Compact,
        Step::Savepoint,
        Step::Ours(vec![rows(0..2, 90, 11)]),
        Step::CompactOurs,
        Step::Clean,
        Step::Restore,
        Step::Reopen,
        Step::Ours(vec![rows(4..6, 95, 12)]),
        Step::CompactOurs,
        Step::Spark(vec![rows(5..7, 99, 13)]),
        Step::Archive,
        Step::Ours(vec![rows(5..8, 99, 14)]),
        Step::CompactOurs,
    ]
}

/// Both sides clean, and carry out what the other has planned or left, while both write.
pub fn cleaning() -> Vec<Step> {
    use CleanPolicy::{KeepLatestCommits, KeepLatestFileVersions};
    vec![
        Step::Ours(vec![rows(0..12, 10, 1)]),
        Step::Ours(vec![rows(0..3, 20, 2)]),
        Step::Spark(vec![rows(2..5, 30, 3), rows(12..14, 10, 3)]),
        Step::CompactOurs,
        Step::Ours(vec![rows(4..6, 40, 4), deletes(7..8, 40)]),
        Step::Spark(vec![rows(5..7, 45, 5)]),
        Step::Compact,
        Step::Ours(vec![rows(0..2, 50, 6)]),
        Step::CleanOurs(KeepLatestCommits(2)),
        Step::Spark(vec![rows(1..4, 55, 7)]),
        Step::Ours(vec![rows(3..5, 60, 8)]),
        Step::CompactOurs,
        // Spark goes on from what ours says.
        Step::Spark(vec![rows(0..12, 65, 9)]),
        Step::Clean,
        Step::Ours(vec![rows(0..12, 70, 10)]),
        Step::Compact,
        Step::Ours(vec![rows(2..4, 72, 10)]),
        // And ours from what Spark's says.
        Step::CleanOurs(KeepLatestCommits(1)),
        Step::Spark(vec![rows(0..12, 75, 11)]),
        Step::CompactOurs,
        Step::Ours(vec![rows(0..12, 76, 11)]),
        Step::ScheduleCleanOurs(KeepLatestFileVersions(1)),
        Step::Ours(vec![rows(1..2, 77, 11)]),
        Step::Clean,
        Step::Cleaned,
        Step::Savepoint,
        Step::Ours(vec![rows(0..12, 80, 12)]),
        Step::Compact,
        Step::Ours(vec![rows(0..12, 82, 12)]),
        Step::CompactOurs,
        Step::Ours(vec![rows(0..12, 84, 12)]),
        Step::CleanOurs(KeepLatestCommits(1)),
        Step::Spark(vec![rows(4..6, 85, 13)]),
        Step::Restore,
        Step::Reopen,
        Step::Ours(vec![rows(0..12, 90, 14)]),
        Step::Compact,
        Step::Ours(vec![rows(0..12, 92, 14)]),
        Step::CompactOurs,
        Step::Spark(vec![rows(0..12, 93, 14)]),
        Step::CleanDies,
        Step::Ours(vec![rows(3..4, 94, 15)]),
        Step::CleanOurs(KeepLatestCommits(1)),
        Step::Ours(vec![rows(0..12, 94, 16)]),
        Step::CompactOurs,
        Step::SparkDeletePartition(0),
        Step::CleanOurs(KeepLatestFileVersions(1)),
        Step::Ours(vec![rows(0..2, 95, 16)]),
        Step::Spark(vec![rows(1..3, 96, 17)]),
        Step::Archive,
        Step::Ours(vec![rows(0..6, 97, 18)]),
        Step::CompactOurs,
        Step::CleanOurs(KeepLatestFileVersions(1)),
        Step::Archive,
        Step::Spark(vec![rows(2..8, 98, 19)]),
    ]
}

/// Spark clusters what both have written, and we clean what it has replaced.
pub fn cleaning_clustered() -> Vec<Step> {
    use CleanPolicy::{KeepLatestCommits, KeepLatestFileVersions};
    vec![
        Step::Insert(vec![rows(0..12, 10, 1)]),
        Step::Insert(vec![rows(12..16, 10, 2)]),
        // There is nothing to delete yet: it says how far the table is clean.
        Step::CleanOurs(KeepLatestCommits(1)),
        Step::Cluster,
        Step::Archive,
        Step::Insert(vec![rows(20..24, 10, 3)]),
        Step::CleanOurs(KeepLatestCommits(1)),
        Step::Spark(vec![rows(0..2, 20, 4), rows(20..21, 20, 4)]),
        Step::Archive,
        Step::Cluster,
        Step::Overwrite(vec![rows(0..1, 30, 5)]),
        Step::CleanOurs(KeepLatestFileVersions(1)),
        Step::Archive,
        Step::Insert(vec![rows(30..33, 10, 6)]),
        Step::Reopen,
        Step::Insert(vec![rows(33..36, 10, 7)]),
    ]
}

/// Both archive in turns, while both write.
pub fn archiving() -> Vec<Step> {
    let writes = |order: u32| {
        [
            Step::Ours(vec![rows(0..6, order, 2), rows(12..14, order, 2)]),
            Step::Spark(vec![rows(4..8, order + 1, 3)]),
            Step::Ours(vec![rows(2..3, order + 2, 4), deletes(9..10, order + 2)]),
        ]
    };
    let mut steps = vec![Step::Ours(vec![rows(0..12, 10, 1)])];
    steps.extend(writes(20));
    steps.extend(writes(25));
    steps.extend([Step::ArchiveOurs, Step::Ours(vec![rows(1..3, 28, 5)])]);
    steps.extend(writes(30));
    steps.extend([Step::Compact, Step::Ours(vec![rows(1..4, 35, 5)]), Step::Archive]);
    steps.extend(writes(40));
    steps.extend(writes(45));
    steps.extend([Step::ArchiveOurs, Step::Clean, Step::Reopen]);
    steps.extend(writes(50));
    steps.extend([Step::CompactOurs, Step::Ours(vec![rows(0..3, 53, 5)]), Step::Clean]);
    steps.extend(writes(55));
    steps.extend(writes(60));
    steps.push(Step::ArchiveOurs);
    steps.extend(writes(65));
    steps.extend([Step::Archive, Step::Compact, Step::Spark(vec![rows(0..8, 70, 6)])]);
    steps
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

/// We insert, Spark clusters what we have inserted, we go on.
pub fn clustering() -> Vec<Step> {
    vec![
        Step::Insert(vec![rows(0..12, 10, 1)]),
        Step::Insert(vec![rows(12..16, 10, 2)]),
        Step::Cluster,
        Step::Insert(vec![rows(20..24, 10, 3)]),
        Step::Spark(vec![rows(0..2, 20, 4), rows(20..21, 20, 4)]),
        Step::Cluster,
        Step::Clean,
        Step::Insert(vec![rows(30..33, 10, 5)]),
        Step::Reopen,
        Step::Insert(vec![rows(33..36, 10, 6)]),
    ]
}

/// Both schedule clusterings and run those of the other, while both write; Spark cleans, and we do.
pub fn clustering_in_turns() -> Vec<Step> {
    vec![
        Step::Insert(vec![rows(0..12, 10, 1)]),
        Step::Insert(vec![rows(12..16, 10, 2)]),
        Step::Insert(vec![rows(16..20, 10, 3)]),
        Step::ClusterOurs,
        // Where its rows went it learns from the bloom filters of the new files.
        Step::Spark(vec![rows(0..2, 20, 4), rows(16..17, 20, 4), rows(40..42, 10, 4)]),
        Step::Insert(vec![rows(20..24, 10, 5)]),
        Step::ScheduleCluster,
        Step::Insert(vec![rows(24..28, 10, 6)]),
        Step::ClusterOurs,
        Step::Clean,
        Step::Spark(vec![rows(3..5, 30, 7), rows(24..25, 30, 7)]),
        Step::Insert(vec![rows(28..32, 10, 8)]),
        Step::ScheduleClusterOurs,
        Step::Insert(vec![rows(32..36, 10, 9)]),
        Step::Cluster,
        Step::Spark(vec![rows(0..1, 40, 10), rows(33..34, 40, 10)]),
        Step::CleanOurs(CleanPolicy::KeepLatestCommits(1)),
        Step::Archive,
        Step::Reopen,
        Step::Insert(vec![rows(50..54, 10, 11)]),
        Step::ClusterOurs,
        Step::Spark(vec![rows(50..52, 50, 12)]),
    ]
}

/// Each goes on with what the other has begun to cluster; where Spark has updated rows there are log files, too.
pub fn clustering_taken_over() -> Vec<Step> {
    vec![
        Step::Insert(vec![rows(0..12, 10, 1)]),
        Step::Insert(vec![rows(12..20, 10, 2)]),
        Step::ClusterStops,
        Step::Cluster,
        Step::Spark(vec![rows(0..2, 20, 3), rows(12..14, 20, 3)]),
        Step::Insert(vec![rows(20..26, 10, 4)]),
        Step::Reopen,
        Step::ClusterStops,
        Step::Insert(vec![rows(26..32, 10, 5)]),
        Step::ClusterOurs,
        Step::NoStrays,
        Step::Spark(vec![rows(1..3, 30, 6), rows(21..22, 30, 6)]),
        Step::ClusterOurs,
    ]
}

/// Spark takes the table back, under a writer of ours that lives and under one that starts anew.
pub fn restoring() -> Vec<Step> {
    vec![
        Step::Ours(vec![rows(0..12, 10, 1)]),
        Step::Ours(vec![rows(0..3, 20, 2)]),
        Step::Savepoint,
        Step::Ours(vec![rows(2..5, 30, 3), rows(12..14, 10, 3)]),
        Step::Spark(vec![rows(5..7, 30, 4)]),
        Step::Restore,
        Step::Conflict(vec![rows(7..8, 40, 5)]),
        Step::Ours(vec![rows(7..9, 40, 6), rows(12..13, 5, 6)]),
        Step::Spark(vec![rows(8..10, 50, 7)]),
        Step::Restore,
        Step::Reopen,
        Step::Ours(vec![rows(9..11, 40, 8)]),
        Step::Compact,
        Step::Ours(vec![rows(0..2, 60, 9)]),
    ]
}

/// Each takes the table back to savepoints of the other, under a writer of ours that lives and under one that
/// starts anew.
pub fn restoring_in_turns() -> Vec<Step> {
    vec![
        Step::Ours(vec![rows(0..12, 10, 1)]),
        Step::Ours(vec![rows(0..3, 20, 2)]),
        Step::Savepoint,
        Step::Ours(vec![rows(2..5, 30, 3), rows(12..14, 10, 3)]),
        Step::Spark(vec![rows(5..7, 30, 4)]),
        Step::CompactOurs,
        Step::Spark(vec![rows(6..8, 35, 4)]),
        Step::Schedule,
        Step::Ours(vec![rows(7..9, 36, 4)]),
        Step::RestoreOurs,
        Step::Conflict(vec![rows(7..8, 40, 5)]),
        Step::Spark(vec![rows(8..10, 50, 7)]),
        Step::Ours(vec![rows(7..9, 55, 6), rows(12..13, 5, 6)]),
        Step::Compact,
        Step::RestoreOurs,
        Step::Reopen,
        Step::Ours(vec![rows(9..11, 40, 8)]),
        Step::Compact,
        Step::SavepointOurs,
        Step::Ours(vec![rows(0..2, 60, 9)]),
        Step::CompactOurs,
        Step::Ours(vec![rows(0..3, 61, 9)]),
        Step::Compact,
        Step::SparkOverwrite(vec![rows(0..4, 62, 9)]),
        Step::Ours(vec![rows(0..12, 63, 9)]),
        Step::Clean,
        Step::Restore,
        Step::Reopen,
        Step::Ours(vec![rows(1..4, 70, 10)]),
        Step::Spark(vec![rows(3..6, 75, 10)]),
        Step::RestoreOurs,
        Step::Reopen,
        Step::Spark(vec![rows(0..3, 80, 11)]),
        Step::Ours(vec![rows(1..4, 85, 12)]),
        Step::CompactOurs,
        Step::Archive,
        Step::Spark(vec![rows(2..6, 90, 13)]),
    ]
}

/// We take the newest commits back, or begin to, and Spark goes on.
pub fn rolling_back() -> Vec<Step> {
    let taken_back = |step| Step::TakenBack(Box::new(step));
    vec![
        Step::Ours(vec![rows(0..12, 10, 1)]),
        taken_back(Step::Ours(vec![rows(0..3, 20, 2), rows(12..14, 10, 2)])),
        Step::Spark(vec![rows(2..5, 25, 3)]),
        taken_back(Step::Spark(vec![rows(4..8, 30, 4), rows(14..16, 30, 4)])),
        Step::Ours(vec![rows(3..6, 35, 5)]),
        taken_back(Step::CompactOurs),
        Step::Spark(vec![rows(5..7, 40, 6)]),
        taken_back(Step::Compact),
        Step::Ours(vec![rows(6..8, 45, 7)]),
        taken_back(Step::SparkOverwrite(vec![rows(0..4, 46, 7)])),
        taken_back(Step::Overwrite(vec![rows(0..4, 46, 7)])),
        Step::RollbackDies(Box::new(Step::Ours(vec![rows(7..9, 50, 8)]))),
        Step::Spark(vec![rows(8..10, 55, 9)]),
        Step::RollbackDies(Box::new(Step::Spark(vec![rows(9..11, 56, 10)]))),
        Step::Ours(vec![rows(10..12, 60, 11)]),
        Step::Compact,
        Step::Archive,
        Step::Spark(vec![rows(8..12, 70, 12)]),
    ]
}

/// Spark goes on with a restore of ours.
pub fn restoring_on() -> Vec<Step> {
    vec![
        Step::Ours(vec![rows(0..12, 10, 1)]),
        Step::SavepointOurs,
        Step::Ours(vec![rows(2..5, 30, 3), rows(12..14, 10, 3)]),
        Step::CompactOurs,
        Step::Spark(vec![rows(5..7, 35, 4)]),
        Step::RestoreStops,
        Step::Reopen,
        Step::Ours(vec![rows(7..9, 40, 5)]),
        Step::Spark(vec![rows(8..10, 50, 6)]),
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

/// The archive gets more levels, of files that we and Spark have made.
pub fn archiving_often() -> Vec<Step> {
    vec![
        Step::Ours(vec![rows(0..12, 10, 1)]),
        Step::Spark(vec![rows(0..4, 12, 1)]),
        Step::ArchivesOften(20..46),
        Step::Spark(vec![rows(0..4, 50, 2)]),
        Step::Ours(vec![rows(1..3, 52, 3)]),
        Step::Archive,
        Step::Spark(vec![rows(2..6, 54, 4)]),
        Step::ArchivesOften(60..85),
        Step::Reopen,
        Step::Ours(vec![rows(0..8, 90, 5)]),
    ]
}

/// Both replace file groups; we archive as far as Spark has cleaned.
pub fn archiving_replaced() -> Vec<Step> {
    let later = |order: u32| (0..6).map(move |n| Step::Ours(vec![rows(n..n + 4, order + n, 2)]));
    let mut steps = vec![Step::Ours(vec![rows(0..12, 10, 1)]), Step::Spark(vec![rows(0..4, 15, 1)])];
    steps.push(Step::Overwrite(vec![rows(0..2, 1, 3), rows(20..21, 1, 3)]));
    steps.extend(later(20));
    // What came before the overwrite goes, but not the overwrite.
    steps.extend([Step::ArchiveOurs, Step::Spark(vec![rows(1..3, 30, 4)]), Step::Compact]);
    steps.push(Step::SparkDeletePartition(1));
    steps.extend(later(40));
    steps.extend([Step::Compact, Step::Ours(vec![rows(0..3, 50, 5)]), Step::Clean]);
    steps.extend(later(60));
    steps.extend([Step::ArchiveOurs, Step::Spark(vec![rows(1..3, 70, 6)]), Step::Reopen]);
    steps.extend(later(80));
    steps.extend([Step::Archive, Step::Ours(vec![rows(0..5, 90, 7)])]);
    steps
}

/// Spark commits while checkpoints of ours are in flight.
pub fn in_flight() -> Vec<Step> {
    vec![
        Step::Ours(vec![rows(0..12, 10, 1)]),
        Step::Spark(vec![rows(0..2, 20, 2)]),
        Step::InFlight([
            vec![rows(0..4, 30, 3), rows(12..14, 30, 3)],
            vec![rows(1..6, 40, 4), rows(14..16, 10, 4)],
            vec![rows(2..8, 50, 5), rows(14..15, 20, 5), deletes(12..13, 50)],
        ]),
        Step::Compact,
        Step::Ours(vec![rows(0..16, 60, 6)]),
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

/// Both commit at the same time.
pub fn together() -> Vec<Step> {
    vec![
        // Every bucket gets its base file first.
        Step::Ours(vec![rows(100..116, 1, 1), rows(200..216, 1, 1), rows(300..303, 0, 1)]),
        Step::Together(0..12),
        Step::Compact,
        Step::Together(12..15),
    ]
}

/// Spark looks for dead writers while a checkpoint of ours is in flight for long.
pub fn heartbeats() -> Vec<Step> {
    vec![
        Step::Ours(vec![rows(0..12, 10, 1)]),
        Step::Outlasts([
            vec![rows(0..4, 20, 2), rows(20..30, 10, 2)],
            vec![rows(4..8, 90, 3), rows(30..40, 90, 3)],
        ]),
        Step::Spark(vec![rows(2..6, 30, 4)]),
        Step::Ours(vec![rows(4..8, 40, 5)]),
    ]
}

/// Spark rolls back what we, and what it itself left; then archives past it.
pub fn spark_recovers() -> Vec<Step> {
    let mut steps = dead_writes();
    steps.extend([Step::SparkRecovers, Step::NoStrays, Step::Ours(vec![rows(0..2, 50, 6)])]);
    steps.extend(archived_past());
    steps
}

/// We roll back what we and what Spark left; then Spark archives past it.
pub fn we_recover() -> Vec<Step> {
    let mut steps = dead_writes();
    steps.extend([Step::Ours(vec![rows(0..2, 50, 6)]), Step::NoStrays]);
    steps.extend(archived_past());
    steps
}

/// Writers of both sides die, in old file groups and in new ones.
fn dead_writes() -> Vec<Step> {
    vec![
        Step::Ours(vec![rows(0..12, 10, 1)]),
        Step::Spark(vec![rows(0..2, 20, 2)]),
        Step::Dies(vec![rows(0..6, 90, 3), rows(20..30, 90, 3)]),
        Step::SparkFails(vec![rows(4..8, 90, 4), rows(30..40, 90, 4)]),
        Step::Silence,
    ]
}

/// We roll back what dead writers left, and archive past it.
pub fn we_archive() -> Vec<Step> {
    let mut steps = dead_writes();
    steps.extend([Step::Ours(vec![rows(0..2, 50, 6)]), Step::NoStrays]);
    steps.extend(past_dead(Step::ArchiveOurs));
    steps
}

/// We die everywhere, in old file groups and in new ones; then Spark archives past it.
pub fn dying_everywhere() -> Vec<Step> {
    let mut steps = vec![
        Step::Ours(vec![rows(0..12, 10, 1)]),
        Step::Spark(vec![rows(0..2, 20, 2)]),
        Step::DiesEverywhere(vec![rows(0..6, 30, 3), rows(20..24, 30, 3), deletes(6..8, 30)]),
        Step::NoStrays,
        Step::Compact,
    ];
    steps.extend(archived_past());
    steps
}

fn archived_past() -> Vec<Step> {
    past_dead(Step::Archive)
}

/// Commits, and an archival past the dead writers before them.
fn past_dead(archival: Step) -> Vec<Step> {
    let mut steps: Vec<Step> = (0..4).map(|n| Step::Ours(vec![rows(n..n + 3, 60 + n, 7)])).collect();
    steps.extend([Step::Spark(vec![rows(2..9, 70, 8)]), archival, Step::ArchivedPastDead]);
    steps.extend([Step::Ours(vec![rows(6..8, 80, 9)]), Step::NoStrays]);
    steps
}
