//! What an archival looks at.

use std::collections::BTreeSet;

use lakebed_hudi::history::HistoryColumns;
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::table_config::TableType;
use lakebed_hudi::timeline_file::Action;

use crate::commit::{CommitError, Committer};
use crate::timeline::{Instant, Timeline};

/// A timeline as an archival sees it.
#[derive(Debug, Clone)]
pub struct ArchiveSurvey {
    /// The active timeline.
    pub timeline: Timeline,
    /// The kind of the table.
    pub table_type: TableType,
    /// Instants of the active timeline that are in the archive already.
    pub archived: BTreeSet<(InstantTime, Action)>,
    /// Instants that are not completed, and of which files may come that nobody has deleted yet.
    pub unswept: BTreeSet<InstantTime>,
    /// Of these, those that dead writers left are swept before anything is archived, and count in here alone.
    pub swept_before: BTreeSet<InstantTime>,
    /// The newest clean, and the time from which on it left everything, if it says so.
    pub cleaned: Option<(InstantTime, InstantTime)>,
}

impl ArchiveSurvey {
    /// Looks at the table of `committer`. Where it `is_swept`, whatever dead writers have left counts as well as
    /// what living ones have; else it is taken to be swept before anything is archived.
    ///
    /// # Errors
    /// A timeline that cannot be read.
    pub async fn of(committer: &Committer, is_swept: bool) -> Result<Self, CommitError> {
        let table = committer.table();
        // First: what begins in between is on the timeline then.
        let traces = committer.traces().await?;
        let timeline = table.timeline.load().await?;
        let (mut unswept, mut swept_before) = (BTreeSet::new(), BTreeSet::new());
        for instant in traces {
            let is_completed = timeline.write_at(instant).is_some_and(Instant::is_completed);
            match is_swept || !committer.is_dead(instant).await? {
                _ if is_completed => {}
                true => _ = unswept.insert(instant),
                false => _ = swept_before.insert(instant),
            }
        }
        let archived = match timeline.start() {
            Some(start) => table.timeline.archived(start, HistoryColumns::Instants).await?,
            None => Vec::new(),
        };
        let archived = archived.into_iter().map(|entry| (entry.instant, entry.action));
        let archived = archived.filter(|(time, action)| timeline.get(*time, *action).is_some()).collect();
        let cleaned = match timeline.completed().rfind(|i| i.action == Action::Clean) {
            Some(clean) => {
                let kept = table.timeline.clean_metadata(clean).await?.earliest_retained();
                kept.map(|kept| (clean.time, kept))
            }
            None => None,
        };
        Ok(Self { timeline, table_type: table.config.table_type, archived, unswept, swept_before, cleaned })
    }
}
