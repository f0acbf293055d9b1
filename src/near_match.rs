//! What somebody may have meant by a name that does not exist.

/// The candidate that `name` is most likely a misspelling of, if any is near enough.
pub fn near_match<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const NEAR: f64 = 0.8;
    let likeness = |candidate: &str| strsim::jaro_winkler(&name.to_lowercase(), &candidate.to_lowercase());
    let scored = candidates.into_iter().map(|candidate| (likeness(candidate), candidate));
    scored.filter(|(score, _)| *score >= NEAR).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspellings_are_recognised_and_other_names_are_not() {
        let names = ["ordering", "partition", "buckets"];
        assert_eq!(near_match("orderign", names), Some("ordering"));
        assert_eq!(near_match("Bucket", names), Some("buckets"));
        assert_eq!(near_match("x", names), None);
    }
}
