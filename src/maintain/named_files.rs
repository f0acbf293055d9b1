//! Whether the files are there, and whole, that commits say they wrote.

use std::collections::BTreeMap;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use lakebed_hudi::file_name::{BaseFileName, DataFileName};
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_metadata::{CommitMetadata, WriteStat};

use super::{MaintainError, SliceFiles};
use crate::table::{FileGroupId, TableSnapshot};
use crate::timeline::Instant;

/// How many commits are read at the same time.
const READS: usize = 16;

/// Refuses to rewrite a slice of which a file is gone or cut off: a listing does not tell, and what was in the file
/// would be lost for good. The commits since the oldest of `slices` are read.
///
/// # Errors
/// [`MaintainError::LostFile`], [`MaintainError::DamagedFile`]; commits that cannot be read.
pub(super) async fn check(
    snapshot: &TableSnapshot,
    slices: impl Iterator<Item = &SliceFiles>,
) -> Result<(), MaintainError> {
    let drafted: Drafted<'_> = slices.map(|slice| (&slice.group, slice)).collect();
    let Some(oldest) = drafted.values().map(|slice| slice.base_instant).min() else { return Ok(()) };
    let is_since = |i: &&Instant| i.completion() >= Some(oldest);
    let commits: Vec<Instant> = snapshot.timeline.completed_writes().filter(is_since).copied().collect();
    let store = &snapshot.table.timeline;
    let mut read = stream::iter(commits)
        .map(|commit| async move {
            match store.metadata_anywhere(&commit).await {
                Ok(metadata) => Ok(Some((commit, metadata))),
                // It was taken back since: the plan is found to be stale.
                Err(error) if error.is_not_found() => Ok(None),
                Err(error) => Err(error),
            }
        })
        .buffered(READS)
        .try_filter_map(|read| std::future::ready(Ok(read)));
    while let Some((commit, metadata)) = read.try_next().await? {
        let is_committed = |instant| snapshot.timeline.is_committed(instant);
        let commit_time = commit.time;
        if let Some((group, file)) = lost(&drafted, &commit, &metadata, is_committed) {
            return Err(MaintainError::LostFile { commit: commit_time, group, file });
        }
        if let Some((group, Damaged { file, expected_bytes, found_bytes })) = damaged(&drafted, &metadata) {
            let file = file.to_owned();
            return Err(MaintainError::DamagedFile {
                commit: commit_time,
                group,
                file,
                expected_bytes,
                found_bytes,
            });
        }
    }
    Ok(())
}

type Drafted<'a> = BTreeMap<&'a FileGroupId, &'a SliceFiles>;

/// The first file of a drafted slice that a commit names and that is not there.
fn lost(
    drafted: &Drafted<'_>,
    commit: &Instant,
    metadata: &CommitMetadata,
    is_committed: impl Fn(InstantTime) -> bool,
) -> Option<(FileGroupId, String)> {
    metadata.write_stats().find_map(|(partition, stat)| {
        let group = FileGroupId { partition: partition.to_owned(), file_id: stat.group()? };
        let drafted = drafted.get(&group)?;
        let file = lost_of(drafted, commit, stat, &is_committed)?;
        Some((group, file))
    })
}

fn lost_of(
    drafted: &SliceFiles,
    commit: &Instant,
    stat: &WriteStat,
    is_committed: &impl Fn(InstantTime) -> bool,
) -> Option<String> {
    let is_lost_base = |base: &BaseFileName| {
        let is_newer = drafted.base.is_none() || base.instant > drafted.base_instant;
        is_newer && is_committed(base.instant)
    };
    let written = stat.path.as_deref()?.rsplit('/').next()?;
    match DataFileName::parse(written)? {
        DataFileName::Base(base) => is_lost_base(&base).then(|| written.to_owned()),
        DataFileName::Log(log) if log.cdc || commit.completion() < Some(drafted.base_instant) => None,
        DataFileName::Log(_) if drafted.logs.iter().all(|log| log.name != written) => {
            Some(written.to_owned())
        }
        DataFileName::Log(_) => {
            let below = stat.base_file_name()?;
            below.parse().is_ok_and(|base| is_lost_base(&base)).then(|| below.to_owned())
        }
    }
}

/// A log file that has fewer bytes than a commit says.
struct Damaged<'a> {
    file: &'a str,
    expected_bytes: u64,
    found_bytes: u64,
}

/// The first log file of a drafted slice that is shorter than a commit says, if it says so: a log that was cut off
/// between two blocks reads like a whole one, which no base file does.
fn damaged<'a>(drafted: &Drafted<'a>, metadata: &CommitMetadata) -> Option<(FileGroupId, Damaged<'a>)> {
    metadata.write_stats().find_map(|(partition, stat)| {
        let group = FileGroupId { partition: partition.to_owned(), file_id: stat.group()? };
        let drafted = drafted.get(&group)?;
        let expected_bytes = u64::try_from(stat.file_size_in_bytes).ok().filter(|bytes| *bytes > 0)?;
        let written = stat.path.as_deref()?.rsplit('/').next()?;
        let mut short = drafted.logs.iter().filter(|log| log.bytes < expected_bytes);
        let file = short.find(|file| file.name == written)?;
        Some((group, Damaged { file: &file.name, expected_bytes, found_bytes: file.bytes }))
    })
}

#[cfg(test)]
mod tests {
    use lakebed_hudi::timeline_file::{Action, State};

    use super::*;
    use crate::maintain::SliceFile;

    fn t(n: u32) -> InstantTime {
        format!("202601010000000{n:02}").parse().unwrap()
    }

    fn base(n: u32) -> String {
        format!("f-0_0-0-0_{}.parquet", t(n))
    }

    fn log(n: u32) -> String {
        format!(".f-0_{}.log.1_0-0-0", t(n))
    }

    /// A slice of these files.
    fn slice(with_base: Option<u32>, logs: &[u32]) -> SliceFiles {
        let file = |name| SliceFile { name, bytes: 1 };
        SliceFiles {
            group: FileGroupId { partition: "p".into(), file_id: "f-0".parse().unwrap() },
            base_instant: t(with_base.unwrap_or_else(|| logs[0])),
            base: with_base.map(|n| file(base(n))),
            logs: logs.iter().map(|n| file(log(*n))).collect(),
        }
    }

    /// What is lost by what the commit of `written`, completed at `completion`, says.
    fn told(slice: &SliceFiles, written: &str, completion: u32, below: Option<u32>) -> Option<String> {
        let name = DataFileName::parse(written).unwrap();
        let commit = Instant {
            time: name.instant(),
            action: Action::DeltaCommit,
            requested_as: Action::DeltaCommit,
            state: State::Completed(Some(t(completion))),
        };
        let stat = WriteStat {
            file_id: "f-0".into(),
            path: Some(format!("p/{written}")),
            base_file: Some(below.map(base).unwrap_or_default()),
            ..WriteStat::default()
        };
        let metadata = CommitMetadata {
            partition_to_write_stats: [("p".into(), vec![stat])].into(),
            ..Default::default()
        };
        lost(&[(&slice.group, slice)].into(), &commit, &metadata, |_| true).map(|(_, file)| file)
    }

    #[test]
    fn a_file_that_a_commit_names_and_that_is_not_there_is_lost() {
        let whole = slice(Some(1), &[3, 5]);
        assert_eq!(told(&whole, &base(1), 2, None), None);
        assert_eq!(told(&whole, &log(3), 4, Some(1)), None);
        assert_eq!(told(&slice(Some(1), &[5]), &log(3), 4, Some(1)), Some(log(3)));
        // The slice before is read where the base file is gone.
        assert_eq!(told(&whole, &base(2), 3, None), Some(base(2)));
        assert_eq!(told(&whole, &log(5), 6, Some(2)), Some(base(2)));
        let logs_alone = slice(None, &[3, 5]);
        assert_eq!(told(&logs_alone, &log(3), 4, Some(1)), Some(base(1)));
        assert_eq!(told(&logs_alone, &log(3), 4, None), None);
    }

    #[test]
    fn what_belongs_to_the_slice_before_may_be_gone() {
        let compacted = slice(Some(6), &[7]);
        assert_eq!(told(&compacted, &log(3), 4, Some(1)), None);
        assert_eq!(told(&compacted, &base(1), 2, None), None);
        assert_eq!(told(&compacted, &log(7), 8, Some(1)), None, "begun before, on the base file before");
        assert_eq!(told(&compacted, &log(5), 7, Some(1)), Some(log(5)), "completed since");
    }

    #[test]
    fn a_log_file_of_fewer_bytes_than_its_commit_says_is_damaged() {
        let whole = slice(Some(1), &[3]);
        let told = |written: String, bytes: i64| {
            let stat = WriteStat {
                file_id: "f-0".into(),
                path: Some(format!("p/{written}")),
                file_size_in_bytes: bytes,
                ..WriteStat::default()
            };
            let metadata = CommitMetadata {
                partition_to_write_stats: [("p".into(), vec![stat])].into(),
                ..Default::default()
            };
            let drafted = [(&whole.group, &whole)].into();
            damaged(&drafted, &metadata).map(|(_, damaged)| (damaged.file.to_owned(), damaged.expected_bytes))
        };
        for (bytes, is_damaged) in [(1, false), (2, true), (0, false), (-1, false)] {
            assert_eq!(told(log(3), bytes), is_damaged.then_some((log(3), 2)), "{bytes}");
        }
        assert_eq!(told(log(2), 5), None, "another slice's");
    }
}
