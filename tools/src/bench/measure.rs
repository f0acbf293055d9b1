//! Two sides measured in turn.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// What one run of one side took.
#[derive(Debug, Clone, Copy, Default)]
pub struct Figures {
    /// CPU time of all threads.
    pub cpu: Duration,
    /// Time passed.
    pub wall: Duration,
    /// Bytes written.
    pub bytes: u64,
}

/// Runs `work`, which returns the bytes it has written.
pub fn measure<E>(work: impl FnOnce() -> Result<u64, E>) -> Result<Figures, E> {
    let (cpu, wall) = (now(ClockId::ProcessCPUTime), now(ClockId::Monotonic));
    let bytes = work()?;
    Ok(Figures { cpu: now(ClockId::ProcessCPUTime) - cpu, wall: now(ClockId::Monotonic) - wall, bytes })
}

fn now(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

/// Prints the medians of both sides and the ratios of the medians.
#[expect(clippy::print_stdout, reason = "the figures are what the command is for")]
pub fn report(title: &str, ours: &[Figures], limit: &[Figures]) {
    let seconds = |pick: fn(&Figures) -> Duration, runs: &[Figures]| {
        median(runs.iter().map(|run| pick(run).as_secs_f64()).collect())
    };
    let megabytes = |runs: &[Figures]| median(runs.iter().map(|run| run.bytes as f64 / 1e6).collect());
    println!("{title}, medians of {} runs", ours.len());
    println!("{:>10} {:>10} {:>10} {:>8}", "", "lakebed", "limit", "ratio");
    let rows = [
        ("CPU s", seconds(|f| f.cpu, ours), seconds(|f| f.cpu, limit)),
        ("wall s", seconds(|f| f.wall, ours), seconds(|f| f.wall, limit)),
        ("MB", megabytes(ours), megabytes(limit)),
    ];
    for (name, ours, limit) in rows {
        println!("{name:>10} {ours:>10.3} {limit:>10.3} {:>7.2}x", ours / limit);
    }
}

/// Prints the medians of ours, and how many times those of others ours are.
#[expect(clippy::print_stdout, reason = "the figures are what the command is for")]
pub fn report_beside(title: &str, ours: &[Figures], others: &[(&str, &[Figures])]) {
    let pick = |pick: fn(&Figures) -> f64, runs: &[Figures]| median(runs.iter().map(pick).collect());
    println!("{title}, medians of {} runs", ours.len());
    print!("{:>10} {:>10}", "", "lakebed");
    others.iter().for_each(|(name, _)| print!(" {name:>10} {:>8}", "ratio"));
    println!();
    let figures: [fn(&Figures) -> f64; 3] =
        [|run| run.cpu.as_secs_f64(), |run| run.wall.as_secs_f64(), |run| run.bytes as f64 / 1e6];
    for (name, of) in ["CPU s", "wall s", "MB"].into_iter().zip(figures) {
        let own = pick(of, ours);
        print!("{name:>10} {own:>10.3}");
        for (_, runs) in others {
            let other = pick(of, runs);
            print!(" {other:>10.3} {:>7.2}x", own / other);
        }
        println!();
    }
}

/// The middle one of `values`.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
