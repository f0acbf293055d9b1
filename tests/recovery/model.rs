//! The rows that a table should have, kept in the plainest way.

use std::collections::BTreeMap;

use arrow::array::{AsArray as _, BooleanArray, RecordBatch};
use arrow::datatypes::Int64Type;

use crate::test_table::{Row, rows};

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// A row to write: id, partition, ordering value, text, whether it deletes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub id: String,
    pub partition: String,
    pub ts: i64,
    pub text: String,
    pub delete: bool,
}

impl Change {
    pub fn put(id: &str, partition: &str, ts: i64, text: &str) -> Self {
        Self { id: id.into(), partition: partition.into(), ts, text: text.into(), delete: false }
    }

    pub fn delete(id: &str, partition: &str, ts: i64) -> Self {
        Self { delete: true, ..Self::put(id, partition, ts, "") }
    }

    fn row(&self) -> Row<'_> {
        (&self.id, &self.partition, self.ts, (!self.delete).then_some(&self.text))
    }
}

/// The changes as the sink takes them.
pub fn batch(changes: &[Change]) -> (RecordBatch, BooleanArray) {
    let of: Vec<Row<'_>> = changes.iter().map(Change::row).collect();
    (rows(&of), changes.iter().map(|change| Some(change.delete)).collect())
}

/// Rows by partition and id: ordering value and text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Model(pub BTreeMap<(String, String), (i64, String)>);

impl Model {
    /// Of one key the greatest ordering value counts, the later one of equal ones.
    pub fn upsert(&mut self, changes: &[Change]) {
        for change in changes {
            let key = (change.partition.clone(), change.id.clone());
            if self.0.get(&key).is_some_and(|(ts, _)| change.ts < *ts) {
                continue;
            }
            if change.delete {
                self.0.remove(&key);
            } else {
                self.0.insert(key, (change.ts, change.text.clone()));
            }
        }
    }

    /// Replaces the partitions that there are rows for.
    pub fn overwrite(&mut self, changes: &[Change]) {
        self.0.retain(|(partition, _), _| changes.iter().all(|change| change.partition != *partition));
        self.upsert(changes);
    }

    /// Replaces all rows.
    pub fn overwrite_table(&mut self, changes: &[Change]) {
        self.0.clear();
        self.upsert(changes);
    }

    /// The rows of a table as it was read; a key that is there twice is a failure.
    pub fn of_rows(batches: &[RecordBatch]) -> Result<Self, String> {
        let mut found = Self::default();
        for batch in batches {
            let text = |name: &str| batch.column_by_name(name).unwrap().as_string::<i32>();
            let ts = batch.column_by_name("ts").unwrap().as_primitive::<Int64Type>();
            for row in 0..batch.num_rows() {
                let key = (text("p").value(row).to_owned(), text("id").value(row).to_owned());
                let value = (ts.value(row), text("v").value(row).to_owned());
                if let Some(before) = found.0.insert(key.clone(), value) {
                    return Err(format!("{key:?} is there twice, once as {before:?}"));
                }
            }
        }
        Ok(found)
    }

    /// In what `found` differs from this, at most ten rows of it.
    pub fn differences(&self, found: &Self) -> Vec<String> {
        let lost = self.0.iter().filter(|(key, value)| found.0.get(key) != Some(value));
        let lost =
            lost.map(|(key, value)| format!("expected {key:?} {value:?}, found {:?}", found.0.get(key)));
        let extra = found.0.iter().filter(|(key, _)| !self.0.contains_key(key));
        lost.chain(extra.map(|(key, value)| format!("found {key:?} {value:?}, expected none")))
            .take(10)
            .collect()
    }
}
