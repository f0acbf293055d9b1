//! The doctor: looks for what is broken in a table, and says what mends it. Changes nothing.
//!
//! ```text
//! look (the only I/O) -> Facts -> checks, pure functions, a file per family -> Findings
//! ```
//!
//! What lives is no finding: a write whose heartbeat beats, files that are younger than a heartbeat's expiry, a plan
//! that waits for somebody to carry it out. Nor are plans of cleans, rollbacks and restores that name what is gone
//! already: whoever goes on with them passes that by.

mod facts;
mod files;
mod finding;
mod groups;
mod leftovers;
mod look;
mod missing;
mod pending;
mod plans;
mod sizes;
mod strays;
mod told;

pub use facts::{BrokenFile, Facts, Plan};
pub use finding::{Finding, FindingKind, Mend};

use super::{MaintainError, Maintainer};

impl Maintainer {
    /// What is broken in the table. Reads the whole active timeline and lists all files.
    ///
    /// # Errors
    /// A table that cannot be read so far.
    pub async fn examine(&self) -> Result<Vec<Finding>, MaintainError> {
        Ok(findings(&look::look(self.committer()).await?))
    }
}

/// What is broken, by kind.
pub fn findings(facts: &Facts) -> Vec<Finding> {
    let families: [fn(&Facts) -> Vec<Finding>; 7] = [
        files::check,
        pending::check,
        missing::check,
        sizes::check,
        strays::check,
        groups::check,
        leftovers::check,
    ];
    families.iter().flat_map(|check| check(facts)).collect()
}
