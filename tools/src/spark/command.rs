//! `lakebed-tools spark`: Spark for people.
#![expect(clippy::print_stdout, reason = "a command for people at a terminal")]

use std::path::PathBuf;

use arrow::util::pretty::pretty_format_batches;
use clap::{Args, Subcommand};
use serde_json::Value;

use super::{Answer, Installation, Query, Spark};

/// Real Spark with Hudi.
#[derive(Debug, Subcommand)]
pub enum SparkCommand {
    /// Install Spark and Hudi, if they are not there, and say where.
    Install,
    /// Run a statement and print its rows.
    Sql {
        /// The statement, in Spark's SQL.
        statement: String,
    },
    /// Print the rows that Spark reads from a Hudi table, meta columns included.
    Read {
        /// The table's folder.
        table: PathBuf,
        /// What of it.
        #[command(flatten)]
        query: QueryArguments,
    },
}

/// What of a table is read; the rows as they are if nothing is said.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub struct QueryArguments {
    /// The rows as of an instant.
    #[arg(long)]
    as_of: Option<String>,
    /// Base files alone.
    #[arg(long)]
    read_optimized: bool,
    /// The rows of commits that completed after a time.
    #[arg(long)]
    after: Option<String>,
}

impl SparkCommand {
    /// Runs the command.
    ///
    /// # Errors
    /// Those of Spark and of installing it.
    pub fn run(self) -> Result<(), Box<dyn std::error::Error>> {
        match self {
            Self::Install => {
                let Installation { python, bundle } = Installation::ready()?;
                println!("python {}\nhudi   {}", python.display(), bundle.display());
            }
            Self::Sql { statement } => print_rows(&Spark::start()?.sql(&statement)?),
            Self::Read { table, query } => {
                // Spark runs in a folder of its own.
                let rows = Spark::start()?.read(&std::path::absolute(table)?, &query.query())?;
                println!("{}", pretty_format_batches(&[rows])?);
            }
        }
        Ok(())
    }
}

impl QueryArguments {
    fn query(self) -> Query {
        match self {
            Self { as_of: Some(instant), .. } => Query::AsOf(instant),
            Self { after: Some(after), .. } => Query::Incremental { after },
            Self { read_optimized: true, .. } => Query::ReadOptimized,
            _ => Query::Snapshot,
        }
    }
}

fn print_rows(answer: &Answer) {
    println!("{}", answer.columns.join("\t"));
    for row in &answer.rows {
        println!("{}", row.iter().map(text).collect::<Vec<_>>().join("\t"));
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
