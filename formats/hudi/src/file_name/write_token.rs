//! Which attempt wrote a file.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::FileNameError;

/// Which attempt of which task wrote a file: `<partition>-<stage>-<attempt>`.
///
/// Ordered as text, as Hudi orders log files of one instant and version.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WriteToken(Arc<str>);

impl WriteToken {
    /// The token of `attempt` of task `partition` in `stage`.
    pub fn new(partition: u32, stage: u32, attempt: u32) -> Self {
        Self(format!("{partition}-{stage}-{attempt}").into())
    }

    /// The token as it stands in file names.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for WriteToken {
    type Err = FileNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if text.split('-').count() == 3 && text.split('-').all(number) {
            Ok(Self(text.into()))
        } else {
            Err(FileNameError::new(text, "write token (three numbers joined by '-')"))
        }
    }
}

impl TryFrom<String> for WriteToken {
    type Error = FileNameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<WriteToken> for String {
    fn from(token: WriteToken) -> Self {
        token.0.as_ref().to_owned()
    }
}

impl fmt::Display for WriteToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for WriteToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
