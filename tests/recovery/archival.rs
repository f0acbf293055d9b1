//! Every operation of an archival fails, or stops the process, before and after it is done.

use std::collections::BTreeSet;
use std::sync::Arc;

use lakebed::environment::Environment;
use lakebed::maintain::archive::{ArchiveReport, ArchiveRules};
use lakebed::maintain::{MaintainError, MaintainOptions, Maintainer};
use lakebed::sink::{Sink, SinkOptions};
use lakebed::storage::fault::{Fault, FaultKind, FaultStorage, LoggedOperation};
use lakebed::storage::{self, Storage, TablePath};
use lakebed::table::{Table, WriteOperation};
use lakebed_hudi::history::{HistoryFileName, HistoryManifest, manifest_name, parse_version};
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::table_config::{NewTable, TableType};
use lakebed_hudi::timeline_file::Action;
use tokio::sync::watch;

use super::audit;
use super::clock::QuickClock;
use super::engine::options;
use super::faults::{ALL_KINDS, Files, ON_DISK, all_survive, disk_of, faults_at, files_of, put_all};
use super::model::{Change, Model, batch};
use crate::maintain::archive::places;
use crate::test_table::{bucket_table, is_committed, progress, services};

/// A table whose archive has nine files of the lowest level, with a dozen commits, a clean, a rollback and what
/// a dead writer left.
struct Template {
    files: Files,
    model: Model,
    instants: BTreeSet<(InstantTime, Action)>,
}

async fn commit(sink: &mut Sink, number: u64, change: Change, model: &mut Model) {
    sink.write(&batch(std::slice::from_ref(&change)).0, None).await.unwrap();
    let prepared = sink.prepare(progress(number)).await.unwrap().unwrap();
    let outcome = sink.committer().commit(&prepared).await.unwrap();
    assert!(is_committed(&outcome), "{outcome:?}");
    model.upsert(&[change]);
}

impl Template {
    async fn new() -> Self {
        let environment = QuickClock::environment(1);
        let disk = disk_of(&Files::new(), &environment).await;
        let new = NewTable { table_type: TableType::CopyOnWrite, ..bucket_table() };
        let table = Table::create(disk.clone(), &environment, &new).await.unwrap();
        let open = async || {
            let options = options(WriteOperation::Upsert);
            Sink::open(disk.clone(), &environment, "p", Vec::new(), options).await.unwrap()
        };
        let change = |n: u64| Change::put(&format!("k{}", n % 5), "x", n as i64, "v");
        let (mut sink, mut model) = (open().await, Model::default());
        for number in 1..=19 {
            commit(&mut sink, number, change(number), &mut model).await;
            archive(&disk, &environment, 1).await.unwrap();
        }
        // A run that dies, and is rolled back while it counts as alive.
        let options = SinkOptions { memory_bytes: Some(128 << 20), ..SinkOptions::default() };
        let mut dead = Sink::open(disk.clone(), &environment, "p", Vec::new(), options).await.unwrap();
        dead.write(&batch(&[Change::put("k1", "x", 99, "lost")]).0, None).await.unwrap();
        let lost = dead.prepare(progress(20)).await.unwrap().unwrap();
        let late = disk.get(&lost.staged.files[0].path, u64::MAX).await.unwrap().bytes;
        let mut sink = Sink::open(
            disk.clone(),
            &environment,
            "p",
            Vec::new(),
            SinkOptions { memory_bytes: Some(128 << 20), ..SinkOptions::default() },
        )
        .await
        .unwrap();
        for number in 20..=26 {
            commit(&mut sink, number, change(number), &mut model).await;
        }
        services::clean_to_latest(&table).await;
        for number in 27..=31 {
            commit(&mut sink, number, change(number), &mut model).await;
        }
        disk.put(&lost.staged.files[0].path, late).await.unwrap();
        let instants = places(&table).await.into_keys().collect();
        Self { files: files_of(disk.as_ref()).await, model, instants }
    }
}

/// Archives all commits but `min`, beside writers that are dead at once when they do not beat.
async fn archive(
    disk: &Arc<dyn Storage>,
    environment: &Environment,
    min: usize,
) -> Result<ArchiveReport, MaintainError> {
    let commit = options(WriteOperation::Upsert).commit;
    let options = MaintainOptions { commit, ..MaintainOptions::default() };
    let maintainer = Maintainer::open(disk.clone(), environment, options).await?;
    let rules = ArchiveRules::new(min, min + 1)?;
    maintainer.archive(&rules, &watch::channel(false).1, &|_| {}).await
}

struct Place {
    template: Arc<Template>,
    disk: Arc<dyn Storage>,
    environment: Environment,
    folder: Option<tempfile::TempDir>,
}

impl Place {
    async fn new(template: &Arc<Template>, on_disk: bool) -> Self {
        let environment = QuickClock::an_hour_after(&QuickClock::environment(0), 7);
        let folder = on_disk.then(|| tempfile::tempdir().unwrap());
        let disk = match &folder {
            Some(folder) => {
                let uri = folder.path().join("t").display().to_string().parse().unwrap();
                let disk = storage::open(&uri, &environment).await.unwrap();
                put_all(disk.as_ref(), &template.files).await;
                disk
            }
            None => disk_of(&template.files, &environment).await,
        };
        Self { template: template.clone(), disk, environment, folder }
    }

    async fn table(&self) -> Table {
        Table::open(self.disk.clone(), &self.environment, None).await.unwrap()
    }

    /// What is wrong for readers.
    async fn problems(&self) -> Vec<String> {
        let table = self.table().await;
        let mut problems = match audit::rows(&table).await {
            Ok(found) => self.template.model.differences(&found),
            Err(error) => vec![error],
        };
        let places = places(&table).await;
        let known: BTreeSet<(InstantTime, Action)> = places.keys().copied().collect();
        problems.extend(self.template.instants.difference(&known).map(|lost| format!("lost: {lost:?}")));
        let twice = places.iter().filter(|(_, [_, archived])| *archived > 1);
        problems.extend(twice.map(|(instant, _)| format!("entered twice: {instant:?}")));
        problems
    }

    /// What is wrong when an archival has come to its end.
    async fn problems_at_the_end(&self) -> Vec<String> {
        let mut problems = self.problems().await;
        let table = self.table().await;
        let places = places(&table).await;
        let both = places.iter().filter(|(_, [active, archived])| active + archived != 1);
        problems.extend(both.map(|(instant, places)| format!("{instant:?} is there {places:?}")));
        let active = table.timeline.load().await.unwrap().completed_writes().count();
        if active > 3 {
            problems.push(format!("{active} commits are on the active timeline"));
        }
        // Who has nothing to do takes no lock, and so not that of the dead.
        let strays = audit::strays(&table).await.into_iter();
        problems.extend(strays.filter(|stray| stray != "left behind: .hoodie/lock"));
        problems.extend(self.folder.iter().flat_map(|folder| audit::temporary_files(folder.path())));
        problems.extend(self.history_problems().await);
        problems
    }

    /// The archive is one snapshot of files that are there, few more, and nothing else.
    async fn history_problems(&self) -> Vec<String> {
        let folder: TablePath = ".hoodie/timeline/history".parse().unwrap();
        let read =
            async |name: &str| self.disk.get(&folder.join(name).unwrap(), 1 << 20).await.unwrap().bytes;
        let version = parse_version(&read("_version_").await).unwrap();
        let manifest = HistoryManifest::from_json(&read(&manifest_name(version)).await).unwrap();
        let mut problems = Vec::new();
        for file in &manifest.files {
            let found = self.disk.stat(&folder.join(&file.file_name.to_string()).unwrap()).await;
            if found.map(|found| found.size).ok() != Some(file.file_len) {
                problems.push(format!("{} is missing, or of another size", file.file_name));
            }
        }
        let listed = self.disk.list(&folder).await.unwrap().files;
        let is_file = |name: &str| name.parse::<HistoryFileName>().is_ok();
        let files = listed.iter().filter(|file| is_file(file.path.file_name())).count();
        let manifests = listed.len() - files - 1;
        if manifests > 5 || files > manifest.files.len() + 12 {
            problems.push(format!("{manifests} manifests and {files} files are left"));
        }
        problems
    }

    async fn survive(self, fault: Fault) -> Option<String> {
        let faulty = Arc::new(FaultStorage::with_fault(self.disk.clone(), fault));
        let disk: Arc<dyn Storage> = faulty.clone();
        let ended = faulty.outlive(archive(&disk, &self.environment, 2)).await;
        let mut problems = self.problems().await;
        let environment = QuickClock::next(&self.environment, &faulty, 8);
        let place = Self { environment, ..self };
        match archive(&place.disk, &place.environment, 2).await {
            Ok(_) => problems.extend(place.problems_at_the_end().await),
            Err(error) => problems.push(format!("the second run failed: {error}")),
        }
        let at = faulty.operations().get(fault.at).map(|o| format!("{} {}", o.operation, o.path));
        (!problems.is_empty()).then(|| format!("{fault:?}, {at:?}, {ended:?}:\n  {}", problems.join("\n  ")))
    }
}

/// The operations of an archival without any fault.
async fn operations(template: &Arc<Template>, on_disk: bool) -> Vec<LoggedOperation> {
    let place = Place::new(template, on_disk).await;
    let counting = Arc::new(FaultStorage::new(place.disk.clone()));
    let disk: Arc<dyn Storage> = counting.clone();
    assert_eq!(place.problems().await, [""; 0], "before");
    let report = archive(&disk, &place.environment, 2).await.unwrap();
    assert!(report.commits >= 10 && report.merged == 1 && report.hold.is_none(), "{report:?}");
    assert_eq!(place.problems_at_the_end().await, [""; 0], "without a fault");
    counting.operations()
}

async fn matrix(on_disk: bool, kinds: &[FaultKind]) {
    let template = Arc::new(Template::new().await);
    let faults = faults_at(&operations(&template, on_disk).await, kinds);
    assert!(faults.len() > 30, "{} faults", faults.len());
    all_survive(faults, |fault| {
        let template = template.clone();
        async move { Place::new(&template, on_disk).await.survive(fault).await }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archival_is_gone_on_with_after_any_operation_failed() {
    matrix(false, &ALL_KINDS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archival_on_local_disk_is_gone_on_with_after_a_stop_at_any_operation() {
    matrix(true, &ON_DISK).await;
}
