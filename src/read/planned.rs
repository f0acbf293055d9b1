//! What a scan is going to read.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::SchemaRef;

use super::filter::BoundFilter;
use crate::memory::SpillArea;
use crate::merge::MergeRules;
use crate::table::{FileGroupId, FileSlice};

/// A file slice that may hold rows that are asked for.
#[derive(Debug, Clone)]
pub struct PlannedSlice {
    /// The file group.
    pub group: FileGroupId,
    /// Its files.
    pub slice: FileSlice,
    /// The values of partition columns that the path decides, one each.
    pub(super) shown: Arc<BTreeMap<String, ArrayRef>>,
}

/// What is the same for all slices.
#[derive(Debug)]
pub(super) struct Shape {
    /// All columns of the table as they are stored, meta columns first.
    pub(super) stored: SchemaRef,
    /// The columns that come out, as they are shown.
    pub(super) output: SchemaRef,
    pub(super) filters: Vec<BoundFilter>,
    pub(super) rules: Arc<MergeRules>,
    /// Where merges that need more memory put their log records.
    pub(super) spill: SpillArea,
}
