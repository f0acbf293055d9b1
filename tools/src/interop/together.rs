//! Spark and Lakebed committing to one table at the same time.

use std::ops::Range;
use std::time::Duration;

use lakebed::storage::Scheme;
use lakebed::table::{Engine, WriteOperation, writer_options};
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::table_config::TableType;
use tokio::sync::watch;

use super::Failed;
use super::ours::{Batch, Ours};
use super::stage::Stage;
use super::step::{Change, rows};
use crate::spark::{Options, Rows, SparkError, SparkTable};

/// Keys that each writes alone, and those that both write.
const OURS: Range<u32> = 100..116;
const THEIRS: Range<u32> = 200..216;
const SHARED: Range<u32> = 300..303;
/// The shared keys are written by every third commit only: Spark gives a write up that meets
/// another one in a file group.
const SHARED_EVERY: u32 = 3;
/// For so long a checkpoint of ours stays in flight, so that Spark comes across it: about as long as
/// Spark takes for a commit.
const IN_FLIGHT: Duration = Duration::from_secs(1);
/// So often Spark writes the same rows anew after conflicts.
const TRIES: u32 = 30;

impl Stage<'_> {
    /// Both upsert, each as fast as it can, with the settings that `lakebed table show` prints.
    pub(super) fn together(&mut self, turns: Range<u32>) -> Result<(), Failed> {
        let script: Vec<_> = turns.map(turn).collect();
        let wide = self.ours_wide();
        let batches = |side: fn(&[Vec<Change>; 2]) -> &Vec<Change>| {
            script.iter().map(|turn| self.batch(side(turn), wide)).collect::<Result<Vec<_>, _>>()
        };
        let (ours, theirs) = (batches(|[ours, _]| ours)?, batches(|[_, theirs]| theirs)?);
        let before = self.timeline()?.completed_writes().count();
        let config = self.runtime.block_on(self.ours.table())?.config;
        let options = writer_options(&config, Scheme::File, Engine::Spark);
        let mut options: Options = options.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        // Cleaning begins with rolling back what dead writers left.
        options.insert("hoodie.clean.automatic".into(), "true".into());

        // Log files agree with one another, base files do not.
        let in_conflict = self.shape.table_type == TableType::CopyOnWrite;
        let (runtime, writer) = (self.runtime, &mut self.ours);
        let mut table = SparkTable::new(self.spark, "t", writer.uri.clone().as_ref());
        table.options.extend(options);
        let (committed, theirs_committed) = watch::channel(());
        let Committed { instants, conflicts } = std::thread::scope(|scope| {
            let ours = scope.spawn(move || {
                let _guard = runtime.enter();
                runtime.block_on(commit_all(writer, &ours, theirs_committed, in_conflict))
            });
            let theirs = upsert_all(&mut table, &theirs, &committed);
            // Our writer then waits for nothing more.
            drop(committed);
            let ours = ours.join().map_err(|_| Failed::from("our writer panicked"))?;
            theirs?;
            ours
        })?;

        if conflicts.is_empty() == in_conflict {
            return Err(
                format!("{} commits of ours were found in conflict: {conflicts:?}", conflicts.len()).into()
            );
        }

        let timeline = self.timeline()?;
        if let Some(lost) = instants.iter().find(|instant| !timeline.is_committed(**instant)) {
            return Err(format!("our commit {lost} is gone").into());
        }
        let (expected, found) = (before + 2 * script.len(), timeline.completed_writes().count());
        if found != expected {
            return Err(format!("{found} commits on the timeline, expected {expected}").into());
        }
        for [ours, theirs] in &script {
            self.takes_in(ours, wide);
            self.takes_in(theirs, wide);
        }
        Ok(())
    }
}

/// What we write in a turn, and what Spark does. Who comes first does not matter: of the shared
/// keys the row with the greater ordering value wins.
fn turn(number: u32) -> [Vec<Change>; 2] {
    let side = |keys: Range<u32>, ahead: u32| {
        let mut changes = vec![rows(keys, 10 + number, 2 * number + ahead)];
        if number.is_multiple_of(SHARED_EVERY) {
            changes.push(rows(SHARED, 2 * number + ahead, 2 * number + ahead));
        }
        changes
    };
    [side(OURS, number % 2), side(THEIRS, 1 - number % 2)]
}

/// What we have committed, and what stood in the way of it.
#[derive(Default)]
struct Committed {
    instants: Vec<InstantTime>,
    conflicts: Vec<String>,
}

/// A commit for each of `batches`. If `in_conflict`, Spark commits while it is in flight; the rows are then written
/// anew and committed in the midst of Spark's next write.
async fn commit_all(
    writer: &mut Ours,
    batches: &[Batch],
    mut theirs: watch::Receiver<()>,
    in_conflict: bool,
) -> Result<Committed, Failed> {
    let mut all = Committed::default();
    for rows in batches {
        theirs.mark_unchanged();
        let mut prepared = writer.prepare(WriteOperation::Upsert, rows).await?;
        if in_conflict {
            // An error says that nothing more is to come.
            theirs.changed().await.ok();
        } else {
            tokio::time::sleep(IN_FLIGHT).await;
        }
        while let Some(reason) = writer.commit_or_rewind(&prepared).await? {
            all.conflicts.push(reason);
            prepared = writer.prepare(WriteOperation::Upsert, rows).await?;
            tokio::time::sleep(IN_FLIGHT / 2).await;
        }
        all.instants.push(prepared.task.instant);
    }
    Ok(all)
}

/// Upserts each of `batches`, and says so of each that is committed.
fn upsert_all(
    table: &mut SparkTable<'_>,
    batches: &[Batch],
    committed: &watch::Sender<()>,
) -> Result<(), Failed> {
    for (rows, _) in batches {
        let mut tries = TRIES;
        loop {
            match table.write("upsert", Rows::Batch(rows), &[]) {
                Ok(()) => break committed.send_replace(()),
                Err(SparkError::Failed { message })
                    if tries > 0 && message.contains("HoodieWriteConflictException") =>
                {
                    tries -= 1;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}
