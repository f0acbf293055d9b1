//! Lakebed's workshop.

mod bench;
mod workload;

use std::process::ExitCode;

use clap::Parser;

/// Lakebed's workshop: workloads, comparisons and the real other systems.
#[derive(Debug, Parser)]
#[command(name = "lakebed-tools", version)]
enum Command {
    /// Compares Lakebed with arrow and parquet alone.
    #[command(subcommand)]
    Bench(bench::Bench),
}

#[expect(clippy::print_stderr, reason = "this is the program's edge")]
fn main() -> ExitCode {
    let done = match Command::parse() {
        Command::Bench(bench) => bench.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lakebed-tools: {error}");
            ExitCode::FAILURE
        }
    }
}
