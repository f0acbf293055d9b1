//! Record keys to entry numbers.

use hashbrown::HashTable;

use std::hash::BuildHasher as _;

use foldhash::fast::FixedState;

/// Numbers keys from 0 in the order in which they first come.
///
/// Keys lie one after the other in one buffer: a key costs its bytes and twelve more.
#[derive(Debug)]
pub(super) struct KeyTable {
    numbers: HashTable<u32>,
    bytes: Vec<u8>,
    ends: Vec<usize>,
    hasher: FixedState,
}

impl KeyTable {
    pub(super) fn new() -> Self {
        Self { numbers: HashTable::new(), bytes: Vec::new(), ends: Vec::new(), hasher: FixedState::default() }
    }

    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Makes room for `keys` more.
    pub(super) fn reserve(&mut self, keys: usize) {
        let (bytes, ends, hasher) = (&self.bytes, &self.ends, &self.hasher);
        self.numbers.reserve(keys, |n| hasher.hash_one(slice(bytes, ends, *n)));
    }

    /// The number of `key`, and whether it is new.
    pub(super) fn insert(&mut self, key: &str) -> (u32, bool) {
        let hash = self.hasher.hash_one(key.as_bytes());
        if let Some(number) = self.find(hash, key.as_bytes()) {
            return (number, false);
        }
        let number = self.ends.len() as u32;
        self.bytes.extend_from_slice(key.as_bytes());
        self.ends.push(self.bytes.len());
        let (bytes, ends, hasher) = (&self.bytes, &self.ends, &self.hasher);
        self.numbers.insert_unique(hash, number, |n| hasher.hash_one(slice(bytes, ends, *n)));
        (number, true)
    }

    /// The number of `key`.
    pub(super) fn get(&self, key: &str) -> Option<u32> {
        self.find(self.hasher.hash_one(key.as_bytes()), key.as_bytes())
    }

    /// The key numbered `number`.
    pub(super) fn key(&self, number: u32) -> &str {
        std::str::from_utf8(slice(&self.bytes, &self.ends, number)).unwrap_or_default()
    }

    /// Bytes of memory in use.
    pub(super) fn memory_bytes(&self) -> usize {
        self.bytes.capacity() + self.ends.capacity() * 8 + self.numbers.allocation_size()
    }

    fn find(&self, hash: u64, key: &[u8]) -> Option<u32> {
        self.numbers.find(hash, |n| slice(&self.bytes, &self.ends, *n) == key).copied()
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
        assert_eq!((table.get("b"), table.get(""), table.get("a")), (Some(0), Some(1), None));
        assert_eq!((table.key(0), table.key(1), table.len()), ("b", "", 2));
        for i in 0..10_000 {
            table.insert(&i.to_string());
        }
        assert_eq!(table.get("9999").map(|n| table.key(n)), Some("9999"));
    }
}
