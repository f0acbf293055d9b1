//! Names of data files: base files, log files and the markers written before each.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::instant::InstantTime;

#[cfg(test)]
mod tests;

/// The name of the file that makes a folder a partition.
pub const PARTITION_METADATA: &str = ".hoodie_partition_metadata";

const BUCKET_DIGITS: usize = 8;

/// Why a name is none of Hudi's data file names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is no {expected}")]
pub struct FileNameError {
    /// The name found.
    pub found: String,
    /// The form that was expected.
    pub expected: &'static str,
}

impl FileNameError {
    fn new(found: &str, expected: &'static str) -> Self {
        Self { found: found.chars().take(300).collect(), expected }
    }
}

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

/// The name of a log file: `.<file id>_<instant>.log.<version>_<write token>[.cdc]`.
///
/// Ordered as readers order the files of one slice: by instant, version, then token as text.
///
/// Source: `FSUtils.LOG_FILE_PATTERN`, `HoodieLogFile.LogFileComparator`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LogFileName {
    /// The file group.
    pub file_id: FileId,
    /// The delta commit that wrote it (version 8 on), or the base instant (version 6).
    pub instant: InstantTime,
    /// Rises where one slice (version 6) or one commit (later) needs several files.
    pub version: u32,
    /// The attempt that wrote it; files of Hudi before 0.5 have none.
    pub write_token: Option<WriteToken>,
    /// Whether it holds change data instead of rows.
    pub cdc: bool,
}

impl LogFileName {
    /// The name of the first log file that `instant` adds to a group.
    pub fn new(file_id: FileId, instant: InstantTime, write_token: WriteToken) -> Self {
        Self { file_id, instant, version: 1, write_token: Some(write_token), cdc: false }
    }
}

impl Ord for LogFileName {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let key = |n: &Self| (n.instant, n.version, n.write_token.clone(), n.cdc, n.file_id.clone());
        key(self).cmp(&key(other))
    }
}

impl PartialOrd for LogFileName {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl FromStr for LogFileName {
    type Err = FileNameError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let error =
            || FileNameError::new(name, "log file name (.<file id>_<instant>.log.<version>_<write token>)");
        let rest = name.strip_prefix('.').ok_or_else(error)?;
        let (rest, cdc) = match rest.strip_suffix(".cdc") {
            Some(rest) => (rest, true),
            None => (rest, false),
        };
        let (stem, tail) = rest.split_once(".log.").ok_or_else(error)?;
        let (file_id, instant) = stem.split_once('_').ok_or_else(error)?;
        let (version, token) = match tail.split_once('_') {
            Some((version, token)) => (version, Some(token.parse().map_err(|_| error())?)),
            None => (tail, None),
        };
        if !version.bytes().all(|b| b.is_ascii_digit()) {
            return Err(error());
        }
        Ok(Self {
            file_id: file_id.parse().map_err(|_| error())?,
            instant: instant.parse().map_err(|_| error())?,
            version: version.parse().map_err(|_| error())?,
            write_token: token,
            cdc,
        })
    }
}

impl fmt::Display for LogFileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ".{}_{}.log.{}", self.file_id, self.instant, self.version)?;
        if let Some(token) = &self.write_token {
            write!(f, "_{token}")?;
        }
        f.write_str(if self.cdc { ".cdc" } else { "" })
    }
}

/// A name in a partition folder, as far as the table format gives it a meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataFileName {
    /// A base file.
    Base(BaseFileName),
    /// A log file.
    Log(LogFileName),
}

impl DataFileName {
    /// Reads a name in a partition folder; `None` for names that are no data file's.
    pub fn parse(name: &str) -> Option<Self> {
        if name.starts_with('.') {
            return name.parse().ok().map(Self::Log);
        }
        name.parse().ok().map(Self::Base)
    }

    /// The file group.
    pub fn file_id(&self) -> &FileId {
        match self {
            Self::Base(name) => &name.file_id,
            Self::Log(name) => &name.file_id,
        }
    }

    /// The instant in the name.
    pub fn instant(&self) -> InstantTime {
        match self {
            Self::Base(name) => name.instant,
            Self::Log(name) => name.instant,
        }
    }
}

/// Why a writer creates a file; the ending of its marker.
///
/// Source: `IOType`. Version 8 on: `Create` for new base files and log files, `Merge` for a new
/// base file of an existing group. Version 6 marks log files with `Append`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MarkerKind {
    /// The first file of a group, or a log file.
    Create,
    /// A base file that takes the place of an older one.
    Merge,
    /// A log file of a version 6 table.
    Append,
}

impl MarkerKind {
    /// The kind as marker names spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Merge => "MERGE",
            Self::Append => "APPEND",
        }
    }

    /// The marker of a data file, relative to the marker folder of its instant.
    pub fn marker_path(self, data_path: &str) -> String {
        format!("{data_path}.marker.{}", self.as_str())
    }

    /// The data file that a marker names: the text before `.marker.<kind>`.
    pub fn parse_marker(marker: &str) -> Option<(&str, Self)> {
        let (data_path, kind) = marker.rsplit_once(".marker.")?;
        let kind = [Self::Create, Self::Merge, Self::Append].into_iter().find(|k| k.as_str() == kind)?;
        Some((data_path, kind))
    }
}
