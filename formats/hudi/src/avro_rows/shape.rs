//! What records of a schema look like in bytes.

use super::primitive::{Decoder, PrimitiveError};

/// What a value takes in memory beside its bytes: the widest number of a table, or the offset of a text.
pub(super) const VALUE_BYTES: u64 = 16;

/// The form of a value.
#[derive(Debug, Clone)]
pub(super) enum Shape {
    /// No bytes.
    Null,
    /// So many bytes.
    Fixed(u64),
    /// An int or a long.
    Number,
    /// A length and so many bytes.
    Bytes,
    /// One of so many symbols, of which none has more than `bytes_max`: as much may each value take
    /// where texts are made of them.
    Symbol { count: u64, bytes_max: u64 },
    /// Any number of values.
    List(Box<Shape>),
    /// Any number of texts with a value each.
    Map(Box<Shape>),
    /// One value after the other.
    Record(Vec<Shape>),
    /// One of the branches; a null takes `null_bytes` of memory.
    Union { branches: Vec<Shape>, null_bytes: u64 },
}

/// Why bytes are no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Misshapen {
    /// A primitive that is none.
    Primitive(PrimitiveError),
    /// A branch of a union or a symbol of an enum that its schema does not have.
    Choice,
    /// It would take more memory than it may.
    TooLarge,
}

impl From<PrimitiveError> for Misshapen {
    fn from(error: PrimitiveError) -> Self {
        Self::Primitive(error)
    }
}

/// Passes over values and adds up what they take in memory.
pub(super) struct Walk<'a> {
    bytes: Decoder<'a>,
    /// Whether memory is counted: values that are left out take none.
    counted: bool,
    memory_bytes: u64,
    memory_bytes_max: u64,
}

impl<'a> Walk<'a> {
    pub(super) fn new(bytes: &'a [u8], memory_bytes_max: u64) -> Self {
        Self { bytes: Decoder::new(bytes), counted: true, memory_bytes: 0, memory_bytes_max }
    }

    /// Bytes that are left.
    pub(super) fn left(&self) -> usize {
        self.bytes.left()
    }

    /// What was counted.
    pub(super) fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    /// Passes over the value of a column.
    pub(super) fn column(&mut self, shape: &Shape, counted: bool) -> Result<(), Misshapen> {
        self.counted = counted;
        self.value(shape)
    }

    fn value(&mut self, shape: &Shape) -> Result<(), Misshapen> {
        match shape {
            Shape::Null => {}
            Shape::Fixed(bytes) => {
                self.count(VALUE_BYTES.saturating_add(*bytes))?;
                let bytes = usize::try_from(*bytes).map_err(|_| PrimitiveError::CutShort)?;
                self.bytes.take(bytes)?;
            }
            Shape::Number => {
                self.count(VALUE_BYTES)?;
                self.bytes.long()?;
            }
            Shape::Bytes => {
                let bytes = self.bytes.bytes()?.len() as u64;
                self.count(VALUE_BYTES.saturating_add(bytes))?;
            }
            Shape::Symbol { count, bytes_max } => {
                self.count(VALUE_BYTES.saturating_add(*bytes_max))?;
                let symbol = u64::try_from(self.bytes.int()?);
                symbol.ok().filter(|symbol| symbol < count).ok_or(Misshapen::Choice)?;
            }
            Shape::List(item) => self.items(|walk| walk.value(item))?,
            Shape::Map(value) => self.items(|walk| {
                walk.value(&Shape::Bytes)?;
                walk.value(value)
            })?,
            Shape::Record(fields) => fields.iter().try_for_each(|field| self.value(field))?,
            Shape::Union { branches, null_bytes } => {
                let branch = usize::try_from(self.bytes.long()?).ok().and_then(|branch| branches.get(branch));
                match branch.ok_or(Misshapen::Choice)? {
                    Shape::Null => self.count(*null_bytes)?,
                    branch => self.value(branch)?,
                }
            }
        }
        Ok(())
    }

    /// Passes over the items of a list or map, which come in blocks. Each takes a byte at least, so
    /// that their number is bounded.
    fn items(&mut self, mut item: impl FnMut(&mut Self) -> Result<(), Misshapen>) -> Result<(), Misshapen> {
        self.count(VALUE_BYTES)?;
        loop {
            let count = self.bytes.long()?;
            if count == 0 {
                return Ok(());
            }
            if count < 0 {
                // The bytes of the block, for who passes over it without a look.
                self.bytes.long()?;
            }
            (0..count.unsigned_abs()).try_for_each(|_| item(self))?;
        }
    }

    fn count(&mut self, bytes: u64) -> Result<(), Misshapen> {
        if self.counted {
            self.memory_bytes = self.memory_bytes.saturating_add(bytes);
        }
        if self.memory_bytes > self.memory_bytes_max {
            return Err(Misshapen::TooLarge);
        }
        Ok(())
    }
}
