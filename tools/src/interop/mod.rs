//! The interop matrix: tables that real Spark and Lakebed write in turns, checked row by row.
//!
//! A scenario is a table's shape and a script of steps. After each step Spark reads the table,
//! and so do we where Lakebed reads; both must see the rows of a plain model.

mod command;
mod model;
mod run;
mod scenarios;
mod script;
mod shape;

use std::fmt;

pub use command::InteropArguments;
use serde::Serialize;

use crate::spark::{Spark, SparkError};

/// How one scenario ended.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// Its name.
    pub scenario: String,
    /// How many steps its script has.
    pub steps: usize,
    /// How long it took.
    pub seconds: f64,
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
        let Self { scenario, steps, seconds, failure } = self;
        match failure {
            None => write!(f, "{scenario:44} {steps:3} steps  {seconds:5.1} s  same"),
            Some(Failure { step, detail }) => {
                write!(f, "{scenario:44} {steps:3} steps  {seconds:5.1} s  DIFFERS at {step}")?;
                detail.lines().try_for_each(|line| write!(f, "\n    {line}"))
            }
        }
    }
}

/// Runs the scenarios that have `filter` in their name, one after the other in one session.
///
/// # Errors
/// No Spark. A scenario that fails is an outcome.
fn run(filter: &str, report: &dyn Fn(&Outcome)) -> Result<Vec<Outcome>, SparkError> {
    let chosen: Vec<_> = scenarios::all().into_iter().filter(|s| s.name.contains(filter)).collect();
    if chosen.is_empty() {
        return Ok(Vec::new());
    }
    let runtime = tokio::runtime::Runtime::new()?;
    let _guard = runtime.enter();
    let mut spark = Spark::start()?;
    let mut outcomes = Vec::new();
    for scenario in chosen {
        let outcome = run::scenario(&runtime, &mut spark, &scenario)?;
        report(&outcome);
        outcomes.push(outcome);
    }
    Ok(outcomes)
}
