//! How rows are spread over folders, and what Spark shows of it.

use std::sync::Arc;

use arrow::array::{
    Array as _, ArrayRef, AsArray as _, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array,
    Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, new_null_array,
};
use arrow::compute::kernels::cmp::eq;
use arrow::compute::{cast, nullif};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;

use super::{Cell, Columns, Shape};

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
    /// By a truth, `p=value`, as the types that follow.
    Boolean,
    /// By a day.
    Date,
    /// By a decimal.
    Decimal,
    /// By a text that may be null or empty.
    Missing,
    /// By a number with a point, which a new table of ours may not.
    Double,
    /// By a microsecond, which a new table of ours may not.
    Timestamp,
    /// By a text of a day, in folders of folders.
    Slashes,
    /// By a time in milliseconds, spelled by a pattern.
    Time,
    /// By a text and a number as the key generator CUSTOM has them. Its times are left out: Hudi leaves
    /// their pattern to every writer, and we write only what is in the table's properties.
    Custom,
}

impl Partitioning {
    /// All by which we create tables.
    pub const ALL: [Self; 8] = [
        Self::None,
        Self::Hive,
        Self::Encoded,
        Self::Two,
        Self::Boolean,
        Self::Date,
        Self::Decimal,
        Self::Missing,
    ];

    /// Those of tables that Spark alone creates.
    pub const THEIRS: [Self; 5] = [Self::Double, Self::Timestamp, Self::Slashes, Self::Time, Self::Custom];

    /// Whether folders are `column=value`.
    pub(super) fn hive_style(self) -> bool {
        !matches!(self, Self::None | Self::Encoded | Self::Two | Self::Slashes | Self::Time | Self::Custom)
    }

    /// The partition columns.
    pub(super) fn fields(self) -> Vec<String> {
        let names: &[&str] = match self {
            Self::None => &[],
            Self::Two | Self::Custom => &["p", "q"],
            _ => &["p"],
        };
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    /// How many partitions there are.
    pub(super) fn count(self) -> u32 {
        match self {
            Self::None => 1,
            Self::Hive | Self::Boolean | Self::Missing => 2,
            Self::Two | Self::Custom => 6,
            _ => 3,
        }
    }

    /// What Spark is told of it beyond the options of every table.
    pub(super) fn spark_options(self, several_keys: bool) -> Vec<(&'static str, String)> {
        let generator = match self {
            Self::None => "NonpartitionedKeyGenerator",
            Self::Time => "TimestampBasedKeyGenerator",
            Self::Custom => "CustomKeyGenerator",
            Self::Two => "ComplexKeyGenerator",
            _ if several_keys => "ComplexKeyGenerator",
            _ => "SimpleKeyGenerator",
        };
        let mut options = vec![(
            "hoodie.datasource.write.keygenerator.class",
            format!("org.apache.hudi.keygen.{generator}"),
        )];
        let mut fields = self.fields();
        if self == Self::Custom {
            fields.iter_mut().for_each(|field| field.push_str(":SIMPLE"));
        }
        if self != Self::None {
            options.push(("hoodie.datasource.write.partitionpath.field", fields.join(",")));
        }
        let more: &[(&str, &str)] = match self {
            Self::Slashes => &[("hoodie.datasource.write.slash.separated.date.partitioning", "true")],
            Self::Time => &[
                ("hoodie.keygen.timebased.timestamp.type", "EPOCHMILLISECONDS"),
                ("hoodie.keygen.timebased.output.dateformat", "yyyy/MM/dd"),
                ("hoodie.keygen.timebased.output.timezone", "UTC"),
            ],
            _ => &[],
        };
        options.extend(more.iter().map(|(key, value)| (*key, (*value).to_owned())));
        options
    }
}

impl Shape {
    pub(super) fn partition_columns(&self, cells: &[Cell]) -> Result<Columns, ArrowError> {
        let numbers = || cells.iter().map(|cell| (cell.key % 3) as i32 - 1);
        let text = |f: fn(u32) -> &'static str| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(cells.iter().map(|cell| f(cell.key))))
        };
        let p: ArrayRef = match self.partitioning {
            Partitioning::None => return Ok(Vec::new()),
            Partitioning::Hive | Partitioning::Two | Partitioning::Custom => text(side),
            Partitioning::Encoded => text(|k| match k % 3 {
                0 => "a/b=c",
                1 => "é 50%",
                _ => "plain",
            }),
            Partitioning::Boolean => {
                Arc::new(cells.iter().map(|cell| Some(cell.key.is_multiple_of(2))).collect::<BooleanArray>())
            }
            Partitioning::Date => Arc::new(Date32Array::from_iter_values(numbers().map(|n| n * 20_000))),
            Partitioning::Decimal => {
                let values = numbers().map(|n| i128::from(n) * 1500);
                Arc::new(Decimal128Array::from_iter_values(values).with_precision_and_scale(9, 3)?)
            }
            Partitioning::Missing => {
                let text = |cell: &Cell| match cell.key % 4 {
                    0 => None,
                    2 => Some(""),
                    _ => Some("odd ones"),
                };
                Arc::new(cells.iter().map(text).collect::<StringArray>())
            }
            Partitioning::Double => {
                Arc::new(Float64Array::from_iter_values(numbers().map(|n| f64::from(n) * 1e20 + 0.1)))
            }
            Partitioning::Timestamp => {
                let micros = numbers().map(|n| i64::from(n) * 1_704_164_645_678_901);
                Arc::new(TimestampMicrosecondArray::from_iter_values(micros).with_timezone("UTC"))
            }
            Partitioning::Slashes => text(|k| match k % 3 {
                0 => "1969-12-31",
                1 => "2024-01-02",
                _ => "2024-02-01",
            }),
            Partitioning::Time => Arc::new(Int64Array::from_iter_values(
                cells.iter().map(|cell| i64::from(cell.key % 3) * 1_704_164_645_678 - i64::from(cell.key)),
            )),
        };
        let mut columns = vec![("p", p)];
        if self.partitioning.fields().len() == 2 {
            columns.push(("q", Arc::new(Int32Array::from_iter_values(numbers()))));
        }
        Ok(columns)
    }

    /// Rows as Spark shows them: partition columns mostly by their folders, and no numbers of 16 bits, which Hudi
    /// does not know.
    ///
    /// # Errors
    /// None that a scenario could cause.
    pub fn shown(&self, rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let schema = rows.schema();
        let columns = schema.fields().iter().zip(rows.columns()).map(|(field, column)| {
            let column = match field.name().as_str() {
                "p" => self.shown_partition(column)?,
                _ if *field.data_type() == DataType::Int16 => cast(column, &DataType::Int32)?,
                _ => column.clone(),
            };
            Ok((field.name().clone(), column, field.is_nullable()))
        });
        RecordBatch::try_from_iter_with_nullable(columns.collect::<Result<Vec<_>, ArrowError>>()?)
    }

    fn shown_partition(&self, column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
        match self.partitioning {
            // Null and empty values share a folder.
            Partitioning::Missing => nullif(column, &eq(column, &StringArray::new_scalar(""))?),
            // The folder's number of microseconds is no time to Spark.
            Partitioning::Timestamp => Ok(new_null_array(column.data_type(), column.len())),
            Partitioning::Slashes => {
                let texts = column.as_string::<i32>().iter();
                Ok(Arc::new(
                    texts.map(|text| text.map(|text| text.replace('-', "/"))).collect::<StringArray>(),
                ))
            }
            Partitioning::Time => cast(column, &DataType::Utf8),
            _ => Ok(column.clone()),
        }
    }
}

/// One of two partitions.
pub(super) fn side(key: u32) -> &'static str {
    if key.is_multiple_of(2) { "even" } else { "odd ones" }
}
