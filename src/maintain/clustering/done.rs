//! What was rewritten, and what of it stays.

use crate::commit::News;
use crate::table::{FileGroupId, StagedFile, StagedFiles};

use super::slices::{LeftOut, WhyLeftOut};

/// Slices that were rewritten together.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) replaces: Vec<FileGroupId>,
    pub(super) staged: Vec<StagedFile>,
    /// Bytes that were read for them, by this run.
    pub(super) read_bytes: u64,
}

impl Done {
    pub(super) fn written_bytes(&self) -> u64 {
        self.staged.iter().map(|file| file.size_bytes).sum()
    }
}

/// What stays of what was `made`, after what happened since its slices were seen, and what is left out for that.
pub(super) fn staying(made: Vec<Done>, news: &News) -> (StagedFiles, Vec<LeftOut>) {
    let touched = news.touched();
    let (mut staying, mut left_out) = (StagedFiles::default(), Vec::new());
    for done in made {
        let late: Vec<&FileGroupId> =
            done.replaces.iter().filter(|group| touched.contains_key(group)).collect();
        if late.is_empty() {
            staying.files.extend(done.staged);
            staying.replaced.extend(done.replaces);
        } else {
            let late = late.into_iter().cloned();
            left_out.extend(late.map(|group| LeftOut { group, why: WhyLeftOut::Written }));
        }
    }
    (staying, left_out)
}
