//! Rows to their buckets and partitions.

use std::collections::HashMap;

use arrow::array::{BooleanArray, RecordBatch, StringArray, UInt32Array};
use arrow::compute::{interleave_record_batch, take_record_batch};
use lakebed_hudi::bucket::BucketHash;
use serde::{Deserialize, Serialize};

use super::{KeyedBatch, WriteError};
use crate::merge::MergeColumns;

/// A bucket of a partition: the unit that one writer fills.
///
/// Source: `BucketIdentifier`, the simple bucket index.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Bucket {
    /// The partition path.
    pub partition: String,
    /// The bucket, counted from 0.
    pub number: u32,
}

/// Splits batches by bucket; rows of a bucket keep their order. Buckets come in the order in
/// which they first occur.
///
/// Rows come as [`MergeColumns::keyed`] makes them: the record key before the table's columns.
///
/// # Errors
/// Rows without keys, and batches that Arrow cannot split.
pub fn route(batches: &[KeyedBatch], hash: &BucketHash) -> Result<Vec<(Bucket, RecordBatch)>, WriteError> {
    let mut split = Split::new(hash.buckets());
    for batch in batches {
        let keys = batch.keys.as_ref().ok_or(WriteError::Keyless)?;
        split.add(batch, |row| hash.bucket(keys.value(row)));
    }
    split.rows(batches, keyed)
}

/// Splits batches by partition path; rows of a partition keep their order.
///
/// Rows come as those of [`route`] do, but in tables without record keys without any.
///
/// # Errors
/// Batches that Arrow cannot split.
pub(super) fn split_by_partition(batches: &[KeyedBatch]) -> Result<Vec<(String, RecordBatch)>, WriteError> {
    let mut split = Split::new(1);
    for batch in batches {
        split.add(batch, |_| 0);
    }
    let rows = split.rows(batches, |batch, _| match &batch.keys {
        Some(keys) => Ok(MergeColumns::keyed(&batch.rows, keys, None)?),
        None => Ok(batch.rows.clone()),
    })?;
    Ok(rows.into_iter().map(|(bucket, rows)| (bucket.partition, rows)).collect())
}

/// The rows of a batch after their keys, before what says of each whether it deletes.
fn keyed(batch: &KeyedBatch, with_deletes: bool) -> Result<RecordBatch, WriteError> {
    let none;
    let deletes = match &batch.deletes {
        Some(deletes) => Some(deletes),
        None if with_deletes => {
            none = BooleanArray::from(vec![false; batch.num_rows()]);
            Some(&none)
        }
        None => None,
    };
    let keys: &StringArray = batch.keys.as_ref().ok_or(WriteError::Keyless)?;
    Ok(MergeColumns::keyed(&batch.rows, keys, deletes)?)
}

const NO_GROUP: u32 = u32::MAX;

/// Which row goes where; rows are counted over all batches.
struct Split<'a> {
    buckets: usize,
    partitions: HashMap<&'a str, usize, foldhash::fast::FixedState>,
    /// By partition and bucket: the number of the group.
    groups_of: Vec<Vec<u32>>,
    groups: Vec<(Bucket, Vec<u32>)>,
    rows: u32,
}

impl<'a> Split<'a> {
    fn new(buckets: u32) -> Self {
        let buckets = buckets as usize;
        Self { buckets, partitions: HashMap::default(), groups_of: Vec::new(), groups: Vec::new(), rows: 0 }
    }

    fn add(&mut self, batch: &'a KeyedBatch, bucket_of: impl Fn(usize) -> u32) {
        let paths: Vec<&str> = batch.partition_paths().collect();
        let partitions: Vec<usize> = paths.iter().map(|path| self.partition(path)).collect();
        let numbers = batch.partitions.keys();
        for (row, number) in (0..batch.num_rows()).zip(self.rows..) {
            let path = numbers.value(row) as usize;
            let (Some(partition), Some(name)) = (partitions.get(path), paths.get(path)) else { continue };
            let group = self.group(*partition, bucket_of(row), name);
            if let Some((_, rows)) = self.groups.get_mut(group) {
                rows.push(number);
            }
        }
        self.rows += batch.num_rows() as u32;
    }

    fn partition(&mut self, path: &'a str) -> usize {
        let next = self.partitions.len();
        let partition = *self.partitions.entry(path).or_insert(next);
        if partition == next {
            self.groups_of.push(vec![NO_GROUP; self.buckets]);
        }
        partition
    }

    fn group(&mut self, partition: usize, bucket: u32, path: &str) -> usize {
        let known = self.groups_of.get_mut(partition).and_then(|buckets| buckets.get_mut(bucket as usize));
        match known {
            Some(group) if *group != NO_GROUP => *group as usize,
            Some(group) => {
                *group = self.groups.len() as u32;
                self.groups.push((Bucket { partition: path.to_owned(), number: bucket }, Vec::new()));
                *group as usize
            }
            None => usize::MAX,
        }
    }

    fn rows(
        self,
        batches: &[KeyedBatch],
        rows_of: impl Fn(&KeyedBatch, bool) -> Result<RecordBatch, WriteError>,
    ) -> Result<Vec<(Bucket, RecordBatch)>, WriteError> {
        let with_deletes = batches.iter().any(|batch| batch.deletes.is_some());
        let rows: Vec<RecordBatch> =
            batches.iter().map(|batch| rows_of(batch, with_deletes)).collect::<Result<_, _>>()?;
        if let ([rows], [(bucket, _)]) = (rows.as_slice(), self.groups.as_slice()) {
            return Ok(vec![(bucket.clone(), rows.clone())]);
        }
        let pick = |picked: Vec<u32>| match rows.as_slice() {
            [rows] => take_record_batch(rows, &UInt32Array::from(picked)),
            rows => interleave_record_batch(&rows.iter().collect::<Vec<_>>(), &places(rows, &picked)),
        };
        self.groups.into_iter().map(|(bucket, picked)| Ok((bucket, pick(picked)?))).collect()
    }
}

/// The batch and the row within it of each of `picked`, which ascend.
fn places(batches: &[RecordBatch], picked: &[u32]) -> Vec<(usize, usize)> {
    let (mut batch, mut before) = (0, 0);
    let place = |row: &u32| {
        while let Some(rows) = batches.get(batch).map(RecordBatch::num_rows)
            && *row as usize >= before + rows
        {
            (batch, before) = (batch + 1, before + rows);
        }
        (batch, *row as usize - before)
    };
    picked.iter().map(place).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, AsArray, DictionaryArray};
    use arrow::datatypes::UInt32Type;

    use super::*;

    fn batch(deletes: Option<Vec<bool>>) -> KeyedBatch {
        let values: ArrayRef = Arc::new(StringArray::from(vec!["1", "2", "3", "4"]));
        KeyedBatch {
            rows: RecordBatch::try_from_iter([("v", values)]).unwrap(),
            keys: Some(StringArray::from(vec!["k0", "k1", "k0", "k1"])),
            partitions: DictionaryArray::<UInt32Type>::from_iter(["a", "a", "b", "a"]),
            deletes: deletes.map(BooleanArray::from),
            stream: None,
            presence: None,
        }
    }

    fn text(rows: &RecordBatch, column: usize) -> String {
        rows.column(column).as_string::<i32>().iter().flatten().collect::<Vec<_>>().join(",")
    }

    #[test]
    fn rows_of_a_bucket_keep_their_order_over_batches() {
        let batches = [batch(None), batch(Some(vec![true, false, false, true]))];
        let got: Vec<_> = route(&batches, &BucketHash::new(["id"], 4))
            .unwrap()
            .into_iter()
            .map(|(bucket, rows)| {
                let deletes = rows.column(2).as_boolean().iter().flatten().filter(|flag| *flag).count();
                (bucket.partition, bucket.number, text(&rows, 0), text(&rows, 1), deletes)
            })
            .collect();
        let want =
            [("a", 0, "k0,k0", "1,1", 1), ("a", 1, "k1,k1,k1,k1", "2,4,2,4", 1), ("b", 0, "k0,k0", "3,3", 0)];
        assert_eq!(
            got,
            want.map(|(p, n, keys, values, d)| (p.to_owned(), n, keys.to_owned(), values.to_owned(), d))
        );
    }

    #[test]
    fn rows_of_a_partition_keep_their_order() {
        let got: Vec<_> = split_by_partition(&[batch(None)])
            .unwrap()
            .into_iter()
            .map(|(partition, rows)| (partition, text(&rows, 1)))
            .collect();
        assert_eq!(got, [("a".to_owned(), "1,2,4".to_owned()), ("b".to_owned(), "3".to_owned())]);
    }

    #[test]
    fn a_batch_of_one_bucket_passes_uncopied() {
        let one = KeyedBatch { partitions: DictionaryArray::from_iter(["a"; 4]), ..batch(None) };
        let got = route(std::slice::from_ref(&one), &BucketHash::new(["id"], 1)).unwrap();
        assert!(Arc::ptr_eq(got[0].1.column(1), one.rows.column(0)));
    }
}
