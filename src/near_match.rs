//! What somebody may have meant by a name that does not exist.

/// The candidate that `name` is most likely a misspelling of, or stands for by the first letters of its
/// words, if any is near enough.
pub fn near_match<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const NEAR: f64 = 0.8;
    let name = name.to_lowercase();
    let likeness = |candidate: &str| {
        let candidate = candidate.to_lowercase();
        let is_short = initials(&candidate).is_some_and(|initials| initials == name);
        if is_short { 1.0 } else { strsim::jaro_winkler(&name, &candidate) }
    };
    let scored = candidates.into_iter().map(|candidate| (likeness(candidate), candidate));
    scored.filter(|(score, _)| *score >= NEAR).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, name)| name)
}

/// The first letters of the words of a name that has several.
fn initials(name: &str) -> Option<String> {
    let has_words = name.contains(['_', '-']);
    has_words.then(|| name.split(['_', '-']).filter_map(|word| word.chars().next()).collect())
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

    #[test]
    fn abbreviations_are_recognised() {
        let names = ["copy_on_write", "merge-on-read", "m"];
        assert_eq!(near_match("cow", names), Some("copy_on_write"));
        assert_eq!(near_match("MOR", names), Some("merge-on-read"));
        assert_eq!(near_match("", names), None);
    }
}
