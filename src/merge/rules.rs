//! What a table says about merging, as far as it can be done without a JVM.

use arrow::array::{Array as _, ArrayRef, AsArray as _, BooleanArray};
use arrow::buffer::BooleanBuffer;
use lakebed_hudi::table_config::{DeleteMarker, MergeMode, PartialUpdateMode, TableConfig};

use super::MergeError;

/// How the row that stays is filled from the other one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fill {
    /// Not at all, but for the columns that partial blocks lack.
    Nothing,
    /// Null columns are.
    Nulls,
    /// Text columns that hold this marker are.
    Marker(String),
}

impl Fill {
    /// The rows of a column that are filled from another row; `None` if no row is.
    pub(super) fn open_rows(&self, values: &ArrayRef) -> Option<BooleanBuffer> {
        match self {
            Self::Nothing => None,
            Self::Nulls => {
                let nulls = values.logical_nulls()?;
                (nulls.null_count() > 0).then(|| !nulls.inner())
            }
            Self::Marker(marker) => {
                // Spark compares the marker with text only: in a binary column it stays.
                let is_marker = |text: Option<&str>| Some(text == Some(marker));
                let marked: BooleanArray = match values.as_string_view_opt() {
                    Some(texts) => texts.iter().map(is_marker).collect(),
                    None => values.as_string_opt::<i32>()?.iter().map(is_marker).collect(),
                };
                (marked.true_count() > 0).then(|| marked.values().clone())
            }
        }
    }
}

/// How two rows of one key become one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergeRules {
    /// Ordering columns; empty where the later row always stays.
    pub ordering_fields: Vec<String>,
    /// How the row that stays is filled.
    pub fill: Fill,
    /// A column and value that mark deleted rows, besides `_hoodie_is_deleted`.
    pub delete_marker: Option<DeleteMarker>,
}

impl MergeRules {
    /// The rules of a table.
    ///
    /// # Errors
    /// A merge mode that needs a JVM.
    pub fn of(config: &TableConfig) -> Result<Self, MergeError> {
        let ordering_fields = match &config.merge_mode {
            MergeMode::CommitTime => Vec::new(),
            MergeMode::EventTime => config.ordering_fields.clone(),
            MergeMode::Custom(class) => return Err(MergeError::Custom { class: class.clone() }),
        };
        let fill = match &config.partial_update {
            None | Some(PartialUpdateMode::FillUnavailable { marker: None }) => Fill::Nothing,
            Some(PartialUpdateMode::IgnoreDefaults) => Fill::Nulls,
            Some(PartialUpdateMode::FillUnavailable { marker: Some(marker) }) => Fill::Marker(marker.clone()),
        };
        Ok(Self { ordering_fields, fill, delete_marker: config.delete_marker.clone() })
    }

    /// Whether ordering values decide, and not arrival.
    pub fn event_time(&self) -> bool {
        !self.ordering_fields.is_empty()
    }
}
