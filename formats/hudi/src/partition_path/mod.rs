//! Partition paths: the folder that a row belongs to.

mod escape;
#[cfg(test)]
mod tests;
mod timestamp_rule;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{DictionaryArray, StringBuilder, UInt32Array};
use arrow::datatypes::UInt32Type;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use crate::value_text::{ValueTextError, ValueTexts};

use escape::escape_into;
pub use escape::unescape;
pub use timestamp_rule::{TimestampInput, TimestampRule, TimestampRuleError};

/// The folder of null and empty partition values.
pub const DEFAULT_PARTITION: &str = "__HIVE_DEFAULT_PARTITION__";

/// Why partition paths could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PartitionPathError {
    /// A partition column is missing or of a type without text.
    #[error(transparent)]
    Column(#[from] ValueTextError),
    /// A value is no time of the form that the table's key generator expects.
    #[error("row {row}: {value:?} in column {column:?} is no {expected}")]
    Time {
        /// The row within its batch, counted from 0.
        row: usize,
        /// The partition column.
        column: String,
        /// The value found.
        value: String,
        /// What the table's settings ask for.
        expected: String,
    },
    /// Arrow could not hold the paths.
    #[error("partition paths could not be built: {0}")]
    Arrow(ArrowError),
    /// The value is a time and the table does not say how it is spelled.
    #[error(
        "partition column {column:?} is a time and hoodie.properties has no hoodie.keygen.timebased.timestamp.type \
         and output.dateformat: rows can be read, and written only after these settings were added"
    )]
    Undeclared {
        /// The partition column.
        column: String,
    },
}

/// How partition paths are made from columns.
///
/// Source: `KeyGenUtils.getRecordPartitionPath`, `TimestampBasedAvroKeyGenerator`,
/// `CustomAvroKeyGenerator`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionPathRule {
    /// One part of the path per entry; none in a table without partitions.
    pub parts: Vec<PartitionPart>,
    /// `column=value` instead of `value`.
    pub hive_style: bool,
    /// Escape characters that Hive escapes, such as `/`.
    pub url_encode: bool,
    /// Write `-` as `/` where there is one part.
    pub slash_separated_dates: bool,
}

/// One part of a partition path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionPart {
    /// The partition column.
    pub column: String,
    /// How its value becomes text.
    pub kind: PartitionKind,
}

/// How a partition column's value becomes text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartitionKind {
    /// The value's own text.
    Simple,
    /// The value is a time, spelled by a pattern.
    Timestamp(Box<TimestampRule>),
    /// The value is a time, spelled by a pattern that the table does not keep: Hudi 1.2.0 leaves
    /// the settings of CUSTOM key generators to every writer.
    Undeclared,
}

/// The paths of a batch, numbered as they come.
#[derive(Default)]
struct DistinctPaths {
    by_values: HashMap<String, u32>,
    by_path: HashMap<String, u32>,
    paths: StringBuilder,
}

impl DistinctPaths {
    /// Different values may share a path: null and empty ones do.
    fn add(&mut self, values: String, path: String) -> u32 {
        let next = self.by_path.len() as u32;
        let number = *self.by_path.entry(path).or_insert_with_key(|path| {
            self.paths.append_value(path);
            next
        });
        self.by_values.insert(values, number);
        number
    }
}

impl PartitionPathRule {
    /// The rule of a table without partitions.
    pub fn none() -> Self {
        Self { parts: Vec::new(), hive_style: false, url_encode: false, slash_separated_dates: false }
    }

    /// The partition path of every row of `batch`: numbers of paths, none of them null, and the
    /// paths, each of which occurs.
    ///
    /// # Errors
    /// A partition column that is missing, of a type without text, or not the time that the
    /// table's settings promise.
    pub fn paths(&self, batch: &RecordBatch) -> Result<DictionaryArray<UInt32Type>, PartitionPathError> {
        let texts: Vec<ValueTexts> =
            self.parts.iter().map(|p| ValueTexts::of_column(batch, &p.column)).collect::<Result<_, _>>()?;
        let mut distinct = DistinctPaths::default();
        let mut numbers: Vec<u32> = Vec::with_capacity(batch.num_rows());
        let (mut values, mut last) = (String::new(), String::new());
        for row in 0..batch.num_rows() {
            values.clear();
            for text in &texts {
                let start = values.len();
                let found = text.append(row, &mut values);
                // What ends a value makes values of several columns, nulls and empty ones distinct.
                let length = values.len() - start;
                values.push(if found { '\u{1}' } else { '\u{0}' });
                if texts.len() > 1 {
                    // Writing to a String cannot fail.
                    let _ = write!(values, "{length}");
                }
            }
            let number = match numbers.last() {
                Some(number) if values == last => *number,
                _ => match distinct.by_values.get(&values) {
                    Some(number) => *number,
                    None => distinct.add(values.clone(), self.path(&texts, row)?),
                },
            };
            numbers.push(number);
            std::mem::swap(&mut values, &mut last);
        }
        let paths = Arc::new(distinct.paths.finish());
        DictionaryArray::try_new(UInt32Array::from(numbers), paths).map_err(PartitionPathError::Arrow)
    }

    fn path(&self, texts: &[ValueTexts], row: usize) -> Result<String, PartitionPathError> {
        let (mut path, mut value) = (String::new(), String::new());
        for (i, (part, text)) in self.parts.iter().zip(texts).enumerate() {
            if i > 0 {
                path.push('/');
            }
            value.clear();
            let found = text.append(row, &mut value);
            self.append(part, found.then_some(value.as_str()), row, &mut path)?;
        }
        Ok(path)
    }

    fn append(
        &self,
        part: &PartitionPart,
        value: Option<&str>,
        row: usize,
        path: &mut String,
    ) -> Result<(), PartitionPathError> {
        let start = path.len();
        if self.hive_style {
            path.push_str(&part.column);
            path.push('=');
        }
        let text = match &part.kind {
            PartitionKind::Simple => value.unwrap_or_default().to_owned(),
            PartitionKind::Undeclared => {
                return Err(PartitionPathError::Undeclared { column: part.column.clone() });
            }
            PartitionKind::Timestamp(rule) => rule.spell(value).ok_or_else(|| PartitionPathError::Time {
                row,
                column: part.column.clone(),
                value: value.unwrap_or("null").chars().take(100).collect(),
                expected: rule.expected(),
            })?,
        };
        match text.as_str() {
            "" => path.push_str(DEFAULT_PARTITION),
            text if self.url_encode => escape_into(path, text),
            text => path.push_str(text),
        }
        let is_time = !matches!(part.kind, PartitionKind::Simple);
        if self.slash_separated_dates && self.parts.len() == 1 && !is_time {
            let slashed = path.get(start..).unwrap_or_default().replace('-', "/");
            path.truncate(start);
            path.push_str(&slashed);
        }
        Ok(())
    }

    /// The raw text of each partition column that `path` stands for, or `None` for the default
    /// partition; the whole answer is `None` where the path is not of this rule's form.
    ///
    /// The texts are unescaped. A value that holds a `/` in a table without URL encoding cannot be
    /// told from two parts.
    pub fn values<'a>(&self, path: &'a str) -> Option<Vec<Option<std::borrow::Cow<'a, str>>>> {
        if self.parts.is_empty() {
            return path.is_empty().then(Vec::new);
        }
        let single = self.parts.len() == 1;
        let texts: Vec<&str> = if single { vec![path] } else { path.split('/').collect() };
        if texts.len() != self.parts.len() {
            return None;
        }
        texts
            .into_iter()
            .zip(&self.parts)
            .map(|(text, part)| {
                let text = match text.split_once('=') {
                    Some((column, value)) if self.hive_style => (column == part.column).then_some(value)?,
                    _ if self.hive_style => return None,
                    _ => text,
                };
                Some((text != DEFAULT_PARTITION).then(|| unescape(text)))
            })
            .collect()
    }
}
