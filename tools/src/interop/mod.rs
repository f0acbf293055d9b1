//! The interop matrix: tables that real Spark and Lakebed write in turns, checked row by row.
//!
//! A scenario is a table's shape and a script of steps. After each step Spark reads the table, and
//! so do we and, where it is right, hudi-core; all must see the rows of a plain model.

mod archived;
mod cleaning;
mod clustering;
mod command;
mod model;
mod ours;
mod run;
mod scenarios;
mod script;
mod second_reader;
mod shape;
mod stage;
mod step;
mod theirs;
mod together;

use std::fmt;

pub use command::InteropArguments;
use scenarios::Scenario;
use second_reader::Seen;
use serde::Serialize;

use crate::cache::Profile;
use crate::peers::HudiRs;
use crate::spark::{Spark, SparkError};

/// What went wrong in a step, in words.
type Failed = Box<dyn std::error::Error + Send + Sync>;

/// How one scenario ended.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// Its name.
    pub scenario: String,
    /// How many steps its script has.
    pub steps: usize,
    /// How long it took.
    pub seconds: f64,
    /// What the second reader saw.
    pub hudi_rs: Seen,
    /// Where it went wrong, if it did.
    pub failure: Option<Failure>,
}

/// Where a scenario went wrong.
#[derive(Debug, Clone, Serialize)]
pub struct Failure {
    /// The step, counted from 1, and what it was.
    pub step: String,
    /// What was found instead of what was expected.
    pub detail: String,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scenario, steps, seconds, hudi_rs, failure } = self;
        match failure {
            None => write!(f, "{scenario:44} {steps:3} steps  {seconds:5.1} s  {hudi_rs}"),
            Some(Failure { step, detail }) => {
                write!(f, "{scenario:44} {steps:3} steps  {seconds:5.1} s  DIFFERS at {step}")?;
                detail.lines().try_for_each(|line| write!(f, "\n    {line}"))
            }
        }
    }
}

/// Runs the chosen scenarios one after the other in one session, with their tables in `tables`, else
/// in a temporary folder.
///
/// # Errors
/// No Spark or no hudi-core. A scenario that fails is an outcome.
fn run(
    is_chosen: impl Fn(&Scenario) -> bool,
    tables: Option<&str>,
    report: &dyn Fn(&Outcome),
) -> Result<Vec<Outcome>, SparkError> {
    let in_bucket = tables.is_some_and(|uri| uri.contains("://"));
    let fits = |scenario: &Scenario| !in_bucket || scenario.fits_buckets();
    let chosen: Vec<_> = scenarios::all().into_iter().filter(|s| is_chosen(s) && fits(s)).collect();
    if chosen.is_empty() {
        return Ok(Vec::new());
    }
    let runtime = tokio::runtime::Runtime::new()?;
    let _guard = runtime.enter();
    let hudi_rs = HudiRs::ready(Profile::Checks)?;
    let mut spark = Spark::start()?;
    let folder = tempfile::Builder::new().prefix("lakebed-interop-").tempdir()?;
    let tables = tables.map_or_else(|| folder.path().display().to_string(), str::to_owned);
    let mut outcomes = Vec::new();
    for scenario in chosen {
        let outcome = run::scenario(&runtime, &mut spark, &hudi_rs, &scenario, &tables)?;
        report(&outcome);
        outcomes.push(outcome);
    }
    Ok(outcomes)
}
