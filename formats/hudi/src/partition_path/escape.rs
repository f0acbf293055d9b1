//! Special characters in partition folders, as Hive escapes them.

fn needs_escape(c: char) -> bool {
    c <= '\x1f'
        || matches!(
            c,
            '"' | '#' | '%' | '\'' | '*' | '/' | ':' | '=' | '?' | '\\' | '\x7f' | '{' | '[' | ']' | '^'
        )
}

pub(super) fn escape_into(path: &mut String, text: &str) {
    for c in text.chars() {
        if needs_escape(c) {
            path.push_str(&format!("%{:02X}", u32::from(c)));
        } else {
            path.push(c);
        }
    }
}

/// Undoes Hive's escaping; a `%` that no two hex digits follow stays.
///
/// Source: `PartitionPathEncodeUtils.unescapePathName`.
pub fn unescape(text: &str) -> std::borrow::Cow<'_, str> {
    if !text.contains('%') {
        return text.into();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let code = after.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match code {
            Some(code) => {
                out.push(char::from(code));
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                out.push('%');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out.into()
}
