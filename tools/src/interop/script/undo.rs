//! Commits that are taken back: rollbacks, savepoints and restores.

use super::super::step::{Step, rows};

/// Spark takes the table back, under a writer of ours that lives and under one that starts anew.
pub fn restoring() -> Vec<Step> {
    let mut steps = past_a_savepoint();
    steps.extend([
        Step::Restore,
        Step::Conflict(vec![rows(7..8, 40, 5)]),
        Step::Ours(vec![rows(7..9, 40, 6), rows(12..13, 5, 6)]),
        Step::Spark(vec![rows(8..10, 50, 7)]),
        Step::Restore,
        Step::Reopen,
        Step::Ours(vec![rows(9..11, 40, 8)]),
        Step::Compact,
        Step::Ours(vec![rows(0..2, 60, 9)]),
    ]);
    steps
}

/// Each takes the table back to savepoints of the other, under a writer of ours that lives and under one that
/// starts anew.
pub fn restoring_in_turns() -> Vec<Step> {
    let mut steps = past_a_savepoint();
    steps.extend([
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
    ]);
    steps
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

/// Writes of both sides on top of a savepoint of Spark.
fn past_a_savepoint() -> Vec<Step> {
    vec![
        Step::Ours(vec![rows(0..12, 10, 1)]),
        Step::Ours(vec![rows(0..3, 20, 2)]),
        Step::Savepoint,
        Step::Ours(vec![rows(2..5, 30, 3), rows(12..14, 10, 3)]),
        Step::Spark(vec![rows(5..7, 30, 4)]),
    ]
}
