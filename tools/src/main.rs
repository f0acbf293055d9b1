//! Lakebed's workshop.

mod bench;
mod cache;
mod fixtures;
mod interop;
mod parquet_file;
mod rows;
mod spark;
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
    /// Real Spark with Hudi.
    #[command(subcommand)]
    Spark(spark::SparkCommand),
    /// Small tables that real Spark wrote, one per feature.
    #[command(subcommand)]
    Fixtures(fixtures::FixturesCommand),
    /// Tables that real Spark and Lakebed write in turns, checked row by row.
    Interop(interop::InteropArguments),
}

#[expect(clippy::print_stderr, reason = "this is the program's edge")]
fn main() -> ExitCode {
    let done = match Command::parse() {
        Command::Bench(bench) => bench.run(),
        Command::Spark(command) => command.run(),
        Command::Fixtures(command) => command.run(),
        Command::Interop(arguments) => arguments.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lakebed-tools: {error}");
            ExitCode::FAILURE
        }
    }
}
