//! Random histories with savepoints, rollbacks and restores, against a model.

use lakebed::maintain::clean::CleanPolicy;

use super::*;
use crate::recovery::audit;
use crate::recovery::model::Random;

const SEEDS: u64 = 8;

/// What happened, as plainly as can be: the rows after each write that is still there.
struct History {
    scene: Scene,
    random: Random,
    writes: Vec<(InstantTime, Model)>,
    savepoints: Vec<InstantTime>,
    /// How often a rollback and a restore were done, and refused.
    counts: [usize; 3],
}

impl History {
    fn rows(&self) -> Model {
        self.writes.last().map(|(_, model)| model.clone()).unwrap_or_default()
    }

    fn changes(&mut self, ts: i64) -> Vec<Change> {
        let ids = ["a", "b", "c", "d", "e"];
        let mut changes = Vec::new();
        for id in ids {
            let partition = ["x", "y"][self.random.below(2) as usize];
            match self.random.below(4) {
                0 => changes.push(put(id, partition, ts)),
                1 => changes.push(Change::delete(id, partition, ts)),
                _ => {}
            }
        }
        changes.push(put("f", "x", ts));
        changes
    }

    async fn step(&mut self, ts: i64) {
        match self.random.below(10) {
            0..=3 => self.write(ts, WriteOperation::Upsert).await,
            4 => self.write(ts, WriteOperation::InsertOverwrite).await,
            5 => self.scene.compact().await,
            6 if !self.writes.is_empty() => {
                let made = self.scene.maintainer().await.committer().savepoint(None, "u", "c").await;
                match made {
                    Ok(made) if made.is_new => self.savepoints.push(made.instant),
                    Ok(_) => {}
                    // What was kept of the commits before it was rolled back.
                    Err(CommitError::Table(_)) => self.counts[2] += 1,
                    Err(other) => panic!("{other}"),
                }
            }
            7 => {
                let table = self.scene.maintainer().await.table().clone();
                services::clean(&table, CleanPolicy::KeepLatestCommits(2)).await;
            }
            8 => self.roll_back().await,
            _ => self.restore().await,
        }
    }

    async fn write(&mut self, ts: i64, operation: WriteOperation) {
        let mut changes = self.changes(ts);
        let mut model = self.rows();
        if operation == WriteOperation::InsertOverwrite {
            changes.retain(|change| !change.delete);
            model.overwrite(&changes);
        } else {
            model.upsert(&changes);
        }
        let instant = self.scene.write(operation, &changes).await;
        self.writes.push((instant, model));
    }

    async fn roll_back(&mut self) {
        let newest = self.scene.maintainer().await.committer().newest_commit().await.unwrap();
        let Some(newest) = newest else { return };
        match self.scene.roll_back(newest).await {
            Ok(()) => {
                self.writes.retain(|(instant, _)| *instant != newest);
                self.counts[0] += 1;
            }
            Err(_) => self.counts[2] += 1,
        }
    }

    async fn restore(&mut self) {
        if self.savepoints.is_empty() {
            return;
        }
        let savepoint = self.savepoints[self.random.below(self.savepoints.len() as u64) as usize];
        match self.scene.restore(savepoint).await {
            Ok(outcome) => {
                assert!(outcome.is_none_or(RunOutcome::is_over), "{outcome:?}");
                let timeline = self.scene.maintainer().await.table().timeline.load().await.unwrap();
                self.writes.retain(|(instant, _)| timeline.write_at(*instant).is_some());
                self.counts[1] += 1;
            }
            Err(MaintainError::Commit(CommitError::Undo(UndoError::Savepointed { instant }))) => {
                self.scene.maintainer().await.committer().delete_savepoint(instant).await.unwrap();
                self.savepoints.retain(|kept| *kept != instant);
                self.counts[2] += 1;
            }
            Err(other) => panic!("{other}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_read_as_if_what_was_taken_back_had_never_been() {
    let mut counts = [0; 3];
    for seed in 0..SEEDS {
        for table_type in [TableType::CopyOnWrite, TableType::MergeOnRead] {
            let scene = Scene::new(table_type).await;
            let random = Random(seed);
            let mut history = History { scene, random, writes: vec![], savepoints: vec![], counts: [0; 3] };
            for ts in 1..=25 {
                history.step(ts).await;
                let model = history.rows();
                let found = audit::rows(history.scene.maintainer().await.table()).await.unwrap();
                assert_eq!(model.differences(&found), [""; 0], "seed {seed}, {table_type:?}, step {ts}");
                history.scene = history.scene.later(seed * 100 + ts as u64);
            }
            for (sum, count) in counts.iter_mut().zip(history.counts) {
                *sum += count;
            }
        }
    }
    assert!(counts.iter().all(|count| *count > 3), "{counts:?}");
}
