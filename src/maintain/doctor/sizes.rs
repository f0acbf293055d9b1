//! Files that have not the size that their commits say.

use lakebed_hudi::file_name::DataFileName;
use lakebed_hudi::instant::InstantTime;

use super::facts::{Facts, FileInPartition, shown};
use super::missing::savepoint_before;
use super::{Finding, FindingKind, Mend};
use crate::human;

/// A file that has not the size that a commit says.
#[derive(Debug)]
pub(super) struct OtherSize<'a> {
    commit: InstantTime,
    pub(super) file: &'a FileInPartition,
    said_bytes: u64,
    found_bytes: u64,
}

impl Facts {
    /// The files that have not the size that a commit says. Log files of tables that were upgraded may have grown
    /// since.
    pub(super) fn of_other_size(&self) -> impl Iterator<Item = OtherSize<'_>> {
        let named = self.named.iter();
        let named =
            named.flat_map(|(commit, files)| files.iter().map(move |(file, said)| (*commit, file, *said)));
        named.filter_map(|(commit, file, said_bytes)| {
            let found_bytes = self.size_of(file)?;
            let is_base = matches!(DataFileName::parse(&file.1), Some(DataFileName::Base(_)));
            let is_other = found_bytes < said_bytes || is_base && found_bytes > said_bytes;
            (said_bytes > 0 && is_other).then_some(OtherSize { commit, file, said_bytes, found_bytes })
        })
    }
}

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    facts.of_other_size().map(|other| finding(facts, &other)).collect()
}

fn finding(facts: &Facts, other: &OtherSize<'_>) -> Finding {
    let OtherSize { commit, file, said_bytes, found_bytes } = other;
    let (found, said) = (human::counted(*found_bytes, "byte"), human::count(*said_bytes));
    let back = savepoint_before(facts, *commit)
        .map(|to| format!(", or take the table back (lakebed restore {} --to {to})", facts.uri))
        .unwrap_or_default();
    Finding {
        kind: FindingKind::OtherSize,
        subject: shown(file),
        detail: format!("it has {found}, and {commit} wrote {said}: rows are lost, or readers fail"),
        mend: Mend::Advice(format!(
            "put the file back from a copy{back}; a compaction or clustering would make the loss permanent"
        )),
    }
}
