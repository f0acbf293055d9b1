//! How long the active timeline may become.

use crate::maintain::MaintainError;

/// How many completed writes stay on the active timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArchiveRules {
    min_commits: usize,
    max_commits: usize,
}

impl ArchiveRules {
    /// As soon as there are more than `max_commits`, all but the newest `min_commits` go.
    ///
    /// # Errors
    /// None that stay at all: the table would look as if nothing had been written. More that stay than there
    /// may be.
    ///
    /// Source: `hoodie.keep.min.commits`, `hoodie.keep.max.commits`.
    pub fn new(min_commits: usize, max_commits: usize) -> Result<Self, MaintainError> {
        match min_commits >= 1 && max_commits > min_commits {
            true => Ok(Self { min_commits, max_commits }),
            false => Err(MaintainError::KeptCommits { min_commits, max_commits }),
        }
    }

    /// As [`ArchiveRules::new`], of what is said of the two; the default is what is not.
    ///
    /// # Errors
    /// As [`ArchiveRules::new`].
    pub fn chosen(min_commits: Option<usize>, max_commits: Option<usize>) -> Result<Self, MaintainError> {
        if let Some(max) = max_commits.filter(|max| *max < 2 && min_commits.is_none()) {
            let problem = format!(
                "at most {max} commits on the active timeline are too few: 1 has to stay, so that 2 or more have to be allowed"
            );
            return Err(MaintainError::Rules { problem });
        }
        let default = Self::default();
        let span = default.max_commits - default.min_commits;
        let fewer = |max: usize| default.min_commits.min(max.saturating_sub(1));
        let min = min_commits.unwrap_or_else(|| max_commits.map_or(default.min_commits, fewer));
        Self::new(min, max_commits.unwrap_or_else(|| min.saturating_add(span)))
    }

    /// So many stay.
    pub fn min_commits(&self) -> usize {
        self.min_commits
    }

    /// So many may be there before any goes.
    pub fn max_commits(&self) -> usize {
        self.max_commits
    }
}

impl Default for ArchiveRules {
    /// Hudi's defaults.
    fn default() -> Self {
        Self { min_commits: 20, max_commits: 30 }
    }
}
