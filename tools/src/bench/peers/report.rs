//! The table of all sides.

use super::super::load::Failure;
use super::super::measure::median;
use super::{Contender, PeersArgs, Run, Taken, Task};

/// Prints the medians of every side for every task, and their ratios to Lakebed's.
#[expect(clippy::print_stdout, reason = "the figures are what the command is for")]
pub fn print(args: &PeersArgs, sides: &[Contender]) {
    for task in Task::ALL {
        println!("{}", title(args, task));
        println!("{:24} {:>5} {:>17} {:>17} {:>17} {:>17}", "", "runs", "wall s", "CPU s", "peak MB", "MB");
        let Some(lakebed) = sides.first().map(|side| Medians::of(side, task)) else { return };
        for side in sides {
            let medians = Medians::of(side, task);
            let cells: Vec<String> =
                medians.values.iter().zip(lakebed.values).map(|(v, l)| cell(*v, l)).collect();
            println!("{:24} {:>5} {}", side.side.name(), medians.runs, cells.join(" "));
        }
        println!();
    }
}

/// Fails unless every side read the same number of rows in every run.
#[expect(clippy::print_stdout, reason = "the figures are what the command is for")]
pub fn same_rows(sides: &[Contender]) -> Result<(), Failure> {
    let reads = |side: &Contender| -> Vec<u64> {
        let reads = side.runs.iter().filter(|run| run.task == Task::Read);
        reads.map(|run| run.taken.rows).collect()
    };
    let wanted = sides.first().and_then(|side| reads(side).first().copied()).ok_or("nothing was read")?;
    for side in sides {
        if let Some(rows) = reads(side).into_iter().find(|rows| *rows != wanted) {
            return Err(
                format!("{} reads {rows} rows of its table, Lakebed {wanted}", side.side.name()).into()
            );
        }
    }
    println!("every side reads {wanted} rows of what it wrote");
    Ok(())
}

fn title(args: &PeersArgs, task: Task) -> String {
    let workload = &args.workload;
    let what = match task {
        Task::Load => format!("load of {} rows", workload.base_rows),
        Task::Change => format!("ten upserts of {} rows and a delete", workload.upsert_rows),
        Task::Read => "three columns of unmerged slices".to_owned(),
        Task::Compact => "compaction of all file groups".to_owned(),
    };
    format!("{:?}: {what}, medians and their ratios to Lakebed's", workload.shape)
}

struct Medians {
    runs: usize,
    /// Wall and CPU seconds, megabytes of memory and of the table.
    values: [f64; 4],
}

impl Medians {
    fn of(side: &Contender, task: Task) -> Self {
        let runs: Vec<&Run> = side.runs.iter().filter(|run| run.task == task).collect();
        let of = |pick: fn(&Run) -> f64| median(runs.iter().map(|run| pick(run)).collect());
        let taken: [fn(&Run) -> f64; 4] = [
            |Run { taken: Taken { wall_seconds, .. }, .. }| *wall_seconds,
            |Run { taken: Taken { cpu_seconds, .. }, .. }| *cpu_seconds,
            |Run { taken: Taken { peak_bytes, .. }, .. }| *peak_bytes as f64 / 1e6,
            |run| run.grown_bytes as f64 / 1e6,
        ];
        Self { runs: runs.len(), values: taken.map(of) }
    }
}

/// A figure and its ratio to Lakebed's, where there is one.
fn cell(value: f64, lakebed: f64) -> String {
    if lakebed > 0.0 {
        format!("{value:>10.2} {:>5.1}x", value / lakebed)
    } else {
        format!("{value:>10.2} {:>6}", "")
    }
}
