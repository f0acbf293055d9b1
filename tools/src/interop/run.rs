//! Running one scenario.

use arrow::array::RecordBatch;
use lakebed::environment::Environment;
use tokio::runtime::Runtime;

use super::scenarios::Scenario;
use super::second_reader::Seen;
use super::stage::Stage;
use super::step::Step;
use super::{Failed, Failure, Outcome};
use crate::peers::HudiRs;
use crate::spark::{Spark, SparkError};

/// Runs `scenario` in a folder of its own below `tables`, up to the first step after which somebody sees other
/// rows than the model.
///
/// # Errors
/// Spark is gone.
pub fn scenario(
    runtime: &Runtime,
    spark: &mut Spark,
    hudi_rs: &HudiRs,
    scenario: &Scenario,
    tables: &str,
) -> Result<Outcome, SparkError> {
    let environment = Environment::real();
    let started = environment.clock.monotonic();
    let uri = format!("{tables}/{}", scenario.name.replace('/', "-"));
    let mut seen = Seen::default();
    let mut stage = Stage::new(runtime, spark, scenario.shape, uri);
    let failure = play(scenario, &mut stage, |stage, done, expected| {
        seen.look(hudi_rs, &stage.ours.uri, (&stage.shape, done), expected)
    });
    let needless = || Some(Failure { step: "the end".into(), detail: seen.needlessly_left_out()? });
    let failure = failure.or_else(needless);
    if let Some(Failure { detail, .. }) = &failure
        && let Err(error @ SparkError::Ended { .. }) = spark.sql("select 1")
    {
        return Err(SparkError::Failed { message: format!("{detail}\n{error}") });
    }
    let seconds = (environment.clock.monotonic() - started).as_secs_f64();
    let (scenario, steps) = (scenario.name.clone(), scenario.steps.len());
    Ok(Outcome { scenario, steps, seconds, hudi_rs: seen, failure })
}

/// Takes the steps; after each of them Spark, we and a `second` reader look at the table.
fn play(
    scenario: &Scenario,
    stage: &mut Stage<'_>,
    mut second: impl FnMut(&Stage<'_>, &[Step], &[RecordBatch]) -> Option<String>,
) -> Option<Failure> {
    let at = |step: &str, error: Failed| Failure { step: step.to_owned(), detail: error.to_string() };
    if !scenario.theirs()
        && let Err(error) = stage.create()
    {
        return Some(at("creating the table", error));
    }
    for (number, step) in scenario.steps.iter().enumerate() {
        let name = format!("step {}, {step}", number + 1);
        if let Err(error) = stage.step(step) {
            return Some(at(&name, error));
        }
        let done = scenario.steps.get(..=number).unwrap_or_default();
        let differs = stage.expected().and_then(|expected| {
            let differs = stage.compare(&expected)?;
            Ok(differs.or_else(|| second(stage, done, &expected)))
        });
        match differs {
            Ok(None) => {}
            Ok(Some(detail)) => return Some(Failure { step: name, detail }),
            Err(error) => return Some(at(&format!("reading after {name}"), error)),
        }
    }
    None
}
