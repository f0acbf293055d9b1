//! The identity of a file group.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::FileNameError;

const BUCKET_DIGITS: usize = 8;

/// The identity of a file group: a UUID and a number, `<uuid>-<n>`.
///
/// In a table with a simple bucket index the first eight characters are the bucket number.
///
/// Source: `FSUtils.createNewFileId`, `BucketIdentifier.newBucketFileIdPrefix`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FileId(Arc<str>);

impl FileId {
    /// The fixed id of a bucket's file group in tables created by Lakebed.
    ///
    /// Every writer derives the same id without looking, so that two of them never open two
    /// groups for one bucket.
    pub fn of_bucket(bucket: u32) -> Self {
        Self(format!("{bucket:08}-0000-0000-0000-000000000000-0").into())
    }

    /// The id of a bucket's file group with the remaining 28 characters of `uuid`.
    ///
    /// For the groups that follow one that was replaced.
    pub fn of_bucket_in(bucket: u32, uuid: &str) -> Self {
        let rest = uuid.get(BUCKET_DIGITS..).unwrap_or_default();
        Self(format!("{bucket:08}{rest}-0").into())
    }

    /// The id of the `n`th group that a writer opens under `uuid`.
    pub fn of_uuid(uuid: &str, n: u32) -> Self {
        Self(format!("{uuid}-{n}").into())
    }

    /// The bucket number in the first eight characters, if they are one.
    pub fn bucket(&self) -> Option<u32> {
        let digits = self.0.get(..BUCKET_DIGITS)?;
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
    }

    /// As [`FileId::bucket`], in a table of `buckets` of them.
    ///
    /// Hudi takes any number for a bucket's; but of the random ids that other indexes give out one in 43
    /// begins with eight digits.
    pub fn bucket_of(&self, buckets: u32) -> Option<u32> {
        self.bucket().filter(|bucket| *bucket < buckets)
    }

    /// The id as it stands in file names.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for FileId {
    type Err = FileNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let usable = !text.is_empty() && !text.contains(['_', '/', '.', '\\', '\0']);
        if usable { Ok(Self(text.into())) } else { Err(FileNameError::new(text, "file id")) }
    }
}

impl TryFrom<String> for FileId {
    type Error = FileNameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<FileId> for String {
    fn from(id: FileId) -> Self {
        id.0.as_ref().to_owned()
    }
}

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
