//! What came after a commit.

use std::cmp::Ordering;

use lakebed_hudi::table_config::TableType;
use lakebed_hudi::timeline_file::Action;

use crate::timeline::{Instant, Timeline};

/// The writes and services on `timeline` that came after the completed `commit`, in the order in which they are
/// taken back: pending clusterings, all else that is pending, and what is completed, the last completed first.
///
/// What counts is when an instant completed, so that what is pending came after everything that is not. But a
/// compaction of a merge-on-read table came when it was requested, since it has the rows of that time.
///
/// Source: `RestorePlanActionExecutor`, `RestoreInstantComparatorFactory`; table versions 8 and 9.
pub fn later_than(timeline: &Timeline, commit: &Instant, table_type: TableType) -> Vec<Instant> {
    let (time, completion) = (commit.time, commit.completion());
    let is_compaction =
        |instant: &Instant| table_type == TableType::MergeOnRead && instant.action == Action::Commit;
    let is_later = |instant: &&Instant| match instant.completion() {
        _ if is_compaction(instant) || is_compaction(commit) => instant.time > time,
        None => true,
        Some(completed) => Some(completed) > completion,
    };
    let writes = timeline.instants().filter(|i| i.action.writes_data() && i.time != time);
    let mut later: Vec<Instant> = writes.filter(is_later).copied().collect();
    later.sort_by(|a, b| in_turn(a, b, commit));
    later
}

/// Which of two instants is taken back first.
fn in_turn(a: &Instant, b: &Instant, commit: &Instant) -> Ordering {
    let comes_first = |i: &Instant| i.requested_as == Action::Clustering && i.time > commit.time;
    let is_first = |i: &Instant| !i.is_completed() && comes_first(i);
    let turn = |i: &Instant| (is_first(i), !i.is_completed(), i.completion(), i.time);
    turn(b).cmp(&turn(a))
}

#[cfg(test)]
mod tests {
    use lakebed_hudi::timeline_file::{TimelineFile, TimelineLayout};

    use super::*;

    fn later(names: &[&str], commit: &str, table_type: TableType) -> Vec<String> {
        let time = |digits: &str| format!("202601010000000{digits}");
        let file = |name: &&str| {
            let (times, action) = name.split_once('.').unwrap();
            let times: Vec<String> = times.split('_').map(time).collect();
            let name = format!("{}.{action}", times.join("_"));
            TimelineFile::parse(&name, TimelineLayout::Two).unwrap().unwrap()
        };
        let timeline = Timeline::from_files(names.iter().map(file));
        let commit = timeline.write_at(time(commit).parse().unwrap()).unwrap();
        later_than(&timeline, commit, table_type).iter().map(|i| i.time.as_str()[15..].to_owned()).collect()
    }

    const MIXED: [&str; 8] = [
        "01_02.deltacommit",
        // Begun before the commit, and completed after it.
        "03_09.deltacommit",
        "04_12.commit",
        "05_07.deltacommit",
        // Begun after it, and completed before.
        "06_06.deltacommit",
        "08_11.commit",
        "10.clustering.requested",
        "13.deltacommit.inflight",
    ];

    #[test]
    fn what_completed_later_came_later_but_for_compactions() {
        assert_eq!(later(&MIXED, "05", TableType::MergeOnRead), ["10", "13", "08", "03"]);
        assert_eq!(later(&MIXED, "05", TableType::CopyOnWrite), ["10", "13", "04", "08", "03"]);
        assert_eq!(later(&MIXED, "08", TableType::MergeOnRead), ["10", "13"]);
    }

    #[test]
    fn what_is_pending_came_later_but_for_compactions_that_were_planned_before() {
        let names = [
            "01.compaction.requested",
            "02.deltacommit.requested",
            "03_05.deltacommit",
            "04.compaction.requested",
            "06.clustering.requested",
            "07.inflight",
        ];
        assert_eq!(later(&names, "03", TableType::MergeOnRead), ["06", "07", "04", "02"]);
        assert_eq!(later(&names[2..3], "03", TableType::MergeOnRead), [""; 0]);
    }
}
