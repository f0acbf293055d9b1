//! Why settings cannot be used, and where that is.

/// A place in a file of settings, from 1; 0 where it is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mark {
    /// The line.
    pub line: u64,
    /// The column.
    pub column: u64,
}

/// Why a file of settings cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{}{problem}", place(.mark), setting(.path))]
pub struct SettingsError {
    /// Where.
    pub mark: Mark,
    /// The setting, keys joined by `.`.
    pub path: String,
    /// What is wrong.
    pub problem: String,
}

impl SettingsError {
    pub(super) fn at(mark: Mark, path: &str, problem: impl Into<String>) -> Self {
        Self { mark, path: path.to_owned(), problem: problem.into() }
    }

    /// A problem with the setting `path`, wherever it stands.
    pub(crate) fn new(path: &str, problem: impl Into<String>) -> Self {
        Self::at(Mark::default(), path, problem)
    }

    /// The same error at a place, if it has none yet.
    pub(super) fn or_at(self, mark: Mark, path: &str) -> Self {
        if self.mark == Mark::default() { Self { mark, path: path.to_owned(), ..self } } else { self }
    }
}

fn place(mark: &Mark) -> String {
    if mark.line == 0 { String::new() } else { format!("line {}, column {}: ", mark.line, mark.column) }
}

fn setting(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!("{path}: ") }
}
