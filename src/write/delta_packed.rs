//! Whole numbers as Parquet's DELTA_BINARY_PACKED, for the chunks that are made by hand.

/// Values of a block, and the parts that it is packed in, each with a width of its own.
const BLOCK: usize = 128;
const PARTS: usize = 4;
const PART: usize = BLOCK / PARTS;

/// The bytes of `values`.
pub(super) fn delta_packed(values: &[i32]) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, BLOCK as u64);
    put_varint(&mut out, PARTS as u64);
    put_varint(&mut out, values.len() as u64);
    put_zigzag(&mut out, values.first().copied().unwrap_or_default().into());
    let steps: Vec<i64> =
        values.iter().zip(values.iter().skip(1)).map(|(a, b)| i64::from(*b) - i64::from(*a)).collect();
    for block in steps.chunks(BLOCK) {
        let least = block.iter().min().copied().unwrap_or_default();
        put_zigzag(&mut out, least);
        let parts = block.chunks(PART).map(|part| part.iter().map(|step| step.abs_diff(least)));
        let width = |part: &mut dyn Iterator<Item = u64>| u64::BITS - part.max().unwrap_or(0).leading_zeros();
        let widths: Vec<u32> = parts.clone().map(|mut part| width(&mut part)).collect();
        out.extend((0..PARTS).map(|part| widths.get(part).copied().unwrap_or_default() as u8));
        for (part, width) in parts.zip(widths) {
            // A part is always whole.
            pack(&mut out, part.chain(std::iter::repeat(0)).take(PART), width);
        }
    }
    out
}

/// Values of `width` bits each, of which the lowest come first.
fn pack(out: &mut Vec<u8>, values: impl Iterator<Item = u64>, width: u32) {
    let (mut bits, mut held) = (0_u128, 0);
    for value in values {
        bits |= u128::from(value) << held;
        held += width;
        while held >= 8 {
            out.push(bits as u8);
            bits >>= 8;
            held -= 8;
        }
    }
}

fn put_zigzag(out: &mut Vec<u8>, value: i64) {
    put_varint(out, ((value << 1) ^ (value >> 63)).cast_unsigned());
}

/// A number in groups of seven bits, the lowest first.
pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand, after the description of the encoding in the Parquet format.
    #[test]
    fn values_are_packed_block_by_block() {
        assert_eq!(delta_packed(&[]), [0x80, 0x01, 4, 0, 0]);
        assert_eq!(delta_packed(&[7]), [0x80, 0x01, 4, 1, 14]);
        // Steps 1, 1, 3 over a least step of 1 take two bits each; the rest of the part is zero.
        let expected = [&[0x80, 0x01, 4, 4, 2, 2, 2, 0, 0, 0, 0b10_00_00][..], &[0; 7]].concat();
        assert_eq!(delta_packed(&[1, 2, 3, 6]), expected);
    }
}
