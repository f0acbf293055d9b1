//! Files that are named and are not there.

use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_file::Action;

use super::facts::{Facts, FileInPartition, shown};
use super::{Finding, FindingKind, Mend};

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let mut findings = plans(facts);
    // What a restore deletes is gone before its commit is.
    if facts.restore.is_none() {
        findings.extend(commits(facts));
    }
    findings
}

fn plans(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (service, read) in &facts.plans {
        let subject = format!("{} {}", service.requested_as, service.time);
        let mend = Mend::command(&["rollback"], &facts.uri, &[service.time.as_str()]);
        match read {
            Err(why) => {
                let mend = Mend::Advice("delete what the detail names, in that order".to_owned());
                findings.push(Finding { kind: FindingKind::BrokenPlan, subject, detail: why.clone(), mend });
            }
            Ok(files) => {
                if let Some(missing) = files.iter().find(|file| !facts.is_there(file)) {
                    let detail = format!("it is to read {}, which is not there", shown(missing));
                    findings.push(Finding { kind: FindingKind::PlanMissesFile, subject, detail, mend });
                }
            }
        }
    }
    findings
}

fn commits(facts: &Facts) -> Vec<Finding> {
    let is_lost = |file: &&FileInPartition| {
        !facts.is_there(file) && !facts.cleaned.contains(*file) && !facts.cleaned_partitions.contains(&file.0)
    };
    let lost = facts.named.iter().flat_map(|(commit, files)| files.iter().map(move |file| (*commit, file)));
    let lost = lost.filter(|(_, file)| is_lost(file));
    let finding = |(commit, file): (InstantTime, &FileInPartition)| Finding {
        kind: FindingKind::CommitMissesFile,
        subject: shown(file),
        detail: format!("{commit} wrote it, and no clean has deleted it"),
        mend: mend(facts, commit),
    };
    lost.map(finding).collect()
}

/// The newest commit can be undone, what came after a savepoint be restored over.
fn mend(facts: &Facts, commit: InstantTime) -> Mend {
    let newest = facts.timeline.completed_writes().max_by_key(|i| i.completion());
    if newest.is_some_and(|newest| newest.time == commit) {
        return Mend::command(&["rollback"], &facts.uri, &[commit.as_str(), "--yes"]);
    }
    let mut savepoints = facts.timeline.completed().filter(|i| i.action == Action::Savepoint);
    match savepoints.rfind(|savepoint| savepoint.time < commit) {
        Some(savepoint) => {
            Mend::command(&["restore"], &facts.uri, &["--to", savepoint.time.as_str(), "--yes"])
        }
        None => Mend::Advice("bring the file back from a copy, or write its rows anew".to_owned()),
    }
}
