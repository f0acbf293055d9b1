//! The processes: a job, and three that maintain its table.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{Failed, program};

/// One of them.
struct Process {
    name: String,
    arguments: Vec<&'static str>,
    child: Child,
}

/// All of them. They are killed when dropped.
pub struct Processes {
    folder: PathBuf,
    program: PathBuf,
    all: Vec<Process>,
    random: u64,
}

impl Processes {
    /// Starts the job in `folder`.
    pub fn start(folder: &Path, seed: u64) -> Result<Self, Failed> {
        let mut processes =
            Self { folder: folder.to_owned(), program: program()?, all: Vec::new(), random: seed };
        processes.spawn("ingest".to_owned(), vec!["ingest", "job.yaml", "--format", "json"])?;
        Ok(processes)
    }

    /// Starts those that maintain its table, which is there.
    pub fn maintain(&mut self, maintainers: u64) -> Result<(), Failed> {
        for number in 0..maintainers {
            let arguments = vec!["maintain", "fleet.yaml", "--every", "1s", "--format", "json"];
            self.spawn(format!("maintain-{number}"), arguments)?;
        }
        Ok(())
    }

    fn spawn(&mut self, name: String, arguments: Vec<&'static str>) -> Result<(), Failed> {
        let child = self.child(&name, &arguments)?;
        self.all.push(Process { name, arguments, child });
        Ok(())
    }

    fn child(&self, name: &str, arguments: &[&str]) -> Result<Child, Failed> {
        let log = |kind: &str| {
            let path = self.folder.join(format!("{name}.{kind}"));
            File::options().create(true).append(true).open(path)
        };
        Ok(Command::new(&self.program)
            .args(arguments)
            .current_dir(&self.folder)
            .env("XDG_CACHE_HOME", self.folder.join(format!("cache-{name}")))
            .stdin(Stdio::null())
            .stdout(log("out")?)
            .stderr(log("err")?)
            .spawn()?)
    }

    /// Fails if one has ended by itself.
    pub fn check(&mut self) -> Result<(), Failed> {
        for process in &mut self.all {
            if let Some(status) = process.child.try_wait()? {
                let log = fs::read_to_string(self.folder.join(format!("{}.err", process.name)))?;
                let end = log.lines().rev().take(5).collect::<Vec<_>>().join("\n");
                return Err(format!("{} ended with {status}:\n{end}", process.name).into());
            }
        }
        Ok(())
    }

    /// Kills one, and starts it again.
    pub fn kill_one(&mut self) -> Result<(), Failed> {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let number = (self.random >> 33) as usize % self.all.len();
        self.all[number].child.kill()?;
        self.all[number].child.wait()?;
        let child = self.child(&self.all[number].name, &self.all[number].arguments)?;
        self.all[number].child = child;
        Ok(())
    }

    /// Has all of them end, and says what they did.
    pub fn end(&mut self) -> Result<String, Failed> {
        self.check()?;
        for process in &mut self.all {
            kill_process(Pid::from_child(&process.child), Signal::TERM)?;
            let status = process.child.wait()?;
            if !status.success() {
                return Err(format!("{} ended with {status}", process.name).into());
            }
        }
        Ok(format!("{}\n{}", self.told_by_ingest()?, self.told_by_maintainers()?))
    }

    /// How long its commits took.
    fn told_by_ingest(&self) -> Result<String, Failed> {
        let log = fs::read_to_string(self.folder.join("ingest.err"))?;
        let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut seconds: Vec<f64> = Vec::new();
        let (mut rewound, mut retried) = (0, 0);
        for event in events {
            match event["event"].as_str() {
                Some("committed") => seconds.extend(event["commit_seconds"].as_f64()),
                Some("rewound") => rewound += 1,
                Some("retrying") => retried += 1,
                _ => {}
            }
        }
        seconds.sort_by(f64::total_cmp);
        let at = |percent: usize| seconds.get(seconds.len() * percent / 100).copied().unwrap_or_default();
        if rewound > 0 {
            return Err(format!("the job gave {rewound} checkpoints up").into());
        }
        Ok(format!(
            "{} commits of the job: half of them within {:.3} s, 99 % within {:.3} s, all within {:.3} s; {retried} were \
             tried again",
            seconds.len(),
            at(50),
            at(99),
            seconds.last().copied().unwrap_or_default()
        ))
    }

    fn told_by_maintainers(&self) -> Result<String, Failed> {
        let (mut rounds, mut groups, mut files, mut instants) = (0, 0, 0, 0);
        let maintainers: Vec<&str> =
            self.all.iter().map(|p| p.name.as_str()).filter(|name| name.starts_with("maintain")).collect();
        for name in &maintainers {
            let log = fs::read_to_string(self.folder.join(format!("{name}.out")))?;
            for round in serde_json::Deserializer::from_str(&log).into_iter::<Value>() {
                // A report that was cut off by a kill is the last before a start.
                let Ok(round) = round else { break };
                rounds += 1;
                let table = &round["tables"][0];
                if table["state"] == "failed" {
                    return Err(format!("a service failed: {}", table["error"]).into());
                }
                let of = |name: &str| table["done"][name].as_u64().unwrap_or_default();
                groups += of("compacted_groups");
                files += of("cleaned_files");
                instants += of("archived_instants");
            }
        }
        if !maintainers.is_empty() && (groups == 0 || instants == 0) {
            return Err("nothing was compacted or archived".into());
        }
        Ok(format!(
            "{rounds} rounds of {} maintainers: {groups} file groups compacted, {files} files deleted, {instants} instants \
             archived",
            maintainers.len()
        ))
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        for process in &mut self.all {
            // It may have ended.
            drop(process.child.kill());
            drop(process.child.wait());
        }
    }
}
