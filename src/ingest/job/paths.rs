//! Paths of a job file start at its folder.

use glob::Pattern;

use super::Job;
use crate::settings::{absolute, has_scheme};

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
