//! Cleaning.

mod cleaning;
mod crashes;
mod golden;
mod meanwhile;
mod plans;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lakebed::commit::Scheduled;
use lakebed::environment::Environment;
use lakebed::maintain::clean::{CleanPolicy, CleanReport, CleanRules, plan};
use lakebed::maintain::{MaintainError, MaintainOptions, Maintainer, RunLimits, RunOutcome};
use lakebed::storage::Storage;
use lakebed_hudi::instant::InstantTime;
use tokio::sync::watch;

use crate::test_table::services::{cleaned as clean, no_limits, schedule_clean as schedule};
use crate::test_table::*;

/// Rules that leave nothing for readers.
fn rules(policy: CleanPolicy) -> CleanRules {
    CleanRules { policy, reader_window: Duration::ZERO }
}

fn commits(kept: usize) -> CleanRules {
    rules(CleanPolicy::KeepLatestCommits(kept))
}

fn versions(kept: usize) -> CleanRules {
    rules(CleanPolicy::KeepLatestFileVersions(kept))
}

async fn maintainer(storage: &Arc<dyn Storage>, environment: &Environment) -> Maintainer {
    Maintainer::open(storage.clone(), environment, MaintainOptions::default()).await.unwrap()
}

fn is_done(report: &CleanReport) -> bool {
    matches!(report.outcome, RunOutcome::Committed { .. })
}

/// Makes a file an hour older: whoever wrote it is not about it any more.
fn make_older(file: impl AsRef<Path>) {
    let file = File::options().write(true).open(file).unwrap();
    let modified = file.metadata().unwrap().modified().unwrap();
    file.set_modified(modified - Duration::from_secs(3600)).unwrap();
}

impl TestTable {
    async fn maintainer(&self) -> Maintainer {
        maintainer(&self.storage, &self.environment).await
    }

    /// The data files, sorted.
    fn data_files(&self) -> Vec<String> {
        let mut files = [self.files_named(".parquet"), self.files_named(".log.")].concat();
        files.sort();
        files
    }
}
