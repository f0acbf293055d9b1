//! Runs of a pipeline: the newest one alone may commit.

use lakebed_hudi::instant::InstantTime;
use serde::{Deserialize, Serialize};

use super::CommitError;
use crate::storage::{StorageError, TablePath};
use crate::table::Table;

/// How many claims of older epochs are kept for whoever looks into a table.
const KEPT: usize = 4;

/// One run of a pipeline. Each run claims the next number, durably; a run that finds a greater
/// one than its own is fenced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Epoch {
    /// The pipeline.
    pub pipeline: String,
    /// Counted from 1.
    pub number: u64,
}

#[derive(Serialize)]
struct Claim<'a> {
    pipeline: &'a str,
    epoch: u64,
    claimed_at: InstantTime,
    process: u32,
}

/// Refuses names of pipelines that could not be folders.
pub(crate) fn check_name(name: &str) -> Result<(), CommitError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let fits = (1..=100).contains(&name.len()) && name.chars().all(allowed) && !name.starts_with('.');
    if fits { Ok(()) } else { Err(CommitError::PipelineName { name: name.chars().take(120).collect() }) }
}

fn folder(pipeline: &str) -> Result<TablePath, CommitError> {
    Ok(TablePath::literal(".hoodie/.aux/lakebed").join(pipeline)?)
}

impl Epoch {
    /// Where the claims of its pipeline are.
    pub(super) fn folder(&self) -> Result<TablePath, CommitError> {
        folder(&self.pipeline)
    }

    /// Claims the next epoch of `pipeline`, one after that of its last commit, `committed`: where the
    /// claims were removed, runs of then may still live. The caller holds the table lock.
    pub(super) async fn claim(table: &Table, pipeline: &str, committed: u64) -> Result<Self, CommitError> {
        let folder = folder(pipeline)?;
        let mut claims = claims(table, &folder).await?;
        let newest = claims.last().map_or(0, |(number, _)| *number).max(committed);
        let number = newest.checked_add(1).ok_or_else(|| {
            let path = claims.last().map_or_else(|| folder.clone(), |(_, path)| path.clone());
            CommitError::LastEpoch { path }
        })?;
        let now = InstantTime::from_unix_millis(table.environment.clock.unix_millis(), table.zone);
        let claim = Claim { pipeline, epoch: number, claimed_at: now, process: std::process::id() };
        let text = serde_json::to_string(&claim).unwrap_or_default();
        let path = folder.join(&format!("epoch-{number:010}.json"))?;
        table.storage.put_if_absent(&path, text.into()).await?;
        claims.truncate(claims.len().saturating_sub(KEPT));
        for (_, old) in claims {
            table.storage.delete(&old).await?;
        }
        Ok(Self { pipeline: pipeline.to_owned(), number })
    }

    /// The epoch that has fenced this one, if any.
    pub(crate) async fn fenced_by(&self, table: &Table) -> Result<Option<u64>, CommitError> {
        let claims = claims(table, &self.folder()?).await?;
        Ok(claims.last().map(|(number, _)| *number).filter(|newest| *newest > self.number))
    }
}

/// The claims in `folder`, by number.
async fn claims(table: &Table, folder: &TablePath) -> Result<Vec<(u64, TablePath)>, StorageError> {
    let listing = table.storage.list(folder).await?;
    let mut claims: Vec<_> = listing
        .files
        .into_iter()
        .filter_map(|file| {
            let digits = file.path.file_name().strip_prefix("epoch-")?.strip_suffix(".json")?;
            Some((digits.parse().ok()?, file.path.clone()))
        })
        .collect();
    claims.sort();
    Ok(claims)
}
