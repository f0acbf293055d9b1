//! The planner, on tables of which only names are there.

mod policies;
mod reachability;
mod scene;
