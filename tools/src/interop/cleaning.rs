//! Cleans of ours, and such as Spark has begun.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use arrow::array::RecordBatch;
use lakebed::maintain::clean::CleanPolicy;
use lakebed_hudi::file_name::DataFileName;
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_file::Action;

use super::Failed;
use super::stage::Stage;
use super::step::Step;
use super::theirs::without_meta;
use crate::rows;
use crate::spark::Query;

/// So many instants that can still be read are read again after a clean.
const READ_AGAIN: usize = 3;
/// For longer than whoever says nothing counts as alive.
const SILENCE: Duration = Duration::from_secs(3600);

impl Stage<'_> {
    /// We clean. What could be read of the past from then on, Spark and we read as before; what was before
    /// that, both refuse.
    pub(super) fn cleans(&mut self, policy: CleanPolicy) -> Result<(), Failed> {
        let mut before = BTreeMap::new();
        for instant in self.timeline()?.completed_writes() {
            // Who counts versions deletes of the past what it likes.
            if !policy.counts_versions()
                && let Ok(found) = self.as_of(instant.time)
            {
                before.insert(instant.time, found);
            }
        }
        // Of what another has begun some is gone already.
        let is_begun = self.must_be_cleaned().is_err();
        let files = self.data_files()?.len();
        let reports = self.runtime.block_on(self.ours.clean(policy))?;
        let deleted: usize = reports.iter().map(|report| report.deleted).sum();
        let left = self.data_files()?.len();
        if left + deleted != files && !is_begun {
            return Err(format!("{files} data files, {deleted} deleted, and {left} left").into());
        }
        let earliest = reports.iter().filter_map(|report| report.earliest).max();
        for (instant, was) in &before {
            let is_kept = earliest.is_none_or(|earliest| *instant >= earliest);
            match self.as_of(*instant) {
                Ok(found) if is_kept => {
                    if let Some(difference) = rows::difference(was, &found)? {
                        return Err(format!("as of {instant}: {difference}").into());
                    }
                }
                Err(error) if is_kept => return Err(format!("as of {instant}: {error}").into()),
                // What a savepoint keeps we read on.
                Ok(_) if self.savepoint.as_ref().is_none_or(|(kept, ..)| kept != instant) => {
                    return Err(format!("{instant} can be read, but {earliest:?} is the first").into());
                }
                _ => {}
            }
        }
        let kept: Vec<&InstantTime> = before.keys().filter(|i| Some(**i) >= earliest).collect();
        for instant in kept.into_iter().take(READ_AGAIN) {
            let theirs = self.spark_table().read(&Query::AsOf(instant.to_string()))?;
            let was = before.get(instant).map(Vec::as_slice).unwrap_or_default();
            if let Some(difference) = rows::difference(was, &[without_meta(&theirs)?])? {
                return Err(format!("Spark as of {instant}: {difference}").into());
            }
        }
        let cleaned = before.keys().rfind(|instant| earliest.is_some_and(|earliest| **instant < earliest));
        if let Some(instant) = cleaned
            && self.spark_table().read(&Query::AsOf(instant.to_string())).is_ok()
        {
            return Err(format!("Spark reads {instant}, but {earliest:?} is the first").into());
        }
        self.must_be_cleaned()
    }

    fn as_of(&self, instant: InstantTime) -> Result<Vec<RecordBatch>, Failed> {
        self.runtime.block_on(self.ours.read_as_of(instant))
    }

    /// Spark cleans; then it is as if it had died before it could say so, with half of the files deleted.
    pub(super) fn clean_dies(&mut self) -> Result<(), Failed> {
        let mut before = BTreeMap::new();
        for path in self.data_files()? {
            let bytes = fs::read(&path)?;
            before.insert(path, bytes);
        }
        self.spark_does(&Step::Clean)?;
        let left = self.data_files()?;
        let gone = before.iter().filter(|(path, _)| !left.contains(path));
        for (path, bytes) in gone.step_by(2) {
            // A partition may be gone as well.
            fs::create_dir_all(path.parent().unwrap_or(path))?;
            fs::write(path, bytes)?;
        }
        let timeline = self.timeline()?;
        let clean = timeline.completed().rfind(|i| i.action == Action::Clean).ok_or("nothing was cleaned")?;
        let folder = Path::new(&self.ours.uri).join(".hoodie/timeline");
        fs::remove_file(folder.join(clean.file().name()))?;
        for state in ["requested", "inflight"] {
            let file =
                File::options().write(true).open(folder.join(format!("{}.clean.{state}", clean.time)))?;
            file.set_modified(file.metadata()?.modified()? - SILENCE)?;
        }
        Ok(())
    }

    /// No clean is pending.
    pub(super) fn must_be_cleaned(&self) -> Result<(), Failed> {
        match self.timeline()?.pending().find(|instant| instant.action == Action::Clean) {
            Some(pending) => Err(format!("clean {} is still pending", pending.time).into()),
            None => Ok(()),
        }
    }

    /// The data files, on whatever storage.
    fn data_files(&self) -> Result<Vec<PathBuf>, Failed> {
        let table = self.runtime.block_on(self.ours.table())?;
        let files = self.runtime.block_on(table.storage.list_all(&lakebed::storage::TablePath::root()))?;
        let data = files.iter().map(|file| &file.path).filter(|path| {
            path.segments().next() != Some(".hoodie") && DataFileName::parse(path.file_name()).is_some()
        });
        Ok(data.map(|path| Path::new(&self.ours.uri).join(path.as_str())).collect())
    }
}
