//! Shapes of tables, and rows for them made from three numbers.

mod columns;
mod partial;
mod partitioning;

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::error::ArrowError;
use lakebed_hudi::base_file::IS_DELETED;
use lakebed_hudi::schema::TableSchema;
use lakebed_hudi::table_config::{BucketIndex, NewTable, TableType};

pub use partial::Partial;
pub use partitioning::Partitioning;

use super::Failed;
use crate::spark::Options;

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
    /// A truth, and a number beside it, as there are but two of them.
    Boolean,
    /// A decimal.
    Decimal,
    /// A number with a point, of any size.
    Double,
}

impl Keys {
    pub const ALL: [Self; 10] = [
        Self::Text,
        Self::Odd,
        Self::Int,
        Self::Long,
        Self::Date,
        Self::Timestamp,
        Self::Two,
        Self::Boolean,
        Self::Decimal,
        Self::Double,
    ];

    fn several(self) -> bool {
        matches!(self, Self::Two | Self::Boolean)
    }
}

/// What decides between two rows of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ordering {
    /// Arrival.
    CommitTime,
    /// A truth.
    Boolean,
    /// A number of 16 bits, which is one of 32 to Hudi.
    Short,
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
    pub const ALL: [Self; 13] = [
        Self::CommitTime,
        Self::Boolean,
        Self::Short,
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

    /// The place of a row among the others of its key, made from its number.
    pub fn rank(self, order: u32) -> u32 {
        match self {
            Self::CommitTime => 0,
            Self::Boolean => u32::from(order >= 15),
            _ => order,
        }
    }
}

/// Which other columns there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Data {
    /// One of every flat type.
    Flat,
    /// Lists, maps and structs.
    Nested,
    /// One of every flat type, and `_hoodie_is_deleted`, by which deletes are told.
    Flagged,
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
        let mut columns = self.key_columns(cells)?;
        columns.extend(self.partition_columns(cells)?);
        columns.extend(self.ordering_columns(cells)?);
        columns.extend(match self.data {
            Data::Flat => self.flat_columns(cells)?,
            Data::Flagged => {
                let mut columns = self.flat_columns(cells)?;
                columns.push((IS_DELETED, Arc::new(BooleanArray::from(vec![false; cells.len()]))));
                columns
            }
            Data::Nested => columns::nested_columns(cells)?,
        });
        if self.wide {
            columns.push(("added", columns::added_column(cells)));
        }
        let keys = self.key_fields();
        let fields = columns.into_iter().map(|(name, array)| (name, array, !keys.contains(&name.to_owned())));
        RecordBatch::try_from_iter_with_nullable(fields)
    }

    /// The rows of a table of flags with `deletes` of them flagged.
    ///
    /// # Errors
    /// None that a scenario could cause.
    pub fn flag(&self, rows: &RecordBatch, deletes: BooleanArray) -> Result<RecordBatch, ArrowError> {
        let mut columns = rows.columns().to_vec();
        let at = rows.schema().index_of(IS_DELETED)?;
        columns.splice(at..=at, [Arc::new(deletes) as ArrayRef]);
        RecordBatch::try_new(rows.schema(), columns)
    }

    /// The columns that deletes by key need.
    ///
    /// # Errors
    /// None that a scenario could cause.
    pub fn keys_only(&self, rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let names = [self.key_fields(), self.partitioning.fields(), self.ordering_fields()].concat();
        let schema = rows.schema();
        rows.project(&names.iter().map(|name| schema.index_of(name)).collect::<Result<Vec<_>, _>>()?)
    }

    /// Whether Spark can upsert: with Hudi 1.2.0 it fails on decimals and dates that it has itself
    /// written to base files, where they order the rows of a copy-on-write table.
    pub fn spark_upserts(&self) -> bool {
        let fails = matches!(self.ordering, Ordering::Decimal | Ordering::Date);
        self.table_type == TableType::MergeOnRead || !fails
    }

    /// The record key fields.
    pub fn key_fields(&self) -> Vec<String> {
        let names: &[&str] = if self.keys.several() { &["id", "line"] } else { &["id"] };
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
            partition_fields: self.partitioning.fields(),
            ordering_fields: self.ordering_fields(),
            partial_update: self.partial.map(Partial::mode),
            bucket_index: self.bucket_index(),
            hive_style: self.partitioning.hive_style(),
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
        key % self.partitioning.count()
    }

    /// The folder that a key lies in, of a table partitioned in Hive's way.
    pub fn partition_path(&self, key: u32) -> String {
        format!("p={}", partitioning::side(key))
    }

    /// The settings that Spark shares such a table with.
    pub fn spark_options(&self) -> Options {
        let keys = self.key_fields().join(",");
        let flag = |on: bool| if on { "true" } else { "false" };
        let mut options = vec![
            ("hoodie.datasource.write.table.type", self.table_type.as_str().to_owned()),
            ("hoodie.datasource.write.recordkey.field", keys.clone()),
            ("hoodie.datasource.write.hive_style_partitioning", flag(self.partitioning.hive_style()).into()),
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
        options.extend(self.partitioning.spark_options(self.keys.several()));
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
