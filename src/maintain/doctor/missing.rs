//! Files that are named and are not there.

use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_file::Action;

use super::facts::{Facts, Plan, shown};
use super::{Finding, FindingKind, Mend};
use crate::timeline::Instant;

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let plans = facts.plans.iter().filter_map(|(service, plan)| of_plan(facts, service, plan));
    let lost = facts.lost().map(|(commit, file)| Finding {
        kind: FindingKind::CommitMissesFile,
        subject: shown(file),
        detail: format!("{commit} wrote it, and no clean has deleted it"),
        mend: mend(facts, commit),
    });
    plans.chain(lost).collect()
}

fn of_plan(facts: &Facts, service: &Instant, plan: &Plan) -> Option<Finding> {
    let (kind, detail, mend) = match plan {
        Plan::Broken(why) => (FindingKind::BrokenPlan, why.clone(), of_broken(service)),
        Plan::Repeats(group) => {
            let detail = format!(
                "it names file group {} of partition {:?} twice: no engine can carry it out",
                group.file_id, group.partition
            );
            (FindingKind::BrokenPlan, detail, taken_off(facts, service))
        }
        Plan::Reads(files) => {
            let missing = files.iter().find(|file| facts.size_of(file).is_none())?;
            let detail = format!("it is to read {}, which is not there", shown(missing));
            (FindingKind::PlanMissesFile, detail, taken_off(facts, service))
        }
    };
    Some(Finding { kind, subject: format!("{} {}", service.requested_as, service.time), detail, mend })
}

fn of_broken(service: &Instant) -> Mend {
    Mend::Advice(match service.requested_as {
        Action::Restore => {
            "if nobody is about it, delete its inflight file, then this one, and restore anew".to_owned()
        }
        _ => "delete what the detail names, in that order".to_owned(),
    })
}

fn taken_off(facts: &Facts, service: &Instant) -> Mend {
    let time = service.time.as_str();
    match facts.undoable.contains(&service.time) {
        true => Mend::command(&["rollback"], &facts.uri, &[time]),
        false => Mend::Advice(format!(
            "somebody may be at it, or at the table: when they have ended, `lakebed rollback {} {time}` takes it off",
            facts.uri
        )),
    }
}

/// The newest commit can be undone if nothing that came before it was cleaned, what came after a savepoint be
/// restored over.
fn mend(facts: &Facts, commit: InstantTime) -> Mend {
    if facts.undoable.contains(&commit) {
        return Mend::command(&["rollback"], &facts.uri, &[commit.as_str(), "--yes"]);
    }
    match savepoint_before(facts, commit) {
        Some(savepoint) => Mend::command(&["restore"], &facts.uri, &["--to", savepoint.as_str(), "--yes"]),
        None => Mend::Advice("put the file back from a copy, or write its rows anew".to_owned()),
    }
}

/// The newest savepoint before a commit that the table can be taken back to.
pub(super) fn savepoint_before(facts: &Facts, commit: InstantTime) -> Option<InstantTime> {
    facts.restorable.range(..commit).next_back().copied()
}
