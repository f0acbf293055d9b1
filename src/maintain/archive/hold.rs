//! What holds an archival back.

use std::fmt;

use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::table_config::TableType;
use lakebed_hudi::timeline_file::Action;
use serde::Serialize;

use super::ArchiveSurvey;
use crate::storage::TablePath;
use crate::timeline::Instant;

/// Spark schedules a compaction when it counts so many delta commits since the last one
/// (`hoodie.compact.inline.max.delta.commits`).
const DELTA_COMMITS: usize = 5;

/// What holds an archival back, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// No instant from this time on goes.
    pub from: InstantTime,
    /// Why.
    pub by: HeldBy,
}

/// Why instants stay on the active timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum HeldBy {
    /// A savepoint keeps a commit; the timeline behind it would have a hole.
    Savepoint {
        /// The commit.
        instant: InstantTime,
    },
    /// A write or a service has begun and not ended: its files are no part of the table, which those from
    /// before the active timeline are.
    Pending {
        /// What was begun.
        action: Action,
        /// When.
        instant: InstantTime,
    },
    /// The table is being taken back.
    Restore {
        /// The restore.
        instant: InstantTime,
    },
    /// A write was rolled back, and its writer may still live and bring files.
    Unswept {
        /// The write.
        instant: InstantTime,
    },
    /// The cleaner goes on from there.
    Clean {
        /// The newest clean.
        clean: InstantTime,
        /// It left what was there from then on.
        kept: InstantTime,
    },
    /// Files of a replaced group are still there. That it was replaced only the active timeline tells.
    Replaced {
        /// The commit that replaced the group.
        instant: InstantTime,
        /// One of its files.
        file: TablePath,
    },
    /// Spark would no longer know how many delta commits came since the last compaction.
    Compaction {
        /// The compaction, or the first delta commit of which it needs to know.
        instant: InstantTime,
    },
    /// It completed last: new times are greater than the greatest one.
    Newest {
        /// What it did.
        action: Action,
        /// When it was begun.
        instant: InstantTime,
    },
}

impl fmt::Display for HeldBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Savepoint { instant } => {
                write!(
                    f,
                    "savepoint {instant}: delete it when it is not needed any more (lakebed savepoint delete)"
                )
            }
            Self::Pending { action, instant } => write!(
                f,
                "{action} {instant}, which is pending: if nobody is at work on it, have its engine complete it or roll \
                 it back"
            ),
            Self::Restore { instant } => write!(f, "restore {instant}, which is pending: complete it"),
            Self::Unswept { instant } => {
                write!(f, "instant {instant}, which was rolled back while its writer beats: end that writer")
            }
            Self::Clean { clean, kept } => {
                write!(
                    f,
                    "clean {clean}, the newest one, which left what was there from {kept} on: clean again"
                )
            }
            Self::Replaced { instant, file } => {
                write!(
                    f,
                    "commit {instant}, which replaced file groups that are not cleaned: {file} is there"
                )
            }
            Self::Compaction { instant } => {
                write!(f, "commit {instant}, from which on Spark counts delta commits before it compacts")
            }
            Self::Newest { action, instant } => write!(f, "{action} {instant}, which completed last of all"),
        }
    }
}

/// All that holds an archival back by what `survey` shows of the table.
///
/// Source: `TimelineArchiverV2.getCommitInstantsToArchive`; for cleans `ArchivalUtils`, which asks the settings
/// of the cleaner where we ask what it last did.
pub(super) fn holds(survey: &ArchiveSurvey) -> Vec<Hold> {
    let timeline = &survey.timeline;
    let writes: Vec<InstantTime> = timeline.completed_writes().map(|write| write.time).collect();
    // The one before stays, too: the active timeline begins before what must not be behind it.
    let one_before = |time: InstantTime| {
        let behind = writes.partition_point(|write| *write < time);
        behind.checked_sub(1).and_then(|at| writes.get(at).copied()).unwrap_or(time)
    };
    let first = |is: &dyn Fn(&Instant) -> bool| timeline.instants().find(|i| is(i)).copied();
    let mut holds = Vec::new();
    let mut hold = |from, by| holds.push(Hold { from, by });
    if let Some(Instant { time: instant, .. }) = first(&|i| i.action == Action::Savepoint) {
        hold(instant, HeldBy::Savepoint { instant });
    }
    if let Some(i) = first(&|i| i.action.writes_data() && !i.is_completed()) {
        hold(one_before(i.time), HeldBy::Pending { action: i.requested_as, instant: i.time });
    }
    if let Some(Instant { time: instant, .. }) = first(&|i| i.action == Action::Restore && !i.is_completed())
    {
        hold(writes.first().copied().unwrap_or(instant), HeldBy::Restore { instant });
    }
    // What lies before the first write is behind the active timeline already.
    let unswept = writes.first().and_then(|first| survey.unswept.range(first..).next());
    if let Some(instant) = unswept.copied() {
        hold(one_before(instant), HeldBy::Unswept { instant });
    }
    // Where that has left the timeline, the cleaner looks through everything.
    let cleaned = survey.cleaned.filter(|(_, kept)| writes.first().is_some_and(|first| first <= kept));
    if let Some((clean, kept)) = cleaned {
        hold(one_before(kept), HeldBy::Clean { clean, kept });
    }
    if let Some(instant) = counted_for_compaction(survey) {
        hold(instant, HeldBy::Compaction { instant });
    }
    if let Some(newest) = timeline.completed().max_by_key(|instant| instant.completion()) {
        hold(newest.time, HeldBy::Newest { action: newest.action, instant: newest.time });
    }
    holds
}

/// The first instant that Spark needs to know when it is time to compact.
///
/// Source: `CompactionUtils.getEarliestInstantToRetainForCompaction`.
fn counted_for_compaction(survey: &ArchiveSurvey) -> Option<InstantTime> {
    if survey.table_type != TableType::MergeOnRead {
        return None;
    }
    let compaction = survey.timeline.completed().rfind(|i| i.action == Action::Commit).map(|i| i.time);
    let delta = survey.timeline.instants().filter(|i| i.file().action == Action::DeltaCommit);
    let since: Vec<InstantTime> = delta
        .filter(|i| compaction.is_none_or(|compaction| i.completion().is_some_and(|end| end > compaction)))
        .map(|i| i.time)
        .collect();
    match since.len().checked_sub(DELTA_COMMITS) {
        Some(at) => since.get(at).copied(),
        None => compaction.or_else(|| since.first().copied()),
    }
}
