//! Compaction: of a base file and the log files on it one base file is made.
//!
//! ```text
//! Survey -> plan(rules) -> CompactionDraft -> settled(news) -> CompactionPlan, on the timeline
//! CompactionPlan -> slices -> CompactionWriter, some at a time -> StagedFiles -> completed commit
//! ```
//!
//! Log files that are completed after the plan has its instant lie on the new base file, whether that is
//! there yet or not: writers go on meanwhile, and lose nothing.
//!
//! Source: `ScheduleCompactionActionExecutor`, `BaseHoodieCompactionPlanGenerator`, `HoodieCompactor` of Hudi
//! 1.2.0; table versions 8 and 9.

mod draft;
mod plan;
mod rules;
mod run;
mod slices;

pub use draft::CompactionDraft;
pub use plan::{due_in_millis, plan, saved_bytes};
pub use rules::CompactionRules;
pub use run::{CompactionEvent, CompactionReport};
