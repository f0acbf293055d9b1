//! `lakebed maintain` where nothing, or little, is due, as a process.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use clap::Args;
use lakebed::environment::Environment;
use rustix::process::Pid;

use super::commits::Commits;
use super::load::Failure;
use super::measure::median;
use super::process;

/// How many tables.
#[derive(Debug, Args)]
pub struct FleetArgs {
    /// Tables of the fleet, of one file group each.
    #[arg(long, default_value_t = 1_000)]
    tables: usize,
    /// File groups of the large table.
    #[arg(long, default_value_t = 10_000)]
    groups: u32,
    /// Counted runs.
    #[arg(long, default_value_t = 5)]
    runs: usize,
}

/// Commits of each table.
const COMMITS: u64 = 5;

/// Measures and prints.
#[expect(clippy::print_stdout, reason = "the figures are what the command is for")]
pub fn run(args: &FleetArgs) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let lake = tempfile::tempdir()?;
    let fleet = lake.path().join("fleet");
    let template = fleet.join("0");
    runtime.block_on(written(&template, 1))?;
    for number in 1..args.tables {
        copy(&template, &fleet.join(number.to_string()))?;
    }
    let large = lake.path().join("large");
    runtime.block_on(written(&large, args.groups))?;
    let place = Place { program: program()?, known: lake.path().join("known") };
    println!("lakebed maintain on local disk, {} runs each", args.runs);
    println!("{:>44} {:>10} {:>10}", "", "ms", "peak MiB");
    let all = format!("{}/*", fleet.display());
    // What is due is done before.
    place.run(&[&all])?;
    place.tell(&format!("{} idle tables, first run", args.tables), &[&all], 1, true)?;
    place.tell(&format!("{} idle tables", args.tables), &[&all], args.runs, false)?;
    let one = template.display().to_string();
    place.tell("one idle table, first run", &[&one], args.runs, true)?;
    place.tell("one idle table", &[&one], args.runs, false)?;
    let large = large.display().to_string();
    place.tell(&format!("plan of {} file groups", args.groups), &[&large, "--dry-run"], args.runs, true)?;
    Ok(())
}

/// A table of `groups` file groups, and log files in one of them.
async fn written(folder: &Path, groups: u32) -> Result<(), Failure> {
    let mut commits = Commits::start(folder, groups).await?;
    while commits.number < COMMITS {
        commits.commit().await?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy(&entry.path(), &target)?,
            false => _ = fs::copy(entry.path(), target)?,
        }
    }
    Ok(())
}

fn program() -> Result<PathBuf, Failure> {
    let program = std::env::current_exe()?.with_file_name("lakebed");
    match program.exists() {
        true => Ok(program),
        false => Err(format!("{} is missing: build it with cargo build --release", program.display()).into()),
    }
}

struct Place {
    program: PathBuf,
    /// Where is kept what is known of tables.
    known: PathBuf,
}

impl Place {
    /// Runs `lakebed maintain` so often, each time `afresh` with nothing known if so, and prints the medians.
    #[expect(clippy::print_stdout, reason = "the figures are what the command is for")]
    fn tell(&self, what: &str, arguments: &[&str], runs: usize, afresh: bool) -> Result<(), Failure> {
        let (mut times, mut peaks) = (Vec::new(), Vec::new());
        for _ in 0..runs {
            if afresh && self.known.exists() {
                fs::remove_dir_all(&self.known)?;
            }
            let (time, peak) = self.run(arguments)?;
            times.push(time.as_secs_f64() * 1e3);
            peaks.push(peak as f64 / f64::from(1 << 20));
        }
        println!("{what:>44} {:>10.1} {:>10.1}", median(times), median(peaks));
        Ok(())
    }

    fn run(&self, arguments: &[&str]) -> Result<(Duration, u64), Failure> {
        let clock = Environment::real().clock;
        let started = clock.monotonic();
        let mut child = Command::new(&self.program)
            .arg("maintain")
            .args(arguments)
            .env("XDG_CACHE_HOME", &self.known)
            .stdout(Stdio::null())
            .spawn()?;
        let process = Pid::from_child(&child);
        let mut peak = 0;
        let status = loop {
            // It may have ended.
            peak = peak.max(process::peak_bytes(process).unwrap_or_default());
            match child.try_wait()? {
                Some(status) => break status,
                None => std::thread::sleep(Duration::from_micros(500)),
            }
        };
        match status.code() {
            Some(0 | 3) => Ok((clock.monotonic() - started, peak)),
            _ => Err(format!("lakebed maintain failed: {status}").into()),
        }
    }
}
