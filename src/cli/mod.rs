//! The `lakebed` program: a file or folder per command.
//!
//! A command turns its arguments into calls of the library and the answer into a
//! report, a plain value that prints itself for people and serialises for
//! scripts. What goes to standard output is the answer alone; logs and errors go to standard
//! error. How the program ends is an [`Exit`].

mod archive;
mod clean;
mod cluster;
mod column;
mod compact;
mod confirm;
mod doctor;
mod exit;
mod files;
mod ingest;
mod logging;
mod maintain;
mod metrics_server;
mod output;
mod progress;
mod read;
mod restore;
mod rollback;
mod savepoint;
mod service;
mod signals;
mod table_create;
mod table_show;
mod timeline;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::environment::Environment;
use crate::error::{Error, ErrorKind};
use crate::human;
use crate::storage;
use crate::table::Table;

pub use exit::Exit;
use output::{Format, Output};

const EXAMPLES: &str = "\
Examples:
  lakebed table create /lake/flights --schema flights.avsc --key date,flight --ordering updated_at
  lakebed table show /lake/flights      what the table is, and how others can write to it
  lakebed timeline /lake/flights --limit 5
                                        the last five things that happened to it
  lakebed ingest flights.yaml           read what is new and commit it, with the place in the source
  lakebed read /lake/flights --filter 'carrier = UA' --limit 10
  lakebed files /lake/flights           its file groups, sizes and read amplification

A table is a path, file:///path, s3://bucket/path or s3a://bucket/path. Buckets are reached with
the usual AWS_* variables.

Exit codes:
  0 done                  3 nothing to do          6 data-quality limit exceeded
  1 failed                4 refused, unchanged     7 fenced (do not restart)
  2 wrong usage or input  5 conflict (try again)   8 some tables failed
                                                   9 the doctor found something";

/// No line of help is longer, so that clap, which takes as many where there is no terminal, wraps none again.
const HELP_COLUMNS: usize = 100;

/// Writes and maintains Apache Hudi tables with no JVM.
#[derive(Debug, Parser)]
#[command(name = "lakebed", version, after_help = EXAMPLES, propagate_version = true, max_term_width = HELP_COLUMNS)]
struct Cli {
    /// How answers and errors are printed: a table if left out. `lakebed read` has more.
    #[arg(long, global = true, value_parser = output::answer_formats())]
    format: Option<Format>,
    /// Log more to standard error; twice for all. LAKEBED_LOG=target=level,… chooses in detail.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Create a table, or show what one is.
    #[command(subcommand)]
    Table(TableCommand),
    /// Show what was done to a table, newest first.
    Timeline(timeline::TimelineArgs),
    /// Show the file groups of a table and the files in them.
    Files(files::FilesArgs),
    /// Print the rows of a table, or write them to a file.
    Read(read::ReadArgs),
    /// Merge log files into base files, beside the table's writers.
    Compact(Box<compact::CompactArgs>),
    /// Make few large files of many small ones, sorted if asked for.
    Cluster(Box<cluster::ClusterArgs>),
    /// Move old instants to the archived timeline, so that the active one stays short.
    Archive(archive::ArchiveArgs),
    /// Delete files that no reader needs any more, beside the table's writers.
    Clean(Box<clean::CleanArgs>),
    /// Undo a write that died, a plan, or the newest commit.
    Rollback(rollback::RollbackArgs),
    /// Keep commits to go back to.
    #[command(subcommand)]
    Savepoint(savepoint::SavepointCommand),
    /// Take a table back to a savepoint.
    Restore(restore::RestoreArgs),
    /// Look for what is broken in a table, and say what mends it.
    Doctor(doctor::DoctorArgs),
    /// Do what is due in many tables: undo dead writes, compact, cluster, clean, archive.
    Maintain(maintain::MaintainArgs),
    /// Run a job: read records from files or a stream and commit them to a table, checkpoint by checkpoint.
    Ingest(ingest::IngestArgs),
}

#[derive(Debug, Subcommand)]
enum TableCommand {
    /// Create an empty table.
    Create(Box<table_create::CreateArgs>),
    /// Show what a table is, how large, and the options to share it with other writers.
    Show(table_show::ShowArgs),
}

/// What every command is given.
struct Context {
    environment: Environment,
    output: Output,
}

impl Context {
    /// Opens the table at `uri` for reading.
    async fn open(&self, uri: &str) -> Result<Table, Error> {
        let storage = storage::open(&uri.parse()?, &self.environment).await?;
        Ok(Table::open(storage, &self.environment, None).await?)
    }
}

/// Runs the program with the arguments of this process.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(usage) => return output::usage(&usage).into(),
    };
    let output = Output::new(cli.format.unwrap_or(Format::Table));
    match run(cli, output) {
        Ok(exit) => exit.into(),
        Err(error) => {
            let exit = Exit::from(error.kind());
            output.error(&error, exit);
            exit.into()
        }
    }
}

fn run(cli: Cli, output: Output) -> Result<Exit, Error> {
    if let Some(format) = cli.format.filter(|f| f.is_of_rows() && !matches!(cli.command, Command::Read(_))) {
        let text = format!(
            "--format {} is for rows, which `lakebed read` writes: use table or json",
            format.as_str()
        );
        return Err(Error::new(ErrorKind::FixInput, text));
    }
    logging::start(cli.verbose)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::new(ErrorKind::Failed, error))?;
    let context = Context { environment: Environment::real(), output };
    let exit = runtime.block_on(async {
        match cli.command {
            Command::Table(TableCommand::Create(args)) => table_create::run(&context, *args).await,
            Command::Table(TableCommand::Show(args)) => table_show::run(&context, args).await,
            Command::Compact(args) => compact::run(&context, *args).await,
            Command::Cluster(args) => cluster::run(&context, *args).await,
            Command::Archive(args) => archive::run(&context, args).await,
            Command::Clean(args) => clean::run(&context, *args).await,
            Command::Rollback(args) => rollback::run(&context, args).await,
            Command::Savepoint(command) => savepoint::run(&context, command).await,
            Command::Restore(args) => restore::run(&context, args).await,
            Command::Doctor(args) => doctor::run(&context, args).await,
            Command::Maintain(args) => maintain::run(&context, args).await,
            Command::Ingest(args) => ingest::run(&context, args).await,
            Command::Read(args) => read::run(&context, args).await,
            Command::Files(args) => files::run(&context, args).await,
            Command::Timeline(args) => timeline::run(&context, args).await,
        }
    });
    // A read of standard input that waits for more cannot be ended, and must not hold us up.
    runtime.shutdown_background();
    exit
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    /// The lines of help of a command and all below it, as they are written and as they are shown.
    fn lines(command: &mut clap::Command, found: &mut Vec<String>) {
        let written = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let shown = [command.render_long_help(), command.render_help()].map(|help| help.to_string());
        found.extend([written].iter().chain(&shown).flat_map(|help| help.lines()).map(str::to_owned));
        command.get_subcommands_mut().for_each(|below| lines(below, found));
    }

    #[test]
    fn no_line_of_help_is_wrapped_twice() {
        let mut command = Cli::command();
        command.build();
        let mut found = Vec::new();
        lines(&mut command, &mut found);
        assert!(found.len() > 1000, "{}", found.len());
        for line in found {
            assert!(line.chars().count() <= HELP_COLUMNS, "{line}");
        }
    }
}
