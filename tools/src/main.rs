//! Lakebed's workshop.

mod bench;
mod cache;
mod copied;
mod fixtures;
mod interop;
mod live;
mod parquet_file;
mod peers;
mod quickstart;
mod rows;
mod s3mock;
mod spark;
mod workload;

use std::process::ExitCode;

use clap::Parser;

/// Lakebed's workshop: workloads, comparisons and the real other systems.
#[derive(Debug, Parser)]
#[command(name = "lakebed-tools", version)]
enum Command {
    /// Compares Lakebed with arrow and parquet alone, and with its peers.
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
    /// Base files of which a compaction copied parts, read by Spark, pyarrow, DuckDB and parquet-rs.
    Copied(copied::CopiedArguments),
    /// A table that is written to, maintained and read by many processes at the same time, for minutes.
    Live(live::LiveArguments),
    /// Ingests the README's flights and compares what real Spark reads with what they must be.
    Quickstart,
    /// A command with a bucket of S3 at hand: s3mock -- COMMAND...
    S3mock(s3mock::S3MockArguments),
}

fn main() -> ExitCode {
    let done = match Command::parse() {
        Command::Bench(bench) => bench.run(),
        Command::Spark(command) => command.run(),
        Command::Fixtures(command) => command.run(),
        Command::Interop(arguments) => arguments.run(),
        Command::Copied(arguments) => copied::check(&arguments),
        Command::Live(arguments) => live::run(arguments),
        Command::Quickstart => quickstart::check(),
        Command::S3mock(arguments) => return exit(arguments.run()),
    };
    exit(done.map(|()| ExitCode::SUCCESS))
}

#[expect(clippy::print_stderr, reason = "this is the program's edge")]
fn exit(done: Result<ExitCode, Box<dyn std::error::Error>>) -> ExitCode {
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("lakebed-tools: {error}");
            ExitCode::FAILURE
        }
    }
}
