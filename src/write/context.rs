//! What all writers of one write share.

use std::sync::Arc;

use super::meta_columns::Place;
use super::row_format::RowFormat;
use super::run_store::RunStore;
use crate::environment::Ids;
use crate::merge::MergeResources;
use crate::storage::Storage;
use crate::table::Attempt;

/// What a writer needs of the write that it is part of.
#[derive(Debug, Clone)]
pub(super) struct WriteContext {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) ids: Arc<dyn Ids>,
    pub(super) attempt: Attempt,
    pub(super) format: Arc<RowFormat>,
    /// Where rows go for which there is no memory.
    pub(super) runs: Arc<RunStore>,
    /// What each merge with a base file may take.
    pub(super) merge: MergeResources,
}

impl WriteContext {
    /// Where the first rows of writer `number` go.
    pub(super) fn place(&self, number: u32, partition: &str, file_name: String) -> Place {
        Place {
            instant: self.attempt.instant,
            partition: partition.to_owned(),
            file_name,
            task: number,
            rows_numbered: 0,
        }
    }
}
