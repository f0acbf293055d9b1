//! How a run shares its memory and its time out among the parts of a plan.

use futures::stream::{FuturesUnordered, StreamExt as _};
use lakebed_hudi::schema::TableSchema;

use super::{MaintainError, MaintainOptions, RunLimits};
use crate::environment::Clock;
use crate::write::WriteOptions;

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
