//! Panics of libraries, caught and named.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{DecodeProblem, brief};

/// Runs `decode` and names its panic.
///
/// What `decode` works on must be given up after an error: it may be half changed.
pub(in crate::ingest) fn guarded<T, E: Into<Caught>>(
    kind: &'static str,
    decode: impl FnOnce() -> Result<T, E>,
) -> Result<T, DecodeProblem> {
    match catch_unwind(AssertUnwindSafe(decode)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(match error.into() {
            Caught::Problem(problem) => problem,
            Caught::Text(found) => DecodeProblem::Unsound { kind, found: brief(&found) },
        }),
        Err(payload) => Err(DecodeProblem::Panicked { kind, message: brief(message(payload.as_ref())) }),
    }
}

/// An error of a decoder on its way.
pub(in crate::ingest) enum Caught {
    Problem(DecodeProblem),
    Text(String),
}

impl From<DecodeProblem> for Caught {
    fn from(problem: DecodeProblem) -> Self {
        Self::Problem(problem)
    }
}

impl From<arrow::error::ArrowError> for Caught {
    fn from(error: arrow::error::ArrowError) -> Self {
        Self::Text(error.to_string())
    }
}

impl From<parquet::errors::ParquetError> for Caught {
    fn from(error: parquet::errors::ParquetError) -> Self {
        Self::Text(error.to_string())
    }
}

impl From<std::io::Error> for Caught {
    fn from(error: std::io::Error) -> Self {
        Self::Problem(DecodeProblem::Io(error))
    }
}

fn message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error() {
        let caught = guarded::<(), DecodeProblem>("avro", || panic!("index {}", 7));
        assert!(
            matches!(caught, Err(DecodeProblem::Panicked { kind: "avro", message }) if message == "index 7")
        );
    }
}
