//! Record keys to entry numbers.

use hashbrown::HashTable;

use std::hash::BuildHasher as _;

use foldhash::fast::FixedState;

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

    /// The number of `key`.
    pub(super) fn get(&self, key: &str) -> Option<u32> {
        self.find(self.hash(key), key.as_bytes())
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
        assert_eq!((table.get("b"), table.get(""), table.get("a")), (Some(0), Some(1), None));
        assert_eq!((table.key(0), table.key(1), table.len()), ("b", "", 2));
        for i in 0..10_000 {
            table.insert(&i.to_string());
        }
        assert_eq!(table.get("9999").map(|n| table.key(n)), Some("9999"));
    }
}
