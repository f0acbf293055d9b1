//! Which tables are clustered.

use lakebed_hudi::file_name::FileId;
use lakebed_hudi::table_config::{TableConfig, key};

use crate::table::{LIKELY_BUCKETS, Refusal};

/// Refuses tables whose writers find the group of a key by its file id: they would not find it in the new ones,
/// and write it once more.
///
/// Neither Spark nor Flink records a bucket index in the table's properties: `file_ids`, those of the groups that
/// there are, tell.
///
/// # Errors
/// A table with a bucket index, or whose file ids all look like those of buckets.
pub fn check_fit<'a>(
    config: &TableConfig,
    mut file_ids: impl Iterator<Item = &'a FileId>,
) -> Result<(), Refusal> {
    let refuse = |feature: String| {
        let advice = "leave its groups as they are, and compact them; for fewer files write the table anew with \
                      fewer buckets";
        Err(Refusal { table: config.name.clone(), feature, advice })
    };
    if config.bucket_index.is_some() || config.lacks_bucket_count() {
        return refuse(format!("clustering a table with a bucket index ({}=BUCKET)", key::INDEX_TYPE));
    }
    let Some(first) = file_ids.next() else { return Ok(()) };
    let is_bucket = |id: &FileId| id.bucket_of(LIKELY_BUCKETS).is_some();
    if is_bucket(first) && file_ids.all(is_bucket) {
        return refuse(format!("clustering groups that look like buckets, such as {first}"));
    }
    Ok(())
}
