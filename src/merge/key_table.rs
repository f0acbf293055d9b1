//! Record keys to entry numbers.

use std::hash::BuildHasher as _;

use arrow::array::{Array, StringArray};
use foldhash::fast::FixedState;
use hashbrown::HashTable;

/// Numbers keys from 0 in the order in which they first come.
///
/// Keys lie one after the other in one buffer: a key costs its bytes and some twenty more.
#[derive(Debug)]
pub(super) struct KeyTable {
    slots: HashTable<Slot>,
    bytes: Vec<u8>,
    ends: Vec<usize>,
    hasher: FixedState,
}

/// A key's number. Its hash is kept: most other keys are told from it without a look at their
/// bytes, which lie elsewhere, and the table grows without one.
#[derive(Debug, Clone, Copy)]
struct Slot {
    hash: u32,
    number: u32,
}

impl Slot {
    fn spread_hash(&self) -> u64 {
        spread(self.hash)
    }
}

/// The table takes a hash's lowest bits for the place and its highest to tell neighbours apart.
fn spread(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}

impl KeyTable {
    pub(super) fn new() -> Self {
        Self { slots: HashTable::new(), bytes: Vec::new(), ends: Vec::new(), hasher: FixedState::default() }
    }

    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Makes room for `keys` more.
    pub(super) fn reserve(&mut self, keys: usize) {
        self.slots.reserve(keys, Slot::spread_hash);
        self.ends.reserve(keys);
    }

    /// The number of `key`, and whether it is new.
    pub(super) fn insert(&mut self, key: &str) -> (u32, bool) {
        let hash = self.hash(key);
        if let Some(number) = self.find(hash, key.as_bytes()) {
            return (number, false);
        }
        let number = self.ends.len() as u32;
        self.bytes.extend_from_slice(key.as_bytes());
        self.ends.push(self.bytes.len());
        self.slots.insert_unique(spread(hash), Slot { hash, number }, Slot::spread_hash);
        (number, true)
    }

    /// The rows of `keys` that are there, and their numbers.
    ///
    /// First all are looked for by their hashes alone, then those found are compared: what a step
    /// waits for in memory does not hold up the next.
    pub(super) fn find_all(&self, keys: &StringArray) -> Vec<(usize, u32)> {
        let hashed = (0..keys.len()).map(|row| (row, self.hash(keys.value(row))));
        let found: Vec<(usize, Slot)> = hashed
            .filter_map(|(row, hash)| {
                let slot = self.slots.find(spread(hash), |slot| slot.hash == hash)?;
                Some((row, *slot))
            })
            .collect();
        let is_there = |(row, slot): (usize, Slot)| {
            let key = keys.value(row).as_bytes();
            match slice(&self.bytes, &self.ends, slot.number) == key {
                true => Some((row, slot.number)),
                false => Some((row, self.find(slot.hash, key)?)),
            }
        };
        found.into_iter().filter_map(is_there).collect()
    }

    /// The key numbered `number`.
    pub(super) fn key(&self, number: u32) -> &str {
        std::str::from_utf8(slice(&self.bytes, &self.ends, number)).unwrap_or_default()
    }

    /// Bytes of memory in use.
    pub(super) fn memory_bytes(&self) -> usize {
        self.bytes.capacity() + self.ends.capacity() * 8 + self.slots.allocation_size()
    }

    fn hash(&self, key: &str) -> u32 {
        let hash = self.hasher.hash_one(key.as_bytes());
        (hash >> 32) as u32 ^ hash as u32
    }

    fn find(&self, hash: u32, key: &[u8]) -> Option<u32> {
        let is_key = |slot: &Slot| slot.hash == hash && slice(&self.bytes, &self.ends, slot.number) == key;
        self.slots.find(spread(hash), is_key).map(|slot| slot.number)
    }
}

fn slice<'a>(bytes: &'a [u8], ends: &[usize], number: u32) -> &'a [u8] {
    let number = number as usize;
    let start = number.checked_sub(1).and_then(|n| ends.get(n)).copied().unwrap_or(0);
    let end = ends.get(number).copied().unwrap_or(start);
    bytes.get(start..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_numbered_by_first_arrival() {
        let mut table = KeyTable::new();
        assert_eq!(
            [table.insert("b"), table.insert(""), table.insert("b")],
            [(0, true), (1, true), (0, false)]
        );
        let rows = StringArray::from(vec!["", "a", "b", "", "b"]);
        assert_eq!(table.find_all(&rows), [(0, 1), (2, 0), (3, 1), (4, 0)]);
        assert_eq!((table.key(0), table.key(1), table.len()), ("b", "", 2));
        for i in 0..10_000 {
            table.insert(&i.to_string());
        }
        assert_eq!(table.find_all(&StringArray::from(vec!["9999"])), [(0, 10_001)]);
        assert_eq!(table.key(10_001), "9999");
    }

    #[test]
    fn keys_of_one_hash_are_told_apart() {
        let mut table = KeyTable::new();
        // Enough keys for a pair with the same 32 bits.
        let keys: Vec<String> = (0..300_000).map(|n| format!("key-{n}")).collect();
        let mut seen = std::collections::HashMap::new();
        let twins = keys.iter().find_map(|key| Some((seen.insert(table.hash(key), key)?, key)));
        let (first, second) = twins.unwrap();
        assert_eq!([table.insert(first), table.insert("other")], [(0, true), (1, true)]);
        let rows = StringArray::from(vec![second.as_str(), first.as_str()]);
        assert_eq!(table.find_all(&rows), [(1, 0)]);
        assert_eq!(table.insert(second), (2, true));
        assert_eq!(table.find_all(&rows), [(0, 2), (1, 0)]);
    }
}
