//! Archival: the old part of the timeline goes where no reader has to list it.
//!
//! ```text
//! sweep -> ArchiveSurvey -> plan(rules) -> ArchivePlan, cut at what is not cleaned, stray or lost
//! ArchivePlan -> commit::archive, batch by batch -> the archived timeline, merged and cleaned
//! ```
//!
//! Nothing is put on the timeline. What goes is planned once and looked at again under the lock, which is let
//! go between batches: who commits meanwhile waits for one of them at most.
//!
//! Source: `TimelineArchiverV2`, `LSMTimelineWriter` of Hudi 1.2.0; table versions 8 and 9.

mod amiss;
mod hold;
mod plan;
mod replaced;
mod rules;
mod run;
mod survey;
#[cfg(test)]
mod tests;

pub use hold::{HeldBy, Hold};
pub use plan::{ArchivePlan, plan};
pub use rules::ArchiveRules;
pub use run::{ArchiveEvent, ArchiveReport};
pub use survey::ArchiveSurvey;
