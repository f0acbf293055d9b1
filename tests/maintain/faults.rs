//! Compactions that cannot be carried out: each is told by name, changes nothing that shows, and stays planned.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use lakebed::commit::CommitOptions;
use lakebed::environment::{Clock, Environment};
use lakebed::maintain::{MaintainError, MaintainOptions, Maintainer};
use lakebed::storage::fault::{Fault, FaultKind};
use lakebed::storage::{self, Storage, TablePath};
use lakebed::table::FileGroup;
use lakebed::{Error, ErrorKind};
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_file::{Action, TimelineFile};
use lakebed_hudi::timeline_metadata::{CompactionOperation, CompactionPlan};

use super::place::{GROUPS, Place, Process};
use crate::fixtures::unpack;
use crate::recovery::model::Model;
use crate::small_disk;
use crate::test_table::services;

/// A planned compaction.
struct Planned {
    place: Place,
    instant: InstantTime,
    model: Model,
    groups: Vec<(String, Vec<FileGroup>)>,
}

async fn groups(place: &Place) -> Vec<(String, Vec<FileGroup>)> {
    place.table().await.snapshot(None).await.unwrap().all_file_groups().await.unwrap()
}

impl Planned {
    async fn new() -> Self {
        let (place, model) = Place::written().await;
        let instant = services::schedule(&place.maintainer().await).await.unwrap().unwrap();
        let groups = groups(&place).await;
        Self { place, instant, model, groups }
    }

    fn plan_path(&self) -> TablePath {
        format!(".hoodie/timeline/{}.compaction.requested", self.instant).parse().unwrap()
    }

    async fn plan(&self) -> CompactionPlan {
        let bytes = self.place.disk.get(&self.plan_path(), u64::MAX).await.unwrap().bytes;
        CompactionPlan::from_avro(&bytes).unwrap()
    }

    /// Puts another plan in the place of this one.
    async fn replan(&self, change: impl FnOnce(&mut CompactionPlan)) {
        let mut plan = self.plan().await;
        change(&mut plan);
        self.place.disk.put(&self.plan_path(), plan.to_avro().unwrap().into()).await.unwrap();
    }

    /// A file of the slice with the most log files: its base file, or its newest log file.
    fn file(&self, is_log: bool) -> TablePath {
        let slices = self.groups.iter().flat_map(|(_, groups)| groups).filter_map(|group| group.latest());
        let slice = slices.max_by_key(|slice| slice.logs.len()).unwrap();
        if is_log { slice.logs.last().unwrap().path.clone() } else { slice.base.clone().unwrap().path }
    }

    /// Runs it, expects that it fails with all of `told`, and that the table is as before.
    async fn fails(&self, kind: ErrorKind, told: &[&str]) -> MaintainError {
        let maintainer = self.place.maintainer().await;
        let error = maintainer.compact(self.instant, &services::no_limits(), &|_| {}).await.unwrap_err();
        self.is_unchanged().await;
        let (text, found) = told_of(error);
        assert_eq!(found, kind, "{text}");
        for told in told {
            assert!(text.contains(told), "{told:?} is not in {text:?}");
        }
        maintainer.compact(self.instant, &services::no_limits(), &|_| {}).await.unwrap_err()
    }

    async fn is_unchanged(&self) {
        let timeline = self.place.table().await.timeline.load().await.unwrap();
        let pending: Vec<InstantTime> = timeline.pending().map(|instant| instant.time).collect();
        assert_eq!(pending, [self.instant], "it is planned still");
        let left = self.place.disk.list(&".hoodie/.heartbeat".parse().unwrap()).await.unwrap().files;
        assert!(left.is_empty(), "whoever comes next need not wait: {left:?}");
    }

    /// Expects that it can be carried out, after what was wrong was mended.
    async fn succeeds(&self) {
        services::run(&self.place.maintainer().await, self.instant).await.unwrap();
        assert_eq!(self.place.problems(&self.model).await, [""; 0]);
    }
}

/// All that a user is told.
fn told_of(error: impl Into<Error>) -> (String, ErrorKind) {
    let error = error.into();
    (error.chain().join(": "), error.kind())
}

#[tokio::test]
async fn nothing_is_planned_where_a_file_vanished_or_was_cut_off_that_a_commit_wrote() {
    for (is_log, left) in [(false, None), (true, None), (true, Some(9)), (true, Some(0))] {
        let (place, model) = Place::written().await;
        let planned = Planned { groups: groups(&place).await, place, instant: no_instant(), model };
        let (path, place) = (planned.file(is_log), &planned.place);
        let bytes = place.disk.get(&path, u64::MAX).await.unwrap().bytes;
        match left {
            Some(left) => place.disk.put(&path, bytes.slice(..left)).await.unwrap(),
            None => assert!(place.disk.delete(&path).await.unwrap()),
        }
        let (text, kind) = told_of(services::schedule(&place.maintainer().await).await.unwrap_err());
        assert_eq!(kind, ErrorKind::Failed, "{text}");
        assert!(text.contains(path.file_name()) && text.contains("restore the file"), "{text}");
        assert_eq!(services::planned(&place.table().await).await, []);
        place.disk.put(&path, bytes).await.unwrap();
        services::compact(&place.table().await).await;
        assert_eq!(place.problems(&planned.model).await, [""; 0]);
    }
}

fn no_instant() -> InstantTime {
    "00000000000000000".parse().unwrap()
}

#[tokio::test]
async fn a_file_that_vanished_is_named_before_anything_is_written() {
    for is_log in [false, true] {
        let planned = Planned::new().await;
        let path = planned.file(is_log);
        let bytes = planned.place.disk.get(&path, u64::MAX).await.unwrap().bytes;
        planned.place.disk.delete(&path).await.unwrap();
        let error =
            planned.fails(ErrorKind::Failed, &[path.as_str(), "is not there", "restore the file"]).await;
        assert!(matches!(error, MaintainError::MissingFile { .. }), "{error:?}");
        let written = planned.place.disk.list_all(&".hoodie/.temp".parse().unwrap()).await.unwrap();
        assert!(written.is_empty(), "{written:?}");
        planned.place.disk.put(&path, bytes).await.unwrap();
        planned.succeeds().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_vanishes_within_the_run_is_named() {
    let planned = Planned::new().await;
    let path = planned.file(true);
    let again = Planned::new().await;
    let whole = Process::start(&again.place, again.instant, 4, None);
    whole.run.await.unwrap().unwrap();
    // It has looked for all files.
    let is_begun = |path: &TablePath| path.as_str().ends_with(".compaction.inflight");
    let at = whole.storage.operations().iter().position(|o| is_begun(&o.path)).unwrap();
    let running =
        Process::start(&planned.place, planned.instant, 4, Some(Fault { at, kind: FaultKind::StandStill }));
    assert!(running.stands_still().await);
    let bytes = planned.place.disk.get(&path, u64::MAX).await.unwrap().bytes;
    planned.place.disk.delete(&path).await.unwrap();
    let (text, kind) = told_of(running.wakes().await.unwrap_err());
    assert_eq!(kind, ErrorKind::Failed, "{text}");
    assert!(text.starts_with("file group ") && text.contains(path.as_str()), "{text}");
    planned.is_unchanged().await;
    planned.place.disk.put(&path, bytes).await.unwrap();
    planned.succeeds().await;
}

#[tokio::test]
async fn a_file_that_is_damaged_is_named() {
    type Damage = fn(&[u8]) -> Vec<u8>;
    let cut: Damage = |bytes| bytes[..bytes.len() - 9].to_vec();
    let no_magic: Damage = |bytes| [b"#HUDO#", &bytes[6..]].concat();
    // Within the rows: what the block's header says of them is right.
    let changed_rows: Damage = |bytes| {
        let mut changed = bytes.to_vec();
        let end = changed.len();
        changed[end - 60..end - 20].fill(0xff);
        changed
    };
    let empty: Damage = |_| Vec::new();
    for (is_log, damage) in
        [(false, cut), (false, changed_rows), (false, empty), (true, no_magic), (true, changed_rows)]
    {
        let planned = Planned::new().await;
        let path = planned.file(is_log);
        let bytes = planned.place.disk.get(&path, u64::MAX).await.unwrap().bytes;
        planned.place.disk.put(&path, damage(&bytes).into()).await.unwrap();
        let error = planned.fails(ErrorKind::Failed, &["file group ", path.as_str()]).await;
        assert!(matches!(error, MaintainError::Group { .. }), "{error:?}");
        planned.place.disk.put(&path, bytes).await.unwrap();
        planned.succeeds().await;
    }
}

/// A block that was cut is none to Hudi's readers of a local disk, and so to its compactions. Ours refuse to lose it
/// for good, unless they are told to: readers see the same before and after then, and the commit says that bytes were
/// passed over.
#[tokio::test]
async fn a_block_that_was_cut_is_refused_or_passed_over_and_counted() {
    let (files, model) = Place::template().await;
    let folder = tempfile::tempdir().unwrap();
    let place = Place::on_disk(folder.path(), &files).await;
    let maintainer = place.maintainer().await;
    let planned = services::schedule(&maintainer).await.unwrap().unwrap();
    let path =
        Planned { groups: groups(&place).await, instant: planned, model, place: place.clone() }.file(true);
    let bytes = place.disk.get(&path, u64::MAX).await.unwrap().bytes;
    place.disk.put(&path, bytes.slice(..bytes.len() - 9)).await.unwrap();
    let before = place.rows().await;
    let error = services::run(&maintainer, planned).await.unwrap_err();
    let (text, kind) = told_of(error);
    assert_eq!(kind, ErrorKind::Refused, "{text}");
    assert!(text.contains(path.file_name()) && text.contains("--skip-corrupt-blocks"), "{text}");
    assert_eq!(place.rows().await, before);

    let maintainer = place
        .open_with(MaintainOptions { skip_corrupt_blocks: true, ..MaintainOptions::default() })
        .await
        .unwrap();
    services::run(&maintainer, planned).await.unwrap();
    assert_eq!(place.rows().await, before);
    let timeline = maintainer.table().timeline.load().await.unwrap();
    let done = timeline.get(planned, Action::Compaction).unwrap();
    let metadata = maintainer.table().timeline.commit_metadata(done).await.unwrap();
    let corrupt: i64 = metadata.write_stats().map(|(_, stat)| stat.total_corrupt_log_block).sum();
    assert_eq!(corrupt, 1);
}

#[tokio::test]
async fn a_plan_that_no_engine_can_carry_out_is_refused() {
    type Change = fn(&mut CompactionPlan);
    let twice: Change = |plan| plan.operations.push(plan.operations[0].clone());
    let missing: Change = |plan| {
        let name = plan.operations[0].delta_file_paths[0].replace(".log.1_", ".log.9_");
        plan.operations[0].delta_file_paths.push(name);
    };
    let of_other_group: Change = |plan| {
        let of_x = |o: &&mut CompactionOperation| o.partition_path == "p=x";
        let mut of_x = plan.operations.iter_mut().filter(of_x);
        let (one, two) = (of_x.next().unwrap(), of_x.next().unwrap());
        one.data_file_path.clone_from(&two.data_file_path);
    };
    let no_data_file: Change =
        |plan| plan.operations[0].delta_file_paths.push(".hoodie_partition_metadata".into());
    let outside: Change = |plan| plan.operations[0].partition_path = "p=x/../../other".into();
    let bootstrapped: Change =
        |plan| plan.operations[0].bootstrap_file_path = Some("/elsewhere/x.parquet".into());
    let newer: Change = |plan| plan.version = 3;
    for (change, kind, told) in [
        (twice, ErrorKind::Failed, ["names file group", "twice"]),
        (missing, ErrorKind::Failed, [".log.9_", "is not there"]),
        (of_other_group, ErrorKind::Failed, ["for a file of file group", "and it is none"]),
        (no_data_file, ErrorKind::Failed, [".hoodie_partition_metadata for a file of", "and it is none"]),
        (outside, ErrorKind::Failed, ["p=x/../../other", ".."]),
        (
            bootstrapped,
            ErrorKind::Refused,
            [".compaction.requested", "bootstrapped file /elsewhere/x.parquet"],
        ),
        (newer, ErrorKind::Refused, [".compaction.requested", "version 3"]),
    ] {
        let planned = Planned::new().await;
        let plan = planned.plan().await;
        planned.replan(change).await;
        planned.fails(kind, &told).await;
        assert_eq!(groups(&planned.place).await, planned.groups);
        planned.replan(|changed| *changed = plan).await;
        planned.succeeds().await;
    }
}

#[tokio::test]
async fn a_plan_that_cannot_be_read_is_named_by_who_runs_it_and_by_who_plans() {
    for bytes in [&b""[..], b"Obj\x01 and no more", b"{}"] {
        let planned = Planned::new().await;
        let whole = planned.place.disk.get(&planned.plan_path(), u64::MAX).await.unwrap().bytes;
        planned.place.disk.put(&planned.plan_path(), Bytes::from_static(bytes)).await.unwrap();
        let path = planned.plan_path();
        let error = planned.fails(ErrorKind::Failed, &[path.as_str(), "if no writer is about it"]).await;
        assert!(matches!(error, MaintainError::Plan { .. }), "{error:?}");
        let (text, kind) = told_of(planned.place.maintainer().await.survey().await.unwrap_err());
        assert_eq!(kind, ErrorKind::Failed);
        assert!(text.contains(path.as_str()) && text.contains("delete this file"), "{text}");
        planned.place.disk.put(&path, whole).await.unwrap();
        planned.succeeds().await;
    }
}

#[tokio::test]
async fn blocks_that_we_do_not_read_are_refused() {
    let folder = unpack("log_hfile");
    let environment = Environment::real();
    let uri = folder.path().display().to_string().parse().unwrap();
    let place = Place { disk: storage::open(&uri, &environment).await.unwrap(), environment };
    let maintainer = place.maintainer().await;
    let planned = services::schedule(&maintainer).await.unwrap().unwrap();
    let (text, kind) = told_of(services::run(&maintainer, planned).await.unwrap_err());
    assert_eq!(kind, ErrorKind::Refused, "{text}");
    assert!(text.contains("the hfile block"), "{text}");
    assert_eq!(services::planned(maintainer.table()).await, [planned]);
}

#[tokio::test]
async fn too_little_memory_is_told_before_anything_is_written() {
    let planned = Planned::new().await;
    let maintainer = planned.place.open_within(10 << 20).await.unwrap();
    let error = maintainer.compact(planned.instant, &services::no_limits(), &|_| {}).await.unwrap_err();
    let (text, kind) = told_of(error);
    assert_eq!(kind, ErrorKind::FixInput);
    assert!(
        text.contains("10.0 MiB of memory is too little") && text.contains("64.0 MiB are needed"),
        "{text}"
    );
    let inflight = TimelineFile::inflight(planned.instant, Action::Compaction);
    let path = maintainer.table().timeline.path(&inflight);
    assert!(planned.place.disk.stat(&path).await.is_err(), "nobody began it");
    planned.is_unchanged().await;
    planned.succeeds().await;
}

/// So long a new time is waited for: the last thing before the lock is looked at once more.
const SKEW: Duration = Duration::from_millis(7);

/// A clock on which somebody takes the lock away while the holder waits for a new time.
#[derive(Debug)]
struct Thief {
    clock: Arc<dyn Clock>,
    disk: Arc<dyn Storage>,
    ready: AtomicBool,
}

#[async_trait::async_trait]
impl Clock for Thief {
    fn unix_millis(&self) -> i64 {
        self.clock.unix_millis()
    }

    fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    async fn sleep(&self, duration: Duration) {
        if duration == SKEW && self.ready.swap(false, Ordering::Relaxed) {
            assert!(self.disk.delete(&".hoodie/.locks/table_lock.json".parse().unwrap()).await.unwrap());
        }
        self.clock.sleep(duration).await;
    }
}

#[tokio::test]
async fn a_lock_that_is_lost_before_the_end_is_told_and_the_next_run_has_nothing_but_to_complete() {
    let planned = Planned::new().await;
    let (clock, disk) = (planned.place.environment.clock.clone(), planned.place.disk.clone());
    let thief = Arc::new(Thief { clock, disk: disk.clone(), ready: AtomicBool::new(true) });
    let environment = Environment { clock: thief.clone(), ..planned.place.environment.clone() };
    let commit = CommitOptions { clock_skew: SKEW, ..CommitOptions::default() };
    let options = MaintainOptions { commit, ..MaintainOptions::default() };
    let maintainer = Maintainer::open(disk, &environment, options).await.unwrap();
    let error = maintainer.compact(planned.instant, &services::no_limits(), &|_| {}).await.unwrap_err();
    let (text, kind) = told_of(error);
    assert!(!thief.ready.load(Ordering::Relaxed));
    assert_eq!(kind, ErrorKind::Conflict, "{text}");
    assert!(text.contains("table lock") && text.contains("was lost"), "{text}");
    planned.is_unchanged().await;
    let report = services::run(&maintainer, planned.instant).await.unwrap();
    assert_eq!((report.resumed, report.finished), (GROUPS, 0));
    assert_eq!(planned.place.problems(&planned.model).await, [""; 0]);
}

#[test]
fn a_full_disk_is_named_and_the_compaction_goes_on_when_there_is_space() {
    small_disk::run("maintain::faults::on_a_small_disk");
}

/// Takes all of the disk's space but for `left_bytes`.
fn fill(path: &Path, left_bytes: u64) {
    use std::io::Write as _;
    let mut file = std::fs::File::create(path).unwrap();
    while file.write_all(&[7; 4096]).is_ok() {}
    let bytes = file.metadata().unwrap().len();
    file.set_len(bytes - left_bytes).unwrap();
}

#[tokio::test]
#[ignore = "needs a small disk: the test above makes one and runs this"]
async fn on_a_small_disk() {
    let (files, model) = Place::template().await;
    let folder = small_disk::folder();
    let place = Place::on_disk(&folder, &files).await;
    let maintainer = place.maintainer().await;
    let planned = services::schedule(&maintainer).await.unwrap().unwrap();
    for left_bytes in [0, 24 << 10] {
        fill(&folder.join("other"), left_bytes);
        let error = maintainer.compact(planned, &services::no_limits(), &|_| {}).await.unwrap_err();
        let (text, kind) = told_of(error);
        assert_eq!(kind, ErrorKind::Failed, "{left_bytes}: {text}");
        assert!(text.contains("no space or no quota is left"), "{left_bytes}: {text}");
        assert_eq!(model.differences(&place.rows().await), [""; 0], "{left_bytes}");
        assert_eq!(services::planned(maintainer.table()).await, [planned]);
        std::fs::remove_file(folder.join("other")).unwrap();
    }
    services::run(&maintainer, planned).await.unwrap();
    assert_eq!(place.problems(&model).await, [""; 0]);
    assert_eq!(crate::recovery::audit::temporary_files(&folder), [""; 0]);
}
