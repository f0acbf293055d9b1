//! Hudi's simple bucket index: which bucket a record key falls into.

/// The parts of a record key that a bucket index hashes.
///
/// Hudi hashes the values of some key fields, and reads them back out of the record key's text;
/// where that text has no such fields the whole key is the one value.
///
/// Source: `BucketIdentifier.getBucketId`, `KeyGenUtils.extractRecordKeysByFields`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketHash {
    fields: Vec<String>,
    buckets: u32,
}

impl BucketHash {
    /// Hashes `fields` of the record key (`hoodie.bucket.index.hash.field`) into `buckets`
    /// (`hoodie.bucket.index.num.buckets`, at least 1).
    pub fn new(fields: impl IntoIterator<Item = impl Into<String>>, buckets: u32) -> Self {
        let fields = fields.into_iter().map(|field| field.into().trim().to_owned()).collect();
        Self { fields, buckets: buckets.max(1) }
    }

    /// How many buckets there are in a partition.
    pub fn buckets(&self) -> u32 {
        self.buckets
    }

    /// The bucket of `record_key`, counted from 0.
    pub fn bucket(&self, record_key: &str) -> u32 {
        (list_hash(record_key, &self.fields) & 0x7fff_ffff) as u32 % self.buckets
    }
}

/// `java.util.List.hashCode` of the hashed values.
fn list_hash(record_key: &str, fields: &[String]) -> i32 {
    let whole = || 31i32.wrapping_add(string_hash(record_key));
    if !(record_key.contains(',') && record_key.contains(':')) {
        return whole();
    }
    let every_field = matches!(fields, [] | [_]) && fields.iter().all(String::is_empty);
    let mut hash = 1i32;
    let mut found = false;
    for (field, value) in KeyParts::new(record_key) {
        if every_field || fields.iter().any(|f| f == field) {
            found = true;
            let value_hash = match value {
                "__null__" | "__empty__" => 0,
                value => string_hash(value),
            };
            hash = hash.wrapping_mul(31).wrapping_add(value_hash);
        }
    }
    if found { hash } else { whole() }
}

/// `java.lang.String.hashCode`.
fn string_hash(text: &str) -> i32 {
    let step = |hash: i32, unit: i32| hash.wrapping_mul(31).wrapping_add(unit);
    if text.is_ascii() {
        return text.bytes().fold(0, |hash, byte| step(hash, i32::from(byte)));
    }
    text.encode_utf16().fold(0, |hash, unit| step(hash, i32::from(unit)))
}

/// The `field:value` parts of a composite record key.
///
/// A comma belongs to the value unless a later `:` follows it. Where Hudi's own loop would not
/// end (colons after the last comma of a field it skips) the parts end there.
struct KeyParts<'a> {
    rest: &'a str,
}

impl<'a> KeyParts<'a> {
    fn new(record_key: &'a str) -> Self {
        Self { rest: record_key }
    }
}

impl<'a> Iterator for KeyParts<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let (field, after) = self.rest.split_once(':')?;
        let comma = after.match_indices(':').find_map(|(colon, _)| after.split_at(colon).0.rfind(','));
        let (value, rest) = match comma {
            Some(comma) => {
                let (value, rest) = after.split_at(comma);
                (value, rest.strip_prefix(',').unwrap_or(rest))
            }
            None => (after, ""),
        };
        self.rest = rest;
        Some((field, value))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Keys, hash fields and buckets of 4, 7, 16 and 256 as Spark + Hudi 1.2.0 computed them.
    const REAL: &[(&str, &str, [u32; 4])] = &[
        ("k0", "id", [0, 1, 4, 68]),
        ("k1", "id", [1, 2, 5, 69]),
        ("key-123", "id", [3, 3, 3, 227]),
        ("1", "id", [0, 3, 0, 80]),
        ("-5", "id", [3, 2, 7, 199]),
        ("2147483647", "id", [3, 3, 11, 75]),
        ("9223372036854775807", "id", [1, 5, 1, 65]),
        ("\u{e9}\u{6f22}", "id", [0, 4, 8, 120]),
        ("\u{1F642}", "id", [0, 1, 4, 196]),
        ("user_000000042", "id", [1, 2, 9, 89]),
        ("00000000-0000-0000-0000-000000000000", "id", [3, 0, 15, 95]),
        ("", "id", [3, 3, 15, 31]),
        ("a:b", "id", [0, 0, 8, 168]),
        ("a,b:c", "id", [3, 4, 15, 159]),
        ("2024-01-02", "id", [0, 5, 0, 96]),
        ("id:k0", "id", [3, 3, 3, 3]),
        ("a:x,b:1", "a,b", [2, 5, 10, 122]),
        ("a:x,b:1", "b,a", [2, 5, 10, 122]),
        ("a:x,b:1", "b", [0, 3, 0, 80]),
        ("a:__null__,b:99", "a,b", [1, 6, 1, 225]),
        ("a:__empty__,b:98", "a,b", [0, 5, 0, 224]),
        ("a:x:y,b:2", "a,b", [0, 5, 12, 220]),
        ("a:x,b:3,b:4", "a,b", [0, 3, 8, 56]),
        ("a:\u{e9}\u{6f22},b:7", "a,b", [3, 4, 15, 191]),
    ];

    #[test]
    fn buckets_are_those_of_the_real_index() {
        for (key, fields, want) in REAL {
            let got = [4, 7, 16, 256].map(|n| BucketHash::new(fields.split(','), n).bucket(key));
            assert_eq!(got, *want, "{key:?} by {fields}");
        }
    }

    #[test]
    fn a_key_that_hangs_hudi_ends_here() {
        assert!(BucketHash::new(["z"], 4).bucket("a:b:c,") < 4);
    }

    proptest! {
        #[test]
        fn every_key_has_a_bucket(key in "[a:,_\\PC]{0,30}", buckets in 0u32..300) {
            let hash = BucketHash::new(["a", "b"], buckets);
            prop_assert!(hash.bucket(&key) < hash.buckets());
        }
    }
}
