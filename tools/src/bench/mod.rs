//! Lakebed beside the limit, which is arrow and parquet alone on the same rows, and beside its peers.

mod commits;
pub mod compact;
mod fleet;
mod limit;
pub mod load;
mod measure;
mod memory;
mod merge_limit;
mod peers;
mod process;
mod upserts;
mod year;

use clap::{Args, Subcommand};

use crate::workload::{Shape, Workload};

/// Compares Lakebed with arrow and parquet alone, and with its peers, run by run.
#[derive(Debug, Subcommand)]
pub enum Bench {
    /// Loads the base rows into an empty table.
    Load(WorkloadArgs),
    /// Makes commits of one row on a young and on an old table.
    Commits(commits::CommitsArgs),
    /// Compacts logs of several kinds.
    Compact(compact::CompactArgs),
    /// Runs the services of many tables where nothing is due, and plans for a large one.
    Fleet(fleet::FleetArgs),
    /// Takes the peak memory of checkpoints that are much larger than their budget.
    Memory(memory::MemoryArgs),
    /// Makes ten upserts and a delete on the loaded table, each a commit.
    Upserts(WorkloadArgs),
    /// Makes a commit every minute of a year, and maintains the table every five.
    Year(year::YearArgs),
    /// Does both and reads, beside hudi-core and Spark with Hudi.
    Peers(peers::PeersArgs),
}

/// The rows to use.
#[derive(Debug, Clone, Copy, Args)]
pub struct WorkloadArgs {
    /// Which columns.
    #[arg(long, value_enum, default_value = "wide")]
    shape: Shape,
    /// Make the key column required.
    #[arg(long)]
    required_key: bool,
    /// Rows of the base load.
    #[arg(long, default_value_t = 2_000_000)]
    base_rows: u64,
    /// Rows of each upsert.
    #[arg(long, default_value_t = 100_000)]
    upsert_rows: u64,
    /// Counted runs of each side.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// The seed of the rows.
    #[arg(long, default_value_t = 7)]
    seed: u64,
}

impl WorkloadArgs {
    fn workload(self) -> Workload {
        let delete_rows = self.upsert_rows / 5;
        let Self { seed, shape, required_key, base_rows, upsert_rows, .. } = self;
        Workload { seed, shape, required_key, base_rows, upsert_rows, delete_rows }
    }
}

impl Bench {
    /// Runs it and prints the figures.
    pub fn run(self) -> Result<(), Box<dyn std::error::Error>> {
        match self {
            Self::Load(args) => load::run(args),
            Self::Commits(args) => commits::run(&args),
            Self::Compact(args) => compact::run(&args),
            Self::Fleet(args) => fleet::run(&args),
            Self::Memory(args) => memory::run(&args),
            Self::Upserts(args) => upserts::run(args),
            Self::Year(args) => year::run(args),
            Self::Peers(args) => peers::run(args),
        }
    }
}
