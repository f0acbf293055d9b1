//! Paths inside a table: relative, and never out of it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::error::excerpt;

/// Why a text is no path inside a table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is no path inside a table: {reason}")]
pub struct TablePathError {
    /// The text found, cut to a bounded length.
    pub found: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// A path inside a table: segments joined by `/`, relative to the table's folder.
///
/// Names are taken as they are: `p=a%2Fb`, `#1`, `é` and blanks mean themselves, nothing is
/// decoded or encoded. Refused are what could lead out of the table or means something else on
/// another system: empty segments, `.`, `..`, a leading or trailing `/`, backslashes and ASCII
/// control characters. So a path from a table's metadata is never followed outside the table.
///
/// Ordered as text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TablePath(String);

impl TablePath {
    /// The table's own folder: a place to list, not a file.
    pub const fn root() -> Self {
        Self(String::new())
    }

    /// The path of a name that the table format fixes.
    pub(crate) fn literal(text: &'static str) -> Self {
        debug_assert!(validate(text).is_ok(), "{text:?} is no path inside a table");
        Self(text.to_owned())
    }

    /// Whether this is the table's own folder.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The path as text, without a leading `/`; empty for the table's own folder.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// This path followed by `relative`, which may have several segments.
    ///
    /// # Errors
    /// `relative` is no path inside a table.
    pub fn join(&self, relative: &str) -> Result<Self, TablePathError> {
        validate(relative)?;
        Ok(if self.is_root() { Self(relative.to_owned()) } else { Self(format!("{}/{relative}", self.0)) })
    }

    /// The folder it is in; `None` for the table's own folder.
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        let parent = self.0.rsplit_once('/').map_or("", |(parent, _)| parent);
        Some(Self(parent.to_owned()))
    }

    /// The last segment; empty for the table's own folder.
    pub fn file_name(&self) -> &str {
        self.0.rsplit_once('/').map_or(self.0.as_str(), |(_, name)| name)
    }

    /// The segments, first to last; none for the table's own folder.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').filter(|segment| !segment.is_empty())
    }

    /// What follows `dir` in this path; `None` if it is not inside `dir`, or `dir` itself.
    pub fn strip_dir(&self, dir: &Self) -> Option<&str> {
        if dir.is_root() {
            return Some(self.0.as_str()).filter(|path| !path.is_empty());
        }
        self.0.strip_prefix(dir.as_str())?.strip_prefix('/')
    }
}

impl FromStr for TablePath {
    type Err = TablePathError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        validate(text)?;
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for TablePath {
    type Error = TablePathError;

    /// Reads what [`String::from`] wrote, the table's own folder (an empty text) included.
    fn try_from(text: String) -> Result<Self, Self::Error> {
        if !text.is_empty() {
            validate(&text)?;
        }
        Ok(Self(text))
    }
}

impl From<TablePath> for String {
    fn from(path: TablePath) -> Self {
        path.0
    }
}

impl fmt::Display for TablePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for TablePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

fn validate(text: &str) -> Result<(), TablePathError> {
    let refuse = |reason| Err(TablePathError { found: excerpt(text), reason });
    if text.contains('\\') {
        return refuse("it has a backslash");
    }
    if text.chars().any(|c| c.is_ascii_control()) {
        return refuse("it has a control character");
    }
    if text.starts_with('/') {
        return refuse("it is absolute");
    }
    for segment in text.split('/') {
        match segment {
            "" => return refuse("it has an empty segment"),
            "." | ".." => return refuse("it has a `.` or `..` segment"),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(text: &str) -> TablePath {
        text.parse().unwrap()
    }

    #[test]
    fn names_are_taken_as_they_are() {
        for text in ["p=a%2Fb/x", "p=#1", "p=é/漢 字", "a b/.hidden", "...", "p=a:b", "~/$HOME"] {
            assert_eq!(path(text).as_str(), text);
        }
    }

    #[test]
    fn what_could_lead_out_of_the_table_is_refused() {
        for text in ["", "/", "/etc/passwd", "a//b", "a/", "..", "../x", "a/../../x", "./a", "a/."] {
            assert!(text.parse::<TablePath>().is_err(), "{text:?}");
        }
        for text in ["a\\..\\b", "a\0b", "a\nb", "a/\u{7f}"] {
            assert!(text.parse::<TablePath>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_refusal_is_short_whatever_it_refuses() {
        let error = "/".repeat(1_000_000).parse::<TablePath>().unwrap_err();
        assert!(error.to_string().len() < 400);
    }

    #[test]
    fn paths_know_their_folders() {
        let file = path(".hoodie/timeline/x");
        assert_eq!(file.file_name(), "x");
        assert_eq!(file.parent(), Some(path(".hoodie/timeline")));
        assert_eq!(path("x").parent(), Some(TablePath::root()));
        assert_eq!(TablePath::root().parent(), None);
        assert_eq!(file.strip_dir(&path(".hoodie")), Some("timeline/x"));
        assert_eq!(file.strip_dir(&path(".hood")), None);
        assert_eq!(file.strip_dir(&file), None);
        assert_eq!(file.strip_dir(&TablePath::root()), Some(".hoodie/timeline/x"));
        assert_eq!(TablePath::root().strip_dir(&TablePath::root()), None);
        assert_eq!(TablePath::root().join("a/b").unwrap().join("c").unwrap(), path("a/b/c"));
        assert!(file.join("../x").is_err());
        assert_eq!(TablePath::root().segments().count(), 0);
    }

    proptest! {
        #[test]
        fn whatever_parses_stays_below_any_folder(text in "(\\PC|/|\\.){0,40}") {
            if let Ok(path) = text.parse::<TablePath>() {
                let mut depth = 0;
                for component in std::path::Path::new(path.as_str()).components() {
                    prop_assert!(matches!(component, std::path::Component::Normal(_)));
                    depth += 1;
                }
                prop_assert_eq!(depth, path.segments().count());
                let json = serde_json::to_string(&path).unwrap();
                prop_assert_eq!(serde_json::from_str::<TablePath>(&json).unwrap(), path);
            }
        }
    }
}
