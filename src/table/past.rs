//! How far back a table can be read.

use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_file::Action;
use lakebed_hudi::timeline_metadata::CleanMetadata;

use super::{Table, TableError};
use crate::timeline::{Instant, Timeline, TimelineError};

/// Why the rows of some time in the past cannot be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PastError {
    /// A write that began by then may still complete, and its rows would belong there.
    #[error(
        "table {table} cannot be read as of {time}: the {action} {instant} had begun by then and has not \
         completed; read it as of an earlier time"
    )]
    Pending {
        /// The table's name.
        table: String,
        /// The time that was asked for.
        time: InstantTime,
        /// What was begun.
        action: Action,
        /// When it was begun.
        instant: InstantTime,
    },
    /// Files of that time may have been deleted.
    #[error(
        "table {table} cannot be read as of {time}: the clean {clean} left what was there from {kept} on and \
         may have deleted files of that time; read it as of {kept} or later"
    )]
    Cleaned {
        /// The table's name.
        table: String,
        /// The time that was asked for.
        time: InstantTime,
        /// The newest clean.
        clean: InstantTime,
        /// The oldest time that can be read.
        kept: InstantTime,
    },
}

/// Refuses to read the table as of `time` where that would give other rows than were there.
///
/// Where file versions are counted, a clean does not say how far back it left everything: then the
/// active timeline is as far as one can look.
///
/// Source: `TimelineUtils.validateTimestampAsOf`, which also refuses instants that savepoints keep, and
/// does not see cleans that were archived.
pub(super) async fn check_past(
    table: &Table,
    timeline: &Timeline,
    time: InstantTime,
) -> Result<(), TableError> {
    let name = || table.config.name.clone();
    let writes = timeline.pending().filter(|i| i.action.writes_data() && !i.is_pending_service());
    for pending in writes.filter(|i| i.time <= time) {
        if !table.timeline.is_clustering(pending).await? {
            let (action, instant) = (pending.action, pending.time);
            return Err(PastError::Pending { table: name(), time, action, instant }.into());
        }
    }
    if timeline.get(time, Action::Savepoint).is_some_and(Instant::is_completed) {
        return Ok(());
    }
    let Some((clean, kept)) = newest_clean(table, timeline, time).await? else { return Ok(()) };
    let kept = kept.or_else(|| timeline.completed_writes().next().map(|first| first.time));
    match kept.filter(|kept| time < *kept) {
        Some(kept) => Err(PastError::Cleaned { table: name(), time, clean, kept }.into()),
        None => Ok(()),
    }
}

/// The newest clean that may have deleted files of `time`, and from when on it left everything.
async fn newest_clean(
    table: &Table,
    timeline: &Timeline,
    time: InstantTime,
) -> Result<Option<(InstantTime, Option<InstantTime>)>, TimelineError> {
    if let Some(clean) = timeline.completed().rfind(|i| i.action == Action::Clean) {
        let metadata = table.timeline.clean_metadata(clean).await?;
        return Ok(Some((clean.time, metadata.earliest_retained())));
    }
    if !timeline.is_before_start(time) {
        return Ok(None);
    }
    let picked = table.timeline.newest_archived(|entry| {
        let metadata = entry.metadata.as_ref().and_then(|bytes| CleanMetadata::from_avro(bytes).ok());
        let kept = metadata.and_then(|metadata| metadata.earliest_retained());
        (entry.action == Action::Clean).then_some((entry.instant, kept))
    });
    picked.await
}
