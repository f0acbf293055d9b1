//! The doctor: each kind of broken table is found, and mended by the command that is named.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use lakebed::environment::Environment;
use lakebed::maintain::doctor::{Finding, FindingKind, Mend};
use lakebed::maintain::{MaintainOptions, Maintainer};
use lakebed::settings::Timezone;
use lakebed::sink::{Sink, SinkOptions};
use lakebed::storage;
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::table_config::{NewTable, TableType};
use lakebed_hudi::timeline_file::Action;
use lakebed_hudi::timeline_metadata::CompactionPlan;

use crate::fixtures;
use crate::recovery::clock::QuickClock;
use crate::test_table::*;

/// A time before all others.
const LONG_AGO: &str = "20260101000000000";

/// A table that was written two hours ago.
async fn written(table_type: TableType, times: u64) -> TestTable {
    let past = QuickClock::hours_ago(2, 1);
    let table = TestTable::create_by(past, &NewTable { table_type, ..bucket_table() }).await;
    let mut sink = table.sink("p", SinkOptions::default()).await;
    for number in 1..=times {
        put(&mut sink, number, number as i64).await;
    }
    table
}

async fn put(sink: &mut Sink, number: u64, ts: i64) {
    sink.write(&rows(&[("a", "x", ts, None), ("b", "y", ts, None)]), None).await.unwrap();
    assert!(is_committed(&checkpoint(sink, number).await));
}

impl TestTable {
    /// What is found now.
    async fn doctored(&self) -> Vec<Finding> {
        let (storage, environment) = (self.storage.clone(), Environment::real());
        let maintainer = Maintainer::open(storage, &environment, MaintainOptions::default()).await.unwrap();
        maintainer.examine().await.unwrap()
    }

    /// What is found, which is of these kinds.
    async fn found(&self, kinds: &[FindingKind]) -> Vec<Finding> {
        let findings = self.doctored().await;
        assert_eq!(findings.iter().map(|finding| finding.kind).collect::<Vec<_>>(), kinds, "{findings:?}");
        findings
    }

    /// Runs the commands that are named; nothing is found then.
    async fn mended(&self, kinds: &[FindingKind]) {
        for finding in self.found(kinds).await {
            let Mend::Command(arguments) = &finding.mend else { panic!("{finding:?}") };
            lakebed(arguments);
        }
        self.found(&[]).await;
    }

    fn below(&self, name: &str) -> PathBuf {
        Path::new(&self.path("t")).join(name)
    }

    fn put_file(&self, name: &str, bytes: &[u8]) {
        let path = self.below(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        make_older(&path);
    }

    /// The path of the one data file with `part` in its name, in a partition.
    fn data_file(&self, partition: &str, part: &str) -> PathBuf {
        let files = fs::read_dir(self.below(partition)).unwrap().map(|entry| entry.unwrap().path());
        let mut files = files.filter(|path| path.display().to_string().contains(part));
        let file = files.next().unwrap();
        assert_eq!(files.next(), None);
        file
    }

    async fn newest(&self) -> InstantTime {
        self.snapshot().await.timeline.completed_writes().next_back().unwrap().time
    }
}

fn lakebed(arguments: &[String]) {
    let ran = Command::new(env!("CARGO_BIN_EXE_lakebed")).args(arguments).output().unwrap();
    let is_done = matches!(ran.status.code(), Some(0 | 3));
    assert!(is_done, "{arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
}

fn make_older(path: &Path) {
    let file = File::options().write(true).open(path).unwrap();
    let modified = file.metadata().unwrap().modified().unwrap();
    file.set_modified(modified - Duration::from_secs(3600)).unwrap();
}

fn timeline(name: &str) -> String {
    format!(".hoodie/timeline/{name}")
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_found_where_all_is_well_or_lives() {
    for table_type in [TableType::CopyOnWrite, TableType::MergeOnRead] {
        let table = written(table_type, 3).await;
        table.found(&[]).await;
        services::compact(&table.snapshot().await.table).await;
        services::clean_to_latest(&table.snapshot().await.table).await;
        let mut sink = table.sink("p", SinkOptions::default()).await;
        put(&mut sink, 4, 4).await;
        write(&mut sink, "a", 5).await;
        let prepared = sink.prepare(progress(5)).await.unwrap().unwrap();
        table.found(&[]).await;
        assert!(is_committed(&sink.committer().commit(&prepared).await.unwrap()));
        table.archive(1).await;
        table.found(&[]).await;
        let schedule = services::schedule(&services::maintainer(&table.snapshot().await.table).await).await;
        assert_eq!(schedule.unwrap().is_some(), table_type == TableType::MergeOnRead);
        table.found(&[]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_that_died_are_rolled_back() {
    let table = written(TableType::MergeOnRead, 1).await;
    table.put_file(&timeline(&format!("{LONG_AGO}.deltacommit.requested")), b"");
    table.put_file(&timeline(&format!("{LONG_AGO}.deltacommit.inflight")), b"");
    table.mended(&[FindingKind::DeadWrite]).await;
    assert_eq!(table.texts().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn stray_files_are_deleted_and_unexplained_ones_told_of() {
    for table_type in [TableType::CopyOnWrite, TableType::MergeOnRead] {
        let table = written(table_type, 2).await;
        let (before, stray) = (table.texts().await, next(table.newest().await));
        let file =
            |instant: &str| format!("p=x/00000001-0000-0000-0000-000000000000-0_0-1-0_{instant}.parquet");
        fs::write(table.below(&file(&stray)), b"x").unwrap();
        // It may be that of a writer whose instant is not seen yet.
        table.found(&[]).await;
        table.put_file(&file(&stray), b"x");
        table.mended(&[FindingKind::StrayFile]).await;
        assert!(!table.below(&file(&stray)).exists());
        assert_eq!(table.texts().await, before);
        // Of what is older than the timeline nobody can tell.
        table.put_file(&file(LONG_AGO), b"x");
        let findings = table.found(&[FindingKind::UnexplainedFile]).await;
        assert!(matches!(findings[0].mend, Mend::Advice(_)));
        let refused = services::maintainer(&table.snapshot().await.table).await;
        let refused = refused.committer().roll_back(LONG_AGO.parse().unwrap()).await.unwrap_err();
        assert!(refused.to_string().contains("is no instant of the active timeline"), "{refused}");
        assert!(table.below(&file(LONG_AGO)).exists());
    }
}

/// The instant a millisecond later, or so.
fn next(instant: InstantTime) -> String {
    (instant.as_str().parse::<u64>().unwrap() + 1).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_cut_off_is_gone_on_with() {
    let table = written(TableType::CopyOnWrite, 2).await;
    let maintainer = services::maintainer(&table.snapshot().await.table).await;
    let newest = table.newest().await;
    let plan = maintainer.committer().plan_rollback(newest).await.unwrap().plan;
    let rollback = next(newest);
    table.put_file(&timeline(&format!("{LONG_AGO}.savepoint.inflight")), b"");
    table.mended(&[FindingKind::CutOffSavepoint]).await;
    // The commit has left the timeline, and its files are there.
    let commit = table.snapshot().await.timeline.write_at(newest).unwrap().file();
    table.put_file(&timeline(&format!("{rollback}.rollback.requested")), &plan.to_avro().unwrap());
    table.put_file(&timeline(&format!("{rollback}.rollback.inflight")), b"");
    fs::remove_file(table.below(&timeline(&commit.name()))).unwrap();
    table.mended(&[FindingKind::CutOffRollback]).await;
    assert_eq!(table.texts().await, ["a x 1 -", "b y 1 -"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_was_cut_off_is_gone_on_with() {
    let table = written(TableType::MergeOnRead, 1).await;
    let maintainer = services::maintainer(&table.snapshot().await.table).await;
    let savepoint = maintainer.committer().savepoint(None, "u", "c").await.unwrap().instant;
    let mut sink = table.sink("p", SinkOptions::default()).await;
    put(&mut sink, 2, 2).await;
    put(&mut sink, 3, 3).await;
    drop(sink);
    let (stop, stopped) = tokio::sync::watch::channel(true);
    let limits = lakebed::maintain::RunLimits { stop: stopped, deadline: None };
    maintainer.restore(savepoint, &limits, &|_| {}).await.unwrap();
    drop(stop);
    table.mended(&[FindingKind::CutOffRestore]).await;
    assert_eq!(table.texts().await, ["a x 1 -", "b y 1 -"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn plans_that_nobody_can_carry_out_are_taken_off() {
    let table = TestTable::create(&bucket_table()).await;
    put(&mut table.sink("p", SinkOptions::default()).await, 1, 1).await;
    let maintainer = services::maintainer(&table.snapshot().await.table).await;
    let savepoint = maintainer.committer().savepoint(None, "u", "c").await.unwrap().instant;
    let mut sink = table.sink("p", SinkOptions::default()).await;
    put(&mut sink, 2, 2).await;
    drop(sink);
    let newest = table.newest().await;
    services::schedule(&maintainer).await.unwrap().unwrap();
    fs::remove_file(table.data_file("p=x", newest.as_str())).unwrap();
    table.mended(&[FindingKind::PlanMissesFile, FindingKind::CommitMissesFile]).await;
    assert_eq!(table.texts().await, ["a x 1 -", "b y 1 -"]);
    let mut sink = table.sink("p", SinkOptions::default()).await;
    for number in 2..=3 {
        put(&mut sink, number, number as i64).await;
    }
    drop(sink);
    let lost = table.snapshot().await.timeline.completed_writes().nth_back(1).unwrap().time;
    fs::remove_file(table.data_file("p=x", lost.as_str())).unwrap();
    let findings = table.found(&[FindingKind::CommitMissesFile]).await;
    assert!(findings[0].mend.text().ends_with(&format!("--to {savepoint} --yes")), "{findings:?}");
    table.mended(&[FindingKind::CommitMissesFile]).await;
    assert_eq!(table.texts().await, ["a x 1 -", "b y 1 -"]);
}

/// A table with a compaction that nobody has begun.
async fn with_pending_compaction() -> (TestTable, InstantTime) {
    let table = TestTable::create(&bucket_table()).await;
    let mut sink = table.sink("p", SinkOptions::default()).await;
    put(&mut sink, 1, 1).await;
    put(&mut sink, 2, 2).await;
    drop(sink);
    let maintainer = services::maintainer(&table.snapshot().await.table).await;
    let instant = services::schedule(&maintainer).await.unwrap().unwrap();
    (table, instant)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_cannot_be_read_is_told_of_with_what_to_delete() {
    let (table, instant) = with_pending_compaction().await;
    let requested = timeline(&format!("{instant}.compaction.requested"));
    fs::write(table.below(&requested), b"no plan").unwrap();
    let findings = table.found(&[FindingKind::BrokenPlan]).await;
    assert_eq!(findings[0].subject, format!("compaction {instant}"));
    assert!(findings[0].detail.contains(&requested), "{findings:?}");
    assert!(matches!(findings[0].mend, Mend::Advice(_)), "{findings:?}");
    fs::remove_file(table.below(&requested)).unwrap();
    table.found(&[]).await;
    assert_eq!(table.texts().await, ["a x 2 -", "b y 2 -"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_no_partition_becomes_one_by_the_file_that_is_told_of() {
    let table = written(TableType::CopyOnWrite, 1).await;
    fs::remove_file(table.below("p=x/.hoodie_partition_metadata")).unwrap();
    assert_eq!(table.texts().await, ["b y 1 -"]);
    let findings = table.found(&[FindingKind::NoPartition]).await;
    let lines = findings[0].mend.text().split_once("lines ").unwrap().1.replace(" and ", "\n");
    table.put_file("p=x/.hoodie_partition_metadata", lines.as_bytes());
    table.found(&[]).await;
    assert_eq!(table.texts().await, ["a x 1 -", "b y 1 -"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_as_they_should_not_be_are_told_of() {
    let table = written(TableType::CopyOnWrite, 1).await;
    let newest = table.newest().await;
    let file = table.data_file("p=x", newest.as_str());
    let name = file.file_name().unwrap().to_str().unwrap().to_owned();
    let (file_id, rest) = name.split_once('_').unwrap();
    let (_, instant) = rest.split_once('_').unwrap();
    let bucket = &file_id[..8];
    for (copy, kind) in [
        (format!("{file_id}_7-7-7_{instant}"), FindingKind::DuplicateBaseFile),
        (format!("{bucket}-1111-1111-1111-111111111111-0_{rest}"), FindingKind::DuplicateBucket),
        (format!("abcdefab-1111-1111-1111-111111111111-0_{rest}"), FindingKind::ForeignGroup),
    ] {
        let copy = file.with_file_name(copy);
        fs::copy(&file, &copy).unwrap();
        let findings = table.doctored().await;
        assert_eq!(findings.iter().map(|finding| finding.kind).collect::<Vec<_>>(), [kind], "{findings:?}");
        assert!(matches!(findings[0].mend, Mend::Advice(_)));
        fs::remove_file(copy).unwrap();
        table.found(&[]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_dead_leave_is_swept_away() {
    let table = written(TableType::CopyOnWrite, 1).await;
    table.put_file(&format!(".hoodie/.temp/{LONG_AGO}/p=x/a_0-0-0_{LONG_AGO}.parquet.marker.CREATE"), b"");
    table.put_file(&format!(".hoodie/.heartbeat/{LONG_AGO}"), b"");
    table.mended(&[FindingKind::LeftMarkers, FindingKind::LeftHeartbeat]).await;
    table.put_file(".hoodie/lock", b"somebody");
    table.found(&[FindingKind::LeftLock]).await;
    fs::remove_file(table.below(".hoodie/lock")).unwrap();
    table.put_file(&timeline("29990101000000000.deltacommit.requested"), b"");
    let findings = table.doctored().await;
    assert!(findings.iter().any(|finding| finding.kind == FindingKind::ClockAhead), "{findings:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_died_is_gone_on_with() {
    let table = written(TableType::MergeOnRead, 2).await;
    let maintainer = services::maintainer(&table.snapshot().await.table).await;
    let compaction = services::schedule(&maintainer).await.unwrap().unwrap();
    table.put_file(&timeline(&format!("{compaction}.compaction.inflight")), b"");
    table.mended(&[FindingKind::IdleService]).await;
    let done = table.snapshot().await;
    assert!(done.timeline.get(compaction, Action::Compaction).is_some_and(|i| i.is_completed()));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_the_timeline_that_nobody_can_read_are_told_of() {
    for bytes in [&b""[..], b"Obj\x01"] {
        let table = written(TableType::MergeOnRead, 2).await;
        let before = table.texts().await;
        let commit = table.snapshot().await.timeline.write_at(table.newest().await).unwrap().file().name();
        let whole = fs::read(table.below(&timeline(&commit))).unwrap();
        fs::write(table.below(&timeline(&commit)), bytes).unwrap();
        let stray = timeline("20261127202758999.weird");
        table.put_file(&stray, b"");
        table.put_file(&format!(".hoodie/.heartbeat/{LONG_AGO}"), b"");
        // All else is looked at as well.
        let kinds = [FindingKind::UnknownFile, FindingKind::BrokenFile, FindingKind::LeftHeartbeat];
        let findings = table.found(&kinds).await;
        assert_eq!(findings[0].subject, stray);
        assert!(findings[0].detail.contains("has no known action"), "{findings:?}");
        assert_eq!(findings[1].subject, timeline(&commit));
        assert!(findings[1].mend.text().contains("from a copy"), "{findings:?}");
        fs::remove_file(table.below(&stray)).unwrap();
        fs::write(table.below(&timeline(&commit)), whole).unwrap();
        table.mended(&[FindingKind::LeftHeartbeat]).await;
        assert_eq!(table.texts().await, before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_copy_a_broken_file_is_deleted_and_its_instant_gone_on_with() {
    let table = written(TableType::MergeOnRead, 2).await;
    let broken = |file: &str| fs::write(table.below(&timeline(file)), b"").unwrap();
    let newest = table.newest().await;
    let commit = table.snapshot().await.timeline.write_at(newest).unwrap().file().name();
    broken(&commit);
    let findings = table.found(&[FindingKind::BrokenFile]).await;
    assert!(findings[0].mend.text().contains("lakebed rollback"), "{findings:?}");
    fs::remove_file(table.below(&timeline(&commit))).unwrap();
    table.mended(&[FindingKind::DeadWrite]).await;
    assert_eq!(table.texts().await, ["a x 1 -", "b y 1 -"]);
    let done = table.snapshot().await.timeline;
    let rollback = done.completed().find(|i| i.action == Action::Rollback).unwrap().file().name();
    broken(&rollback);
    table.found(&[FindingKind::BrokenFile]).await;
    fs::remove_file(table.below(&timeline(&rollback))).unwrap();
    lakebed(&["rollback", &table.path("t"), newest.as_str(), "--yes"].map(str::to_owned));
    table.found(&[]).await;
    assert_eq!(table.texts().await, ["a x 1 -", "b y 1 -"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn cleans_that_nobody_can_read_are_told_of_and_gone_on_with() {
    let table = written(TableType::CopyOnWrite, 3).await;
    services::clean_to_latest(&table.snapshot().await.table).await;
    let done =
        table.snapshot().await.timeline.completed().rfind(|i| i.action == Action::Clean).copied().unwrap();
    let file = timeline(&done.file().name());
    fs::write(table.below(&file), b"Obj\x01").unwrap();
    // Nobody knows any more why older files are not there.
    let findings = table.found(&[FindingKind::BrokenFile]).await;
    assert_eq!(findings[0].subject, file);
    assert!(findings[0].mend.text().contains(&format!("--run {}", done.time)), "{findings:?}");
    fs::remove_file(table.below(&file)).unwrap();
    table.mended(&[FindingKind::IdleService]).await;
    let requested = timeline(&format!("{LONG_AGO}.clean.requested"));
    table.put_file(&requested, b"no plan");
    let findings = table.found(&[FindingKind::BrokenPlan]).await;
    assert_eq!(findings[0].subject, format!("clean {LONG_AGO}"));
    assert!(findings[0].detail.contains(&requested), "{findings:?}");
    fs::remove_file(table.below(&requested)).unwrap();
    table.found(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_another_size_than_was_written_are_told_of() {
    for (table_type, part, bytes) in [
        (TableType::MergeOnRead, ".log.", &b""[..]),
        (TableType::MergeOnRead, ".log.", b"#HUDI#"),
        (TableType::CopyOnWrite, ".parquet", b"PAR1"),
    ] {
        let table = written(table_type, 1).await;
        let maintainer = services::maintainer(&table.snapshot().await.table).await;
        let savepoint = maintainer.committer().savepoint(None, "u", "c").await.unwrap().instant;
        let mut sink = table.sink("p", SinkOptions::default()).await;
        put(&mut sink, 2, 2).await;
        drop(sink);
        let newest = table.newest().await;
        let file = table.data_file("p=x", newest.as_str());
        assert!(file.display().to_string().contains(part));
        fs::write(&file, bytes).unwrap();
        let findings = table.found(&[FindingKind::OtherSize]).await;
        let Mend::Advice(advice) = &findings[0].mend else { panic!("{findings:?}") };
        assert!(advice.contains(&format!("--to {savepoint}")), "{advice}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_to_roll_back_what_cleans_have_left_no_way_back_from() {
    let table = written(TableType::CopyOnWrite, 2).await;
    let newest = table.newest().await;
    services::clean_to_latest(&table.snapshot().await.table).await;
    fs::remove_file(table.data_file("p=x", newest.as_str())).unwrap();
    let findings = table.found(&[FindingKind::CommitMissesFile]).await;
    assert!(matches!(findings[0].mend, Mend::Advice(_)), "{findings:?}");
    let maintainer = services::maintainer(&table.snapshot().await.table).await;
    maintainer.committer().plan_rollback(newest).await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_names_a_group_twice_is_taken_off() {
    let (table, instant) = with_pending_compaction().await;
    let requested = table.below(&timeline(&format!("{instant}.compaction.requested")));
    let mut plan = CompactionPlan::from_avro(&fs::read(&requested).unwrap()).unwrap();
    plan.operations.push(plan.operations[0].clone());
    fs::write(&requested, plan.to_avro().unwrap()).unwrap();
    let findings = table.found(&[FindingKind::BrokenPlan]).await;
    assert!(findings[0].detail.contains("twice"), "{findings:?}");
    table.mended(&[FindingKind::BrokenPlan]).await;
    assert_eq!(table.texts().await, ["a x 2 -", "b y 2 -"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_broken_in_tables_that_spark_wrote() {
    let mut looked_at = 0;
    // In some of them base files were put by hand.
    for fixture in fixtures::catalogue().iter().filter(|fixture| !fixture.name.starts_with("foreign_base")) {
        let folder = fixtures::unpack(&fixture.name);
        let environment = Environment::real();
        let uri = folder.path().display().to_string().parse().unwrap();
        let storage = storage::open(&uri, &environment).await.unwrap();
        let zone = Some("Europe/Berlin".parse::<Timezone>().unwrap().0);
        let options = MaintainOptions { timeline_zone: zone, ..MaintainOptions::default() };
        // Some are of features that Lakebed does not maintain.
        let Ok(maintainer) = Maintainer::open(storage, &environment, options).await else { continue };
        looked_at += 1;
        let broken = [FindingKind::UnknownFile, FindingKind::BrokenFile, FindingKind::OtherSize];
        let findings = maintainer.examine().await.unwrap();
        assert!(findings.iter().all(|found| !broken.contains(&found.kind)), "{}: {findings:?}", fixture.name);
    }
    assert!(looked_at > 50, "{looked_at}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_nobody_can_read_is_told_of() {
    let table = written(TableType::MergeOnRead, 4).await;
    table.archive(1).await;
    table.found(&[]).await;
    let history = fs::read_dir(table.below(".hoodie/timeline/history")).unwrap();
    let mut files = history.map(|entry| entry.unwrap().path());
    let file = files.find(|path| path.extension().is_some_and(|ending| ending == "parquet")).unwrap();
    fs::write(&file, b"PAR1").unwrap();
    let findings = table.found(&[FindingKind::BrokenFile]).await;
    assert!(file.ends_with(&findings[0].subject), "{findings:?}");
}
