//! Data files that no commit explains, and folders in which readers see none.

use std::collections::BTreeMap;

use lakebed_hudi::file_name::DataFileName;
use lakebed_hudi::instant::InstantTime;

use super::facts::Facts;
use super::{Finding, FindingKind, Mend};
use crate::human;
use crate::storage::Entry;

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let mut strays: BTreeMap<InstantTime, Vec<&Entry>> = BTreeMap::new();
    for file in facts.files.values().flatten() {
        let Some(name) = DataFileName::parse(file.path.file_name()) else { continue };
        let instant = name.instant();
        let is_archived = match &facts.archived {
            Some(archived) => archived.contains(&instant),
            None => facts.timeline.is_before_start(instant),
        };
        let is_known = facts.timeline.write_at(instant).is_some() || is_archived;
        let may_be_written =
            facts.alive.contains(&instant) || facts.age(file.modified_unix_millis) <= facts.expiry;
        let is_undone = facts.rollbacks.values().any(|target| *target == Some(instant));
        if !is_known && !may_be_written && !is_undone {
            strays.entry(instant).or_default().push(file);
        }
    }
    let mut findings: Vec<Finding> =
        strays.iter().map(|(instant, files)| stray(facts, *instant, files)).collect();
    findings.extend(
        facts.files.keys().filter(|folder| is_hidden(facts, folder)).map(|folder| hidden(facts, folder)),
    );
    findings
}

fn stray(facts: &Facts, instant: InstantTime, files: &[&Entry]) -> Finding {
    let more = human::counted(files.len() as u64, "file");
    let subject = files.first().map(|file| file.path.to_string()).unwrap_or_default();
    if facts.timeline.is_before_start(instant) {
        return Finding {
            kind: FindingKind::UnexplainedFile,
            subject,
            detail: format!(
                "{more} of {instant}, which is not in the archive: readers take it for part of the table"
            ),
            mend: Mend::Advice(
                "compare it with its neighbours, and delete it by hand if it is no part".to_owned(),
            ),
        };
    }
    Finding {
        kind: FindingKind::StrayFile,
        subject,
        detail: format!("{more} of {instant}, which is nowhere on the timeline"),
        mend: Mend::command(&["rollback"], &facts.uri, &[instant.as_str()]),
    }
}

/// Whether readers pass a folder by that has files of the table.
fn is_hidden(facts: &Facts, folder: &str) -> bool {
    let has_files = facts.files.get(folder).into_iter().flatten().any(|file| {
        DataFileName::parse(file.path.file_name())
            .is_some_and(|name| facts.timeline.is_committed(name.instant()))
    });
    has_files && !folder.is_empty() && !facts.partitions.contains(folder)
}

fn hidden(facts: &Facts, folder: &str) -> Finding {
    let names = facts
        .files
        .get(folder)
        .into_iter()
        .flatten()
        .filter_map(|file| DataFileName::parse(file.path.file_name()));
    let first = names.map(|name| name.instant()).min().map(|first| first.to_string()).unwrap_or_default();
    let depth = folder.split('/').count();
    Finding {
        kind: FindingKind::NoPartition,
        subject: folder.to_owned(),
        detail: "it has no .hoodie_partition_metadata, so that readers see none of its rows".to_owned(),
        mend: Mend::Advice(format!(
            "put that file there, with the lines commitTime={first} and partitionDepth={depth}"
        )),
    }
}
