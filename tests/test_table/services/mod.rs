//! What is done to a table beside writing to it: archiving as other engines do it, all else as we do.

mod archive;
mod clean;
mod cluster;
mod compact;

pub use archive::archive;
pub use clean::{clean, clean_to_latest, cleaned, schedule_clean};
pub use cluster::{cluster, clustered, schedule_clustering};
pub use compact::{compact, maintain, maintainer, no_limits, planned, run, run_planned, schedule};
