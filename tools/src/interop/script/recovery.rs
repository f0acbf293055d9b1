//! Writers of both sides that die, are slow, or commit at the same time.

use super::super::step::{Step, deletes, rows};

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
