//! What runs of services have in common: how memory and time are shared out among the parts of a plan, how files
//! are finished, and how a run is let go.

use futures::stream::{FuturesUnordered, StreamExt as _};
use lakebed_hudi::schema::TableSchema;

use super::error::GroupError;
use super::{MaintainError, MaintainOptions, Maintainer, RunLimits, finished};
use crate::commit::{CommitError, ServiceRun};
use crate::environment::Clock;
use crate::table::StagedFile;
use crate::write::{UnfinishedFile, WriteOptions};

/// How the memory of a run is shared out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MemoryShare {
    /// Parts that are worked on at the same time.
    pub(super) at_once: usize,
    /// Bytes of rows that each may hold, beside what it decodes and encodes at the moment.
    pub(super) rows_bytes: usize,
}

impl MemoryShare {
    /// Of what `options` have, for rows of `schema`.
    pub(super) fn of(options: &MaintainOptions, schema: &TableSchema) -> Result<Self, MaintainError> {
        let memory_bytes = options.memory_bytes;
        let part_bytes = WriteOptions::least_memory_bytes(schema.arrow());
        if memory_bytes < part_bytes {
            return Err(MaintainError::Memory { memory_bytes, needed_bytes: part_bytes });
        }
        let at_once = (memory_bytes / part_bytes).clamp(1, options.threads.max(1) as u64);
        // Row groups that are decoded, copied and encoded take the rest.
        let rows_bytes = memory_bytes / at_once - part_bytes / 4 * 3;
        Ok(Self { at_once: at_once as usize, rows_bytes: rows_bytes as usize })
    }
}

impl Maintainer {
    /// Ends a run: what it leaves is removed if the service is over, else whoever comes next goes on with it.
    pub(super) async fn let_go(&self, run: ServiceRun, is_over: bool) {
        let (instant, action) = (run.instant, run.action);
        let let_go = match is_over {
            true => self.clear(run).await,
            false => self.committer().release(run).await,
        };
        // Whatever is left of it expires, or is swept.
        if let Err(error) = let_go {
            tracing::warn!(%instant, %error, "what was left of the {action} could not be removed");
        }
    }

    async fn clear(&self, run: ServiceRun) -> Result<(), CommitError> {
        finished::forget(self.committer(), run.instant).await?;
        self.committer().clear_service(run).await
    }

    /// Makes a file of `run` durable, unless somebody else may be at work by now.
    pub(super) async fn finish(
        &self,
        run: &ServiceRun,
        file: UnfinishedFile,
    ) -> Result<StagedFile, GroupError> {
        let has_lapsed = || run.has_lapsed(self.committer().options().heartbeat_expiry());
        // From here on others would see the file.
        if has_lapsed() {
            file.abort().await?;
            return Err(GroupError::Lapsed);
        }
        let staged = file.finish().await?;
        // Whoever has taken over may have come and gone before it was there, and nobody looks for it any more.
        if has_lapsed() {
            self.table().storage.delete(&staged.path).await?;
            return Err(GroupError::Lapsed);
        }
        Ok(staged)
    }
}

/// Does `parts`, `at_once` at the same time, until the limits, and tells of each that is `done`. After an error
/// nothing more is begun, and what was begun ends before the error is told.
pub(super) async fn until_limits<T, F: Future<Output = Result<T, MaintainError>>>(
    mut parts: impl Iterator<Item = F>,
    at_once: usize,
    (limits, clock): (&RunLimits, &dyn Clock),
    done: impl Fn(&T),
) -> Result<Vec<T>, MaintainError> {
    let mut at_work = FuturesUnordered::new();
    let (mut made, mut first_error) = (Vec::new(), None);
    loop {
        while at_work.len() < at_once && first_error.is_none() && !limits.are_reached(clock) {
            let Some(part) = parts.next() else { break };
            at_work.push(part);
        }
        match at_work.next().await {
            Some(Ok(part)) => {
                done(&part);
                made.push(part);
            }
            Some(Err(error)) => first_error = first_error.or(Some(error)),
            None => break,
        }
    }
    first_error.map_or(Ok(made), Err)
}
