//! Clustering: of many small files few are made, with rows in order where that is asked for.
//!
//! ```text
//! Survey -> plan(rules) -> ClusteringDraft -> settled(news) -> ClusteringPlan, on the timeline
//! ClusteringPlan -> slices -> ClusteringWriter, some groups at a time -> StagedFiles -> settled(news)
//!   -> completed replacecommit: new file groups, and those that they replace
//! ```
//!
//! Until it is completed nothing may be written to the groups of a plan: our own writers refuse to, and so do
//! those of Hudi that agree with one another. What was written to one all the same is not lost: the slices that
//! it was planned together with are left out, and stay as they are.
//!
//! Tables with a bucket index are refused, since their writers find a key's group by its file id.
//!
//! Source: `ClusteringPlanActionExecutor`, `PartitionAwareClusteringPlanStrategy`,
//! `SparkSizeBasedClusteringPlanStrategy`, `SparkSortAndSizeExecutionStrategy` of Hudi 1.2.0; table versions 8
//! and 9.

mod done;
mod draft;
mod fit;
mod order;
mod plan;
mod report;
mod rules;
mod run;
mod slices;
#[cfg(test)]
mod tests;

pub use draft::{ClusteringDraft, DraftedGroup};
pub use fit::check_fit;
pub use plan::{plan, saved_bytes};
pub use report::{ClusteringEvent, ClusteringReport};
pub use rules::ClusteringRules;
pub use slices::LeftOut;
