//! What rows are asked for.

use serde_json::{Value, json};

/// The rows whose value in a column lies in a range.
#[derive(Debug, Clone, Copy)]
pub struct Query {
    pub column: &'static str,
    pub range: Range,
}

/// A range with both of its ends.
#[derive(Debug, Clone, Copy)]
pub enum Range {
    Texts(&'static str, &'static str),
    Numbers(f64, f64),
    /// Times, in seconds of the year 2026.
    Seconds(u32, u32),
}

impl Query {
    /// The condition, for Spark and for DuckDB.
    pub fn sql(self) -> String {
        let (from, to) = match self.range {
            Range::Texts(from, to) => (format!("'{from}'"), format!("'{to}'")),
            Range::Numbers(from, to) => (format!("cast({from} as double)"), format!("cast({to} as double)")),
            Range::Seconds(from, to) => (time(from), time(to)),
        };
        format!("{} between {from} and {to}", self.column)
    }

    /// The same for a script.
    pub fn to_json(self) -> Value {
        let (kind, from, to) = match self.range {
            Range::Texts(from, to) => ("texts", json!(from), json!(to)),
            Range::Numbers(from, to) => ("numbers", json!(from), json!(to)),
            Range::Seconds(from, to) => ("seconds", json!(from), json!(to)),
        };
        json!({ "column": self.column, "kind": kind, "from": from, "to": to, "sql": self.sql() })
    }
}

fn time(seconds: u32) -> String {
    format!("timestamp '2026-01-01 00:00:00' + interval '{seconds}' second")
}
