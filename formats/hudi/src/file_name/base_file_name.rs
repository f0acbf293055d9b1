//! The name of a base file.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{FileId, FileNameError, WriteToken};
use crate::instant::InstantTime;

/// The name of a base file: `<file id>_<write token>_<instant>.<extension>`.
///
/// Source: `FSUtils.makeBaseFileName`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BaseFileName {
    /// The file group.
    pub file_id: FileId,
    /// The attempt that wrote it. Foreign writers may use other forms than ours, so it is text.
    pub write_token: Arc<str>,
    /// The instant that wrote it.
    pub instant: InstantTime,
    /// `parquet`, or another base file format's ending.
    pub extension: Arc<str>,
}

impl BaseFileName {
    /// The name of a Parquet base file.
    pub fn parquet(file_id: FileId, write_token: &WriteToken, instant: InstantTime) -> Self {
        Self { file_id, write_token: write_token.as_str().into(), instant, extension: "parquet".into() }
    }
}

impl FromStr for BaseFileName {
    type Err = FileNameError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let error =
            || FileNameError::new(name, "base file name (<file id>_<write token>_<instant>.<format>)");
        let (stem, extension) = name.split_once('.').ok_or_else(error)?;
        let mut parts = stem.split('_');
        let (Some(file_id), Some(token), Some(instant), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(error());
        };
        if token.is_empty() || extension.is_empty() || extension.contains('.') {
            return Err(error());
        }
        Ok(Self {
            file_id: file_id.parse().map_err(|_| error())?,
            write_token: token.into(),
            instant: instant.parse().map_err(|_| error())?,
            extension: extension.into(),
        })
    }
}

impl TryFrom<String> for BaseFileName {
    type Error = FileNameError;

    fn try_from(name: String) -> Result<Self, FileNameError> {
        name.parse()
    }
}

impl From<BaseFileName> for String {
    fn from(name: BaseFileName) -> Self {
        name.to_string()
    }
}

impl fmt::Display for BaseFileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}_{}.{}", self.file_id, self.write_token, self.instant, self.extension)
    }
}
