//! What was begun and is not completed.

use lakebed_hudi::timeline_file::{Action, State};

use super::facts::Facts;
use super::{Finding, FindingKind, Mend};
use crate::human;
use crate::timeline::Instant;

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let idle = facts.timeline.pending().filter(|pending| !facts.alive.contains(&pending.time));
    idle.filter_map(|pending| finding(facts, pending)).collect()
}

fn finding(facts: &Facts, pending: &Instant) -> Option<Finding> {
    let (uri, time) = (facts.uri.as_str(), pending.time.as_str());
    let is_undone = facts.rollbacks.values().any(|target| *target == Some(pending.time));
    let (kind, detail, mend) = match pending.requested_as {
        Action::Restore => {
            let to = facts.restore?.1?;
            let detail = format!("it goes back to {to}, and until it is completed nobody can write");
            (
                FindingKind::CutOffRestore,
                detail,
                Mend::command(&["restore"], uri, &["--to", to.as_str(), "--yes"]),
            )
        }
        // A restore completes those that it has begun.
        Action::Rollback if facts.restore.is_some() => return None,
        // Rollbacks do not beat.
        Action::Rollback if facts.age_of(pending.time) <= facts.expiry => return None,
        Action::Rollback => {
            let target = (*facts.rollbacks.get(&pending.time)?)?;
            let detail = format!("it undoes {target}, and is gone on with by whoever writes next");
            (
                FindingKind::CutOffRollback,
                detail,
                Mend::command(&["rollback"], uri, &[target.as_str(), "--yes"]),
            )
        }
        // Its rollback is told of.
        _ if is_undone || facts.restore.is_some() => return None,
        Action::Savepoint => {
            let detail = "it was cut off while it was made or deleted".to_owned();
            (FindingKind::CutOffSavepoint, detail, Mend::command(&["savepoint", "delete"], uri, &[time]))
        }
        Action::Compaction | Action::Clean | Action::Clustering if pending.state == State::Inflight => {
            let command = match pending.requested_as {
                Action::Clean => "clean",
                Action::Clustering => "cluster",
                _ => "compact",
            };
            (
                FindingKind::IdleService,
                begun(facts, pending),
                Mend::command(&[command], uri, &["--run", time]),
            )
        }
        Action::LogCompaction if pending.state == State::Inflight => {
            let detail = format!("{}; its engine may go on with it", begun(facts, pending));
            (FindingKind::IdleService, detail, Mend::command(&["rollback"], uri, &[time]))
        }
        action if action.writes_data() && !pending.is_pending_service() => {
            (FindingKind::DeadWrite, begun(facts, pending), Mend::command(&["rollback"], uri, &[time]))
        }
        _ => return None,
    };
    Some(Finding { kind, subject: format!("{} {time}", pending.requested_as), detail, mend })
}

fn begun(facts: &Facts, pending: &Instant) -> String {
    let age = human::lasting(facts.age_of(pending.time));
    let heartbeat = match facts.heartbeats.contains(&pending.time) {
        true => "its heartbeat has expired",
        false => "it has no heartbeat",
    };
    format!("begun {age} ago, and {heartbeat}")
}
