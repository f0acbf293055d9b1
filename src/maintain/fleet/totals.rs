//! What was done to a table, in numbers.

use std::fmt;

use serde::Serialize;

use crate::human;

/// What was done to a table, in numbers. Its text is a list of what is not nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Totals {
    /// Writes of dead writers that were undone.
    pub rolled_back: usize,
    /// File groups that were compacted.
    pub compacted_groups: usize,
    /// File groups that were clustered.
    pub clustered_groups: usize,
    /// Bytes that were read for both.
    pub read_bytes: u64,
    /// Bytes that were written for them.
    pub written_bytes: u64,
    /// Of these, bytes that were copied from base files.
    pub copied_bytes: u64,
    /// Cleans that were carried out.
    pub cleans: usize,
    /// Files that were deleted.
    pub cleaned_files: usize,
    /// Their bytes.
    pub freed_bytes: u64,
    /// Instants that went to the archive.
    pub archived_instants: usize,
}

impl Totals {
    /// Whether nothing was done.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted = |count: usize, noun| human::counted(count as u64, noun);
        let [read, written, copied, freed] =
            [self.read_bytes, self.written_bytes, self.copied_bytes, self.freed_bytes].map(human::bytes);
        let noted = usize::from(self.cleans > 0 && self.cleaned_files == 0);
        let rewritten = self.compacted_groups + self.clustered_groups;
        let parts = [
            (self.rolled_back, format!("{} rolled back", counted(self.rolled_back, "write"))),
            (self.compacted_groups, format!("{} compacted", counted(self.compacted_groups, "file group"))),
            (self.clustered_groups, format!("{} clustered", counted(self.clustered_groups, "file group"))),
            (rewritten, format!("for that {read} read, {written} written, {copied} of it copied")),
            (self.cleaned_files, format!("{} deleted ({freed})", counted(self.cleaned_files, "file"))),
            (noted, "how far the table is clean noted".to_owned()),
            (self.archived_instants, format!("{} archived", counted(self.archived_instants, "instant"))),
        ];
        let told: Vec<String> =
            parts.into_iter().filter(|(count, _)| *count > 0).map(|(_, text)| text).collect();
        f.pad(&told.join(", "))
    }
}
