//! Jobs that are stopped at any point, and what is found when they are started again.

mod audit;
mod clock;
mod engine;
mod ingest;
mod kill;
mod leftovers;
mod matrix;
mod model;
mod properties;
mod random;

use lakebed::storage::Operation;

/// Whether an operation changes what the storage holds.
pub fn writes(operation: Operation) -> bool {
    use Operation::{Get, GetRanges, List, ListAll, Open, Stamp, Stat};
    !matches!(operation, Open | Get | GetRanges | Stat | Stamp | List | ListAll)
}
