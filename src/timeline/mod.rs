//! The active timeline: what was done to a table, what is being done, and when it showed.
//!
//! A [`Timeline`] is a plain value, loaded by one listing. Only the `commit` module adds to it.

mod archived;
mod load;

use std::collections::BTreeMap;

use lakebed_hudi::history::HistoryError;
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_file::{Action, State, TimelineFile, TimelineFileError};
use lakebed_hudi::timeline_metadata::MetadataError;

use crate::storage::{StorageError, TablePath, TablePathError};

pub(crate) use archived::{History, Recorded};
pub use load::TimelineStore;

/// Why a timeline could not be read.
#[derive(Debug, thiserror::Error)]
pub enum TimelineError {
    /// A file that starts like an instant and is none.
    #[error(transparent)]
    File(#[from] TimelineFileError),
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A file of the timeline says nothing that can be understood.
    #[error("{path}: {source}")]
    Metadata {
        /// The file.
        path: TablePath,
        /// What is wrong with it.
        source: MetadataError,
    },
    /// The archived timeline cannot be understood.
    #[error("{path}: {source}")]
    History {
        /// The file.
        path: TablePath,
        /// What is wrong with it.
        source: HistoryError,
    },
    /// A path of the timeline leads out of the table.
    #[error(transparent)]
    Path(#[from] TablePathError),
}

impl TimelineError {
    /// Whether a file is not there: it was archived, or taken back, since it was listed.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Storage(StorageError::NotFound { .. }))
    }
}

/// One action on a table, as far as it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instant {
    /// When it was requested: its identity.
    pub time: InstantTime,
    /// What it does, by the name under which it completes.
    pub action: Action,
    /// What it does, by the name under which it was requested; the same but for table services
    /// (`compaction`, `logcompaction`, `clustering`).
    pub requested_as: Action,
    /// How far it has come.
    pub state: State,
}

impl Instant {
    /// A write of which nothing is known but when it was begun.
    pub(crate) fn begun(time: InstantTime) -> Self {
        let (action, state) = (Action::DeltaCommit, State::Requested);
        Self { time, action, requested_as: action, state }
    }

    /// Whether it is done.
    pub fn is_completed(&self) -> bool {
        matches!(self.state, State::Completed(_))
    }

    /// When it became visible. Layout 1 records no such time; there it is the instant itself.
    pub fn completion(&self) -> Option<InstantTime> {
        match self.state {
            State::Completed(completion) => Some(completion.unwrap_or(self.time)),
            State::Requested | State::Inflight => None,
        }
    }

    /// The file that records the present state.
    pub fn file(&self) -> TimelineFile {
        let action = if self.is_completed() { self.action } else { self.requested_as };
        TimelineFile { instant: self.time, action, state: self.state }
    }

    /// Whether this is a pending table service, which is resumed and never rolled back by others.
    pub fn is_pending_service(&self) -> bool {
        let service =
            matches!(self.requested_as, Action::Compaction | Action::LogCompaction | Action::Clustering);
        service && !self.is_completed()
    }
}

/// The active timeline of a table, ordered by instant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Timeline {
    instants: BTreeMap<(InstantTime, Action), Instant>,
}

impl Timeline {
    /// The timeline that `files` record, in whatever order they come.
    ///
    /// Of the files of one instant the most advanced one counts, of two completed ones the later: all
    /// times count for [`Timeline::latest_time`].
    pub fn from_files(files: impl IntoIterator<Item = TimelineFile>) -> Self {
        let mut timeline = Self::default();
        for file in files {
            timeline.add(file);
        }
        timeline
    }

    /// The timeline after a file was put.
    pub(crate) fn with(&self, file: TimelineFile) -> Self {
        let mut with = self.clone();
        with.add(file);
        with
    }

    fn add(&mut self, file: TimelineFile) {
        let action = file.action.completed();
        let instant = Instant { time: file.instant, action, requested_as: file.action, state: file.state };
        let known = self.instants.entry((file.instant, action)).or_insert(instant);
        if file.state > known.state {
            known.state = file.state;
        }
        if file.action != action {
            known.requested_as = file.action;
        }
    }

    /// All instants, oldest first.
    pub fn instants(&self) -> impl DoubleEndedIterator<Item = &Instant> {
        self.instants.values()
    }

    /// Completed instants, oldest first.
    pub fn completed(&self) -> impl DoubleEndedIterator<Item = &Instant> {
        self.instants().filter(|instant| instant.is_completed())
    }

    /// Completed instants that wrote data, oldest first.
    pub fn completed_writes(&self) -> impl DoubleEndedIterator<Item = &Instant> {
        self.completed().filter(|instant| instant.action.writes_data())
    }

    /// The newest completed restore.
    pub fn last_restore(&self) -> Option<&Instant> {
        self.completed().rfind(|instant| instant.action == Action::Restore)
    }

    /// The restore that is not completed, if there is one.
    pub fn pending_restore(&self) -> Option<&Instant> {
        self.pending().find(|instant| instant.action == Action::Restore)
    }

    /// Instants that are not completed, oldest first.
    pub fn pending(&self) -> impl DoubleEndedIterator<Item = &Instant> {
        self.instants().filter(|instant| !instant.is_completed())
    }

    /// The instant of that time and action, under either of the action's names.
    pub fn get(&self, time: InstantTime, action: Action) -> Option<&Instant> {
        self.instants.get(&(time, action.completed()))
    }

    /// The instant of that time that writes data.
    pub fn write_at(&self, time: InstantTime) -> Option<&Instant> {
        let of_time = self.instants.range((time, Action::Commit)..).take_while(|((t, _), _)| *t == time);
        of_time.map(|(_, instant)| instant).find(|instant| instant.action.writes_data())
    }

    /// The greatest time on the timeline, requested or completed: new ones must be greater.
    pub fn latest_time(&self) -> Option<InstantTime> {
        self.instants().flat_map(|i| [Some(i.time), i.completion()]).flatten().max()
    }

    /// The first write that no savepoint keeps. While it stays the same, nothing was archived that was not
    /// listed before.
    ///
    /// Source: `TimelineArchiverV2` takes the completed writes in order, up to the first pending one, and with
    /// `hoodie.archive.beyond.savepoint` goes past what savepoints keep, which stays. So do restores, and
    /// services that are pending.
    pub fn start(&self) -> Option<InstantTime> {
        let start = self.instants().find(|i| i.action.writes_data() && self.goes_in_order(i));
        start.map(|instant| instant.time)
    }

    /// Whether no later instant is archived before this one.
    fn goes_in_order(&self, instant: &Instant) -> bool {
        let is_done = instant.is_completed() && matches!(instant.action, Action::Clean | Action::Rollback);
        let is_kept = self.instants.contains_key(&(instant.time, Action::Savepoint));
        (instant.action.writes_data() || is_done) && !is_kept
    }

    /// Whether nothing after the instant of that time was archived since it is as it is here.
    fn holds_archive(&self, time: InstantTime) -> bool {
        let mut of_time = self.instants.range((time, Action::Commit)..).take_while(|((t, _), _)| *t == time);
        of_time.any(|(_, instant)| self.goes_in_order(instant))
    }

    /// The first time of the active timeline, as far as files are concerned: what was written
    /// before it was archived, and so had completed.
    ///
    /// Source: `BaseHoodieTimeline.getFirstNonSavepointCommit` on the timeline of completed
    /// commits and compactions.
    pub fn first_write(&self) -> Option<InstantTime> {
        let counts = |i: &&Instant| i.action.writes_data() && (i.is_completed() || i.is_pending_service());
        self.instants().find(counts).map(|i| i.time)
    }

    /// Whether files of the instant `time` are part of the table.
    pub fn is_committed(&self, time: InstantTime) -> bool {
        match self.write_at(time) {
            Some(instant) => instant.is_completed(),
            None => self.is_before_start(time),
        }
    }

    /// Whether `time` lies before the active timeline, so that what it wrote is archived.
    pub fn is_before_start(&self, time: InstantTime) -> bool {
        self.first_write().is_some_and(|first| time < first)
    }

    /// The oldest time from which on files may have come or gone since this was loaded: that of the
    /// oldest pending instant, else of the newest one.
    pub(crate) fn settled_time(&self) -> Option<InstantTime> {
        let oldest_pending = self.pending().map(|i| i.time).next();
        oldest_pending.or_else(|| self.instants().next_back().map(|i| i.time))
    }

    /// The completed instant that is archived first.
    fn first_to_archive(&self) -> Option<&Instant> {
        self.completed().find(|instant| self.goes_in_order(instant))
    }

    /// The timeline as it would be if an instant had never been.
    pub(crate) fn without(&self, instant: &Instant) -> Self {
        let mut without = self.clone();
        without.remove(instant);
        without
    }

    fn remove(&mut self, instant: &Instant) {
        self.instants.remove(&(instant.time, instant.action));
    }

    /// The instants before `time`.
    fn before(&self, time: InstantTime) -> Self {
        let instants = self.instants.iter().filter(|((t, _), _)| *t < time);
        Self { instants: instants.map(|(key, instant)| (*key, *instant)).collect() }
    }
}

#[cfg(test)]
mod tests {
    use lakebed_hudi::timeline_file::TimelineLayout;

    use super::*;

    fn timeline(names: &[&str]) -> Timeline {
        Timeline::from_files(
            names.iter().map(|n| TimelineFile::parse(n, TimelineLayout::Two).unwrap().unwrap()),
        )
    }

    fn time(digits: &str) -> InstantTime {
        format!("202601010000000{digits}").parse().unwrap()
    }

    #[test]
    fn the_most_advanced_file_of_an_instant_counts() {
        let t = timeline(&[
            "20260101000000001.deltacommit.requested",
            "20260101000000001_20260101000000003.deltacommit",
            "20260101000000001.deltacommit.inflight",
            "20260101000000002.compaction.requested",
            "20260101000000002.compaction.inflight",
        ]);
        let states: Vec<_> =
            t.instants().map(|i| (i.requested_as, i.completion(), i.is_completed())).collect();
        assert_eq!(
            states,
            [(Action::DeltaCommit, Some(time("03")), true), (Action::Compaction, None, false)]
        );
        assert_eq!(t.latest_time(), Some(time("03")));
    }

    #[test]
    fn a_finished_compaction_is_a_commit_that_remembers_its_name() {
        let t = timeline(&[
            "20260101000000002.compaction.requested",
            "20260101000000002_20260101000000004.commit",
        ]);
        let instant = t.get(time("02"), Action::Compaction).unwrap();
        assert_eq!((instant.action, instant.requested_as), (Action::Commit, Action::Compaction));
        assert_eq!(instant.file().name(), "20260101000000002_20260101000000004.commit");
        assert!(t.is_committed(time("02")));
    }

    #[test]
    fn two_completed_files_are_one_instant_and_new_times_come_after_both() {
        for order in [[0, 1], [1, 0]] {
            let files = [
                "20260101000000002_20260101000000003.rollback",
                "20260101000000002_20260101000000005.rollback",
            ];
            let t = timeline(&order.map(|at| files[at]));
            assert_eq!(t.instants().map(|i| i.completion()).collect::<Vec<_>>(), [Some(time("05"))]);
            assert_eq!(t.latest_time(), Some(time("05")));
        }
    }

    #[test]
    fn files_from_before_the_timeline_are_committed_and_pending_ones_are_not() {
        let t = timeline(&[
            "20260101000000001_20260101000000009.savepoint",
            "20260101000000003_20260101000000004.commit",
            "20260101000000005.inflight",
        ]);
        assert!(t.is_committed(time("02")) && t.is_committed(time("03")));
        assert!(!t.is_committed(time("05")) && !t.is_committed(time("06")));
        assert!(!Timeline::default().is_committed(time("01")));
    }

    #[test]
    fn the_timeline_starts_behind_what_archives_pass_by() {
        let t = timeline(&[
            "20260101000000001_20260101000000002.commit",
            "20260101000000001_20260101000000009.savepoint",
            "20260101000000005_20260101000000006.commit",
            "20260101000000007_20260101000000008.commit",
        ]);
        assert_eq!(t.start(), Some(time("05")));
        assert!(t.holds_archive(time("05")) && !t.holds_archive(time("01")) && !t.holds_archive(time("04")));
        assert_eq!(timeline(&["20260101000000003.inflight"]).start(), Some(time("03")));
        let t = timeline(&[
            "20260101000000001_20260101000000002.restore",
            "20260101000000003.clean.requested",
            "20260101000000004_20260101000000005.rollback",
            "20260101000000006_20260101000000007.deltacommit",
        ]);
        assert_eq!(t.start(), Some(time("06")));
        assert_eq!([1, 3, 4, 6].map(|n| t.holds_archive(time(&format!("0{n}")))), [false, false, true, true]);
    }
}
