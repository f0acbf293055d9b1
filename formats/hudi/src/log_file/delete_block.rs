//! The content of delete blocks: keys, partition paths and ordering values.

use bytes::Bytes;

use super::ordering_branch::{OrderingBranchError, TakeOrderingError, put_ordering, take_ordering};
use crate::avro_rows::primitive::{Decoder, PrimitiveError, put_bytes, put_long};
use crate::ordering_value::OrderingValue;

/// The version of delete block contents that is read and written.
const CONTENT_VERSION: i32 = 3;
/// A key of no characters, no partition path and no ordering value.
const RECORD_BYTES_MIN: usize = 4;

/// One deleted record.
///
/// Source: `DeleteRecord`, `HoodieDeleteRecord`.
#[derive(Debug, Clone, PartialEq)]
pub struct DeleteRecord {
    /// The record key.
    pub record_key: String,
    /// The partition path; readers do not need it.
    pub partition_path: Option<String>,
    /// What the delete is compared by; see [`OrderingValue::is_commit_time`].
    pub ordering: OrderingValue,
}

impl DeleteRecord {
    /// A delete that beats every older version of the record: its ordering value is the integer 0.
    ///
    /// It is the one form that readers other than Hudi's own understand as well.
    pub fn unconditional(record_key: impl Into<String>, partition_path: impl Into<String>) -> Self {
        Self {
            record_key: record_key.into(),
            partition_path: Some(partition_path.into()),
            ordering: OrderingValue::Int(0),
        }
    }
}

/// Why deletes cannot be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeleteBlockError {
    /// A content of another version.
    #[error(
        "the delete block's content has version {found}: known is 3; versions 1 and 2 are serialised Java \
         objects, compact the file group with the Hudi release that wrote them"
    )]
    Version {
        /// The version found.
        found: i32,
    },
    /// Bytes that are no list of deletes.
    #[error("the delete block's content is broken at record {record}: {reason}")]
    Content {
        /// The record, counted from 0.
        record: u64,
        /// What is wrong.
        reason: String,
    },
    /// An ordering value that no delete block can hold.
    #[error("delete of record key {record_key:?}: {source}")]
    Ordering {
        /// The record key, or its beginning.
        record_key: String,
        /// What is wrong with the value.
        source: OrderingBranchError,
    },
    /// More deletes than one block can hold.
    #[error("{bytes} bytes of deletes are too many for one block: the limit is 2 GiB; split them")]
    TooLarge {
        /// The bytes they take.
        bytes: usize,
    },
}

/// Encodes the content of a delete block.
///
/// Source: `HoodieDeleteBlock.serializeV3`, `HoodieDeleteRecordList`, table versions 6 to 9.
///
/// # Errors
/// An ordering value that delete blocks have no form for, or more than 2 GiB of deletes.
pub fn encode_deletes(records: &[DeleteRecord]) -> Result<Vec<u8>, DeleteBlockError> {
    let mut list = Vec::with_capacity(records.len().saturating_mul(24));
    if !records.is_empty() {
        put_long(&mut list, records.len() as i64);
    }
    for record in records {
        put_long(&mut list, 1);
        put_bytes(&mut list, record.record_key.as_bytes());
        match &record.partition_path {
            Some(path) => {
                put_long(&mut list, 1);
                put_bytes(&mut list, path.as_bytes());
            }
            None => put_long(&mut list, 0),
        }
        put_ordering(&mut list, &record.ordering).map_err(|source| DeleteBlockError::Ordering {
            record_key: record.record_key.chars().take(100).collect(),
            source,
        })?;
    }
    put_long(&mut list, 0);
    let length = i32::try_from(list.len()).map_err(|_| DeleteBlockError::TooLarge { bytes: list.len() })?;
    let mut content = Vec::with_capacity(list.len() + 8);
    content.extend_from_slice(&CONTENT_VERSION.to_be_bytes());
    content.extend_from_slice(&length.to_be_bytes());
    content.append(&mut list);
    Ok(content)
}

/// The deletes of a block, decoded one by one; ends after the first error.
///
/// Source: `HoodieDeleteBlock.deserialize`, table versions 6 to 9.
#[derive(Debug, Clone)]
pub struct DeleteRecords {
    content: Bytes,
    at: usize,
    /// Records left of the current run; Avro writes a list as runs, of which Hudi writes one.
    run: u64,
    record: u64,
    done: bool,
}

impl DeleteRecords {
    /// Reads the head of a delete block's content.
    ///
    /// # Errors
    /// A content of another version than 3, or whose length is not that of its list.
    pub fn try_new(content: &Bytes) -> Result<Self, DeleteBlockError> {
        let mut input = Decoder::new(content);
        let broken = |error| broken(0, TakeOrderingError::Primitive(error));
        let version = i32::from_be_bytes(input.array().map_err(broken)?);
        if version != CONTENT_VERSION {
            return Err(DeleteBlockError::Version { found: version });
        }
        let length = i32::from_be_bytes(input.array().map_err(broken)?);
        if usize::try_from(length) != Ok(input.left()) {
            let reason = format!("its list declares {length} bytes and has {}", input.left());
            return Err(DeleteBlockError::Content { record: 0, reason });
        }
        let at = content.len() - input.left();
        Ok(Self { content: content.clone(), at, run: 0, record: 0, done: false })
    }

    fn take_record(&mut self) -> Result<Option<DeleteRecord>, TakeOrderingError> {
        let mut input = Decoder::new(self.content.get(self.at..).unwrap_or_default());
        if self.run == 0 {
            let count = input.long()?;
            if count < 0 {
                // A negative count is followed by the bytes that the items take.
                input.long()?;
            }
            self.run = count.unsigned_abs();
            match input.left() {
                0 if self.run == 0 => return Ok(None),
                left if self.run == 0 => return Err(TakeOrderingError::Leftover(left)),
                left if self.run > (left / RECORD_BYTES_MIN) as u64 => {
                    return Err(TakeOrderingError::Count(self.run));
                }
                _ => {}
            }
        }
        if input.long()? != 1 {
            return Err(TakeOrderingError::NullKey);
        }
        let record_key = input.string()?.to_owned();
        let partition_path = match input.long()? {
            0 => None,
            1 => Some(input.string()?.to_owned()),
            branch => return Err(TakeOrderingError::Branch(branch)),
        };
        let ordering = take_ordering(&mut input)?;
        self.at = self.content.len() - input.left();
        self.run -= 1;
        self.record += 1;
        Ok(Some(DeleteRecord { record_key, partition_path, ordering }))
    }
}

impl Iterator for DeleteRecords {
    type Item = Result<DeleteRecord, DeleteBlockError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let record = self.record;
        let next = self.take_record().map_err(|error| broken(record, error)).transpose();
        self.done = !matches!(next, Some(Ok(_)));
        next
    }
}

fn broken(record: u64, error: TakeOrderingError) -> DeleteBlockError {
    let reason = match error {
        TakeOrderingError::Primitive(PrimitiveError::CutShort) => "the bytes end within it".to_owned(),
        TakeOrderingError::Primitive(PrimitiveError::Number) => "a number is out of its range".to_owned(),
        TakeOrderingError::Primitive(PrimitiveError::Text) => "a string is not UTF-8".to_owned(),
        TakeOrderingError::NullKey => "its key is null".to_owned(),
        TakeOrderingError::Branch(branch) => format!("there is no branch {branch} in the union"),
        TakeOrderingError::DecimalBytes(bytes) => format!("a decimal of {bytes} bytes: expected 1 to 16"),
        TakeOrderingError::Count(count) => format!("{count} more records are declared than bytes allow"),
        TakeOrderingError::Leftover(bytes) => format!("{bytes} bytes follow the end of the list"),
        TakeOrderingError::NullArray => "its array of ordering values is null".to_owned(),
    };
    DeleteBlockError::Content { record, reason }
}
