//! The pages of record keys, of which columns that repeat them have copies.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use lakebed_hudi::base_file::RECORD_KEY;
use parquet::arrow::arrow_writer::{InMemoryPageStore, PageKey, PageStore, PageStoreArgs, PageStoreFactory};
use parquet::errors::{ParquetError, Result};

/// Keeps the pages of the record key of one row group after they were written to the file.
#[derive(Debug, Default, Clone)]
pub(super) struct KeyPages(Arc<Mutex<Vec<Bytes>>>);

impl KeyPages {
    /// The pages so far, each after its head, for the next row group to begin with none.
    pub(super) fn take(&self) -> Vec<Bytes> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Bytes>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PageStoreFactory for KeyPages {
    fn create(&self, column: &PageStoreArgs<'_>) -> Result<Box<dyn PageStore>> {
        let is_key = column.column_descriptor().path().parts() == [RECORD_KEY];
        Ok(if is_key { Box::new(self.clone()) } else { Box::<InMemoryPageStore>::default() })
    }
}

impl PageStore for KeyPages {
    fn put(&mut self, page: Bytes) -> Result<PageKey> {
        let mut pages = self.lock();
        pages.push(page);
        Ok(PageKey::new(pages.len() as u64 - 1))
    }

    fn take(&mut self, key: PageKey) -> Result<Bytes> {
        let page = self.lock().get(key.get() as usize).cloned();
        page.ok_or_else(|| ParquetError::General(format!("there is no page {key:?}")))
    }

    fn memory_size(&self) -> usize {
        self.lock().iter().map(Bytes::len).sum()
    }
}
