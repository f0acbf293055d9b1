//! Whether instants may still be archived, looked at again under the lock.

use std::collections::BTreeSet;

use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_file::{Action, TimelineFile};

use super::Batch;
use crate::commit::{CommitError, Committer, heartbeat};
use crate::timeline::{Instant, Timeline};

impl Committer {
    /// The instants that have markers or a heartbeat. Of one that is not on the timeline files may yet come.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn traces(&self) -> Result<BTreeSet<InstantTime>, CommitError> {
        let mut traces: BTreeSet<InstantTime> = self.marked_instants().await?.into_iter().collect();
        traces.extend(heartbeat::instants(&self.table).await?);
        Ok(traces)
    }
}

impl Batch {
    /// What holds it, by the `files` of the timeline from its first instant on until the write that stays,
    /// and the instants that have `traces`.
    ///
    /// Whoever begins a write or a service does so behind that write. A restore goes back to a savepoint.
    pub(super) fn obstacle(&self, files: &[TimelineFile], traces: &BTreeSet<InstantTime>) -> Option<String> {
        let timeline = Timeline::from_files(files.iter().copied());
        let is_as_it_was =
            |i: &Instant| timeline.get(i.time, i.action).is_some_and(|found| found.state == i.state);
        let all = || self.instants.iter().chain([&self.stays]);
        if let Some(changed) = all().find(|instant| !is_as_it_was(instant)) {
            return Some(format!(
                "{} {} is gone: it was archived, or taken back",
                changed.action, changed.time
            ));
        }
        let goes = |i: &Instant| self.instants.iter().any(|own| (own.time, own.action) == (i.time, i.action));
        let holds = |i: &Instant| match i.action {
            Action::Savepoint => true,
            Action::Restore => !i.is_completed(),
            action => action.writes_data() && !goes(i),
        };
        let mut before = timeline.instants().filter(|i| i.time < self.stays.time);
        if let Some(held) = before.find(|i| holds(i)) {
            return Some(format!("{} {} has come since", held.requested_as, held.time));
        }
        // What lies before the first write is behind the active timeline already.
        let first = self.instants.iter().find(|instant| instant.action.writes_data())?;
        let mut traces = traces.range(first.time..self.stays.time);
        let left = traces.find(|instant| !timeline.write_at(**instant).is_some_and(Instant::is_completed))?;
        Some(format!("{left} was rolled back, and its writer may still live"))
    }
}
