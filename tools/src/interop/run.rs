//! Running one scenario.

use lakebed::environment::Environment;
use tokio::runtime::Runtime;

use super::scenarios::Scenario;
use super::stage::Stage;
use super::{Failed, Failure, Outcome};
use crate::spark::{Spark, SparkError};

/// Runs `scenario` in a folder of its own below `tables`, up to the first step after which somebody sees other
/// rows than the model.
///
/// # Errors
/// Spark is gone.
pub fn scenario(
    runtime: &Runtime,
    spark: &mut Spark,
    scenario: &Scenario,
    tables: &str,
) -> Result<Outcome, SparkError> {
    let environment = Environment::real();
    let started = environment.clock.monotonic();
    let uri = format!("{tables}/{}", scenario.name.replace('/', "-"));
    let failure = play(scenario, &mut Stage::new(runtime, spark, scenario.shape, uri));
    if let Some(Failure { detail, .. }) = &failure
        && let Err(error @ SparkError::Ended { .. }) = spark.sql("select 1")
    {
        return Err(SparkError::Failed { message: format!("{detail}\n{error}") });
    }
    let seconds = (environment.clock.monotonic() - started).as_secs_f64();
    Ok(Outcome { scenario: scenario.name.clone(), steps: scenario.steps.len(), seconds, failure })
}

fn play(scenario: &Scenario, stage: &mut Stage<'_>) -> Option<Failure> {
    let at = |step: &str, error: Failed| Failure { step: step.to_owned(), detail: error.to_string() };
    if !scenario.theirs
        && let Err(error) = stage.create()
    {
        return Some(at("creating the table", error));
    }
    for (number, step) in scenario.steps.iter().enumerate() {
        let name = format!("step {}, {step}", number + 1);
        if let Err(error) = stage.step(step) {
            return Some(at(&name, error));
        }
        match stage.compare() {
            Ok(None) => {}
            Ok(Some(detail)) => return Some(Failure { step: name, detail }),
            Err(error) => return Some(at(&format!("reading after {name}"), error)),
        }
    }
    None
}
