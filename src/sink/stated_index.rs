//! The index of a table whose properties say nothing of it, as Spark and Flink leave them: the job
//! states it, and what is stored must agree.

use std::sync::Arc;

use arrow::array::{AsArray as _, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use lakebed_hudi::base_file::RECORD_KEY;
use lakebed_hudi::bucket::BucketHash;
use lakebed_hudi::table_config::{BucketIndex, TableConfig, key};

use super::{SinkError, StatedIndex};
use crate::commit::Committer;
use crate::merge::{LogRecords, MergeError, SliceSource as _};
use crate::read::{ReadError, SliceReader};
use crate::table::{
    CONSISTENT_HASHING, FileGroupId, LIKELY_BUCKETS, Refusal, Table, TableError, TableSnapshot, conform,
    has_consistent_hashing,
};
use crate::timeline::Timeline;

/// File groups whose keys are read at the same time.
const GROUPS_AT_ONCE: usize = 4;

/// The index that a table declares, else the one that the job states for it.
///
/// # Errors
/// A stated index that is not the declared one, or that hashes columns outside the record key.
pub(crate) fn index_of(config: &TableConfig, stated: &StatedIndex) -> Result<Option<BucketIndex>, Refusal> {
    let refuse = |feature: String, advice| Err(Refusal { table: config.name.clone(), feature, advice });
    let stated = match (stated, &config.bucket_index) {
        (StatedIndex::Bucket(stated), _) => stated,
        (StatedIndex::None, Some(declared)) => {
            let feature = format!("no index where the table declares {}", described(declared));
            return refuse(feature, "leave the index out of the job");
        }
        (_, declared) => return Ok(declared.clone()),
    };
    let keys = config.record_key.as_ref().map_or(&[][..], |rule| rule.columns());
    if keys.is_empty() {
        let feature = format!("a bucket index without a record key ({} is not set)", key::RECORD_KEY_FIELDS);
        return refuse(feature, "leave the index out of the job, and insert");
    }
    let mut index = stated.clone();
    if index.hash_fields.is_empty() {
        index.hash_fields = config.bucket_hash_fields();
    }
    if let Some(declared) = config.bucket_index.as_ref().filter(|declared| **declared != index) {
        let (stated, declared) = (described(&index), described(declared));
        let feature = format!("an index of {stated} where the table declares {declared}");
        return refuse(feature, "leave the index out of the job");
    }
    if let Some(column) = index.hash_fields.iter().find(|field| !keys.contains(field)) {
        let feature =
            format!("hashing column {column:?}, which is not in the record key ({})", keys.join(", "));
        return refuse(feature, "hash columns of the record key");
    }
    Ok(Some(index))
}

/// Refuses a table without a declared index where what is stored shows one that is not stated, or
/// one that Lakebed does not write by: rows that its writers do not look for would be there twice.
///
/// Source: `HoodieConsistentHashingMetadata`, `BucketIdentifier`, Hudi 1.2.0; neither engine
/// records its index in `hoodie.properties`.
pub(crate) async fn check_undeclared(
    table: &Table,
    timeline: &Timeline,
    stated: &StatedIndex,
) -> Result<(), SinkError> {
    if table.config.bucket_index.is_some() {
        return Ok(());
    }
    let refuse = |feature: String, advice| {
        Err(SinkError::from(Refusal { table: table.config.name.clone(), feature, advice }))
    };
    if has_consistent_hashing(table.storage.as_ref()).await? {
        return refuse(
            format!("writing to a bucket index of consistent hashing ({CONSISTENT_HASHING})"),
            "write it with Spark or Flink, or rewrite it with a simple bucket index",
        );
    }
    if *stated != StatedIndex::Unstated {
        return Ok(());
    }
    match bucket_like_group(table, timeline).await? {
        None => Ok(()),
        Some(FileGroupId { partition, file_id }) => refuse(
            format!("writing beside groups that look like buckets ({file_id} in partition {partition:?})"),
            "state the index that its writers use (table.index in a job), or `none`",
        ),
    }
}

/// A file group of the newest write if all of its groups look like buckets.
async fn bucket_like_group(table: &Table, timeline: &Timeline) -> Result<Option<FileGroupId>, SinkError> {
    for instant in timeline.completed_writes().rev() {
        let metadata = table.timeline.metadata_anywhere(instant).await.map_err(TableError::from)?;
        let groups: Vec<FileGroupId> = metadata
            .write_stats()
            .filter_map(|(partition, stat)| {
                Some(FileGroupId { partition: partition.to_owned(), file_id: stat.group()? })
            })
            .collect();
        let is_bucket = |group: &FileGroupId| group.file_id.bucket_of(LIKELY_BUCKETS).is_some();
        let all_buckets = groups.iter().all(is_bucket);
        if let Some(found) = groups.into_iter().next() {
            return Ok(all_buckets.then_some(found));
        }
    }
    Ok(None)
}

/// Records `stated` in the table's properties once every stored key has been found in its bucket.
/// A table that declares an index already must declare this one.
pub(super) async fn adopt(committer: Committer, stated: &StatedIndex) -> Result<Committer, SinkError> {
    let config = &committer.table().config;
    let Some(index) = index_of(config, stated)?.filter(|_| config.bucket_index.is_none()) else {
        return Ok(committer);
    };
    verify(&committer.table().snapshot(None).await?, &index).await?;
    tracing::info!(buckets = index.buckets, hash_fields = %index.hash_fields.join(","), "recording the bucket index");
    Ok(committer.record_bucket_index(&index).await?)
}

fn described(index: &BucketIndex) -> String {
    format!("{} buckets by {}", index.buckets, index.hash_fields.join(","))
}

/// Hashes every stored key and compares it with the file group it lies in.
async fn verify(snapshot: &TableSnapshot, index: &BucketIndex) -> Result<(), SinkError> {
    let hash = Arc::new(BucketHash::new(index.hash_fields.iter().cloned(), index.buckets));
    let groups = snapshot.all_file_groups().await?.into_iter().flat_map(|(_, groups)| groups);
    stream::iter(groups.collect::<Vec<_>>())
        .map(|group| {
            let hash = hash.clone();
            async move {
                let Some(bucket) = group.id.file_id.bucket() else {
                    let (partition, file_id) = (group.id.partition, group.id.file_id.to_string());
                    return Err(SinkError::NoBucket { partition, file_id, buckets: index.buckets });
                };
                let Some(slice) = group.latest() else { return Ok(()) };
                let reader = SliceReader::open(snapshot, slice).await?;
                let looking = move || first_stray(&reader, bucket, &hash);
                let stray = tokio::task::spawn_blocking(looking).await.map_err(|_| ReadError::Stopped)??;
                stray.map_or(Ok(()), |key| Err(wrong_bucket(group.id.clone(), key, index)))
            }
        })
        .buffer_unordered(GROUPS_AT_ONCE)
        .try_collect()
        .await
}

fn wrong_bucket(group: FileGroupId, record_key: String, index: &BucketIndex) -> SinkError {
    let FileGroupId { partition, file_id } = group;
    SinkError::WrongBucket { partition, file_id: file_id.to_string(), record_key, index: described(index) }
}

/// A key of the slice that is not of `bucket`.
fn first_stray(reader: &SliceReader, bucket: u32, hash: &BucketHash) -> Result<Option<String>, ReadError> {
    let column: SchemaRef = Arc::new(Schema::new(vec![Field::new(RECORD_KEY, DataType::Utf8, true)]));
    let is_stray = |key: &str| hash.bucket(key) != bucket;
    let stray_row = |rows: &RecordBatch| {
        let rows = conform(rows, &column).map_err(MergeError::from)?;
        let mut keys = rows.column(0).as_string::<i32>().iter().flatten();
        Ok::<_, ReadError>(keys.find(|key| is_stray(key)).map(str::to_owned))
    };
    for rows in reader.base(&column)? {
        if let Some(key) = stray_row(&rows?)? {
            return Ok(Some(key));
        }
    }
    for records in reader.logs(&column)? {
        let stray = match records? {
            LogRecords::Rows { batch, .. } => stray_row(&batch)?,
            LogRecords::Deletes(deletes) => {
                deletes.into_iter().map(|deleted| deleted.record_key).find(|key| is_stray(key))
            }
        };
        if stray.is_some() {
            return Ok(stray);
        }
    }
    Ok(None)
}
