//! A position in Avro bytes that never runs past their end.

/// Reads the primitives of Avro's binary encoding off a slice.
///
/// An error says what was missing; [`Cursor::offset`] then tells where.
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
    len: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, len: bytes.len() }
    }

    /// How many bytes were read.
    pub(super) fn offset(&self) -> usize {
        self.len - self.rest.len()
    }

    /// How many bytes are left.
    pub(super) fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// The next `len` bytes.
    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], &'static str> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or("the bytes end too early")?;
        self.rest = rest;
        Ok(taken)
    }

    /// The next `N` bytes.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], &'static str> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or("the bytes end too early")?;
        self.rest = rest;
        Ok(*taken)
    }

    /// A zigzag number of variable length.
    pub(super) fn long(&mut self) -> Result<i64, &'static str> {
        let mut bits = 0_u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            let value = u64::from(byte & 0x7f);
            if shift == 63 && value > 1 {
                break;
            }
            bits |= value << shift;
            if byte & 0x80 == 0 {
                return Ok((bits >> 1).cast_signed() ^ -(bits & 1).cast_signed());
            }
        }
        Err("a number is longer than 64 bits")
    }

    /// A length and as many bytes.
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], &'static str> {
        let len = usize::try_from(self.long()?).map_err(|_| "a length is negative")?;
        self.take(len)
    }

    /// A length and as many bytes of text.
    pub(super) fn text(&mut self) -> Result<&'a str, &'static str> {
        std::str::from_utf8(self.bytes()?).map_err(|_| "a text is not UTF-8")
    }

    /// How many items the next block of an array or map has; 0 ends it.
    ///
    /// Never more than there are bytes left: no item of a timeline file takes no byte.
    pub(super) fn block_count(&mut self) -> Result<usize, &'static str> {
        let mut count = self.long()?;
        if count < 0 {
            // A negative count is followed by the block's size, for readers that skip it.
            self.long()?;
            count = count.checked_neg().ok_or("an item count is out of range")?;
        }
        usize::try_from(count)
            .ok()
            .filter(|count| *count <= self.remaining())
            .ok_or("there are fewer bytes than items")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_zigzag_and_little_endian() {
        let of = |bytes: &[u8]| Cursor::new(bytes).long();
        assert_eq!(of(&[0]), Ok(0));
        assert_eq!(of(&[1]), Ok(-1));
        assert_eq!(of(&[0x80, 0x01]), Ok(64));
        assert_eq!(of(&[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]), Ok(i64::MAX));
        assert_eq!(of(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]), Ok(i64::MIN));
    }

    #[test]
    fn numbers_beyond_64_bits_and_cut_numbers_are_refused() {
        for bytes in
            [&[0x80_u8; 11][..], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2], &[0x80], &[]]
        {
            assert!(Cursor::new(bytes).long().is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn lengths_and_counts_never_exceed_what_is_left() {
        assert!(Cursor::new(&[4, b'a']).bytes().is_err());
        assert!(Cursor::new(&[1, b'a']).bytes().is_err());
        assert!(Cursor::new(&[4, b'a']).block_count().is_err());
        assert_eq!(Cursor::new(&[2, b'a']).block_count(), Ok(1));
        assert_eq!(Cursor::new(&[1, 2, b'a']).block_count(), Ok(1));
    }
}
