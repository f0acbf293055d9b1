//! Ten upserts and a delete, each a commit, everything included.

use arrow::array::RecordBatch;
use lakebed::sink::Sink;

use super::load::{Failure, checkpoint, open};
use super::measure::{measure, report};
use super::{WorkloadArgs, limit};
use crate::workload::{GROUPS, UPSERTS, Workload};

/// The rows of one commit, and whether it deletes their keys.
struct Change {
    rows: Vec<RecordBatch>,
    delete: bool,
}

pub fn run(args: WorkloadArgs) -> Result<(), Failure> {
    let workload = args.workload();
    let base: Vec<RecordBatch> = workload.base().collect();
    let changes = changes(&workload);
    let dealt: Vec<_> = changes.iter().map(|change| limit::deal_rows(&change.rows, GROUPS)).collect();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    for run in 0..=args.runs {
        let folder = tempfile::tempdir()?;
        let limit = measure(|| {
            dealt
                .iter()
                .try_fold(0, |bytes, files| Ok::<_, Failure>(bytes + limit::write(folder.path(), files)?))
        })?;
        let path = folder.path().join("t");
        let mut sink = runtime.block_on(async {
            let mut sink = open(&path, &workload).await?;
            checkpoint(&mut sink, 1, &base, false).await?;
            Ok::<_, Failure>(sink)
        })?;
        let changed = measure(|| runtime.block_on(apply(&mut sink, &changes)))?;
        // The first run warms up.
        if run > 0 {
            ours.push(changed);
            theirs.push(limit);
        }
    }
    let title = format!("upserts/{:?}/{UPSERTS} of {} rows and a delete", args.shape, args.upsert_rows);
    report(&title, &ours, &theirs);
    Ok(())
}

fn changes(workload: &Workload) -> Vec<Change> {
    let upserts =
        (0..UPSERTS).map(|number| Change { rows: workload.upsert(number).collect(), delete: false });
    let delete = Change { rows: workload.delete().collect(), delete: true };
    upserts.chain([delete]).collect()
}

async fn apply(sink: &mut Sink, changes: &[Change]) -> Result<u64, Failure> {
    let mut bytes = 0;
    for (change, number) in changes.iter().zip(2..) {
        bytes += checkpoint(sink, number, &change.rows, change.delete).await?;
    }
    Ok(bytes)
}
