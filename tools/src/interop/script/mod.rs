//! What is done to tables, step by step.

mod recovery;
mod services;
mod undo;
mod writes;

pub use recovery::{
    dying_everywhere, heartbeats, in_flight, spark_recovers, together, we_archive, we_recover,
};
pub use services::{
    archiving, archiving_often, archiving_replaced, cleaning, cleaning_clustered, clustering,
    clustering_in_turns, clustering_taken_over, compacting,
};
pub use undo::{restoring, restoring_in_turns, restoring_on, rolling_back};
pub use writes::{
    archived, deleting, flagged, flagged_inserts, full, inserting, metadata_table, overwriting, partial,
    replacing, short, theirs, theirs_full, widened, widening,
};
