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

/// A row of which no partition can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("row {row} has no partition: {} is {value:?}: {reason}", columns.join(", "))]
pub struct RefusedPartition {
    /// The row within its batch, counted from 0.
    pub row: usize,
    /// The partition columns that are to blame.
    pub columns: Vec<String>,
    /// The value found, or the path that it would have.
    pub value: String,
    /// What is wrong with it.
    pub reason: String,
}

/// The partition paths of a batch.
#[derive(Debug, Clone)]
pub struct PartitionPaths {
    /// The path of each row: numbers of paths, null where the row is refused, and the paths, each of
    /// which occurs.
    pub paths: DictionaryArray<UInt32Type>,
    /// The rows without a path.
    pub refused: Vec<RefusedPartition>,
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

    /// The partition path of every row of `batch`. Values that are not the time that the table's
    /// settings promise are no error but [`PartitionPaths::refused`].
    ///
    /// # Errors
    /// A partition column that is missing or of a type without text, or a time whose spelling the table
    /// does not keep.
    pub fn paths(&self, batch: &RecordBatch) -> Result<PartitionPaths, PartitionPathError> {
        if let Some(part) = self.parts.iter().find(|part| part.kind == PartitionKind::Undeclared) {
            return Err(PartitionPathError::Undeclared { column: part.column.clone() });
        }
        let texts: Vec<ValueTexts> =
            self.parts.iter().map(|p| ValueTexts::of_column(batch, &p.column)).collect::<Result<_, _>>()?;
        let mut distinct = DistinctPaths::default();
        let mut numbers: Vec<Option<u32>> = Vec::with_capacity(batch.num_rows());
        let mut refused = Vec::new();
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
                Some(Some(number)) if values == last => Some(*number),
                _ => match distinct.by_values.get(&values) {
                    Some(number) => Some(*number),
                    None => match self.path(&texts, row) {
                        Ok(path) => Some(distinct.add(values.clone(), path)),
                        Err(row) => {
                            refused.push(row);
                            None
                        }
                    },
                },
            };
            numbers.push(number);
            std::mem::swap(&mut values, &mut last);
        }
        let paths = Arc::new(distinct.paths.finish());
        let paths = DictionaryArray::try_new(UInt32Array::from(numbers), paths);
        Ok(PartitionPaths { paths: paths.map_err(PartitionPathError::Arrow)?, refused })
    }

    fn path(&self, texts: &[ValueTexts], row: usize) -> Result<String, RefusedPartition> {
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
    ) -> Result<(), RefusedPartition> {
        let start = path.len();
        if self.hive_style {
            path.push_str(&part.column);
            path.push('=');
        }
        let text = match &part.kind {
            PartitionKind::Simple | PartitionKind::Undeclared => value.unwrap_or_default().to_owned(),
            PartitionKind::Timestamp(rule) => rule.spell(value).ok_or_else(|| RefusedPartition {
                row,
                columns: vec![part.column.clone()],
                value: value.unwrap_or("null").chars().take(100).collect(),
                reason: format!("it is no {}", rule.expected()),
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
