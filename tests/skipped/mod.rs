//! Tests that pass where what they need is not to be had.
#![expect(clippy::print_stderr, reason = "a test that is skipped says so")]

/// Names what tests may not be skipped for the lack of, separated by blanks: `.ci/run` has found it.
const FOUND: &str = "LAKEBED_TEST_FOUND";

/// Says that a test is skipped for the lack of `what`; fails if it is said to be there.
pub fn skip(what: &str, why: &str) {
    let found = std::env::var(FOUND).unwrap_or_default();
    assert!(!found.split(' ').any(|found| found == what), "{what} is in {FOUND}, and {why}");
    eprintln!("skipped: {why}");
}
