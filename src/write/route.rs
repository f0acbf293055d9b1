//! Rows to their buckets and partitions.

use std::collections::HashMap;
use std::hash::Hash;

use arrow::array::{StringArray, UInt32Array};
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
/// Rows without keys, and batches that Arrow cannot split.
pub fn route(batch: &KeyedBatch, hash: &BucketHash) -> Result<Vec<(Bucket, KeyedBatch)>, WriteError> {
    let keys = batch.keys.as_ref().ok_or(WriteError::Keyless)?;
    let mut partitions = Partitions::new(&batch.partitions);
    let split = split(batch, |row| (partitions.number(row), hash.bucket(keys.value(row))))?;
    let bucket = |(partition, number)| Bucket { partition: partitions.path(partition), number };
    Ok(split.into_iter().map(|(at, rows)| (bucket(at), rows)).collect())
}

/// Splits a batch by partition path; rows of a partition keep their order.
///
/// # Errors
/// Batches that Arrow cannot split.
pub(super) fn split_by_partition(batch: &KeyedBatch) -> Result<Vec<(String, KeyedBatch)>, WriteError> {
    let mut partitions = Partitions::new(&batch.partitions);
    let split = split(batch, |row| partitions.number(row))?;
    Ok(split.into_iter().map(|(partition, rows)| (partitions.path(partition), rows)).collect())
}

/// Splits a batch by what `group` says of each row; groups come in the order of their first row.
fn split<G: Copy + Eq + Hash>(
    batch: &KeyedBatch,
    mut group: impl FnMut(usize) -> G,
) -> Result<Vec<(G, KeyedBatch)>, WriteError> {
    let mut numbers: HashMap<G, usize, foldhash::fast::FixedState> = HashMap::default();
    let mut groups: Vec<(G, Vec<u32>)> = Vec::new();
    for row in 0..batch.num_rows() {
        let group = group(row);
        let number = *numbers.entry(group).or_insert_with(|| {
            groups.push((group, Vec::new()));
            groups.len() - 1
        });
        if let Some((_, rows)) = groups.get_mut(number) {
            rows.push(row as u32);
        }
    }
    if let [(group, _)] = groups.as_slice() {
        return Ok(vec![(*group, batch.clone())]);
    }
    groups.into_iter().map(|(group, rows)| Ok((group, batch.take(&UInt32Array::from(rows))?))).collect()
}

/// Numbers the partition paths of a batch. Neighbours mostly have the same one.
struct Partitions<'a> {
    paths: &'a StringArray,
    numbers: HashMap<&'a str, u32, foldhash::fast::FixedState>,
    first_rows: Vec<usize>,
    last: Option<(&'a str, u32)>,
}

impl<'a> Partitions<'a> {
    fn new(paths: &'a StringArray) -> Self {
        Self { paths, numbers: HashMap::default(), first_rows: Vec::new(), last: None }
    }

    fn number(&mut self, row: usize) -> u32 {
        let path = self.paths.value(row);
        if let Some((last, number)) = self.last
            && last == path
        {
            return number;
        }
        let next = self.first_rows.len() as u32;
        let number = *self.numbers.entry(path).or_insert(next);
        if number == next {
            self.first_rows.push(row);
        }
        self.last = Some((path, number));
        number
    }

    fn path(&self, number: u32) -> String {
        let row = self.first_rows.get(number as usize).copied().unwrap_or_default();
        self.paths.value(row).to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, RecordBatch};

    use super::*;

    fn batch() -> KeyedBatch {
        let values: ArrayRef = Arc::new(StringArray::from(vec!["1", "2", "3", "4"]));
        KeyedBatch {
            rows: RecordBatch::try_from_iter([("v", values)]).unwrap(),
            keys: Some(StringArray::from(vec!["k0", "k1", "k0", "k1"])),
            partitions: StringArray::from(vec!["a", "a", "b", "a"]),
            deletes: None,
            stream: None,
            presence: None,
        }
    }

    fn keys(batch: &KeyedBatch) -> String {
        batch.keys.iter().flatten().flatten().collect::<Vec<_>>().join(",")
    }

    #[test]
    fn rows_of_a_bucket_keep_their_order() {
        let got: Vec<_> = route(&batch(), &BucketHash::new(["id"], 4))
            .unwrap()
            .into_iter()
            .map(|(bucket, batch)| (bucket.partition, bucket.number, keys(&batch)))
            .collect();
        let want = [("a", 0, "k0"), ("a", 1, "k1,k1"), ("b", 0, "k0")];
        assert_eq!(got, want.map(|(p, n, keys)| (p.to_owned(), n, keys.to_owned())));
    }

    #[test]
    fn rows_of_a_partition_keep_their_order() {
        let got: Vec<_> =
            split_by_partition(&batch()).unwrap().into_iter().map(|(p, batch)| (p, keys(&batch))).collect();
        assert_eq!(got, [("a".to_owned(), "k0,k1,k1".to_owned()), ("b".to_owned(), "k0".to_owned())]);
    }
}
