//! Statistics of a column in one file, as a metadata table will need them.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

/// What is known of the values of a column in one file.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ColumnRange {
    /// The column, nested fields joined by `.`.
    pub name: String,
    /// Least and greatest value; `None` if all values are null or nothing is known.
    pub bounds: Option<(ColumnBound, ColumnBound)>,
    /// Nulls.
    pub nulls: u64,
    /// Values, nulls included.
    pub values: u64,
    /// Bytes in the file.
    pub compressed_bytes: u64,
    /// Bytes before compression.
    pub uncompressed_bytes: u64,
}

/// A bound of a column's values. Bounds of long texts may be shortened, never wrongly: a least
/// value may be too small, a greatest one too great.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnBound {
    /// A boolean.
    Boolean(bool),
    /// A whole number, date, time or timestamp as it is stored, or a decimal's unscaled value.
    Whole(i64),
    /// A float.
    Floating(f64),
    /// Text in UTF-8 or bytes.
    Bytes(Vec<u8>),
    /// A wide decimal's unscaled value, big-endian two's complement.
    Unscaled(Vec<u8>),
}

impl ColumnBound {
    /// Which of two bounds of one column is the greater one.
    pub fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Boolean(a), Self::Boolean(b)) => a.cmp(b),
            (Self::Whole(a), Self::Whole(b)) => a.cmp(b),
            (Self::Floating(a), Self::Floating(b)) => a.total_cmp(b),
            (Self::Bytes(a), Self::Bytes(b)) => a.cmp(b),
            (Self::Unscaled(a), Self::Unscaled(b)) => compare_unscaled(a, b),
            // One column has one type.
            _ => Ordering::Equal,
        }
    }
}

impl ColumnRange {
    /// Takes in what is known of the same column in a further part of the file.
    pub fn extend(&mut self, other: &Self) {
        let other_bounds = other.bounds.clone();
        let all_null = |range: &Self| range.nulls == range.values;
        self.bounds = match (self.bounds.take(), other_bounds) {
            (Some((least, greatest)), Some((other_least, other_greatest))) => Some((
                if other_least.compare(&least).is_lt() { other_least } else { least },
                if other_greatest.compare(&greatest).is_gt() { other_greatest } else { greatest },
            )),
            (known, None) if all_null(other) => known,
            (None, known) if all_null(self) => known,
            _ => None,
        };
        self.nulls += other.nulls;
        self.values += other.values;
        self.compressed_bytes += other.compressed_bytes;
        self.uncompressed_bytes += other.uncompressed_bytes;
    }
}

/// Compares numbers of one width: those with the sign bit are the lesser ones.
fn compare_unscaled(a: &[u8], b: &[u8]) -> Ordering {
    let is_negative = |bytes: &[u8]| bytes.first().is_some_and(|byte| byte & 0x80 != 0);
    is_negative(b).cmp(&is_negative(a)).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(bounds: Option<(i64, i64)>, nulls: u64, values: u64) -> ColumnRange {
        let bounds = bounds.map(|(a, b)| (ColumnBound::Whole(a), ColumnBound::Whole(b)));
        ColumnRange { bounds, nulls, values, ..ColumnRange::default() }
    }

    fn extended(mut a: ColumnRange, b: &ColumnRange) -> Option<(ColumnBound, ColumnBound)> {
        a.extend(b);
        a.bounds
    }

    #[test]
    fn ranges_of_parts_make_the_range_of_the_whole() {
        let whole = range(Some((1, 9)), 0, 0).bounds;
        assert_eq!(extended(range(Some((3, 9)), 0, 2), &range(Some((1, 4)), 1, 3)), whole);
        assert_eq!(extended(range(Some((1, 9)), 0, 2), &range(None, 3, 3)), whole);
        assert_eq!(extended(range(None, 0, 0), &range(Some((1, 9)), 0, 3)), whole);
        assert_eq!(extended(range(Some((1, 9)), 0, 2), &range(None, 2, 3)), None, "not known of a part");
    }

    #[test]
    fn wide_decimals_order_by_sign() {
        let bound = |bytes: [u8; 2]| ColumnBound::Unscaled(bytes.to_vec());
        assert!(bound([0xff, 0xff]).compare(&bound([0, 1])).is_lt());
        assert!(bound([0xff, 0xfe]).compare(&bound([0xff, 0xff])).is_lt());
        assert!(bound([1, 0]).compare(&bound([0, 0xff])).is_gt());
    }
}
