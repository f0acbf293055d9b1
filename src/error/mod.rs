//! What the whole crate's errors mean to a caller: what to do next.

use std::fmt;

mod kind;
mod meaning;

pub use kind::ErrorKind;

/// Any error of this crate, with what to do next. The detail is its source.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    detail: Box<dyn std::error::Error + Send + Sync>,
}

impl Error {
    /// An error of that kind.
    pub fn new(kind: ErrorKind, detail: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { kind, detail: detail.into() }
    }

    /// What to do next.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The messages from the outermost to the first cause, without those that the one before
    /// them already tells.
    pub fn chain(&self) -> Vec<String> {
        let mut messages = vec![self.detail.to_string()];
        let mut next = self.detail.source();
        while let Some(cause) = next {
            let message = cause.to_string();
            if !messages.last().is_some_and(|last| tells(last, &message)) {
                messages.push(message);
            }
            next = cause.source();
        }
        messages
    }
}

/// Whether `message` has all that `cause` says: the system's own words may begin with a capital.
fn tells(message: &str, cause: &str) -> bool {
    let words = cause.split(" (os error ").next().unwrap_or(cause);
    message.to_lowercase().contains(&words.to_lowercase())
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.detail, f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.detail.source()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commit::CommitError;
    use crate::sink::SinkError;
    use crate::storage::StorageError;
    use crate::table::{ConformError, TableError};
    use crate::write::WriteError;

    #[test]
    fn kinds_pass_through_the_layers() {
        let missing = || StorageError::MissingCredentials { location: "s3://b/t".into(), source: None };
        assert_eq!(
            Error::from(SinkError::Commit(CommitError::Storage(missing()))).kind(),
            ErrorKind::FixInput
        );
        let exists = TableError::Exists { uri: "file:/t".into() };
        assert_eq!(Error::from(WriteError::from(exists)).kind(), ErrorKind::Refused);
    }

    #[test]
    fn the_chain_tells_nothing_twice() {
        let cause = |text: &str| -> Box<dyn std::error::Error + Send + Sync> { text.into() };
        let io = StorageError::Io {
            operation: crate::storage::Operation::Get,
            location: "/t/x".into(),
            source: cause("the disk is on fire"),
        };
        let error = Error::from(TableError::Storage(io));
        assert_eq!(error.chain(), ["get /t/x", "the disk is on fire"]);
        let denied = StorageError::PermissionDenied {
            operation: crate::storage::Operation::Put,
            location: "/t/x".into(),
            source: cause("Permission denied (os error 13)"),
        };
        assert_eq!(
            Error::from(denied).chain(),
            ["put /t/x: permission denied; run this as a user who may, or let this one"]
        );
        let telling = ConformError::Type {
            column: "a".into(),
            found: arrow::datatypes::DataType::Utf8,
            expected: arrow::datatypes::DataType::Int32,
            source: arrow::error::ArrowError::CastError("no".into()),
        };
        assert_eq!(Error::from(telling).chain().len(), 1);
    }
}
