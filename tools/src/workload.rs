//! Seeded rows for benches: wide ones like those of an order stream, and narrow ones.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array, RecordBatch,
    StringArray, TimestampMicrosecondArray,
};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use lakebed_hudi::schema::{SchemaError, TableSchema};
use lakebed_hudi::table_config::{BucketIndex, NewTable, TableType};

/// What rows to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Shape {
    /// 23 columns, about 310 bytes a row in Arrow.
    Wide,
    /// 6 columns.
    Narrow,
}

/// A seeded workload: a base load, upserts that mostly hit few keys, and deletes.
#[derive(Debug, Clone, Copy)]
pub struct Workload {
    /// Its seed: the same one makes the same rows.
    pub seed: u64,
    /// Which columns.
    pub shape: Shape,
    /// Whether the key column is required, as in tables whose columns `lakebed` infers; else it is
    /// nullable, as in those of Spark.
    pub required_key: bool,
    /// Rows of the base load.
    pub base_rows: u64,
    /// Rows of each upsert.
    pub upsert_rows: u64,
    /// Keys of the delete.
    pub delete_rows: u64,
}

/// Partitions of the tables.
pub const PARTITIONS: u64 = 8;

/// Buckets of each partition.
pub const BUCKETS: u32 = 2;

/// Upserts that follow on the base load.
pub const UPSERTS: u64 = 10;

/// Groups of a table: each partition's buckets.
pub const GROUPS: usize = (PARTITIONS * BUCKETS as u64) as usize;

/// Rows of a batch.
const BATCH_ROWS: u64 = 8_192;

/// Four of five rows of an upsert change a row that is there.
const UPDATES_PERCENT: u64 = 80;

/// Of these, so many are older than the row that is there.
const LATE_PERCENT: u64 = 5;

/// The event time of the first row, in microseconds since the epoch.
const START_MICROS: i64 = 1_767_225_600_000_000;

impl Workload {
    /// The columns.
    pub fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(fields(self.shape, self.required_key)))
    }

    /// The table.
    ///
    /// # Errors
    /// None: Hudi has all of the columns' types.
    pub fn table(&self) -> Result<NewTable, SchemaError> {
        Ok(NewTable {
            name: "bench".into(),
            table_type: TableType::MergeOnRead,
            record_key_fields: vec!["id".into()],
            partition_fields: vec!["region".into()],
            ordering_fields: vec!["ts".into()],
            partial_update: None,
            bucket_index: Some(BucketIndex { buckets: BUCKETS, hash_fields: vec!["id".into()] }),
            hive_style: true,
            url_encode: true,
            create_schema: TableSchema::from_arrow(&self.schema(), "bench")?.to_avro(),
            readers: vec!["spark".into()],
        })
    }

    /// The table without partitions, in so many buckets.
    ///
    /// # Errors
    /// As [`Workload::table`].
    pub fn unpartitioned(&self, buckets: u32) -> Result<NewTable, SchemaError> {
        let bucket_index = Some(BucketIndex { buckets, hash_fields: vec!["id".into()] });
        Ok(NewTable { partition_fields: Vec::new(), bucket_index, ..self.table()? })
    }

    /// Rows like those of the base load, whose key numbers begin at `from`.
    pub fn shifted(self, from: u64) -> impl Iterator<Item = RecordBatch> {
        batches(self.base_rows).map(move |(first, rows)| {
            let mut random = Random::new(self.seed ^ (from + first + 1));
            let keys: Vec<u64> = (from + first..from + first + rows).collect();
            self.batch(&keys, |key| START_MICROS + key as i64 * 1_000, &mut random)
        })
    }

    /// The rows of the base load.
    pub fn base(&self) -> impl Iterator<Item = RecordBatch> + '_ {
        batches(self.base_rows).map(move |(from, rows)| {
            let mut random = Random::new(self.seed ^ (from + 1));
            let keys: Vec<u64> = (from..from + rows).collect();
            self.batch(&keys, |key| START_MICROS + key as i64 * 1_000, &mut random)
        })
    }

    /// The rows of the upsert `number`, counted from 0.
    pub fn upsert(&self, number: u64) -> impl Iterator<Item = RecordBatch> + '_ {
        let inserted_before = number * (self.upsert_rows * (100 - UPDATES_PERCENT) / 100);
        batches(self.upsert_rows).map(move |(from, rows)| {
            let mut random = Random::new(self.seed ^ ((number + 1) << 40) ^ (from + 1));
            let mut inserted = self.base_rows + inserted_before + from * (100 - UPDATES_PERCENT) / 100;
            let keys: Vec<u64> = (0..rows)
                .map(|_| {
                    if random.below(100) < UPDATES_PERCENT {
                        return self.skewed_key(&mut random);
                    }
                    inserted += 1;
                    inserted - 1
                })
                .collect();
            let now = START_MICROS + (self.base_rows as i64 + (number as i64 + 1) * 1_000_000) * 1_000;
            let late: Vec<bool> = keys.iter().map(|_| random.below(100) < LATE_PERCENT).collect();
            let mut late = late.into_iter();
            self.batch(&keys, |_| if late.next() == Some(true) { START_MICROS - 1 } else { now }, &mut random)
        })
    }

    /// New rows for those keys of the base that `picks` picks by their numbers: all columns but key and region
    /// are others.
    pub fn replaced(&self, picks: impl Fn(u64) -> bool) -> impl Iterator<Item = RecordBatch> {
        let now = START_MICROS + (1 << 40);
        batches(self.base_rows).map(move |(from, rows)| {
            let mut random = Random::new(self.seed ^ (1 << 61) ^ (from + 1));
            let keys: Vec<u64> = (from..from + rows).filter(|key| picks(*key)).collect();
            self.batch(&keys, |_| now, &mut random)
        })
    }

    /// The base's rows of those keys that `picks` picks by their numbers, with another status, price and
    /// order number, and a later time.
    pub fn touched(&self, picks: impl Fn(u64) -> bool) -> impl Iterator<Item = RecordBatch> {
        let now = START_MICROS + (1 << 40);
        batches(self.base_rows).zip(self.base()).map(move |((from, rows), batch)| {
            let keys: Vec<u64> = (from..from + rows).filter(|key| picks(*key)).collect();
            let picked = (from..from + rows).map(|key| Some(picks(key))).collect::<BooleanArray>();
            let kept = filter_record_batch(&batch, &picked).unwrap_or_else(|_| batch.slice(0, 0));
            let mut random = Random::new(self.seed ^ (1 << 62) ^ (from + 1));
            let narrow = Self { shape: Shape::Narrow, ..*self };
            let new = narrow.batch(&keys, |_| now, &mut random);
            let mut columns = kept.columns().to_vec();
            for (to, column) in columns.iter_mut().zip(new.columns()).skip(2) {
                *to = column.clone();
            }
            RecordBatch::try_new(kept.schema(), columns).unwrap_or(kept)
        })
    }

    /// Whether a key is one of so many percent of all, at random.
    pub fn picks_percent(&self, key: u64, percent: u64) -> bool {
        mixed(key ^ self.seed << 32) % 100 < percent
    }

    /// The rows whose keys are deleted; their event time is later than all others.
    pub fn delete(&self) -> impl Iterator<Item = RecordBatch> + '_ {
        batches(self.delete_rows).map(move |(from, rows)| {
            let mut random = Random::new(self.seed ^ (1 << 60) ^ (from + 1));
            let keys: Vec<u64> = (0..rows).map(|_| random.below(self.base_rows)).collect();
            self.batch(&keys, |_| START_MICROS + (1 << 50), &mut random)
        })
    }

    /// Half of all draws fall on a hundredth of the keys.
    fn skewed_key(&self, random: &mut Random) -> u64 {
        let hot = (self.base_rows / 100).max(1);
        if random.below(2) == 0 {
            random.below(hot) * 97 % self.base_rows
        } else {
            random.below(self.base_rows)
        }
    }

    fn batch(&self, keys: &[u64], mut time: impl FnMut(u64) -> i64, random: &mut Random) -> RecordBatch {
        let text = |make: &mut dyn FnMut(u64) -> String| -> ArrayRef {
            Arc::new(keys.iter().map(|key| Some(make(*key))).collect::<StringArray>())
        };
        let mut columns: Vec<ArrayRef> = vec![
            text(&mut |key| format!("{:016x}", mixed(key))),
            text(&mut |key| format!("region-{}", mixed(key) % PARTITIONS)),
            Arc::new(
                keys.iter()
                    .map(|key| Some(time(*key)))
                    .collect::<TimestampMicrosecondArray>()
                    .with_timezone("UTC"),
            ),
            text(&mut |_| STATUS[random.below(STATUS.len() as u64) as usize].to_owned()),
            Arc::new(
                keys.iter().map(|_| Some(random.below(10_000) as f64 / 100.0)).collect::<Float64Array>(),
            ),
            Arc::new(keys.iter().map(|_| Some(random.next() as i64)).collect::<Int64Array>()),
        ];
        if self.shape == Shape::Wide {
            columns.extend(self.wide_columns(keys, random));
        }
        let batch = RecordBatch::try_new(self.schema(), columns);
        batch.unwrap_or_else(|_| RecordBatch::new_empty(self.schema()))
    }

    fn wide_columns(&self, keys: &[u64], random: &mut Random) -> Vec<ArrayRef> {
        let mut text = |make: &dyn Fn(&mut Random) -> String| -> ArrayRef {
            Arc::new(keys.iter().map(|_| Some(make(random))).collect::<StringArray>())
        };
        let mut columns = vec![
            text(&|r| format!("customer-{:08}", r.below(50_000_000))),
            text(&|r| format!("user{}@{}.example", r.below(10_000_000), DOMAINS[r.below(20) as usize % 8])),
            text(&|r| format!("{} {} Street, {}", r.below(9_000), word(r), word(r))),
            text(&|r| format!("{} {} {} {}", word(r), word(r), word(r), word(r))),
            text(&|r| format!("city-{}", r.below(2_000))),
            text(&|r| COUNTRIES[r.below(COUNTRIES.len() as u64) as usize].to_owned()),
            text(&|r| format!("SKU-{:06}", r.below(20_000))),
            text(&|r| format!("category/{}/{}", r.below(12), r.below(30))),
        ];
        let mut ints = |n: u64| -> ArrayRef {
            Arc::new(keys.iter().map(|_| Some(random.below(n) as i32)).collect::<Int32Array>())
        };
        columns.extend([ints(50), ints(1_000_000), ints(4)]);
        let decimals: Decimal128Array =
            keys.iter().map(|_| Some(i128::from(random.below(1_000_000)))).collect::<Decimal128Array>();
        columns.push(Arc::new(decimals.with_data_type(DataType::Decimal128(12, 2))));
        columns
            .push(Arc::new(keys.iter().map(|_| Some(random.next() as f64 / 1e9)).collect::<Float64Array>()));
        columns.push(Arc::new(
            keys.iter().map(|_| Some(20_000 + random.below(700) as i32)).collect::<Date32Array>(),
        ));
        columns.push(Arc::new(
            keys.iter()
                .map(|key| Some(START_MICROS + *key as i64 * 1_000 + random.below(1_000) as i64))
                .collect::<TimestampMicrosecondArray>()
                .with_timezone("UTC"),
        ));
        columns.push(Arc::new(keys.iter().map(|_| Some(random.below(2) == 0)).collect::<BooleanArray>()));
        // A third of the rows have no comment.
        columns.push(Arc::new(
            keys.iter()
                .map(|_| (random.below(3) > 0).then(|| format!("{} {}", word(random), word(random))))
                .collect::<StringArray>(),
        ));
        columns
    }
}

const STATUS: [&str; 6] = ["new", "paid", "packed", "shipped", "delivered", "returned"];
const DOMAINS: [&str; 8] = ["mail", "post", "letter", "inbox", "web", "net", "home", "work"];
const COUNTRIES: [&str; 12] = [
    "Austria", "Belgium", "Chile", "Denmark", "Egypt", "France", "Ghana", "Hungary", "India", "Japan",
    "Kenya", "Laos",
];
const WORDS: [&str; 32] = [
    "amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heron", "inlet", "jetty", "knoll",
    "ledge", "marsh", "north", "ocean", "prairie", "quarry", "ridge", "shore", "thicket", "upland", "valley",
    "willow", "yarrow", "zephyr", "brook", "cliff", "dune", "estuary", "forest", "glade", "hollow",
];

fn word(random: &mut Random) -> &'static str {
    WORDS[random.below(WORDS.len() as u64) as usize]
}

fn fields(shape: Shape, required_key: bool) -> Vec<Field> {
    let time = || DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let mut fields = vec![
        Field::new("id", DataType::Utf8, !required_key),
        Field::new("region", DataType::Utf8, true),
        Field::new("ts", time(), true),
        Field::new("status", DataType::Utf8, true),
        Field::new("price", DataType::Float64, true),
        Field::new("order_no", DataType::Int64, true),
    ];
    if shape == Shape::Wide {
        let texts = ["customer", "email", "address", "note", "city", "country", "sku", "category"];
        fields.extend(texts.map(|name| Field::new(name, DataType::Utf8, true)));
        fields.extend(["quantity", "weight", "priority"].map(|name| Field::new(name, DataType::Int32, true)));
        fields.push(Field::new("tax", DataType::Decimal128(12, 2), true));
        fields.push(Field::new("score", DataType::Float64, true));
        fields.push(Field::new("due", DataType::Date32, true));
        fields.push(Field::new("created", time(), true));
        fields.push(Field::new("gift", DataType::Boolean, true));
        fields.push(Field::new("comment", DataType::Utf8, true));
    }
    fields
}

/// First row and length of the batches that make up `rows`.
fn batches(rows: u64) -> impl Iterator<Item = (u64, u64)> {
    (0..rows).step_by(BATCH_ROWS as usize).map(move |from| (from, BATCH_ROWS.min(rows - from)))
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(mixed(seed))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(self.0)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }
}

fn mixed(n: u64) -> u64 {
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}
