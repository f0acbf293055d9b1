//! The files of a table, brought up to date by what its timeline tells.

use std::collections::BTreeSet;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use lakebed_hudi::file_name::PARTITION_METADATA;
use lakebed_hudi::timeline_file::Action;

use super::{TableError, TableSnapshot};
use crate::storage::Entry;
use crate::timeline::{Instant, Timeline, TimelineError};

/// How many folders are listed, and how many files of the timeline read, at the same time.
const AT_ONCE: usize = 16;

/// The files of a table as they were at a time, by partition.
///
/// Whoever keeps this needs not list the whole table again: from a later timeline follows in which partitions
/// files that count came or went. Files of nobody's, and those of writes that are not completed, may be missing
/// or be listed that are gone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableFiles {
    /// What had happened before the files were listed.
    timeline: Timeline,
    /// Sorted by partition path.
    partitions: Vec<(String, Vec<Entry>)>,
}

impl TableFiles {
    /// Files that were listed after `timeline` was loaded; `partitions` are sorted.
    pub fn new(timeline: Timeline, partitions: Vec<(String, Vec<Entry>)>) -> Self {
        Self { timeline, partitions }
    }

    /// Lists the whole table.
    ///
    /// # Errors
    /// As [`TableSnapshot::partitions`].
    pub async fn list(snapshot: &TableSnapshot) -> Result<Self, TableError> {
        Ok(Self::new(snapshot.timeline.clone(), snapshot.partitions().await?))
    }

    /// Lists the partitions in which files came or went since; the whole table where the timeline does not tell
    /// which those are.
    ///
    /// # Errors
    /// As [`TableSnapshot::partitions`]; files of the timeline that cannot be understood.
    pub async fn advance(mut self, snapshot: &TableSnapshot) -> Result<Self, TableError> {
        let Some(news) = news(&self.timeline, &snapshot.timeline) else {
            return Self::list(snapshot).await;
        };
        let touched: Result<Vec<BTreeSet<String>>, TimelineError> = stream::iter(news)
            .map(|instant| async move { touched(snapshot, &instant).await })
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await;
        let touched = match touched {
            Ok(touched) => touched.into_iter().flatten().collect::<BTreeSet<String>>(),
            Err(error) if error.is_not_found() => return Self::list(snapshot).await,
            Err(error) => return Err(error.into()),
        };
        let listed = snapshot.files_in(touched).await?;
        for (partition, files) in listed {
            self.set(partition, files);
        }
        self.timeline = snapshot.timeline.clone();
        Ok(self)
    }

    fn set(&mut self, partition: String, files: Vec<Entry>) {
        let is_one = partition.is_empty()
            || files.iter().any(|file| file.path.file_name().starts_with(PARTITION_METADATA));
        match self.partitions.binary_search_by(|(path, _)| path.cmp(&partition)) {
            Ok(at) if is_one => self.partitions[at].1 = files,
            Ok(at) => drop(self.partitions.remove(at)),
            Err(at) if is_one => self.partitions.insert(at, (partition, files)),
            Err(_) => {}
        }
    }

    /// What had happened before the files were listed.
    pub fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// The files of each partition, sorted by partition path.
    pub fn partitions(&self) -> &[(String, Vec<Entry>)] {
        &self.partitions
    }
}

/// The instants with which files that count came or went between two timelines; `None` if there may be
/// others.
fn news(before: &Timeline, now: &Timeline) -> Option<Vec<Instant>> {
    // What came and was archived since is not on either.
    let latest = before.latest_time()?;
    let start = now.start()?;
    if start > latest {
        return None;
    }
    let went = |i: &&Instant| now.get(i.time, i.action).is_none();
    // A completed one that is not archived was taken back; a pending one that is, was completed unseen.
    let is_in_doubt = |i: &Instant| i.is_completed() != (i.time < start);
    if before.instants().filter(went).any(is_in_doubt) {
        return None;
    }
    let is_new = |i: &&Instant| before.get(i.time, i.action).is_none_or(|known| known.state != i.state);
    let new: Vec<Instant> = now.instants().filter(is_new).copied().collect();
    if new.iter().any(|i| i.action == Action::Restore) {
        return None;
    }
    Some(new.into_iter().filter(Instant::is_completed).collect())
}

/// The partitions in which a completed instant made files come or go.
async fn touched(snapshot: &TableSnapshot, instant: &Instant) -> Result<BTreeSet<String>, TimelineError> {
    let store = &snapshot.table.timeline;
    let partitions: Vec<String> = match instant.action {
        action if action.writes_data() => {
            let metadata = store.metadata_anywhere(instant).await?;
            metadata.touched_partitions().into_iter().map(str::to_owned).collect()
        }
        Action::Clean => store.clean_metadata(instant).await?.partition_metadata.into_keys().collect(),
        Action::Rollback => store.rollback_metadata(instant).await?.partition_metadata.into_keys().collect(),
        _ => Vec::new(),
    };
    Ok(partitions.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use lakebed_hudi::timeline_file::{TimelineFile, TimelineLayout};

    use super::*;

    fn timeline(names: &str) -> Timeline {
        let file = |name: &str| {
            let times = name.split_once('.').map_or(name, |(times, _)| times);
            let digits: Vec<String> = times.split('_').map(|t| format!("202601010000000{t}")).collect();
            let name = name.replacen(times, &digits.join("_"), 1);
            TimelineFile::parse(&name, TimelineLayout::Two).unwrap().unwrap()
        };
        Timeline::from_files(names.split_whitespace().map(file))
    }

    fn told(before: &str, now: &str) -> Option<Vec<String>> {
        let of = |i: Instant| i.time.as_str()[15..].to_owned();
        news(&timeline(before), &timeline(now)).map(|news| news.into_iter().map(of).collect())
    }

    #[test]
    fn what_was_completed_since_tells_where_files_came_and_went() {
        let before = "01_02.deltacommit 03.deltacommit.inflight 04.compaction.requested";
        let now = "01_02.deltacommit 03_06.deltacommit 04_07.commit 05_08.clean 09.deltacommit.requested";
        assert_eq!(told(before, now), Some(vec!["03".into(), "04".into(), "05".into()]));
        assert_eq!(told(before, before), Some(vec![]));
    }

    #[test]
    fn the_table_is_listed_again_where_something_may_have_happened_unseen() {
        let before = "01_02.deltacommit 03_04.deltacommit 05.deltacommit.inflight";
        for (now, why) in [
            ("07_08.deltacommit", "archived up to what was not known"),
            ("03_04.deltacommit 07_08.deltacommit", ""),
            ("01_02.deltacommit 05_06.deltacommit", "a completed commit that was taken back"),
            ("01_02.deltacommit 03_04.deltacommit 07.restore.inflight", "a restore"),
            ("01_02.deltacommit 03_04.deltacommit 07_08.restore", "a restore"),
        ] {
            assert_eq!(told(before, now).is_none(), !why.is_empty(), "{now}: {why}");
        }
        assert_eq!(told("", before), None, "nothing was known");
        assert_eq!(told(before, ""), None, "another table");
        let pending = "01_02.deltacommit 03.deltacommit.inflight 05_06.deltacommit";
        assert_eq!(told(pending, "05_06.deltacommit"), None, "one that was completed and archived unseen");
        assert_eq!(told(pending, "01_02.deltacommit 05_06.deltacommit"), Some(vec![]), "rolled back");
    }
}
