//! What is written, and what a table must look like after it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;

use arrow::array::{AsArray as _, RecordBatch};
use arrow::datatypes::Int64Type;

/// Keys that every delivery writes, and those that every write of Spark does.
const OURS: u64 = 60;
const THEIRS: u64 = 30;
/// A delivery inserts a key of its own, and deletes that of the delivery so many before.
const KEPT: u64 = 10;

/// The columns, for Spark.
pub const DDL: &str = "id string, part string, ts long, v long";

/// How far a snapshot is: all of so many deliveries, and of so many writes of Spark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct State {
    pub ours: u64,
    pub theirs: u64,
}

fn part(key: u64) -> &'static str {
    if key.is_multiple_of(2) { "even" } else { "odd" }
}

/// The records of a delivery, as JSON lines.
pub fn delivery(number: u64) -> String {
    let mut text = String::new();
    let mut record = |op: &str, id: String, of: u64| {
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{{\"op\":\"{op}\",\"id\":\"{id}\",\"part\":\"{}\",\"ts\":{number},\"v\":{number}}}",
            part(of)
        );
    };
    (0..OURS).for_each(|key| record("U", format!("k{key}"), key));
    record("I", format!("i{number}"), number);
    if let Some(gone) = number.checked_sub(KEPT).filter(|gone| *gone > 0) {
        record("D", format!("i{gone}"), gone);
    }
    text
}

/// The rows of a write of Spark, as SQL.
pub fn values_of_spark(number: u64) -> String {
    let row = |key| format!("('s{key}', '{}', {number}, {number})", part(key));
    (0..THEIRS).map(row).collect::<Vec<_>>().join(", ")
}

impl State {
    /// The state that these rows are.
    ///
    /// # Errors
    /// They are none: says which row is wrong.
    pub fn of(rows: &RecordBatch) -> Result<Self, String> {
        let mut found = values(rows)?;
        let state = Self {
            ours: found.get("k0").copied().unwrap_or_default(),
            theirs: found.get("s0").copied().unwrap_or_default(),
        };
        let mut expect = |prefix: &str, keys: Range<u64>, value: &dyn Fn(u64) -> u64| {
            for key in keys {
                let id = format!("{prefix}{key}");
                let at = found.remove(&id);
                if at != Some(value(key)) {
                    return Err(format!("{id} is {at:?}, expected {} in {state:?}", value(key)));
                }
            }
            Ok(())
        };
        if state.ours > 0 {
            expect("k", 0..OURS, &|_| state.ours)?;
            expect("i", state.ours.saturating_sub(KEPT) + 1..state.ours + 1, &|key| key)?;
        }
        if state.theirs > 0 {
            expect("s", 0..THEIRS, &|_| state.theirs)?;
        }
        match found.first_key_value() {
            None => Ok(state),
            Some((id, value)) => Err(format!("{id} is {value}, and should not be there in {state:?}")),
        }
    }
}

/// Values by id.
fn values(rows: &RecordBatch) -> Result<BTreeMap<String, u64>, String> {
    let column = |name: &str| rows.column_by_name(name).ok_or(format!("column {name} is missing"));
    let ids = column("id")?.as_string_opt::<i32>().ok_or("ids that are no text")?;
    let values = column("v")?.as_primitive_opt::<Int64Type>().ok_or("values that are no numbers")?;
    let mut found = BTreeMap::new();
    for (id, value) in ids.iter().zip(values) {
        let id = id.unwrap_or_default();
        if found.insert(id.to_owned(), value.unwrap_or(-1) as u64).is_some() {
            return Err(format!("{id} is there twice"));
        }
    }
    Ok(found)
}
