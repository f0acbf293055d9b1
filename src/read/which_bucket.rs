//! Which buckets a filter on the record key leaves.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Schema};
use lakebed_hudi::base_file::RECORD_KEY;
use lakebed_hudi::bucket::BucketHash;
use lakebed_hudi::table_config::TableConfig;

use super::filter::BoundFilter;

/// More keys than this are not worth a look at each.
const KEYS_MAX: usize = 1024;

/// The buckets that rows which pass `filters` can be in; `None` if that is not known.
///
/// Known where every column of the record key, or the key itself, must equal one of some values.
/// Keys are spelled as writers spell them, so columns whose text changes when their type widens
/// tell nothing, nor do keys that may be spelled either way.
pub(super) fn bucket_of(
    config: &TableConfig,
    stored: &Schema,
    filters: &[BoundFilter],
) -> Option<BTreeSet<u32>> {
    let index = config.bucket_index.as_ref()?;
    let hash = BucketHash::new(index.hash_fields.iter().cloned(), index.buckets);
    let equal_to = |column: &str| {
        let found = filters.iter().filter(|filter| filter.column == column);
        found.filter_map(BoundFilter::equal_to).min_by_key(Vec::len)
    };
    if let Some(keys) = equal_to(RECORD_KEY) {
        let bucket = |key: &ArrayRef| {
            let key = key.as_string_opt::<i32>()?;
            key.is_valid(0).then(|| hash.bucket(key.value(0)))
        };
        return keys.iter().map(bucket).collect();
    }
    let rule = config.record_key.as_ref().filter(|_| !config.ambiguous_record_key)?;
    let mut rows: Vec<Vec<ArrayRef>> = vec![Vec::new()];
    for column in rule.columns() {
        let field = stored.field_with_name(column).ok()?;
        if matches!(field.data_type(), DataType::Float32 | DataType::Float64 | DataType::Decimal128(_, _)) {
            return None;
        }
        let values = equal_to(column).filter(|values| rows.len() * values.len() <= KEYS_MAX)?;
        let with = |row: &Vec<ArrayRef>| {
            let row = row.clone();
            values
                .iter()
                .map(move |value| row.iter().cloned().chain([value.clone()]).collect())
                .collect::<Vec<_>>()
        };
        rows = rows.iter().flat_map(with).collect();
    }
    let fields: Vec<_> =
        rule.columns().iter().map(|c| stored.field_with_name(c).cloned()).collect::<Result<_, _>>().ok()?;
    let schema = Arc::new(Schema::new(fields));
    rows.into_iter()
        .map(|row| {
            let batch = RecordBatch::try_new(schema.clone(), row).ok()?;
            let keys: StringArray = rule.keys(&batch).ok()?.keys;
            keys.is_valid(0).then(|| hash.bucket(keys.value(0)))
        })
        .collect()
}
