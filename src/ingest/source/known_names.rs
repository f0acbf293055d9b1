//! Names that were read, in a bounded size.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use xxhash_rust::xxh3::xxh3_128;

/// Bits for each name, as long as there is room.
const NAME_BITS: usize = 32;

/// Bits of a set, at least and at most, which 16 bits count: 8 KiB hold 2,000 names with all of their bits.
const SET_BITS: std::ops::RangeInclusive<usize> = 256..=1 << 16;

/// A set of names: a Bloom filter.
///
/// It knows every name that was put in, and takes few others for known: fewer than 1 in 100,000 of
/// them up to 2,000 names, 1 in 2,000 at 4,000, 1 in 16 at 10,000; it is of no use beyond 50,000.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownNames {
    /// As many bits as a power of two.
    bits: Vec<u8>,
}

impl KnownNames {
    /// An empty set with room for `names`.
    pub fn with_room_for(names: usize) -> Self {
        let bits = names.saturating_mul(NAME_BITS).clamp(*SET_BITS.start(), *SET_BITS.end());
        Self { bits: vec![0; bits.next_power_of_two() / 8] }
    }

    /// Puts a name in.
    pub fn insert(&mut self, name: &str) {
        for (byte, bit) in self.probes(name) {
            if let Some(byte) = self.bits.get_mut(byte) {
                *byte |= bit;
            }
        }
    }

    /// Whether the name was put in; of a name that was not, see [`KnownNames`].
    pub fn contains(&self, name: &str) -> bool {
        self.probes(name).all(|(byte, bit)| self.bits.get(byte).is_some_and(|found| found & bit != 0))
    }

    /// Where the eight bits of a name are, each by 16 bits of its hash: the byte, and the bit within.
    fn probes(&self, name: &str) -> impl Iterator<Item = (usize, u8)> + use<> {
        let (hash, bytes) = (xxh3_128(name.as_bytes()), self.bits.len());
        (0..8).map(move |n| {
            let bit = (hash >> (16 * n)) as u16;
            (usize::from(bit >> 3) & (bytes - 1), 1 << (bit & 7))
        })
    }
}

impl Serialize for KnownNames {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.bits))
    }
}

impl<'de> Deserialize<'de> for KnownNames {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bits = STANDARD.decode(text).map_err(de::Error::custom)?;
        match bits.len().is_power_of_two() && SET_BITS.contains(&(bits.len() * 8)) {
            true => Ok(Self { bits }),
            false => Err(de::Error::custom(format!("{} bytes are no set of names", bits.len()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(range: std::ops::Range<usize>) -> impl Iterator<Item = String> {
        range.map(|n| format!("/landing/2026/{n:06}.csv.gz"))
    }

    #[test]
    fn what_was_put_in_is_known_and_little_else() {
        for (count, wrong_max) in [(0, 0), (1, 0), (100, 0), (2_000, 1), (4_000, 20), (10_000, 1_500)] {
            let mut known = KnownNames::with_room_for(count);
            names(0..count).for_each(|name| known.insert(&name));
            let text = serde_json::to_string(&known).unwrap();
            assert!(text.len() < 11_000, "{}", text.len());
            let known: KnownNames = serde_json::from_str(&text).unwrap();
            assert!(names(0..count).all(|name| known.contains(&name)));
            let wrong = names(count..count + 20_000).filter(|name| known.contains(name)).count();
            assert!(wrong <= wrong_max, "{wrong} at {count} names");
        }
    }

    #[test]
    fn a_set_of_another_size_is_refused() {
        for text in ["\"\"", "\"AAAA\"", "\"?\"", "7"] {
            assert!(serde_json::from_str::<KnownNames>(text).is_err(), "{text}");
        }
    }
}
