//! Compaction, cleaning, archival and clustering, by both sides in turns.

use lakebed::maintain::clean::CleanPolicy;

use super::super::step::{Step, deletes, rows};

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
