//! What is looked at before a run claims its pipeline: a job that cannot go on must not fence a run
//! that can.

use std::sync::Arc;

use super::IngestError;
use super::job::Job;
use super::mapping::Mapping;
use super::memory::InputMemory;
use super::progress::progress_of;
use super::reading::{files_source, source_name, stdin_position};
use super::target::{position_of, sink_options};
use crate::environment::Environment;
use crate::sink::{MemoryShares, check_open};
use crate::storage::Storage;
use crate::table::Table;
use crate::write::KeyRules;

/// Refuses a job that does not fit its table, or cannot go on with its inputs. Changes nothing, and
/// reads nothing of standard input.
pub(super) async fn check(
    job: &Job,
    storage: &Arc<dyn Storage>,
    reset_progress: bool,
    environment: &Environment,
) -> Result<(), IngestError> {
    let table = Table::open(storage.clone(), environment, job.table.timeline_zone()).await?;
    check_open(&table.config, &sink_options(job))?;
    let schema = table.snapshot(None).await?.schema().await?;
    let shares = MemoryShares::new(storage.as_ref(), &schema, &sink_options(job))?;
    let memory = InputMemory::of(job, shares.input_bytes);
    let mapping = Mapping::new(job, schema.arrow(), &KeyRules::of(&table.config))?;
    let progress = progress_of(job, table, storage.clone(), environment).await?;
    let progress = progress.pipelines.get(&job.pipeline).cloned().unwrap_or_default();
    let position = position_of(&progress, source_name(job))?.filter(|_| !reset_progress);
    if job.source.stdin {
        stdin_position(position)?;
    } else {
        files_source(job, memory, &mapping, position, environment)?.check().await?;
    }
    Ok(())
}
