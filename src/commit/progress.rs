//! How far each pipeline has come, in the commits themselves.

use std::collections::BTreeMap;

use lakebed_hudi::timeline_metadata::CommitMetadata;
use serde::{Deserialize, Serialize};

use super::CommitError;

/// The key of a commit's extra metadata under which progress stands.
pub(super) const PROGRESS_KEY: &str = "lakebed.progress";

const VERSION: u32 = 1;

/// How far every live pipeline of a table has come. Each commit carries all of it forward.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    version: u32,
    /// By pipeline.
    pub pipelines: BTreeMap<String, PipelineProgress>,
}

impl Default for Progress {
    fn default() -> Self {
        Self { version: VERSION, pipelines: BTreeMap::new() }
    }
}

/// How far one pipeline has come.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PipelineProgress {
    /// Which run of the pipeline wrote it; runs are numbered from 1.
    pub epoch: u64,
    /// Its last checkpoint.
    pub checkpoint: u64,
    /// Where each of its sources stands.
    pub sources: BTreeMap<String, SourceProgress>,
}

/// Where a source stands.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SourceProgress {
    /// From where to read on: JSON of the source's own making.
    pub position: serde_json::Value,
    /// The greatest event time that was committed from it, milliseconds since the epoch; `None`
    /// where its rows have none. It goes back only with the progress itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watermark: Option<i64>,
}

impl PipelineProgress {
    /// Its greatest size as JSON: every commit of the table carries it.
    pub const MAX_BYTES: usize = 64 << 10;

    /// Refuses what every commit would have to carry and is too large for that.
    pub(crate) fn check_size(&self, pipeline: &str) -> Result<(), CommitError> {
        let bytes = serde_json::to_vec(self).map_or(0, |json| json.len());
        match bytes > Self::MAX_BYTES {
            true => Err(CommitError::ProgressSize { pipeline: pipeline.to_owned(), bytes }),
            false => Ok(()),
        }
    }

    /// How far the event time of all its sources has come, milliseconds since the epoch.
    pub fn watermark(&self) -> Option<i64> {
        self.sources.values().filter_map(|source| source.watermark).min()
    }
}

impl Progress {
    /// Of so many pipelines a table keeps progress at most.
    pub const MAX_PIPELINES: usize = 100;

    /// Refuses one pipeline more than that.
    pub(super) fn check_room(&self, pipeline: &str) -> Result<(), CommitError> {
        match !self.pipelines.contains_key(pipeline) && self.pipelines.len() >= Self::MAX_PIPELINES {
            true => Err(CommitError::TooManyPipelines { pipeline: pipeline.to_owned() }),
            false => Ok(()),
        }
    }

    /// The progress that a commit carries; `None` where it was made by another engine.
    ///
    /// # Errors
    /// A text that is none, or of a version that this program does not know.
    pub fn of(commit: &CommitMetadata) -> Result<Option<Self>, String> {
        commit.extra_metadata.get(PROGRESS_KEY).map(|text| Self::from_json(text)).transpose()
    }

    /// Reads what [`Progress::to_json`] wrote.
    ///
    /// # Errors
    /// A text that is none, or of a version that this program does not know.
    pub(super) fn from_json(text: &str) -> Result<Self, String> {
        let progress: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if progress.version != VERSION {
            let found = progress.version;
            return Err(format!("version {found}, expected {VERSION}: use the newer Lakebed that wrote it"));
        }
        Ok(progress)
    }

    pub(super) fn to_json(&self) -> String {
        // Maps with text keys and plain values always encode.
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_round_trips_and_names_what_is_newer() {
        let mut progress = Progress::default();
        let source = SourceProgress { position: serde_json::json!({"offset": 7}), watermark: Some(3) };
        let pipeline =
            PipelineProgress { epoch: 2, checkpoint: 9, sources: [("s".to_owned(), source)].into() };
        progress.pipelines.insert("p".into(), pipeline);
        let text = progress.to_json();
        assert_eq!(Progress::from_json(&text), Ok(progress));
        let newer = text.replacen("\"version\":1", "\"version\":2", 1);
        assert!(Progress::from_json(&newer).unwrap_err().contains("version 2"));
    }
}
