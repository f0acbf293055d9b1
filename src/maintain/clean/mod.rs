//! Cleaning: files that no reader needs any more go.
//!
//! ```text
//! timeline -> Facts -> Horizon(rules) -> partitions -> CleanSurvey
//! CleanSurvey -> plan -> CleanDraft -> settled(news) -> CleanerPlan, on the timeline
//! CleanerPlan -> what still is superfluous -> deleted -> CleanMetadata, on the timeline
//! ```
//!
//! Deleting is the last step, and may be repeated: whoever finds a clean that was cut off goes on with it,
//! whoever planned it. Whatever a plan says, a file that is part of a newest slice, that a savepoint keeps, that a
//! pending service reads, or that belongs to an instant which is not completed, is left.
//!
//! Source: `CleanPlanner`, `CleanPlanActionExecutor`, `CleanActionExecutor`, `CleanerUtils` of Hudi 1.2.0; table
//! versions 8 and 9.

mod draft;
mod facts;
mod horizon;
mod plan;
mod planned;
mod rules;
mod run;
mod survey;
#[cfg(test)]
mod tests;

pub use draft::{CleanDraft, DraftedSlice};
pub use facts::{Facts, LastClean};
pub use horizon::{Hold, Horizon, NothingDue};
pub use plan::plan;
pub use rules::{CleanPolicy, CleanRules, PolicyName};
pub use run::{CleanEvent, CleanReport};
pub use survey::{CleanSurvey, PartitionFiles, Scope};
