//! Paths of a job file start at its folder.

use glob::Pattern;

use super::Job;

/// Makes the paths of a job absolute: those that are relative start at `folder`, so that they, and
/// the names of inputs in the progress, are the same wherever the job is run from.
pub(super) fn resolve(job: &mut Job, folder: &str) {
    for pattern in &mut job.source.files {
        *pattern = absolute(folder, pattern, Pattern::escape);
    }
    let schema = job.table.create.as_mut().and_then(|create| create.schema.as_mut());
    let addresses = [Some(&mut job.table.uri), schema, job.bad_records.path.as_mut()];
    for address in addresses.into_iter().flatten().filter(|address| !has_scheme(address)) {
        *address = absolute(folder, address, str::to_owned);
    }
}

/// Whether it is an address and no path.
pub(super) fn has_scheme(address: &str) -> bool {
    address.starts_with("file:") || address.contains("://")
}

/// `path` with the folder before it, as `spell` writes the folder, where it is relative.
fn absolute(folder: &str, path: &str, spell: impl Fn(&str) -> String) -> String {
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
