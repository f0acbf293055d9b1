//! Which files of archived instants are valid, snapshot by snapshot.

use std::fmt::Write as _;

use serde::Deserialize;

use super::{HistoryError, HistoryFileName};
use crate::timeline_metadata::evidence;

/// The name of the file that holds the number of the current snapshot.
pub const VERSION_FILE: &str = "_version_";

const MANIFEST_PREFIX: &str = "manifest_";

/// The name of the manifest of snapshot `version`.
pub fn manifest_name(version: u32) -> String {
    format!("{MANIFEST_PREFIX}{version}")
}

/// The snapshot of which `name` is the manifest; `None` for names of other files.
pub fn manifest_version(name: &str) -> Option<u32> {
    number(name.strip_prefix(MANIFEST_PREFIX)?)
}

/// Reads the content of [`VERSION_FILE`]: the number of the current snapshot.
///
/// It is written as the number's plain text, without a newline.
///
/// # Errors
/// [`HistoryError::Form`] for everything else, an empty file too: then the greatest
/// `manifest_<n>` counts.
pub fn parse_version(bytes: &[u8]) -> Result<u32, HistoryError> {
    let text = String::from_utf8_lossy(bytes);
    number(&text).ok_or_else(|| HistoryError::form(&text, "number of a snapshot of the archived timeline"))
}

fn number(text: &str) -> Option<u32> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

/// The valid files of one snapshot.
///
/// Source: `HoodieLSMTimelineManifest`; table versions 8 and 9.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct HistoryManifest {
    /// The files, in the order in which they were added.
    pub files: Vec<HistoryFile>,
}

/// One file of a snapshot.
///
/// Source: `HoodieLSMTimelineManifest.LSMFileEntry`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryFile {
    /// The file.
    pub file_name: HistoryFileName,
    /// Its size in bytes.
    pub file_len: u64,
}

impl HistoryManifest {
    /// Reads a manifest. Empty bytes are an empty manifest, as in Hudi.
    ///
    /// # Errors
    /// [`HistoryError::Manifest`]: no JSON of this form, or a file name that readers of
    /// archived instants cannot take apart.
    pub fn from_json(bytes: &[u8]) -> Result<Self, HistoryError> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let broken = |problem| HistoryError::Manifest { problem };
        if !bytes.trim_ascii_start().starts_with(b"{") {
            return Err(broken("expected an object".to_owned()));
        }
        serde_json::from_slice(bytes).map_err(|error| broken(evidence(&error)))
    }

    /// The manifest's JSON, laid out as Hudi's printer lays it out.
    pub fn to_json(&self) -> Vec<u8> {
        let mut text = "{\n  \"files\" : [ ".to_owned();
        for (i, HistoryFile { file_name, file_len }) in self.files.iter().enumerate() {
            let comma = if i > 0 { ", " } else { "" };
            let entry =
                format_args!("{{\n    \"fileName\" : \"{file_name}\",\n    \"fileLen\" : {file_len}\n  }}");
            // Writing to a string cannot fail.
            let _ = write!(text, "{comma}{entry}");
        }
        text.push_str(if self.files.is_empty() { "]\n}" } else { " ]\n}" });
        text.into_bytes()
    }
}
