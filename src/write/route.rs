//! Rows to their buckets.

use std::collections::HashMap;

use arrow::array::UInt32Array;
use lakebed_hudi::bucket::BucketHash;
use serde::{Deserialize, Serialize};

use super::{KeyedBatch, WriteError};

/// A bucket of a partition: the unit that one writer fills.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Bucket {
    /// The partition path.
    pub partition: String,
    /// The bucket, counted from 0.
    pub number: u32,
}

/// Splits a batch by bucket; rows of a bucket keep their order. Buckets come in the order in
/// which they first occur.
///
/// # Errors
/// Batches that Arrow cannot split.
pub fn route(batch: &KeyedBatch, hash: &BucketHash) -> Result<Vec<(Bucket, KeyedBatch)>, WriteError> {
    let mut partitions: HashMap<&str, u32> = HashMap::new();
    let mut groups: HashMap<(u32, u32), usize> = HashMap::new();
    let mut split: Vec<((&str, u32), Vec<u32>)> = Vec::new();
    let mut last: Option<(&str, u32)> = None;
    for row in 0..batch.num_rows() {
        let path = batch.partitions.value(row);
        let partition = match last {
            Some((same, number)) if same == path => number,
            _ => {
                let next = partitions.len() as u32;
                *partitions.entry(path).or_insert(next)
            }
        };
        last = Some((path, partition));
        let bucket = hash.bucket(batch.keys.value(row));
        let group = *groups.entry((partition, bucket)).or_insert_with(|| {
            split.push(((path, bucket), Vec::new()));
            split.len() - 1
        });
        if let Some((_, rows)) = split.get_mut(group) {
            rows.push(row as u32);
        }
    }
    if let [((path, number), _)] = split.as_slice() {
        return Ok(vec![(Bucket { partition: (*path).to_owned(), number: *number }, batch.clone())]);
    }
    split
        .into_iter()
        .map(|((path, number), rows)| {
            let rows = batch.take(&UInt32Array::from(rows))?;
            Ok((Bucket { partition: path.to_owned(), number }, rows))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, RecordBatch, StringArray};

    use super::*;

    #[test]
    fn rows_of_a_bucket_keep_their_order() {
        let keys = StringArray::from(vec!["k0", "k1", "k0", "k1"]);
        let partitions = StringArray::from(vec!["a", "a", "b", "a"]);
        let values: ArrayRef = Arc::new(StringArray::from(vec!["1", "2", "3", "4"]));
        let rows = RecordBatch::try_from_iter([("v", values)]).unwrap();
        let batch = KeyedBatch { rows, keys, partitions, deletes: None, stream: None, presence: None };
        let hash = BucketHash::new(["id"], 4);
        let got: Vec<_> = route(&batch, &hash)
            .unwrap()
            .into_iter()
            .map(|(bucket, batch)| {
                (bucket.partition, bucket.number, batch.keys.iter().flatten().collect::<Vec<_>>().join(","))
            })
            .collect();
        let want = [("a", 0, "k0"), ("a", 1, "k1,k1"), ("b", 0, "k0")];
        assert_eq!(got, want.map(|(p, n, keys)| (p.to_owned(), n, keys.to_owned())));
    }
}
