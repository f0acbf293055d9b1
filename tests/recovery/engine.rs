//! A small but complete engine around the sink.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lakebed::commit::{CommitOptions, Outcome, PipelineProgress};
use lakebed::environment::Environment;
use lakebed::sink::{Prepared, Sink, SinkCommitter, SinkError, SinkOptions};
use lakebed::storage::Storage;
use lakebed::table::WriteOperation;

use super::model::{Change, Model, batch};

/// What one checkpoint does.
#[derive(Debug, Clone)]
pub struct Step {
    pub operation: WriteOperation,
    pub changes: Vec<Change>,
}

pub fn model_of(steps: &[Step]) -> Model {
    let mut model = Model::default();
    for step in steps {
        match step.operation {
            WriteOperation::InsertOverwrite => model.overwrite(&step.changes),
            WriteOperation::InsertOverwriteTable => model.overwrite_table(&step.changes),
            _ => model.upsert(&step.changes),
        }
    }
    model
}

pub fn options(operation: WriteOperation) -> SinkOptions {
    SinkOptions {
        operation,
        memory_bytes: Some(128 << 20),
        // Nobody tells the time of heartbeats here: those of other pipelines are dead at once.
        commit: CommitOptions { heartbeat_misses: 0, ..CommitOptions::default() },
        ..SinkOptions::default()
    }
}

/// What an engine keeps of its checkpoints beside the table; it outlives the process.
pub type Store = Arc<Mutex<Vec<Prepared>>>;

/// A pipeline that writes `steps`, checkpoint by checkpoint, two of them in flight at a time.
pub struct Engine {
    pub storage: Arc<dyn Storage>,
    pub environment: Environment,
    pub steps: Arc<Vec<Step>>,
    /// Where prepared checkpoints are kept, if they are.
    pub store: Option<Store>,
    /// A checkpoint at which a second process of the pipeline takes over from the first.
    pub take_over_at: Option<u64>,
}

/// How often something is tried again that failed while the process lives.
const TRIES: usize = 3;

impl Engine {
    /// Goes on from where the table says that the pipeline came, to the last step.
    pub async fn run(&self) -> Result<(), SinkError> {
        let mut sink = self.open(self.steps[0].operation, self.stored()).await?;
        for prepared in sink.take_restored() {
            match self.commit(sink.committer(), &prepared).await? {
                Outcome::Committed { .. } | Outcome::AlreadyCommitted { .. } => {}
                _ => {
                    sink.rewind().await?;
                    break;
                }
            }
        }
        self.forget();
        while let Some(step) = self.step(sink.progress().unwrap_or_default().checkpoint + 1) {
            sink = self.open(step.operation, Vec::new()).await?;
            let mut tries = 0;
            while let Err(error) = self.go_on(&mut sink, step.operation).await {
                tries += 1;
                if tries == TRIES {
                    return Err(error);
                }
                sink.rewind().await?;
                self.forget();
            }
        }
        Ok(())
    }

    /// Writes the steps of `operation` that come next.
    async fn go_on(&self, sink: &mut Sink, operation: WriteOperation) -> Result<(), SinkError> {
        let mut in_flight: Vec<Prepared> = Vec::new();
        let mut checkpoint = sink.progress().unwrap_or_default().checkpoint;
        loop {
            let next = self.step(checkpoint + 1).filter(|step| step.operation == operation);
            if in_flight.len() == 2 || next.is_none() {
                for prepared in std::mem::take(&mut in_flight) {
                    match self.commit(sink.committer(), &prepared).await? {
                        Outcome::Committed { .. } | Outcome::AlreadyCommitted { .. } => {}
                        other => return Err(SinkError::Rewind { reason: format!("{other:?}") }),
                    }
                }
                self.forget();
            }
            let Some(step) = next else { return Ok(()) };
            checkpoint += 1;
            let prepared = self.prepare(sink, checkpoint, step).await?;
            if self.take_over_at == Some(checkpoint) {
                // Who keeps what it prepared hands it on.
                let restored: Vec<Prepared> = self.store.iter().map(|_| prepared.clone()).collect();
                let before = std::mem::replace(sink, self.open(operation, restored).await?);
                let outcome = self.commit(before.committer(), &prepared).await?;
                assert!(matches!(outcome, Outcome::Fenced { .. }), "{outcome:?}");
                for adopted in sink.take_restored() {
                    let outcome = self.commit(sink.committer(), &adopted).await?;
                    assert!(matches!(outcome, Outcome::Committed { .. }), "{outcome:?}");
                }
                let stands = sink.progress().unwrap_or_default().checkpoint;
                if stands < checkpoint {
                    checkpoint = stands + 1;
                    in_flight.push(self.prepare(sink, checkpoint, self.step(checkpoint).unwrap()).await?);
                }
            } else {
                in_flight.push(prepared);
            }
            if let Some(store) = &self.store {
                *store.lock().unwrap() = in_flight.clone();
            }
        }
    }

    async fn prepare(&self, sink: &mut Sink, checkpoint: u64, step: &Step) -> Result<Prepared, SinkError> {
        let (rows, deletes) = batch(&step.changes);
        let deletes = (!step.operation.adds_only()).then_some(&deletes);
        let refused = sink.write(&rows, deletes).await?;
        assert!(refused.is_empty(), "{refused:?}");
        let progress = PipelineProgress { checkpoint, sources: BTreeMap::new(), epoch: 0 };
        Ok(sink.prepare(progress).await?.unwrap())
    }

    /// Commits until it is known what became of it.
    async fn commit(&self, sink: SinkCommitter, prepared: &Prepared) -> Result<Outcome, SinkError> {
        let mut tries = 1;
        loop {
            match sink.commit(prepared).await {
                Err(_) | Ok(Outcome::Retryable { .. }) if tries < TRIES => tries += 1,
                done => return done,
            }
            self.environment.clock.sleep(Duration::from_secs(1)).await;
        }
    }

    pub async fn open(&self, operation: WriteOperation, restored: Vec<Prepared>) -> Result<Sink, SinkError> {
        Sink::open(self.storage.clone(), &self.environment, "p", restored, options(operation)).await
    }

    fn step(&self, checkpoint: u64) -> Option<&Step> {
        self.steps.get(checkpoint as usize - 1)
    }

    fn stored(&self) -> Vec<Prepared> {
        self.store.as_ref().map(|store| store.lock().unwrap().clone()).unwrap_or_default()
    }

    fn forget(&self) {
        if let Some(store) = &self.store {
            store.lock().unwrap().clear();
        }
    }
}
