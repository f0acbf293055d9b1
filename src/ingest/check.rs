//! What is looked at before a run claims its pipeline: a job that cannot go on must not fence a run
//! that can.

use super::IngestError;
use super::job::Job;
use super::mapping::Mapping;
use super::memory::InputMemory;
use super::reading::{files_source, source_name, stdin_position};
use super::target::position_of;
use crate::environment::Environment;
use crate::sink::Opening;
use crate::write::KeyRules;

/// Refuses a job that does not fit its table, or cannot go on with its inputs. Changes nothing, and
/// reads nothing of standard input.
pub(super) async fn check(
    job: &Job,
    opening: &Opening,
    reset_progress: bool,
    environment: &Environment,
) -> Result<(), IngestError> {
    let memory = InputMemory::of(job, opening.input_bytes());
    let mapping = Mapping::new(job, opening.schema().arrow(), &KeyRules::of(&opening.table().config))?;
    let progress = opening.progress().cloned().unwrap_or_default();
    let position = position_of(&progress, source_name(job))?.filter(|_| !reset_progress);
    if job.source.stdin {
        stdin_position(position)?;
    } else {
        files_source(job, memory, &mapping, position, environment)?.check().await?;
    }
    Ok(())
}
