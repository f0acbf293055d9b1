//! Paths in a file of settings start at its folder.

/// Whether it is an address and no path.
pub(crate) fn has_scheme(address: &str) -> bool {
    address.starts_with("file:") || address.contains("://")
}

/// `path` with the folder before it, as `spell` writes the folder, where it is relative.
pub(crate) fn absolute(folder: &str, path: &str, spell: impl Fn(&str) -> String) -> String {
    if path.starts_with('/') {
        return path.to_owned();
    }
    let (mut folder, mut path) = (folder.trim_end_matches('/'), path);
    loop {
        if let Some(rest) = path.strip_prefix("./") {
            path = rest;
        } else if let Some(rest) = path.strip_prefix("../") {
            folder = folder.rsplit_once('/').map_or("", |(above, _)| above);
            path = rest;
        } else {
            return format!("{}/{path}", spell(folder));
        }
    }
}
