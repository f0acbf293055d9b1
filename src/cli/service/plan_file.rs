//! The plan of a service in a file.

use std::collections::BTreeSet;
use std::path::Path;

use lakebed_hudi::instant::InstantTime;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Service;
use crate::error::{Error, ErrorKind};
use crate::table::{FileGroupId, Table};

/// The only form there is.
const VERSION: u32 = 1;

/// What every plan in a file has.
#[derive(Debug, Deserialize)]
struct Head {
    version: u32,
    service: String,
}

/// The plan of a service in a file.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PlanFile<D> {
    version: u32,
    /// What it is a plan of.
    service: String,
    table: String,
    uri: String,
    /// The greatest time on the timeline that it was made on.
    pub(super) made_at: Option<InstantTime>,
    #[serde(flatten)]
    pub(super) draft: D,
}

impl<D: Serialize + DeserializeOwned> PlanFile<D> {
    pub(super) fn of<S: Service<Draft = D>>(table: &Table, survey: &S::Survey, draft: D) -> Self {
        Self {
            version: VERSION,
            service: S::ACTION.as_str().to_owned(),
            table: table.config.name.clone(),
            uri: table.storage.uri().to_string(),
            made_at: S::timeline(survey).latest_time(),
            draft,
        }
    }

    pub(super) fn write(&self, path: &Path) -> Result<(), Error> {
        let text = serde_json::to_string_pretty(self).unwrap_or_default() + "\n";
        std::fs::write(path, text)
            .map_err(|error| Error::new(ErrorKind::Failed, format!("{}: {error}", path.display())))
    }

    /// Reads a plan for `table`.
    pub(super) fn read<S: Service<Draft = D>>(path: &Path, table: &Table) -> Result<Self, Error> {
        let unreadable =
            |problem: String| Error::new(ErrorKind::FixInput, format!("{}: {problem}", path.display()));
        let service = S::ACTION.as_str();
        let text = std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
        let no_plan = |error| unreadable(format!("it is no plan of a {service}: {error}"));
        // What else is in it depends on these.
        let head: Head = serde_json::from_str(&text).map_err(no_plan)?;
        if head.service != service {
            return Err(unreadable(format!("it is a plan of a {}, and not of a {service}", head.service)));
        }
        if head.version != VERSION {
            let problem = format!("version {} of plans is not known, only {VERSION}", head.version);
            return Err(unreadable(problem));
        }
        let file: Self = serde_json::from_str(&text).map_err(no_plan)?;
        let uri = table.storage.uri().to_string();
        if file.uri != uri {
            return Err(unreadable(format!("it is a plan for {}, and not for {uri}", file.uri)));
        }
        let mut groups = BTreeSet::new();
        if let Some(group) = S::rewritten(&file.draft).into_iter().find(|group| !groups.insert(*group)) {
            let FileGroupId { partition, file_id } = group;
            return Err(unreadable(format!(
                "it names file group {file_id} of partition {partition:?} twice, so that nobody could carry it out: \
                 leave one out, or plan anew"
            )));
        }
        Ok(file)
    }
}

/// A plan that the table has moved on from.
pub(super) fn stale(path: &Path, why: &str) -> Error {
    let path = path.display();
    let text = format!("{path}: the plan is stale: {why}; nothing was changed: plan anew");
    Error::new(ErrorKind::Refused, text)
}
