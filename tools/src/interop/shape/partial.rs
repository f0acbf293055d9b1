//! Tables whose rows may say nothing of a column.

use arrow::array::{Array as _, ArrayRef, AsArray as _, BooleanArray, RecordBatch};
use arrow::compute::is_not_null;
use arrow::compute::kernels::zip::zip;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use lakebed_hudi::table_config::PartialUpdateMode;

use super::{Cell, Ordering, Shape};

/// How a row says that a column keeps the value that it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Partial {
    /// By null.
    Nulls,
    /// By null, and arrival alone decides between rows.
    NullsByArrival,
    /// By Debezium's marker, in columns of text; null is a value.
    Marker,
}

const MARKER: &str = "__debezium_unavailable_value";

impl Partial {
    pub const ALL: [Self; 3] = [Self::Nulls, Self::NullsByArrival, Self::Marker];

    /// What decides between rows of a key.
    pub fn ordering(self) -> Ordering {
        match self {
            Self::Nulls => Ordering::Long,
            Self::NullsByArrival => Ordering::CommitTime,
            Self::Marker => Ordering::Lsn,
        }
    }

    /// What the table says of it.
    pub fn mode(self) -> PartialUpdateMode {
        match self {
            Self::Nulls | Self::NullsByArrival => PartialUpdateMode::IgnoreDefaults,
            Self::Marker => PartialUpdateMode::FillUnavailable { marker: Some(MARKER.to_owned()) },
        }
    }

    /// The class by which Spark creates such a table.
    pub fn payload_class(self) -> &'static str {
        match self {
            Self::Nulls => "org.apache.hudi.common.model.PartialUpdateAvroPayload",
            Self::NullsByArrival => "org.apache.hudi.common.model.OverwriteNonDefaultsWithLatestAvroPayload",
            Self::Marker => "org.apache.hudi.common.model.debezium.PostgresDebeziumAvroPayload",
        }
    }

    /// What stands in a column of text that a row says nothing of.
    pub(super) fn marker(self) -> Option<&'static str> {
        (self == Self::Marker).then_some(MARKER)
    }

    /// In which rows a column says something.
    fn says(self, column: &ArrayRef) -> Result<BooleanArray, ArrowError> {
        match self {
            Self::Nulls | Self::NullsByArrival => is_not_null(column),
            Self::Marker if *column.data_type() == DataType::Utf8 => {
                Ok(column.as_string::<i32>().iter().map(|text| Some(text != Some(MARKER))).collect())
            }
            Self::Marker => Ok(BooleanArray::from(vec![true; column.len()])),
        }
    }
}

impl Shape {
    /// The rows that lie over one another: each value is that of the topmost row that says something.
    ///
    /// # Errors
    /// None that a scenario could cause.
    pub fn layered_rows(&self, layers: &[Vec<Cell>]) -> Result<RecordBatch, ArrowError> {
        let (top, below) = layers.split_first().map_or((&[][..], &[][..]), |(top, below)| (top, below));
        let mut rows = self.rows(top)?;
        let Some(partial) = self.partial else { return self.shown(&rows) };
        for layer in below {
            let under = self.rows(layer)?;
            let fill = |(over, under): (&ArrayRef, &ArrayRef)| zip(&partial.says(over)?, over, under);
            let columns = rows.columns().iter().zip(under.columns()).map(fill).collect::<Result<_, _>>()?;
            rows = RecordBatch::try_new(rows.schema(), columns)?;
        }
        Ok(rows)
    }
}
