//! hudi-core, a process for each task.

use std::path::Path;

use super::super::load::Failure;
use super::workload_files::WorkloadFiles;
use super::{COLUMNS, Side, Taken, Task};
use crate::peers::{Figures, HudiRs, PeerTable};

pub struct HudiCore {
    pub program: HudiRs,
    /// Whether it finds rows by the record index of a metadata table, or by reading keys.
    pub record_index: bool,
}

impl Side for HudiCore {
    fn name(&self) -> &'static str {
        if self.record_index { "hudi-core, record index" } else { "hudi-core, no index" }
    }

    fn run(&mut self, task: Task, folder: &Path, files: &WorkloadFiles) -> Result<Taken, Failure> {
        let record_index = self.record_index;
        let table = PeerTable { folder, key: "id", partition: "region", ordering: "ts", record_index };
        let figures = match task {
            Task::Load => self.program.load(table, &files.base),
            Task::Change => self.program.change(table, &files.upserts, &files.delete),
            Task::Read => self.program.scan(folder, &COLUMNS),
            Task::Compact => self.program.compact(folder),
        };
        let Figures { rows, wall_seconds, cpu_seconds, peak_bytes } = figures?;
        Ok(Taken { rows, wall_seconds, cpu_seconds, peak_bytes })
    }
}
