//! The text of `hoodie.properties` and `.hoodie_partition_metadata`: Java properties.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::Write as _;

/// A line that is no Java property.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the properties has a broken escape {escape:?}: expected \\u and four hex digits")]
pub struct PropertiesError {
    /// Which line, counted from 1.
    pub line: usize,
    /// The broken escape.
    pub escape: String,
}

/// Keys and values in file order; a later entry of a key replaces the value of the earlier.
///
/// Source: `java.util.Properties.load` and `store`: ISO-8859-1 text, `\uXXXX` for everything
/// outside of printable ASCII, `#` and `!` comments, backslash continuation of lines.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Properties {
    entries: Vec<(String, String)>,
}

impl Properties {
    /// No entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the bytes of a properties file.
    ///
    /// # Errors
    /// A `\u` escape without four hex digits. Every other text has a meaning in Java.
    pub fn parse(bytes: &[u8]) -> Result<Self, PropertiesError> {
        let text: String = bytes.iter().map(|b| char::from(*b)).collect();
        let text = text.replace("\r\n", "\n");
        let mut entries = Vec::new();
        let mut lines = text.split(['\n', '\r']).enumerate();
        while let Some((number, first)) = lines.next() {
            let first = first.trim_start_matches(is_blank);
            if first.is_empty() || first.starts_with(['#', '!']) {
                continue;
            }
            let mut line = first.to_owned();
            while ends_in_open_backslash(&line) {
                line.pop();
                let Some((_, next)) = lines.next() else { break };
                line.push_str(next.trim_start_matches(is_blank));
            }
            let (key, value) = split_entry(&line);
            let unescape =
                |text| unescape(text).map_err(|escape| PropertiesError { line: number + 1, escape });
            entries.push((unescape(key)?, unescape(value)?));
        }
        Ok(entries.into_iter().collect())
    }

    /// The bytes of a properties file that starts with `comment`, if it is not empty.
    ///
    /// Surrogate pairs, blanks, `:`, `=`, `#` and `!` are escaped as Java escapes them.
    pub fn to_bytes(&self, comment: &str) -> Vec<u8> {
        let mut text = String::new();
        for line in comment.lines() {
            text.push('#');
            text.extend(line.chars().map(|c| if c.is_ascii() { c } else { '?' }));
            text.push('\n');
        }
        for (key, value) in &self.entries {
            escape_into(&mut text, key, true);
            text.push('=');
            escape_into(&mut text, value, false);
            text.push('\n');
        }
        text.into_bytes()
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.entries.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    /// Sets `key`, in place if it is there, else at the end.
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<String>) {
        let (key, value) = (key.into(), value.into());
        match self.entries.iter_mut().find(|(k, _)| *k == key) {
            Some((_, old)) => *old = value,
            None => self.entries.push((key, value)),
        }
    }

    /// Removes `key` and returns its value.
    pub fn remove(&mut self, key: &str) -> Option<String> {
        let at = self.entries.iter().position(|(k, _)| k == key)?;
        Some(self.entries.remove(at).1)
    }

    /// All entries in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Properties {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut kept: Vec<(String, String)> = Vec::new();
        let mut places = HashMap::new();
        for (key, value) in entries {
            let (key, value) = (key.into(), value.into());
            match places.entry(key.clone()) {
                Entry::Vacant(new) => {
                    new.insert(kept.len());
                    kept.push((key, value));
                }
                Entry::Occupied(place) => {
                    if let Some((_, old)) = kept.get_mut(*place.get()) {
                        *old = value;
                    }
                }
            }
        }
        Self { entries: kept }
    }
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\x0c')
}

fn ends_in_open_backslash(line: &str) -> bool {
    line.bytes().rev().take_while(|b| *b == b'\\').count() % 2 == 1
}

/// Splits at the first separator that is not escaped: `=`, `:` or a blank.
fn split_entry(line: &str) -> (&str, &str) {
    let mut escaped = false;
    let end = line.find(|c| {
        let separates = !escaped && (matches!(c, '=' | ':') || is_blank(c));
        escaped = c == '\\' && !escaped;
        separates
    });
    let (key, rest) = line.split_at(end.unwrap_or(line.len()));
    let rest = rest.trim_start_matches(is_blank);
    let value = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (key, value.trim_start_matches(is_blank))
}

fn unescape(text: &str) -> Result<String, String> {
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut chars = text.chars();
    let mut buffer = [0; 2];
    while let Some(c) = chars.next() {
        let plain = match c {
            '\\' => match chars.next() {
                Some('u') => {
                    let digits: String = chars.by_ref().take(4).collect();
                    units.push(parse_unit(&digits).ok_or_else(|| format!("\\u{digits}"))?);
                    continue;
                }
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('f') => '\x0c',
                Some(other) => other,
                None => continue,
            },
            other => other,
        };
        units.extend_from_slice(plain.encode_utf16(&mut buffer));
    }
    Ok(String::from_utf16_lossy(&units))
}

fn parse_unit(digits: &str) -> Option<u16> {
    let all_hex = digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    all_hex.then(|| u16::from_str_radix(digits, 16).ok())?
}

fn escape_into(out: &mut String, text: &str, is_key: bool) {
    for (i, c) in text.chars().enumerate() {
        match c {
            ' ' if is_key || i == 0 => out.push_str("\\ "),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\x0c' => out.push_str("\\f"),
            '=' | ':' | '#' | '!' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            ' '..='~' => out.push(c),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04X}");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::allocations::largest_allocation;

    /// Parses bytes and checks what memory that took.
    fn parse(bytes: &[u8]) -> Result<Properties, PropertiesError> {
        let (parsed, largest_bytes) = largest_allocation(|| Properties::parse(bytes));
        assert!(
            largest_bytes <= 1024 + 64 * bytes.len(),
            "{largest_bytes} bytes at once for {}",
            bytes.len()
        );
        parsed
    }

    #[test]
    fn text_that_was_cut_or_flipped_is_other_text_or_an_error() {
        let properties: Properties =
            [("hoodie.table.name", "caf\u{e9} \u{1F642}"), ("k k", " v=:#\\\n"), ("empty", "")]
                .into_iter()
                .collect();
        let bytes = properties.to_bytes("comment");
        for end in 0..bytes.len() {
            if let Ok(cut) = parse(&bytes[..end]) {
                assert!(cut.iter().count() <= properties.iter().count(), "cut at {end}");
            }
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[end] ^= 1 << bit;
                let _ = parse(&flipped);
            }
        }
        for hostile in
            ["\\".repeat(10_000), "a=\\\n".repeat(10_000), "a\n".repeat(3_000), "\\u".repeat(10_000)]
        {
            let _ = parse(hostile.as_bytes());
        }
    }

    #[test]
    fn java_text_is_read_as_java_reads_it() {
        let text = b"#Updated at 2026-11-23\n!x=y\n\na=1\n  b : two \n c\\ d\\:e=\\u00e9\\t\nlong=one,\\\n   two\nempty\nlast=\\";
        let got: Vec<_> = Properties::parse(text).unwrap().entries;
        let want = [
            ("a", "1"),
            ("b", "two "),
            ("c d:e", "\u{e9}\t"),
            ("long", "one,two"),
            ("empty", ""),
            ("last", ""),
        ];
        assert_eq!(got, want.map(|(k, v)| (k.to_owned(), v.to_owned())));
    }

    #[test]
    fn text_is_written_as_java_writes_it() {
        let properties: Properties =
            [("hoodie.table.create.schema", "{\"type\":\"record\"}"), ("k k", " v \u{1F642}")]
                .into_iter()
                .collect();
        let text = String::from_utf8(properties.to_bytes("comment")).unwrap();
        assert_eq!(
            text,
            "#comment\nhoodie.table.create.schema={\"type\"\\:\"record\"}\nk\\ k=\\ v \\uD83D\\uDE42\n"
        );
    }

    #[test]
    fn a_broken_escape_names_its_line() {
        let error = Properties::parse(b"a=1\nb=\\u12").unwrap_err();
        assert_eq!(error, PropertiesError { line: 2, escape: "\\u12".into() });
    }

    #[test]
    fn every_line_end_of_java_is_one() {
        let ends = Properties::parse(b"a=one,\\\r\n  two\r\nb=1\rc=2\n").unwrap();
        assert_eq!(ends.iter().collect::<Vec<_>>(), [("a", "one,two"), ("b", "1"), ("c", "2")]);
        assert_eq!(Properties::parse(b"a=1\r\nb=\\u12").unwrap_err().line, 2);
    }

    #[test]
    fn many_keys_take_no_longer_each() {
        let text: String = (0..200_000).map(|i| format!("k{}={i}\n", i % 150_000)).collect();
        let properties = Properties::parse(text.as_bytes()).unwrap();
        let entries: Vec<_> = properties.iter().collect();
        assert_eq!(
            (entries.len(), entries[0], entries[149_999]),
            (150_000, ("k0", "150000"), ("k149999", "149999"))
        );
    }

    #[test]
    fn a_later_entry_wins_and_keeps_the_first_place() {
        let properties = Properties::parse(b"a=1\nb=2\na=3").unwrap();
        assert_eq!(properties.iter().collect::<Vec<_>>(), [("a", "3"), ("b", "2")]);
    }

    proptest! {
        #[test]
        fn any_entries_round_trip(entries in prop::collection::hash_map("\\PC{1,12}", "\\PC{0,20}|[\\n\\t =:\\\\]{0,6}", 0..8)) {
            let properties: Properties = entries.into_iter().collect();
            prop_assert_eq!(Properties::parse(&properties.to_bytes("x\ny")).unwrap(), properties);
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn any_lines_are_survived(text in "[ab\\\\u0-9=: #!\\r\\n]{0,200}") {
            let _ = parse(text.as_bytes());
        }
    }
}
