//! Jobs that are stopped at any point, and what is found when they are started again.

mod archival;
pub mod audit;
pub mod clock;
pub mod engine;
pub mod faults;
mod ingest;
pub mod kill;
mod landing;
pub mod lapse;
mod leftovers;
mod matrix;
pub mod model;
mod pairs;
mod properties;
mod random;
mod unsettled;
