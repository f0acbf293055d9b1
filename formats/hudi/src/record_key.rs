//! Record keys: what makes a row that row.

use arrow::array::{StringArray, StringBuilder};
use arrow::record_batch::RecordBatch;

use crate::value_text::{ValueTextError, ValueTexts};

const NULL: &str = "__null__";
const EMPTY: &str = "__empty__";

/// How record keys are made from columns.
///
/// Source: `SimpleAvroKeyGenerator`, `ComplexAvroKeyGenerator`, `KeyGenUtils.getRecordKey`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordKeyRule {
    /// The text of one column (key generators SIMPLE, TIMESTAMP, and the others with one field).
    Bare(String),
    /// `field:value` of each column, joined by commas (COMPLEX, and the others with several).
    Composite(Vec<String>),
}

/// Record keys of a batch.
#[derive(Debug, Clone)]
pub struct RecordKeys {
    /// One key per row; null where the row can have none.
    pub keys: StringArray,
    /// The rows without a key.
    pub refused: Vec<RefusedKey>,
}

/// A row whose key columns are null or empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("row {row} has no record key: {} is null or empty", columns.join(", "))]
pub struct RefusedKey {
    /// The row within its batch, counted from 0.
    pub row: usize,
    /// The key columns.
    pub columns: Vec<String>,
}

impl RecordKeyRule {
    /// The key columns in table order.
    pub fn columns(&self) -> &[String] {
        match self {
            Self::Bare(column) => std::slice::from_ref(column),
            Self::Composite(columns) => columns,
        }
    }

    /// The record key of every row of `batch`.
    ///
    /// # Errors
    /// A key column that is missing or of a type without text. Null and empty keys are no error
    /// but [`RecordKeys::refused`].
    pub fn keys(&self, batch: &RecordBatch) -> Result<RecordKeys, ValueTextError> {
        let texts: Vec<ValueTexts> =
            self.columns().iter().map(|c| ValueTexts::of_column(batch, c)).collect::<Result<_, _>>()?;
        if let (Self::Bare(_), [ValueTexts::Utf8(values)]) = (self, texts.as_slice())
            && values.iter().all(|v| v.is_some_and(|v| !v.is_empty()))
        {
            return Ok(RecordKeys { keys: values.clone(), refused: Vec::new() });
        }
        let mut keys = StringBuilder::with_capacity(batch.num_rows(), batch.num_rows() * 16);
        let mut refused = Vec::new();
        let mut key = String::new();
        for row in 0..batch.num_rows() {
            key.clear();
            if self.append(&texts, row, &mut key) {
                keys.append_value(&key);
            } else {
                keys.append_null();
                refused.push(RefusedKey { row, columns: self.columns().to_vec() });
            }
        }
        Ok(RecordKeys { keys: keys.finish(), refused })
    }

    /// Appends the key of `row`; `false` where it has none.
    fn append(&self, texts: &[ValueTexts], row: usize, key: &mut String) -> bool {
        let columns = match self {
            Self::Bare(_) => {
                return texts.iter().all(|text| text.append(row, key)) && !key.is_empty();
            }
            Self::Composite(columns) => columns,
        };
        let mut has_value = false;
        for (i, (column, text)) in columns.iter().zip(texts).enumerate() {
            if i > 0 {
                key.push(',');
            }
            key.push_str(column);
            key.push(':');
            let start = key.len();
            if !text.append(row, key) {
                key.push_str(NULL);
            } else if key.len() == start {
                key.push_str(EMPTY);
            } else {
                has_value = true;
            }
        }
        has_value
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Array as _, ArrayRef, Float64Array, Int32Array};
    use proptest::prelude::*;

    use super::*;

    fn batch() -> RecordBatch {
        let a: ArrayRef = Arc::new(StringArray::from(vec![Some("x"), None, Some(""), None]));
        let b: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), Some(5), Some(98), None]));
        RecordBatch::try_from_iter([("a", a), ("b", b)]).unwrap()
    }

    #[test]
    fn one_column_is_the_bare_text() {
        let got = RecordKeyRule::Bare("b".into()).keys(&batch()).unwrap();
        assert_eq!(got.keys, StringArray::from(vec![Some("1"), Some("5"), Some("98"), None]));
        assert_eq!(got.refused.iter().map(|r| r.row).collect::<Vec<_>>(), [3]);
        let got = RecordKeyRule::Bare("a".into()).keys(&batch()).unwrap();
        assert_eq!(got.refused.iter().map(|r| r.row).collect::<Vec<_>>(), [1, 2, 3]);
    }

    #[test]
    fn several_columns_carry_their_names() {
        let got = RecordKeyRule::Composite(vec!["a".into(), "b".into()]).keys(&batch()).unwrap();
        let want = vec![Some("a:x,b:1"), Some("a:__null__,b:5"), Some("a:__empty__,b:98"), None];
        assert_eq!(got.keys, StringArray::from(want));
    }

    #[test]
    fn one_column_may_still_carry_its_name() {
        let got = RecordKeyRule::Composite(vec!["b".into()]).keys(&batch()).unwrap();
        assert_eq!(got.keys.value(0), "b:1");
    }

    #[test]
    fn a_missing_column_names_those_there_are() {
        let error = RecordKeyRule::Bare("z".into()).keys(&batch()).unwrap_err();
        assert!(error.to_string().ends_with("they have a, b"), "{error}");
    }

    type Columns = (Option<String>, Option<i32>, Option<f64>);

    fn any_batch() -> impl Strategy<Value = RecordBatch> {
        let text = prop::option::of(prop_oneof![Just(String::new()), "[a-c,:_]{1,4}", "\\PC{0,6}"]);
        let row = (text, prop::option::of(any::<i32>()), prop::option::of(any::<f64>()));
        prop::collection::vec(row, 1..20).prop_map(|rows: Vec<Columns>| {
            let a: ArrayRef = Arc::new(rows.iter().map(|row| row.0.clone()).collect::<StringArray>());
            let b: ArrayRef = Arc::new(rows.iter().map(|row| row.1).collect::<Int32Array>());
            let c: ArrayRef = Arc::new(rows.iter().map(|row| row.2).collect::<Float64Array>());
            RecordBatch::try_from_iter([("a", a), ("b", b), ("c", c)]).unwrap()
        })
    }

    proptest! {
        #[test]
        fn a_key_depends_on_its_row_alone(batch in any_batch(), from in any::<prop::sample::Index>()) {
            let from = from.index(batch.num_rows());
            for columns in [vec!["a"], vec!["b"], vec!["a", "b"], vec!["c", "a", "b"]] {
                let columns: Vec<String> = columns.into_iter().map(str::to_owned).collect();
                for rule in [RecordKeyRule::Bare(columns[0].clone()), RecordKeyRule::Composite(columns.clone())] {
                    let whole = rule.keys(&batch).unwrap();
                    let part = rule.keys(&batch.slice(from, batch.num_rows() - from)).unwrap();
                    prop_assert_eq!(&part.keys, &whole.keys.slice(from, part.keys.len()));
                    let nulls = (0..whole.keys.len()).filter(|row| whole.keys.is_null(*row));
                    prop_assert_eq!(whole.refused.iter().map(|r| r.row).collect::<Vec<_>>(), nulls.collect::<Vec<_>>());
                }
            }
        }

        /// The values of a composite key are told apart from one another by what is between them, if
        /// they hold none of it themselves.
        #[test]
        fn a_composite_key_says_its_values(texts in prop::collection::vec(prop::option::of("[a-c]{0,3}"), 2)) {
            let column = |text: &Option<String>| Arc::new(StringArray::from(vec![text.clone()])) as ArrayRef;
            let batch = RecordBatch::try_from_iter([("a", column(&texts[0])), ("b", column(&texts[1]))]).unwrap();
            let keys = RecordKeyRule::Composite(vec!["a".into(), "b".into()]).keys(&batch).unwrap().keys;
            if keys.is_null(0) {
                prop_assert!(texts.iter().flatten().all(String::is_empty));
                return Ok(());
            }
            let read: Vec<_> = keys.value(0).split(',').map(|part| match part.split_once(':').unwrap().1 {
                NULL => None,
                EMPTY => Some(String::new()),
                value => Some(value.to_owned()),
            }).collect();
            prop_assert_eq!(read, texts);
        }
    }
}
