//! What a command took.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

use crate::Failure;

/// What a command did and took.
#[derive(Debug, Serialize)]
pub struct Figures {
    /// Rows read or written.
    rows: u64,
    /// Time passed.
    wall_seconds: f64,
    /// CPU time of all threads.
    cpu_seconds: f64,
    /// The most memory that the process ever had.
    peak_bytes: u64,
}

/// Runs `work`, which returns its number of rows.
pub fn measure(work: impl FnOnce() -> Result<u64, Failure>) -> Result<Figures, Failure> {
    let (started, cpu) = (Instant::now(), cpu_time());
    let rows = work()?;
    Ok(Figures {
        rows,
        wall_seconds: started.elapsed().as_secs_f64(),
        cpu_seconds: (cpu_time() - cpu).as_secs_f64(),
        peak_bytes: peak_bytes()?,
    })
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

fn peak_bytes() -> Result<u64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix("kB"));
    Ok(peak.ok_or("the system does not tell the peak of memory")?.trim().parse::<u64>()? * 1024)
}
