//! What processes leave behind that end without an end: markers, heartbeats, locks; and times to come.

use lakebed_hudi::instant::InstantTime;

use super::facts::Facts;
use super::{Finding, FindingKind, Mend};
use crate::human;

/// No time lies so far ahead of clocks that are about right.
const AHEAD_MAX_MILLIS: i64 = 10_000;

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let of = |kind, instant: &InstantTime, detail: &str| Finding {
        kind,
        subject: instant.to_string(),
        detail: detail.to_owned(),
        mend: Mend::command(&["clean"], &facts.uri, &[]),
    };
    let is_over = |instant: &&InstantTime| !facts.alive.contains(*instant) && is_over(facts, **instant);
    let markers = facts.markers.iter().filter(is_over);
    let mut findings: Vec<Finding> = markers
        .map(|instant| of(FindingKind::LeftMarkers, instant, "markers of a write that is over"))
        .collect();
    let heartbeats = facts.heartbeats.iter().filter(is_over);
    findings.extend(
        heartbeats
            .map(|instant| of(FindingKind::LeftHeartbeat, instant, "a heartbeat of what is over, or dead")),
    );
    findings.extend(lock(facts));
    findings.extend(clock(facts));
    findings
}

/// Whether an instant is completed, for so long that its writer must have cleaned up, or not on the timeline. A
/// restore cleans up behind those that it undoes.
fn is_over(facts: &Facts, instant: InstantTime) -> bool {
    let mut known = facts.timeline.instants().filter(|known| known.time == instant);
    let is_over = |completion| facts.age_of(completion) > facts.expiry;
    facts.restore.is_none() && known.all(|known| known.completion().is_some_and(is_over))
}

fn lock(facts: &Facts) -> Option<Finding> {
    let lock = facts.lock.as_ref()?;
    let age = facts.age(lock.modified_unix_millis);
    (age > facts.expiry).then(|| Finding {
        kind: FindingKind::LeftLock,
        subject: lock.path.to_string(),
        detail: format!("the table has been locked for {}", human::lasting(age)),
        mend: Mend::Advice("if the process is dead that the file names, delete the file".to_owned()),
    })
}

fn clock(facts: &Facts) -> Option<Finding> {
    let latest = facts.timeline.latest_time()?;
    let ahead = latest.to_unix_millis(facts.zone)?.saturating_sub(facts.now_unix_millis);
    (ahead > AHEAD_MAX_MILLIS).then(|| Finding {
        kind: FindingKind::ClockAhead,
        subject: latest.to_string(),
        detail: format!("the timeline is {} ahead of the clock here", human::duration(ahead.unsigned_abs())),
        mend: Mend::Advice(
            "set the clocks right; until that time has come nobody can begin a write".to_owned(),
        ),
    })
}
