//! Table services: what keeps a table cheap to read, beside its writers.
//!
//! ```text
//! Survey (the table's file groups) -> planner -> draft -> commit::schedule -> the plan, on the timeline
//! the plan -> commit::take -> files, group by group -> StagedFiles -> commit::complete
//! ```
//!
//! A planner is a pure function of a survey: it reads nothing and changes nothing. What it drafts is
//! settled under the table lock, where what was committed meanwhile is taken in; from then on the plan does
//! not change. Whoever takes a plan carries it out, be it ours or another engine's: there is one executor
//! for each kind of plan, and it can be stopped and gone on with at any file group.
//!
//! Source: the table services of Hudi 1.2.0; table versions 8 and 9.

pub mod archive;
mod check;
pub mod clean;
pub mod clustering;
pub mod compaction;
pub mod doctor;
mod error;
mod finished;
pub mod fleet;
mod maintainer;
mod named_files;
pub mod restore;
mod run;
#[cfg(test)]
mod scene;
mod share;
mod slice_file;
mod slice_files;
mod survey;

pub use error::{GroupError, MaintainError};
pub use maintainer::{MaintainOptions, Maintainer};
pub use run::{RunLimits, RunOutcome};
pub use slice_file::SliceFile;
pub use slice_files::SliceFiles;
pub use survey::Survey;
