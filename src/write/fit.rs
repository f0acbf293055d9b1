//! Whether rows of a table can be written at all.

use arrow::array::RecordBatch;
use lakebed_hudi::ordering_value::OrderingClass;
use lakebed_hudi::schema::TableSchema;
use lakebed_hudi::table_config::TableConfig;

use super::parquet_schema::parquet_schema;
use super::{KeyRules, WriteError};
use crate::merge::{MergeColumns, MergeError, MergeRules};

/// Makes of no rows what a write makes of the first ones, so that a table whose properties do not fit
/// its columns is refused before anything of it is changed. Rows of buckets are merged, others added.
pub(crate) fn check_fit(
    config: &TableConfig,
    schema: &TableSchema,
    has_buckets: bool,
) -> Result<(), WriteError> {
    KeyRules::of(config).key(&RecordBatch::new_empty(schema.arrow().clone()), None)?;
    let rules = MergeRules::of(config)?;
    MergeColumns::for_rewriting(schema, &rules)?;
    let merged = rules.ordering_fields.iter().filter(|_| has_buckets);
    for field in merged.filter_map(|column| schema.arrow().field_with_name(column).ok()) {
        OrderingClass::of(field.data_type()).map_err(MergeError::from)?;
    }
    parquet_schema(&schema.arrow_with_meta())?;
    Ok(())
}
