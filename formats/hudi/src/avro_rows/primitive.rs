//! Avro's binary encoding of primitives.

/// Why bytes are no Avro primitive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PrimitiveError {
    /// The bytes end within the value.
    CutShort,
    /// A number of more bits than its type has, or a length below zero.
    Number,
    /// A string that is not UTF-8.
    Text,
}

/// Takes values off the front of some bytes.
#[derive(Debug, Clone)]
pub(crate) struct Decoder<'a> {
    bytes: &'a [u8],
}

impl<'a> Decoder<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// Bytes that are left.
    pub(crate) fn left(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], PrimitiveError> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or(PrimitiveError::CutShort)?;
        self.bytes = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], PrimitiveError> {
        self.take(N)?.try_into().map_err(|_| PrimitiveError::CutShort)
    }

    pub(crate) fn long(&mut self) -> Result<i64, PrimitiveError> {
        let mut number = 0_u64;
        for shift in (0..u64::BITS).step_by(7) {
            let [byte] = self.array()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return Err(PrimitiveError::Number);
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed());
            }
        }
        Err(PrimitiveError::Number)
    }

    pub(crate) fn int(&mut self) -> Result<i32, PrimitiveError> {
        i32::try_from(self.long()?).map_err(|_| PrimitiveError::Number)
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], PrimitiveError> {
        let length = usize::try_from(self.long()?).map_err(|_| PrimitiveError::Number)?;
        self.take(length)
    }

    pub(crate) fn string(&mut self) -> Result<&'a str, PrimitiveError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| PrimitiveError::Text)
    }
}

pub(crate) fn put_long(out: &mut Vec<u8>, number: i64) {
    let mut left = ((number << 1) ^ (number >> 63)).cast_unsigned();
    while left >= 0x80 {
        out.push((left & 0x7f) as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
}

pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    // No buffer exceeds isize::MAX bytes.
    put_long(out, bytes.len() as i64);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn samples_of_the_avro_specification_round_trip() {
        for (number, bytes) in
            [(0, vec![0]), (-1, vec![1]), (1, vec![2]), (-64, vec![0x7f]), (64, vec![0x80, 1])]
        {
            let mut out = Vec::new();
            put_long(&mut out, number);
            assert_eq!(out, bytes);
            assert_eq!(Decoder::new(&bytes).long(), Ok(number));
        }
    }

    #[test]
    fn numbers_of_too_many_bits_are_refused() {
        assert_eq!(Decoder::new(&[0xff; 10]).long(), Err(PrimitiveError::Number));
        let largest = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(Decoder::new(&largest).long(), Ok(i64::MIN));
        assert_eq!(Decoder::new(&[0xff; 9]).long(), Err(PrimitiveError::CutShort));
        assert_eq!(Decoder::new(&[1]).bytes(), Err(PrimitiveError::Number));
        assert_eq!(Decoder::new(&[2, 0xff]).string(), Err(PrimitiveError::Text));
    }

    proptest! {
        #[test]
        fn longs_round_trip(number in any::<i64>()) {
            let mut out = Vec::new();
            put_long(&mut out, number);
            prop_assert_eq!(Decoder::new(&out).long(), Ok(number));
        }
    }
}
