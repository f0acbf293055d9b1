//! hudi-core as a second reader: where it is right, it must see the rows of the model, too.

use std::fmt;

use arrow::array::RecordBatch;
use lakebed_hudi::table_config::TableType;
use serde::Serialize;

use super::shape::{Ordering, Partial, Partitioning, Shape};
use super::step::Step;
use super::{Failed, theirs};
use crate::peers::HudiRs;
use crate::rows;

/// What hudi-core 0.6.0-rc.1 reads wrongly or refuses, by the table and what was done to it so far.
const LEFT_OUT: [(Applies, &str); 5] = [
    (|shape, _| shape.ordering == Ordering::Two, "it refuses tables with several ordering columns"),
    (
        |shape, _| {
            use Partitioning::{Missing, Slashes, Time, Timestamp};
            matches!(shape.partitioning, Missing | Slashes | Time | Timestamp)
        },
        "it shows partition columns as files have them, Spark otherwise",
    ),
    (
        |shape, _| shape.partitioning == Partitioning::Custom,
        "it takes the kinds of the partitions of CUSTOM key generators for parts of their names",
    ),
    (
        |shape, _| has_logs(shape) && shape.partial == Some(Partial::Marker),
        "it takes the marker of fill_unavailable in log files for a value",
    ),
    (
        |shape, done| has_logs(shape) && widened_over_logs(done),
        "it refuses log files of rows that lack a column and have another in a narrower type",
    ),
];

type Applies = fn(&Shape, &[Step]) -> bool;

fn has_logs(shape: &Shape) -> bool {
    shape.table_type == TableType::MergeOnRead
}

/// Whether there were log files of ours when the table was first widened, and they are still there.
fn widened_over_logs(done: &[Step]) -> bool {
    let last = |is: fn(&Step) -> bool| done.iter().rposition(is);
    let theirs = done.iter().position(|step| matches!(step, Step::SparkWidens));
    let ours = last(|step| matches!(step, Step::Widen)).filter(|ours| theirs.is_none_or(|it| it > *ours));
    // Where Spark has made the base files, all that we write at first are log files.
    let over_ours = theirs.filter(|_| matches!(done.first(), Some(Step::SparkCreates(_))));
    let Some(widened) = ours.or(over_ours) else { return false };
    let written = done.len() > widened + 1;
    written && last(|step| matches!(step, Step::Compact)).is_none_or(|compacted| compacted < widened)
}

/// What hudi-core saw of a scenario.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Seen {
    /// After so many steps it read the rows of the model.
    pub same: usize,
    /// After so many it was left out.
    pub left_out: usize,
    /// Why it was.
    pub reason: Option<&'static str>,
    /// Whether it once read other rows when it was left out, or none.
    #[serde(skip)]
    wrong: bool,
}

impl Seen {
    /// Reads the table after the steps `done`, and says what differs where nothing should.
    pub fn look(
        &mut self,
        hudi_rs: &HudiRs,
        table: &str,
        (shape, done): (&Shape, &[Step]),
        expected: &[RecordBatch],
    ) -> Option<String> {
        let differs = match read(hudi_rs, table).and_then(|found| Ok(rows::difference(expected, &found)?)) {
            Ok(difference) => difference.map(|it| format!("hudi-core reads other rows than expected: {it}")),
            Err(error) => Some(error.to_string()),
        };
        match LEFT_OUT.iter().find(|(applies, _)| applies(shape, done)) {
            Some((_, reason)) => {
                self.left_out += 1;
                self.reason = Some(reason);
                self.wrong |= differs.is_some();
                None
            }
            None => {
                self.same += usize::from(differs.is_none());
                differs
            }
        }
    }

    /// Says so if hudi-core was left out and had no need to be.
    pub fn needlessly_left_out(&self) -> Option<String> {
        let needless = self.left_out > 0 && !self.wrong;
        needless
            .then(|| format!("hudi-core reads all rows: {:?} does not hold here", self.reason.unwrap_or("")))
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason {
            None => write!(f, "same"),
            Some(reason) => write!(f, "same; hudi-core left out after {} steps: {reason}", self.left_out),
        }
    }
}

fn read(hudi_rs: &HudiRs, table: &str) -> Result<Vec<RecordBatch>, Failed> {
    hudi_rs.read(table)?.iter().map(theirs::without_meta).collect()
}
