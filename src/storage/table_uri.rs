//! Where a table is, in the spellings that Hudi's files use for it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::error::excerpt;
use super::{TablePath, TablePathError};

/// Why a text names no place for a table, or no place inside this one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableUriError {
    /// The text is no address that we know.
    #[error(
        "{found:?} is no table address: {reason}; expected a path, file:///path, s3://bucket/path \
         or s3a://bucket/path"
    )]
    NotAnAddress {
        /// The text found, cut to a bounded length.
        found: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The path is absolute and belongs to another place than this table.
    #[error(
        "{found:?} is outside of the table {table}; if the table was moved, plans made before the \
         move cannot be carried out: roll them back"
    )]
    Outside {
        /// The path found, cut to a bounded length.
        found: String,
        /// The table.
        table: String,
    },
    /// The path begins as the table does, but goes on in a way that is no path inside a table.
    #[error(transparent)]
    Path(#[from] TablePathError),
}

/// How a table is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// A folder of this machine.
    File,
    /// An S3 bucket, as most tools write it.
    S3,
    /// An S3 bucket, as Hadoop's connector writes it.
    S3a,
}

impl Scheme {
    /// The scheme as text, without the colon.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::S3 => "s3",
            Self::S3a => "s3a",
        }
    }
}

/// The address of a table.
///
/// Parsed from a path of this machine, `file:/path` or `file:///path`, `s3://bucket/path` or
/// `s3a://bucket/path`; slashes at the end are left out. As in Hadoop nothing is percent-decoded:
/// `file:///a%20b` is a folder whose name has a percent sign. Local paths become absolute, and
/// their `.` and `..` are resolved as text.
///
/// Source: `org.apache.hadoop.fs.Path`, `StoragePath`, table versions 6 to 9.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TableUri {
    scheme: Scheme,
    bucket: String,
    /// Begins with `/` and does not end with one; empty for a whole bucket.
    path: String,
}

impl TableUri {
    /// How the table is reached.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The bucket; empty for a folder of this machine.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The path of the table without scheme and bucket: begins with `/` and does not end with
    /// one; empty for a whole bucket.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The folder above, which may be a whole bucket; `None` where no table can be above.
    pub fn parent(&self) -> Option<Self> {
        let (path, _) = self.path.rsplit_once('/')?;
        // The root of a file system is no table.
        let is_place = self.scheme != Scheme::File || !path.is_empty();
        is_place.then(|| Self { path: path.to_owned(), ..self.clone() })
    }

    /// Whether both are the same folder, by whichever scheme a bucket is reached.
    pub fn is_same_place(&self, other: &Self) -> bool {
        (&self.bucket, &self.path) == (&other.bucket, &other.path)
    }

    /// `path` with the scheme in front: `file:/lake/t/p=a/x`, `s3a://bucket/t/p=a/x`.
    ///
    /// This is how Hudi writes paths into clustering plans.
    pub fn with_scheme(&self, path: &TablePath) -> String {
        match self.scheme {
            Scheme::File => format!("file:{}", self.without_scheme(path)),
            scheme => format!("{}://{}{}", scheme.as_str(), self.bucket, self.without_scheme(path)),
        }
    }

    /// `path` without scheme and bucket: `/lake/t/p=a/x`.
    ///
    /// This is how Hudi writes paths into rollback plans.
    pub fn without_scheme(&self, path: &TablePath) -> String {
        if path.is_root() {
            return if self.path.is_empty() { "/".to_owned() } else { self.path.clone() };
        }
        format!("{}/{path}", self.path)
    }

    /// The path inside this table that `absolute` names, in whichever spelling an engine wrote
    /// it: with any of the schemes of this table's kind of storage, or without.
    ///
    /// # Errors
    /// It is outside of the table, or the table's own folder, or no path.
    pub fn relative(&self, absolute: &str) -> Result<TablePath, TableUriError> {
        let outside = || TableUriError::Outside { found: excerpt(absolute), table: self.to_string() };
        let path = self.strip_scheme(absolute).ok_or_else(outside)?;
        let inside = path.strip_prefix(self.path.as_str()).and_then(|rest| rest.strip_prefix('/'));
        Ok(inside.ok_or_else(outside)?.parse::<TablePath>()?)
    }

    /// The part of `absolute` that begins with the path's `/`; `None` if scheme or bucket
    /// are not this table's.
    fn strip_scheme<'a>(&self, absolute: &'a str) -> Option<&'a str> {
        if absolute.starts_with('/') {
            return Some(absolute);
        }
        if self.scheme == Scheme::File {
            let path = absolute.strip_prefix("file:")?;
            return path.strip_prefix("//").or(Some(path)).filter(|path| path.starts_with('/'));
        }
        let rest = ["s3://", "s3a://", "s3n://"].iter().find_map(|prefix| absolute.strip_prefix(prefix))?;
        rest.strip_prefix(self.bucket.as_str()).filter(|path| path.starts_with('/'))
    }

    fn local(text: &str) -> Result<Self, TableUriError> {
        let refuse = |reason| TableUriError::NotAnAddress { found: excerpt(text), reason };
        let absolute = std::path::absolute(text).map_err(|_| refuse("the current folder cannot be found"))?;
        let normal = resolve_dots(&absolute);
        let path = normal.to_str().ok_or_else(|| refuse("it is not UTF-8"))?;
        let path = path.trim_end_matches('/');
        // Everything below the file system's root would be part of the table.
        path.strip_prefix('/').ok_or_else(|| refuse("it names no folder"))?.parse::<TablePath>()?;
        Ok(Self { scheme: Scheme::File, bucket: String::new(), path: path.to_owned() })
    }

    fn bucket_and_path(scheme: Scheme, text: &str, rest: &str) -> Result<Self, TableUriError> {
        let refuse = |reason| TableUriError::NotAnAddress { found: excerpt(text), reason };
        let (bucket, path) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(refuse("it names no bucket"));
        }
        if !bucket.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')) {
            return Err(refuse("the name of a bucket has only letters, digits, '.', '-' and '_'"));
        }
        let path = path.trim_end_matches('/');
        if path.is_empty() {
            return Ok(Self { scheme, bucket: bucket.to_owned(), path: String::new() });
        }
        let path = path.parse::<TablePath>()?;
        Ok(Self { scheme, bucket: bucket.to_owned(), path: format!("/{path}") })
    }
}

impl FromStr for TableUri {
    type Err = TableUriError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = |reason| Err(TableUriError::NotAnAddress { found: excerpt(text), reason });
        if let Some(rest) = text.strip_prefix("s3://") {
            return Self::bucket_and_path(Scheme::S3, text, rest);
        }
        if let Some(rest) = text.strip_prefix("s3a://") {
            return Self::bucket_and_path(Scheme::S3a, text, rest);
        }
        if let Some(path) = text.strip_prefix("file:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if !path.starts_with('/') {
                return refuse("a file: address needs an absolute path and no host");
            }
            return Self::local(path);
        }
        if text.is_empty() {
            return refuse("it is empty");
        }
        if text == "~" || text.starts_with("~/") {
            return refuse("~ is known to shells only: write the home folder out");
        }
        let scheme = text.split_once(':').map(|(scheme, _)| scheme);
        match scheme {
            Some("s3" | "s3a") => refuse("two slashes follow s3: and s3a:"),
            // As in Hadoop: what stands before a colon in the first name is a scheme.
            Some(scheme) if !scheme.contains('/') => {
                refuse("this scheme is not supported; ./ before a folder's name allows it a colon")
            }
            _ => Self::local(text),
        }
    }
}

impl fmt::Display for TableUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.with_scheme(&TablePath::root()))
    }
}

/// `.` and `..` resolved as text, as Hadoop does; the disk is not asked.
fn resolve_dots(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir => {
                normal.pop();
            }
            other => normal.push(other),
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> TableUri {
        text.parse().unwrap()
    }

    fn path(text: &str) -> TablePath {
        text.parse().unwrap()
    }

    #[test]
    fn local_tables_print_as_hudi_prints_them() {
        for text in ["/lake/t", "file:///lake/t", "file:/lake/t/", "/lake//x/.././t"] {
            assert_eq!(uri(text).to_string(), "file:/lake/t", "{text}");
        }
        let table = uri("/lake/t");
        assert_eq!(table.with_scheme(&path("p=a%2Fb/x #1")), "file:/lake/t/p=a%2Fb/x #1");
        assert_eq!(table.without_scheme(&path("p=é/x")), "/lake/t/p=é/x");
        assert_eq!(table.without_scheme(&TablePath::root()), "/lake/t");
    }

    #[test]
    fn a_relative_local_path_starts_at_the_current_folder() {
        let here = std::env::current_dir().unwrap();
        assert_eq!(uri("lake/t").path(), here.join("lake/t").to_str().unwrap());
        assert_eq!(uri("../t").path(), here.parent().unwrap().join("t").to_str().unwrap());
    }

    #[test]
    fn buckets_print_as_hudi_prints_them() {
        let table = uri("s3a://b/lake/t/");
        assert_eq!(table.to_string(), "s3a://b/lake/t");
        assert_eq!(table.with_scheme(&path("p=a/x")), "s3a://b/lake/t/p=a/x");
        assert_eq!(table.without_scheme(&path("p=a/x")), "/lake/t/p=a/x");
        assert_eq!(uri("s3://b").to_string(), "s3://b/");
        assert_eq!(uri("s3://b").with_scheme(&path("x")), "s3://b/x");
    }

    #[test]
    fn a_place_is_the_same_by_every_scheme() {
        assert!(uri("s3://b/t").is_same_place(&uri("s3a://b/t/")));
        for other in ["s3://b/u", "s3://c/t", "/b/t", "/t"] {
            assert!(!uri("s3://b/t").is_same_place(&uri(other)), "{other}");
        }
    }

    #[test]
    fn above_a_table_are_folders_and_its_bucket() {
        let above = |text: &str| {
            let parents = std::iter::successors(uri(text).parent(), TableUri::parent);
            parents.map(|parent| parent.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(above("/lake/x/t"), ["file:/lake/x", "file:/lake"]);
        assert_eq!(above("s3://b/x/t"), ["s3://b/x", "s3://b/"]);
        assert_eq!(above("s3://b"), Vec::<String>::new());
    }

    #[test]
    fn absolute_paths_of_foreign_plans_lead_back_into_the_table() {
        let table = uri("/lake/t");
        for text in ["/lake/t/p=a/x", "file:/lake/t/p=a/x", "file:///lake/t/p=a/x"] {
            assert_eq!(table.relative(text).unwrap(), path("p=a/x"), "{text}");
        }
        let table = uri("s3://b/t");
        for text in ["/t/p=a/x", "s3://b/t/p=a/x", "s3a://b/t/p=a/x", "s3n://b/t/p=a/x"] {
            assert_eq!(table.relative(text).unwrap(), path("p=a/x"), "{text}");
        }
        assert_eq!(uri("s3://b").relative("/x").unwrap(), path("x"));
    }

    #[test]
    fn paths_of_other_places_are_refused() {
        let table = uri("/lake/t");
        let bucket = uri("s3://b/t");
        for text in ["/lake/t2/x", "/lake/t", "x", "s3://b/lake/t/x", "file://host/lake/t/x", "file:x", ""] {
            let found = table.relative(text);
            assert!(matches!(found, Err(TableUriError::Outside { .. })), "{text}: {found:?}");
        }
        for text in ["s3://bb/t/x", "s3://b2/t/x", "file:/t/x", "s3://b/t", "s3://b"] {
            let found = bucket.relative(text);
            assert!(matches!(found, Err(TableUriError::Outside { .. })), "{text}: {found:?}");
        }
        for text in ["/lake/t/../../etc/passwd", "/lake/t//x", "/lake/t/"] {
            assert!(matches!(table.relative(text), Err(TableUriError::Path(_))), "{text}");
        }
    }

    #[test]
    fn other_addresses_are_refused() {
        for text in
            ["", "/", "file:///", "file://host/x", "file:x", "s3://", "s3:///x", "hdfs://n/x", "s3://b//x"]
        {
            assert!(text.parse::<TableUri>().is_err(), "{text:?}");
        }
        for text in ["s3://b/../x", "s3://u:p@b/x", "/a\\b"] {
            assert!(text.parse::<TableUri>().is_err(), "{text:?}");
        }
        for (text, reason) in [
            ("s3://", "it names no bucket"),
            ("s3:/b/x", "two slashes follow s3:"),
            ("s3a:b/x", "two slashes follow s3:"),
            ("hdfs://n/x", "this scheme is not supported"),
            ("gs:x", "this scheme is not supported"),
            ("file:x", "needs an absolute path and no host"),
            ("~/lake/t", "write the home folder out"),
        ] {
            let error = text.parse::<TableUri>().unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
        assert!(uri("./a:b").path().ends_with("/a:b"));
        assert!(uri("/a:b/~").path().ends_with("/a:b/~"));
    }
}
