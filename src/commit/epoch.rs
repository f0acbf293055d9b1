//! Runs of a pipeline: the newest one alone may commit.

use lakebed_hudi::instant::InstantTime;
use serde::{Deserialize, Serialize};

use super::CommitError;
use crate::storage::{StorageError, TablePath};
use crate::table::Table;

/// How many claims of older epochs are kept for whoever looks into a table.
const KEPT: usize = 4;

/// No claim is longer.
const CLAIM_BYTES_MAX: u64 = 4 << 10;

/// One run of a pipeline. Each run claims the next number, durably; a run that finds a greater
/// one than its own is fenced, and so is one that finds its own number claimed by another: they begin
/// anew where the claims were removed before the first commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Epoch {
    /// The pipeline.
    pub pipeline: String,
    /// Counted from 1.
    pub number: u64,
    /// What its claim says, and no other one does.
    claim: String,
}

#[derive(Serialize)]
struct Claim<'a> {
    pipeline: &'a str,
    epoch: u64,
    claimed_at: InstantTime,
    process: u32,
    id: String,
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
        let (process, id) = (std::process::id(), table.environment.ids.uuid().to_string());
        let claim = Claim { pipeline, epoch: number, claimed_at: now, process, id };
        let claim = serde_json::to_string(&claim).unwrap_or_default();
        let path = path_in(&folder, number)?;
        table.storage.put_if_absent(&path, claim.clone().into()).await?;
        claims.truncate(claims.len().saturating_sub(KEPT));
        for (_, old) in claims {
            table.storage.delete(&old).await?;
        }
        Ok(Self { pipeline: pipeline.to_owned(), number, claim })
    }

    /// The epoch that has fenced this one, if any.
    ///
    /// # Errors
    /// [`CommitError::LostClaim`] where nobody can tell.
    pub(crate) async fn fenced_by(&self, table: &Table) -> Result<Option<u64>, CommitError> {
        let folder = self.folder()?;
        let newest = claims(table, &folder).await?.last().map_or(0, |(number, _)| *number);
        if newest > self.number {
            return Ok(Some(newest));
        }
        let path = path_in(&folder, self.number)?;
        match table.storage.get(&path, CLAIM_BYTES_MAX).await {
            Ok(found) => Ok((found.bytes != self.claim.as_bytes()).then_some(self.number)),
            Err(StorageError::NotFound { .. }) => Err(CommitError::LostClaim { path }),
            Err(error) => Err(error.into()),
        }
    }
}

fn path_in(folder: &TablePath, number: u64) -> Result<TablePath, CommitError> {
    Ok(folder.join(&format!("epoch-{number:010}.json"))?)
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
