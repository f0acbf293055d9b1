//! Shapes of tables, and rows for them made from three numbers.

use std::sync::Arc;

use arrow::array::{
    Array as _, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array,
    Float64Array, Int32Array, Int64Array, ListArray, MapArray, RecordBatch, StringArray, StructArray,
    TimestampMicrosecondArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Fields, Int32Type};
use arrow::error::ArrowError;
use lakebed_hudi::schema::TableSchema;
use lakebed_hudi::table_config::{BucketIndex, NewTable, TableType};

use crate::spark::Options;

/// How rows are spread over folders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Partitioning {
    /// Not at all.
    None,
    /// By one column, `p=value`.
    Hive,
    /// By one column, the bare value, escaped.
    Encoded,
    /// By a text and a number.
    Two,
}

impl Partitioning {
    pub const ALL: [Self; 4] = [Self::None, Self::Hive, Self::Encoded, Self::Two];
}

/// What a record key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    /// A text.
    Text,
    /// Texts with `,`, `:`, blanks and letters beyond ASCII.
    Odd,
    /// A number of 32 bits.
    Int,
    /// A number of 64 bits.
    Long,
    /// A day.
    Date,
    /// A microsecond.
    Timestamp,
    /// A text and a number.
    Two,
}

impl Keys {
    pub const ALL: [Self; 7] =
        [Self::Text, Self::Odd, Self::Int, Self::Long, Self::Date, Self::Timestamp, Self::Two];
}

/// What decides between two rows of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ordering {
    /// Arrival.
    CommitTime,
    Int,
    Long,
    Float,
    Double,
    String,
    Decimal,
    Timestamp,
    TimestampNtz,
    Date,
    /// A number and a text.
    Two,
}

impl Ordering {
    pub const ALL: [Self; 11] = [
        Self::CommitTime,
        Self::Int,
        Self::Long,
        Self::Float,
        Self::Double,
        Self::String,
        Self::Decimal,
        Self::Timestamp,
        Self::TimestampNtz,
        Self::Date,
        Self::Two,
    ];
}

/// Which other columns there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Data {
    /// One of every flat type.
    Flat,
    /// Lists, maps and structs.
    Nested,
}

/// The shape of a table.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub table_type: TableType,
    pub partitioning: Partitioning,
    pub keys: Keys,
    pub ordering: Ordering,
    pub data: Data,
    /// The number of its buckets; 0 for a table without a bucket index.
    pub buckets: u32,
}

/// The numbers that a row is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// Its key; its partition follows from it.
    pub key: u32,
    /// Its place in the order.
    pub order: u32,
    /// Its other values.
    pub salt: u32,
}

type Columns = Vec<(&'static str, ArrayRef)>;

impl Shape {
    /// The rows of `cells`.
    ///
    /// # Errors
    /// None that a scenario could cause.
    pub fn rows(&self, cells: &[Cell]) -> Result<RecordBatch, ArrowError> {
        let mut columns = self.key_columns(cells);
        columns.extend(self.partition_columns(cells));
        columns.extend(self.ordering_columns(cells)?);
        columns.extend(match self.data {
            Data::Flat => flat_columns(cells)?,
            Data::Nested => nested_columns(cells)?,
        });
        let keys = self.key_fields();
        let fields = columns.into_iter().map(|(name, array)| (name, array, !keys.contains(&name.to_owned())));
        RecordBatch::try_from_iter_with_nullable(fields)
    }

    /// Whether Spark can upsert: with Hudi 1.2.0 it fails on decimals and dates that it has itself
    /// written to base files, where they order the rows of a copy-on-write table.
    pub fn spark_upserts(&self) -> bool {
        let fails = matches!(self.ordering, Ordering::Decimal | Ordering::Date);
        self.table_type == TableType::MergeOnRead || !fails
    }

    /// The record key fields.
    pub fn key_fields(&self) -> Vec<String> {
        let names: &[&str] = if self.keys == Keys::Two { &["id", "line"] } else { &["id"] };
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn partition_fields(&self) -> Vec<String> {
        let names: &[&str] = match self.partitioning {
            Partitioning::None => &[],
            Partitioning::Hive | Partitioning::Encoded => &["p"],
            Partitioning::Two => &["p", "q"],
        };
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn ordering_fields(&self) -> Vec<String> {
        let names: &[&str] = match self.ordering {
            Ordering::CommitTime => &[],
            Ordering::Two => &["ts", "ts2"],
            _ => &["ts"],
        };
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn key_columns(&self, cells: &[Cell]) -> Columns {
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
        };
        let mut columns = vec![("id", id)];
        if self.keys == Keys::Two {
            columns.push(("line", Arc::new(Int32Array::from_iter_values(numbers().map(|k| (k % 3) as i32)))));
        }
        columns
    }

    fn partition_columns(&self, cells: &[Cell]) -> Columns {
        let text = |f: fn(u32) -> &'static str| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(cells.iter().map(|cell| f(cell.key))))
        };
        let p = match self.partitioning {
            Partitioning::None => return Vec::new(),
            Partitioning::Hive | Partitioning::Two => text(|k| if k % 2 == 0 { "even" } else { "odd ones" }),
            Partitioning::Encoded => text(|k| match k % 3 {
                0 => "a/b=c",
                1 => "é 50%",
                _ => "plain",
            }),
        };
        let mut columns = vec![("p", p)];
        if self.partitioning == Partitioning::Two {
            let numbers = cells.iter().map(|cell| (cell.key % 3) as i32 - 1);
            columns.push(("q", Arc::new(Int32Array::from_iter_values(numbers))));
        }
        columns
    }

    fn ordering_columns(&self, cells: &[Cell]) -> Result<Columns, ArrowError> {
        let orders = || cells.iter().map(|cell| cell.order);
        let longs = |step: i64, start: i64| orders().map(move |o| i64::from(o) * step + start);
        let ts: ArrayRef = match self.ordering {
            Ordering::CommitTime | Ordering::Long => {
                Arc::new(Int64Array::from_iter_values(longs(5_000_000_000, -9)))
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
        let mut columns = vec![("ts", ts)];
        if self.ordering == Ordering::Two {
            let second = orders().map(|o| format!("{}", o % 10));
            columns.push(("ts2", Arc::new(StringArray::from_iter_values(second))));
        }
        Ok(columns)
    }

    /// The table as Lakebed creates it.
    ///
    /// # Errors
    /// None that a scenario could cause.
    pub fn new_table(&self, name: &str) -> Result<NewTable, Box<dyn std::error::Error>> {
        let rows = self.rows(&[])?;
        Ok(NewTable {
            name: name.to_owned(),
            table_type: self.table_type,
            record_key_fields: self.key_fields(),
            partition_fields: self.partition_fields(),
            ordering_fields: self.ordering_fields(),
            partial_update: None,
            bucket_index: self.bucket_index(),
            hive_style: self.partitioning == Partitioning::Hive,
            url_encode: self.partitioning == Partitioning::Encoded,
            create_schema: TableSchema::from_arrow(&rows.schema(), name)?.to_avro(),
            readers: vec!["spark".into()],
        })
    }

    /// The simple bucket index of the table, if it has one.
    pub fn bucket_index(&self) -> Option<BucketIndex> {
        let index = BucketIndex { buckets: self.buckets, hash_fields: self.key_fields() };
        (self.buckets > 0).then_some(index)
    }

    /// A number for the partition that a key lies in.
    pub fn partition_of(&self, key: u32) -> u32 {
        key % match self.partitioning {
            Partitioning::None => 1,
            Partitioning::Hive => 2,
            Partitioning::Encoded => 3,
            Partitioning::Two => 6,
        }
    }

    /// The settings that Spark shares such a table with.
    pub fn spark_options(&self) -> Options {
        let keys = self.key_fields().join(",");
        let complex = self.keys == Keys::Two || self.partitioning == Partitioning::Two;
        let generator = match self.partitioning {
            Partitioning::None => "NonpartitionedKeyGenerator",
            _ if complex => "ComplexKeyGenerator",
            _ => "SimpleKeyGenerator",
        };
        let flag = |on: bool| if on { "true" } else { "false" };
        let mut options = vec![
            ("hoodie.datasource.write.table.type", self.table_type.as_str().to_owned()),
            ("hoodie.datasource.write.recordkey.field", keys.clone()),
            ("hoodie.datasource.write.keygenerator.class", format!("org.apache.hudi.keygen.{generator}")),
            (
                "hoodie.datasource.write.hive_style_partitioning",
                flag(self.partitioning == Partitioning::Hive).into(),
            ),
            (
                "hoodie.datasource.write.partitionpath.urlencode",
                flag(self.partitioning == Partitioning::Encoded).into(),
            ),
            // Several writers share the table: a failed write is not theirs to roll back at once.
            ("hoodie.clean.failed.writes.policy", "LAZY".into()),
        ];
        if self.buckets > 0 {
            options.push(("hoodie.index.type", "BUCKET".into()));
            options.push(("hoodie.bucket.index.num.buckets", self.buckets.to_string()));
            options.push(("hoodie.bucket.index.hash.field", keys));
        }
        if self.partitioning != Partitioning::None {
            options.push(("hoodie.datasource.write.partitionpath.field", self.partition_fields().join(",")));
        }
        if self.ordering != Ordering::CommitTime {
            options.push(("hoodie.table.ordering.fields", self.ordering_fields().join(",")));
        }
        options.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }
}

/// One column of every flat type; every fifth value is null.
fn flat_columns(cells: &[Cell]) -> Result<Columns, ArrowError> {
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
    let binary: Vec<Option<Vec<u8>>> = seeds(1).map(|s| s.map(|s| s.to_be_bytes()[5..].to_vec())).collect();
    Ok(vec![
        ("s", Arc::new(seeds(0).map(|s| s.map(|s| format!("é {s}"))).collect::<StringArray>())),
        ("i", Arc::new(seeds(1).map(|s| s.map(|s| s as i32)).collect::<Int32Array>())),
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

/// A list, a struct with a struct, a map of lists; some null, some empty.
fn nested_columns(cells: &[Cell]) -> Result<Columns, ArrowError> {
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
