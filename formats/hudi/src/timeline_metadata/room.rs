//! How much memory a decoded file may take.

/// Items of lists and maps may take far more memory than bytes: the largest of Hudi's, a write's
/// statistics, take under 20 bytes for each of their own.
const PER_BYTE: usize = 64;
const FREE_BYTES: usize = 64 << 10;

/// The memory that is left for items.
pub(super) struct Room {
    left_bytes: usize,
}

impl Room {
    /// The room of a file, or record, of so many bytes.
    pub(super) fn of(bytes: usize) -> Self {
        Self { left_bytes: bytes.saturating_mul(PER_BYTE).saturating_add(FREE_BYTES) }
    }

    /// Accounts for items before there are any.
    pub(super) fn make_for<T>(&mut self, items: usize) -> Result<(), &'static str> {
        let left = self.left_bytes.checked_sub(size_of::<T>().saturating_mul(items));
        self.left_bytes = left.ok_or("there are fewer bytes than so many items have")?;
        Ok(())
    }
}
