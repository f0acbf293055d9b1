//! Every operation of what undoes or keeps a commit fails, or stops the process, before and after it is done.

use lakebed::storage::Operation;
use lakebed::storage::fault::{Fault, FaultStorage};

use super::*;
use crate::recovery::audit;
use crate::recovery::faults::{ALL_KINDS, all_survive, faults_at, files_of};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Job {
    RollBack,
    RollBackDead,
    Savepoint,
    DeleteSavepoint,
    Restore,
}

/// A table on which a job is done, and what it is like then.
struct Template {
    files: Files,
    table_type: TableType,
    job: Job,
    savepoint: InstantTime,
    newest: InstantTime,
    dead: InstantTime,
    /// The rows, and the checkpoint that the pipeline goes on from.
    expected: (Model, u64),
}

impl Template {
    async fn new(table_type: TableType, job: Job) -> Self {
        let scene = Scene::new(table_type).await;
        let mut model = Model::default();
        let mut write = async |changes: &[Change]| {
            scene.upsert(changes).await;
            model.upsert(changes);
            model.clone()
        };
        write(&[put("a", "x", 1), put("b", "y", 1), put("c", "z", 1)]).await;
        let kept = write(&[put("a", "x", 2), put("d", "x", 2)]).await;
        scene.compact().await;
        let savepoint = scene.savepoint().await;
        let mut before = write(&[put("a", "x", 3), put("e", "y", 3), put("g", "w", 3)]).await;
        scene.compact().await;
        let overwritten = [put("f", "y", 4)];
        scene.write(WriteOperation::InsertOverwrite, &overwritten).await;
        before.overwrite(&overwritten);
        if table_type == TableType::MergeOnRead {
            scene.upsert(&[put("a", "x", 5)]).await;
            before.upsert(&[put("a", "x", 5)]);
            services::schedule(&scene.maintainer().await).await.unwrap().unwrap();
        }
        let last = [put("a", "x", 6), put("h", "v", 6)];
        let newest = scene.upsert(&last).await;
        let mut all = before.clone();
        all.upsert(&last);
        let dead = match job {
            Job::RollBackDead | Job::Restore => scene.dies(&[put("a", "x", 9), put("i", "u", 9)]).await,
            _ => newest,
        };
        let checkpoints = if table_type == TableType::MergeOnRead { 6 } else { 5 };
        let expected = match job {
            Job::RollBack => (before, checkpoints - 1),
            Job::Restore => (kept, 2),
            _ => (all, checkpoints),
        };
        let files = files_of(scene.disk.as_ref()).await;
        Self { files, table_type, job, savepoint, newest, dead, expected }
    }

    async fn run(&self, maintainer: &Maintainer) -> Result<(), MaintainError> {
        let committer = maintainer.committer();
        let roll_back = async |instant| match committer.roll_back(instant).await {
            // An earlier try has done all of it.
            Err(CommitError::Undo(UndoError::Unknown { .. })) => Ok(()),
            done => done.map(drop),
        };
        match self.job {
            Job::RollBack => roll_back(self.newest).await?,
            Job::RollBackDead => roll_back(self.dead).await?,
            Job::Savepoint => drop(committer.savepoint(Some(self.newest), "u", "c").await?),
            Job::DeleteSavepoint => match committer.delete_savepoint(self.savepoint).await {
                Err(CommitError::Undo(UndoError::NoSavepoint { .. })) => {}
                deleted => deleted?,
            },
            Job::Restore => drop(maintainer.restore(self.savepoint, &no_limits(), &|_| {}).await?),
        }
        Ok(())
    }

    async fn scene(&self) -> Scene {
        let environment = QuickClock::an_hour_after(&QuickClock::environment(0), 7);
        let disk = disk_of(&self.files, &environment).await;
        Scene { disk, environment, table_type: self.table_type }
    }

    /// What is wrong with the table when the job is done and the pipeline goes on.
    async fn problems(&self, scene: &Scene) -> Vec<String> {
        let maintainer = scene.maintainer().await;
        let mut problems = Vec::new();
        let savepoints = completed(&maintainer, Action::Savepoint).await;
        let expected = match self.job {
            Job::Savepoint => vec![self.savepoint, self.newest],
            Job::DeleteSavepoint => vec![],
            _ => vec![self.savepoint],
        };
        if savepoints != expected {
            problems.push(format!("savepoints {savepoints:?}"));
        }
        let counts = [Action::Rollback, Action::Restore].map(|action| completed(&maintainer, action));
        let counts = futures::future::join_all(counts).await;
        let counts: Vec<usize> = counts.iter().map(Vec::len).collect();
        let expected = match self.job {
            Job::RollBack | Job::RollBackDead => [1, 0],
            Job::Restore => [0, 1],
            Job::Savepoint | Job::DeleteSavepoint => [0, 0],
        };
        if counts != expected {
            problems.push(format!("rollbacks and restores {counts:?}"));
        }
        let (mut model, checkpoint) = self.expected.clone();
        let stands = scene.sink("p", WriteOperation::Upsert).await.unwrap().progress();
        if stands.as_ref().map(|stands| stands.checkpoint) != Some(checkpoint) {
            problems.push(format!("the pipeline goes on from {stands:?}"));
        }
        let more = [put("a", "x", 20), put("z", "y", 20)];
        scene.upsert(&more).await;
        model.upsert(&more);
        scene.compact().await;
        problems.extend(audit::problems(&scene.disk, &scene.environment, &model).await);
        problems
    }

    /// Runs with a fault, then without: at once, if the process lives, and when it counts as dead.
    async fn survive(&self, fault: Fault) -> Option<String> {
        let scene = self.scene().await;
        let faulty = FaultStorage::with_fault(scene.disk.clone(), fault);
        let storage: Arc<dyn Storage> = Arc::new(faulty.clone());
        let work = async { self.run(&open(&storage, &scene.environment).await?).await };
        let ended = faulty.outlive(work).await;
        let mut scene = scene;
        for seed in [8, 9] {
            scene.environment = match seed {
                8 => QuickClock::next(&scene.environment, &faulty, seed),
                _ => QuickClock::an_hour_after(&scene.environment, seed),
            };
            if let Err(error) = self.run(&scene.maintainer().await).await {
                return Some(format!("{fault:?}, {ended:?}: the next run failed: {error}"));
            }
        }
        let problems = self.problems(&scene).await;
        let at = faulty.operations().get(fault.at).map(|o| format!("{} {}", o.operation, o.path));
        (!problems.is_empty()).then(|| format!("{fault:?}, {at:?}, {ended:?}:\n  {}", problems.join("\n  ")))
    }
}

async fn matrix(job: Job, deletes: usize) {
    for table_type in [TableType::CopyOnWrite, TableType::MergeOnRead] {
        let template = Arc::new(Template::new(table_type, job).await);
        let scene = template.scene().await;
        let counting = FaultStorage::new(scene.disk.clone());
        let storage: Arc<dyn Storage> = Arc::new(counting.clone());
        template.run(&open(&storage, &scene.environment).await.unwrap()).await.unwrap();
        let operations = counting.operations();
        assert_eq!(template.problems(&scene).await, [""; 0], "without a fault");
        let is_data = |path: &str| !path.starts_with('.');
        let gone = operations.iter().filter(|o| o.operation == Operation::Delete && is_data(o.path.as_str()));
        assert!(gone.count() >= deletes, "{operations:?}");
        all_survive(faults_at(&operations, &ALL_KINDS), |fault| {
            let template = template.clone();
            async move { template.survive(fault).await }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_of_the_newest_commit_survives_a_fault_at_any_operation() {
    matrix(Job::RollBack, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_of_a_dead_write_survives_a_fault_at_any_operation() {
    matrix(Job::RollBackDead, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn making_a_savepoint_survives_a_fault_at_any_operation() {
    matrix(Job::Savepoint, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_a_savepoint_survives_a_fault_at_any_operation() {
    matrix(Job::DeleteSavepoint, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_survives_a_fault_at_any_operation() {
    matrix(Job::Restore, 6).await;
}
