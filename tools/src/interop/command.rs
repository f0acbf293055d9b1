//! `lakebed-tools interop`.
#![expect(clippy::print_stdout, reason = "a command for people at a terminal")]

use clap::{Args, ValueEnum};

use super::scenarios::Scenario;
use super::{Outcome, run};

/// Tables that real Spark and Lakebed write in turns, checked row by row.
#[derive(Debug, Args)]
pub struct InteropArguments {
    /// Run only scenarios with this, or one of these, in their name.
    #[arg(long)]
    filter: Vec<String>,
    /// Run only the scenarios that try every dimension once.
    #[arg(long)]
    ci: bool,
    /// An empty folder or bucket for the tables (s3a://BUCKET/PREFIX, with the usual AWS_* variables);
    /// a temporary folder if nothing is said.
    #[arg(long)]
    tables: Option<String>,
    /// How to report.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A line per scenario, as they end.
    Table,
    /// One array when all have ended.
    Json,
}

impl InteropArguments {
    /// Runs the scenarios.
    ///
    /// # Errors
    /// No scenario of that name, no Spark, and a scenario that differs.
    pub fn run(self) -> Result<(), Box<dyn std::error::Error>> {
        let report = |outcome: &Outcome| {
            if self.format == Format::Table {
                println!("{outcome}");
            }
        };
        let is_chosen = |scenario: &Scenario| {
            (!self.ci || scenario.in_ci())
                && (self.filter.is_empty() || self.filter.iter().any(|part| scenario.name.contains(part)))
        };
        let outcomes = run(is_chosen, self.tables.as_deref(), &report)?;
        if self.format == Format::Json {
            println!("{}", serde_json::to_string_pretty(&outcomes)?);
        }
        if outcomes.is_empty() {
            return Err("no scenario was chosen: see their names by running all".into());
        }
        match outcomes.iter().filter(|outcome| outcome.failure.is_some()).count() {
            0 => Ok(()),
            differ => Err(format!("{differ} of {} scenarios differ", outcomes.len()).into()),
        }
    }
}
