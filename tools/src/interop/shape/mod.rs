//! Shapes of tables, and rows for them made from three numbers.

mod columns;
mod partial;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::error::ArrowError;
use lakebed_hudi::schema::TableSchema;
use lakebed_hudi::table_config::{BucketIndex, NewTable, TableType};

pub use partial::Partial;

use super::Failed;
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
    /// A number as Debezium names it, as its payload class wants it.
    Lsn,
}

impl Ordering {
    /// All that go with any table.
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
    /// How its rows may say nothing of a column.
    pub partial: Option<Partial>,
    /// The version of the table format that Spark creates it in.
    pub version: u8,
    /// Whether it has column `added`, and `i` is of 64 bits.
    pub wide: bool,
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
    /// Whether its writer knew of the columns of a wide table.
    pub wide: bool,
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
            Data::Flat => self.flat_columns(cells)?,
            Data::Nested => columns::nested_columns(cells)?,
        });
        if self.wide {
            columns.push(("added", columns::added_column(cells)));
        }
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
            Ordering::Lsn => &["_event_lsn"],
            _ => &["ts"],
        };
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    /// The table as Lakebed creates it.
    ///
    /// # Errors
    /// None that a scenario could cause.
    pub fn new_table(&self, name: &str) -> Result<NewTable, Failed> {
        let rows = self.rows(&[])?;
        Ok(NewTable {
            name: name.to_owned(),
            table_type: self.table_type,
            record_key_fields: self.key_fields(),
            partition_fields: self.partition_fields(),
            ordering_fields: self.ordering_fields(),
            partial_update: self.partial.map(Partial::mode),
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

    /// The folder that a key lies in, of a table partitioned in Hive's way.
    pub fn partition_path(&self, key: u32) -> String {
        format!("p={}", columns::side(key))
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
        if let Some(partial) = self.partial {
            options.push(("hoodie.datasource.write.payload.class", partial.payload_class().into()));
        }
        if self.version != 9 {
            options.push(("hoodie.write.table.version", self.version.to_string()));
        }
        if self.ordering != Ordering::CommitTime {
            options.push(("hoodie.table.ordering.fields", self.ordering_fields().join(",")));
        }
        options.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }
}
