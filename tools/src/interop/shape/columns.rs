//! The columns of rows, made from three numbers each.

use std::sync::Arc;

use arrow::array::{
    Array as _, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array,
    Float64Array, Int16Array, Int32Array, Int64Array, ListArray, MapArray, StringArray, StructArray,
    TimestampMicrosecondArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Fields, Int32Type};
use arrow::error::ArrowError;

use super::{Cell, Columns, Keys, Ordering, Partial, Shape};

impl Shape {
    pub(super) fn key_columns(&self, cells: &[Cell]) -> Result<Columns, ArrowError> {
        let numbers = || cells.iter().map(|cell| cell.key);
        let text =
            |f: fn(u32) -> String| -> ArrayRef { Arc::new(StringArray::from_iter_values(numbers().map(f))) };
        let id: ArrayRef = match self.keys {
            Keys::Text => text(|k| format!("key-{k:04}")),
            Keys::Odd => text(|k| match k % 5 {
                0 => format!("a:{k},b:1"),
                1 => format!(" é漢🙂 {k} "),
                2 => format!("{k},{k}"),
                3 => format!("__null_{k}"),
                _ => format!("{k}/%2F#\"'"),
            }),
            Keys::Int => Arc::new(Int32Array::from_iter_values(numbers().map(|k| k as i32 * 7919 - 50000))),
            Keys::Long => Arc::new(Int64Array::from_iter_values(
                numbers().map(|k| i64::from(k) * 1_000_000_007_000 - 5),
            )),
            Keys::Date => Arc::new(Date32Array::from_iter_values(numbers().map(|k| k as i32 * 100 - 700))),
            Keys::Timestamp => {
                let micros = numbers().map(|k| 1_704_164_645_678_901 + i64::from(k) * 86_400_000_001);
                Arc::new(TimestampMicrosecondArray::from_iter_values(micros).with_timezone("UTC"))
            }
            Keys::Two => text(|k| format!("order {}", k / 3)),
            Keys::Boolean => Arc::new(numbers().map(|k| Some(k / 3 % 2 == 0)).collect::<BooleanArray>()),
            Keys::Decimal => {
                let values = numbers().map(|k| i128::from(k) * 500 - 3000);
                Arc::new(Decimal128Array::from_iter_values(values).with_precision_and_scale(12, 3)?)
            }
            Keys::Double => {
                Arc::new(Float64Array::from_iter_values(numbers().map(|k| f64::from(k).powi(17) / 3.0 - 0.5)))
            }
        };
        let mut columns = vec![("id", id)];
        if self.keys == Keys::Boolean {
            columns.push(("line", Arc::new(Int32Array::from_iter_values(numbers().map(|k| k as i32)))));
        }
        if self.keys == Keys::Two {
            columns.push(("line", Arc::new(Int32Array::from_iter_values(numbers().map(|k| (k % 3) as i32)))));
        }
        Ok(columns)
    }

    pub(super) fn ordering_columns(&self, cells: &[Cell]) -> Result<Columns, ArrowError> {
        let orders = || cells.iter().map(|cell| cell.order);
        let longs = |step: i64, start: i64| orders().map(move |o| i64::from(o) * step + start);
        let ts: ArrayRef = match self.ordering {
            Ordering::CommitTime | Ordering::Long | Ordering::Lsn => {
                Arc::new(Int64Array::from_iter_values(longs(5_000_000_000, -9)))
            }
            Ordering::Boolean => {
                Arc::new(orders().map(|o| Some(self.ordering.rank(o) > 0)).collect::<BooleanArray>())
            }
            Ordering::Short => {
                Arc::new(Int16Array::from_iter_values(orders().map(|o| o as i16 * 300 - 9000)))
            }
            Ordering::Int => Arc::new(Int32Array::from_iter_values(orders().map(|o| o as i32 - 20))),
            Ordering::Float => {
                Arc::new(Float32Array::from_iter_values(orders().map(|o| o as f32 * 0.1 - 1.0)))
            }
            Ordering::Double => {
                Arc::new(Float64Array::from_iter_values(orders().map(|o| f64::from(o) * 0.1 - 1.0)))
            }
            Ordering::String => {
                Arc::new(StringArray::from_iter_values(orders().map(|o| format!("v{o:03}é"))))
            }
            Ordering::Decimal => {
                let values = orders().map(|o| i128::from(o) * 123_457 - 1_500_000);
                Arc::new(Decimal128Array::from_iter_values(values).with_precision_and_scale(12, 4)?)
            }
            Ordering::Timestamp => Arc::new(
                TimestampMicrosecondArray::from_iter_values(longs(1_000_001, -15_000_000))
                    .with_timezone("UTC"),
            ),
            Ordering::TimestampNtz => {
                Arc::new(TimestampMicrosecondArray::from_iter_values(longs(1_000_001, -15_000_000)))
            }
            Ordering::Date => Arc::new(Date32Array::from_iter_values(orders().map(|o| o as i32 * 30 - 400))),
            Ordering::Two => Arc::new(Int32Array::from_iter_values(orders().map(|o| (o / 10) as i32))),
        };
        if self.ordering == Ordering::Lsn {
            let operation = StringArray::from_iter_values(cells.iter().map(|_| "u"));
            return Ok(vec![("_event_lsn", ts), ("_change_operation_type", Arc::new(operation))]);
        }
        let mut columns = vec![("ts", ts)];
        if self.ordering == Ordering::Two {
            let second = orders().map(|o| format!("{}", o % 10));
            columns.push(("ts2", Arc::new(StringArray::from_iter_values(second))));
        }
        Ok(columns)
    }

    /// One column of every flat type; every fifth value is null.
    pub(super) fn flat_columns(&self, cells: &[Cell]) -> Result<Columns, ArrowError> {
        let seeds = |nulls: u32| {
            cells.iter().map(move |cell| {
                let seed = i64::from(cell.salt) * 1009 + i64::from(cell.key) * 31 - 400;
                ((cell.salt + cell.key) % 5 != nulls).then_some(seed)
            })
        };
        let decimal = |precision, scale, factor: i128| {
            let values = seeds(4).map(move |s| s.map(|s| i128::from(s) * factor));
            Decimal128Array::from_iter(values).with_precision_and_scale(precision, scale)
        };
        let micros = |nulls| seeds(nulls).map(|s| s.map(|s| s * 86_399_999_999));
        let binary: Vec<Option<Vec<u8>>> =
            seeds(1).map(|s| s.map(|s| s.to_be_bytes()[5..].to_vec())).collect();
        // Where rows say nothing by a marker, null is a value like others.
        let nothing = self.partial.and_then(Partial::marker);
        let texts = seeds(0).map(|s| s.map(|s| format!("é {s}")).or_else(|| nothing.map(str::to_owned)));
        let int: ArrayRef = if self.wide {
            let beyond =
                |(seed, cell): (Option<i64>, &Cell)| seed.map(|s| if cell.wide { s << 33 } else { s });
            Arc::new(seeds(1).zip(cells).map(beyond).collect::<Int64Array>())
        } else {
            Arc::new(seeds(1).map(|s| s.map(|s| s as i32)).collect::<Int32Array>())
        };
        Ok(vec![
            ("s", Arc::new(texts.collect::<StringArray>())),
            ("i", int),
            ("l", Arc::new(seeds(2).map(|s| s.map(|s| s << 40)).collect::<Int64Array>())),
            ("f", Arc::new(seeds(3).map(|s| s.map(|s| s as f32 / 3.0)).collect::<Float32Array>())),
            ("d", Arc::new(seeds(4).map(|s| s.map(|s| s as f64 / 7.0)).collect::<Float64Array>())),
            ("b", Arc::new(seeds(0).map(|s| s.map(|s| s % 2 == 0)).collect::<BooleanArray>())),
            ("x", Arc::new(BinaryArray::from_iter(binary))),
            ("dt", Arc::new(seeds(2).map(|s| s.map(|s| s as i32)).collect::<Date32Array>())),
            ("t", Arc::new(micros(3).collect::<TimestampMicrosecondArray>().with_timezone("UTC"))),
            ("n", Arc::new(micros(1).collect::<TimestampMicrosecondArray>())),
            ("c9", Arc::new(decimal(9, 2, 1)?)),
            ("c18", Arc::new(decimal(18, 6, 1_000_003)?)),
            ("c38", Arc::new(decimal(38, 10, 1_000_000_000_000_000_000_007)?)),
        ])
    }
}

/// A text in every other row whose writer knew of the column.
pub(super) fn added_column(cells: &[Cell]) -> ArrayRef {
    let text = |cell: &Cell| {
        (cell.wide && (cell.key + cell.salt).is_multiple_of(2)).then(|| format!("added {}", cell.salt))
    };
    Arc::new(cells.iter().map(text).collect::<StringArray>())
}

/// A list, a struct with a struct, a map of lists; some null, some empty.
pub(super) fn nested_columns(cells: &[Cell]) -> Result<Columns, ArrowError> {
    let seed = |cell: &Cell| (cell.salt + cell.key) as i32;
    let present = || NullBuffer::from_iter(cells.iter().map(|cell| seed(cell) % 4 != 0));
    let lengths = || cells.iter().map(|cell| if seed(cell) % 4 == 0 { 0 } else { (seed(cell) % 3) as usize });
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>(
        cells
            .iter()
            .map(|cell| (seed(cell) % 5 != 0).then(|| (0..seed(cell) % 3).map(Some).collect::<Vec<_>>())),
    );
    let inner = StructArray::new(
        Fields::from(vec![Field::new("x", DataType::Int32, true), Field::new("y", DataType::Utf8, true)]),
        vec![
            Arc::new(cells.iter().map(|c| (seed(c) % 3 != 0).then(|| seed(c))).collect::<Int32Array>()),
            Arc::new(cells.iter().map(|c| Some(format!("y{}", seed(c)))).collect::<StringArray>()),
        ],
        Some(NullBuffer::from_iter(cells.iter().map(|cell| seed(cell) % 3 != 1))),
    );
    let outer_fields = Fields::from(vec![Field::new("inner", inner.data_type().clone(), true)]);
    let outer = StructArray::new(outer_fields, vec![Arc::new(inner)], Some(present()));
    let items: Vec<i64> = cells
        .iter()
        .zip(lengths())
        .flat_map(|(c, n)| (0..n as i64).map(|item| i64::from(seed(c)) + item))
        .collect();
    let entry_fields = Fields::from(vec![
        Field::new("key", DataType::Utf8, false),
        Field::new("value", DataType::Int64, true),
    ]);
    let entries = StructArray::new(
        entry_fields.clone(),
        vec![
            Arc::new(StringArray::from_iter_values(items.iter().map(|n| format!("k{n}")))),
            Arc::new(items.iter().map(|n| (n % 3 != 0).then_some(*n)).collect::<Int64Array>()),
        ],
        None,
    );
    let entries_field = Arc::new(Field::new("key_value", DataType::Struct(entry_fields), false));
    let map = MapArray::try_new(
        entries_field,
        OffsetBuffer::from_lengths(lengths()),
        entries,
        Some(present()),
        false,
    )?;
    Ok(vec![("list", Arc::new(lists)), ("outer", Arc::new(outer)), ("map", Arc::new(map))])
}
