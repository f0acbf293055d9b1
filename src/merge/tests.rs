//! The columnar merge against a row-by-row model of Hudi's, and the corners one by one.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use lakebed_hudi::ordering_value::OrderingValue;
use proptest::prelude::*;

use super::fold::Fold;
use super::*;

/// A row: key, ordering value, two columns, delete flag. `None` in `present` for full rows.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    key: String,
    ts: i64,
    a: Option<String>,
    b: Option<i64>,
    deleted: bool,
}

fn row(key: &str, ts: i64, a: Option<&str>, b: Option<i64>) -> Row {
    Row { key: key.into(), ts, a: a.map(Into::into), b, deleted: false }
}

#[derive(Debug, Clone)]
enum Piece {
    Rows(Vec<Row>),
    /// Rows of which only `a` (true) or only `b` (false) is in the block.
    Partial(Vec<Row>, bool),
    Deletes(Vec<(String, Option<i64>)>),
}

fn schema() -> Schema {
    Schema::new(vec![
        Field::new("_hoodie_record_key", DataType::Utf8, true),
        Field::new("ts", DataType::Int64, true),
        Field::new("a", DataType::Utf8, true),
        Field::new("b", DataType::Int64, true),
        Field::new("_hoodie_is_deleted", DataType::Boolean, true),
    ])
}

fn batch(rows: &[Row]) -> RecordBatch {
    let keys: StringArray = rows.iter().map(|r| Some(&r.key)).collect();
    let ts: Int64Array = rows.iter().map(|r| Some(r.ts)).collect();
    let a: StringArray = rows.iter().map(|r| r.a.as_ref()).collect();
    let b: Int64Array = rows.iter().map(|r| r.b).collect();
    let deleted: BooleanArray = rows.iter().map(|r| Some(r.deleted)).collect();
    let columns: Vec<ArrayRef> =
        vec![Arc::new(keys), Arc::new(ts), Arc::new(a), Arc::new(b), Arc::new(deleted)];
    RecordBatch::try_new(Arc::new(schema()), columns).unwrap()
}

struct Slice {
    base: Vec<Row>,
    logs: Vec<Piece>,
}

impl SliceSource for Slice {
    fn logs(
        &self,
        _: &SchemaRef,
    ) -> Result<Box<dyn Iterator<Item = Result<LogRecords, MergeError>> + Send + '_>, MergeError> {
        Ok(Box::new(self.logs.iter().map(|piece| {
            Ok(match piece {
                Piece::Rows(rows) => LogRecords::Rows { batch: batch(rows), partial: false },
                Piece::Partial(rows, only_a) => {
                    let kept = if *only_a { [0, 1, 2] } else { [0, 1, 3] };
                    LogRecords::Rows { batch: batch(rows).project(&kept).unwrap(), partial: true }
                }
                Piece::Deletes(deletes) => LogRecords::Deletes(
                    deletes
                        .iter()
                        .map(|(key, ts)| Deleted {
                            record_key: key.clone(),
                            ordering: ts.map_or(OrderingValue::Int(0), OrderingValue::Long),
                        })
                        .collect(),
                ),
            })
        })))
    }

    fn base(&self, _: &SchemaRef) -> Result<Batches<'_>, MergeError> {
        Ok(Box::new(self.base.chunks(3).map(|rows| Ok(batch(rows)))))
    }
}

fn rules(event_time: bool, fill: Fill) -> MergeRules {
    let ordering_fields = if event_time { vec!["ts".to_owned()] } else { Vec::new() };
    MergeRules { ordering_fields, fill, delete_marker: None }
}

fn merge(slice: &Slice, rules: &MergeRules) -> Vec<Row> {
    merge_within(slice, rules, &MergeResources::default())
}

fn merge_within(slice: &Slice, rules: &MergeRules, resources: &MergeResources) -> Vec<Row> {
    let columns = MergeColumns::new(&schema(), None, rules).unwrap();
    let merged = MergedRows::new(slice, Arc::new(columns), Arc::new(rules.clone()), resources).unwrap();
    merged.flat_map(|batch| rows_of(&batch.unwrap())).collect()
}

fn rows_of(batch: &RecordBatch) -> Vec<Row> {
    let text = |column: usize, row: usize| {
        let array = batch.column(column).as_string::<i32>();
        array.is_valid(row).then(|| array.value(row).to_owned())
    };
    let long = |column: usize, row: usize| {
        let array = batch.column(column).as_primitive::<Int64Type>();
        array.is_valid(row).then(|| array.value(row))
    };
    (0..batch.num_rows())
        .map(|r| Row {
            key: text(0, r).unwrap(),
            ts: long(1, r).unwrap(),
            a: text(2, r),
            b: long(3, r),
            deleted: batch.column(4).as_boolean().value(r),
        })
        .collect()
}

/// The model: Hudi's rules, one record at a time.
#[derive(Debug, Clone)]
struct Version {
    row: Row,
    unconditional: bool,
    has: [bool; 2],
}

struct Model<'a> {
    rules: &'a MergeRules,
    partial: bool,
}

impl Model<'_> {
    fn fill(&self, high: &Version, low: &Version) -> Version {
        if high.row.deleted || low.row.deleted {
            return high.clone();
        }
        let mut filled = high.clone();
        let is_marker =
            |a: &Option<String>| matches!(&self.rules.fill, Fill::Marker(m) if a.as_ref() == Some(m));
        let take_a = if self.partial {
            !high.has[0]
        } else {
            is_marker(&high.row.a) || self.rules.fill == Fill::Nulls && high.row.a.is_none()
        };
        let take_b =
            if self.partial { !high.has[1] } else { self.rules.fill == Fill::Nulls && high.row.b.is_none() };
        if take_a {
            filled.row.a = low.row.a.clone();
            filled.has[0] = low.has[0];
        }
        if take_b {
            filled.row.b = low.row.b;
            filled.has[1] = low.has[1];
        }
        filled
    }

    fn merge_rows(&self, old: &Version, new: &Version) -> Version {
        let new_stays =
            !self.rules.event_time() || old.unconditional || new.unconditional || new.row.ts >= old.row.ts;
        if new_stays { self.fill(new, old) } else { self.fill(old, new) }
    }

    fn merge_delete(&self, old: &Version, delete: &Version) -> Version {
        let old_stays = self.rules.event_time()
            && (old.unconditional || !delete.unconditional && old.row.ts > delete.row.ts);
        if old_stays { old.clone() } else { delete.clone() }
    }

    fn run(mut self, slice: &Slice) -> Vec<Row> {
        let mut order: Vec<String> = Vec::new();
        let mut entries: BTreeMap<String, Version> = BTreeMap::new();
        for piece in &slice.logs {
            let (rows, has) = match piece {
                Piece::Rows(rows) => (rows.clone(), [true, true]),
                Piece::Partial(rows, only_a) => {
                    if !self.partial {
                        self.partial = true;
                        entries.values_mut().for_each(|v| v.has = [true, true]);
                    }
                    let strip = |r: &Row| Row {
                        a: r.a.clone().filter(|_| *only_a),
                        b: r.b.filter(|_| !only_a),
                        deleted: false,
                        ..r.clone()
                    };
                    (rows.iter().map(strip).collect(), [*only_a, !only_a])
                }
                Piece::Deletes(deletes) => {
                    for (key, ts) in deletes {
                        let row = Row { deleted: true, ..row(key, ts.unwrap_or(0), None, None) };
                        let delete = Version { row, unconditional: ts.is_none(), has: [true, true] };
                        self.put(&mut order, &mut entries, delete, true);
                    }
                    continue;
                }
            };
            for row in rows {
                self.put(&mut order, &mut entries, Version { row, unconditional: false, has }, false);
            }
        }
        let mut out = Vec::new();
        for base in &slice.base {
            let Some(entry) = entries.remove(&base.key) else {
                out.push(base.clone());
                continue;
            };
            let full = Version { row: base.clone(), unconditional: false, has: [true, true] };
            let merged =
                self.merge_rows(&Version { row: Row { deleted: false, ..base.clone() }, ..full }, &entry);
            out.extend((!merged.row.deleted).then_some(merged.row));
        }
        out.extend(order.iter().filter_map(|key| entries.remove(key)).map(|v| v.row).filter(|r| !r.deleted));
        out
    }

    fn put(
        &self,
        order: &mut Vec<String>,
        entries: &mut BTreeMap<String, Version>,
        new: Version,
        from_delete_block: bool,
    ) {
        let key = new.row.key.clone();
        let merged = match entries.get(&key) {
            None => {
                order.push(key.clone());
                new
            }
            Some(old) if from_delete_block => self.merge_delete(old, &new),
            Some(old) => self.merge_rows(old, &new),
        };
        entries.insert(key, merged);
    }
}

fn check(slice: &Slice, rules: &MergeRules) {
    let want = Model { rules, partial: false }.run(slice);
    assert_eq!(merge(slice, rules), want, "{rules:?}\nbase {:?}\nlogs {:?}", slice.base, slice.logs);
}

#[test]
fn an_old_row_after_a_delete_in_the_logs_brings_the_base_row_back() {
    let late = Piece::Rows(vec![row("k", 5, Some("late"), None)]);
    let delete = Piece::Deletes(vec![("k".into(), None)]);
    let slice = Slice { base: vec![row("k", 10, Some("base"), None)], logs: vec![delete, late] };
    assert_eq!(merge(&slice, &rules(true, Fill::Nothing)), slice.base);
}

#[test]
fn late_rows_fill_nulls_while_both_are_in_the_logs() {
    let slice = Slice {
        base: vec![row("k", 10, Some("a0"), Some(0))],
        logs: vec![
            Piece::Rows(vec![row("k", 20, None, None)]),
            Piece::Rows(vec![row("k", 15, Some("late"), Some(55))]),
        ],
    };
    let got = merge(&slice, &rules(true, Fill::Nulls));
    assert_eq!(got, [row("k", 20, Some("late"), Some(55))]);
}

#[test]
fn a_late_partial_row_fills_a_column_that_the_winner_lacks() {
    let slice = Slice {
        base: vec![row("k", 20, Some("a0"), Some(1))],
        logs: vec![
            Piece::Partial(vec![row("k", 30, Some("a30"), None)], true),
            Piece::Partial(vec![row("k", 15, None, Some(777))], false),
        ],
    };
    assert_eq!(merge(&slice, &rules(true, Fill::Nothing)), [row("k", 30, Some("a30"), Some(777))]);
    let alone = Slice { logs: slice.logs[1..].to_vec(), ..slice };
    assert_eq!(merge(&alone, &rules(true, Fill::Nothing)), alone.base);
}

#[test]
fn a_second_base_row_of_a_key_stays_as_it_is() {
    let slice = Slice {
        base: vec![row("k", 1, Some("one"), None), row("k", 1, Some("two"), None)],
        logs: vec![Piece::Rows(vec![row("k", 2, Some("new"), None)])],
    };
    let got = merge(&slice, &rules(true, Fill::Nothing));
    assert_eq!(got, [row("k", 2, Some("new"), None), row("k", 1, Some("two"), None)]);
}

#[test]
fn values_of_another_class_are_named_with_their_key() {
    let columns = MergeColumns::new(&schema(), None, &rules(true, Fill::Nothing)).unwrap();
    let mut fold = Fold::new(Arc::new(columns), Arc::new(rules(true, Fill::Nothing)));
    let delete = Deleted { record_key: "k".into(), ordering: OrderingValue::Int(7) };
    fold.push(&LogRecords::Deletes(vec![delete])).unwrap();
    let rows = LogRecords::Rows { batch: batch(&[row("k", 1, None, None)]), partial: false };
    let error = fold.push(&rows).unwrap_err();
    assert!(matches!(&error, MergeError::Ordering { record_key, .. } if record_key == "k"), "{error}");
}

#[test]
fn only_the_columns_asked_for_come_out() {
    let rules = rules(true, Fill::Nothing);
    let columns = Arc::new(MergeColumns::new(&schema(), Some(&["b".to_owned()]), &rules).unwrap());
    let read: Vec<_> = columns.read_schema().fields().iter().map(|f| f.name().clone()).collect();
    assert_eq!(read, ["b", "_hoodie_record_key", "ts", "_hoodie_is_deleted"]);
    let slice = Slice {
        base: vec![row("k", 1, Some("x"), Some(1))],
        logs: vec![Piece::Rows(vec![row("k", 2, None, Some(2)), row("n", 1, None, Some(3))])],
    };
    let got: Vec<_> = MergedRows::new(&slice, columns, Arc::new(rules), &MergeResources::default())
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let got: Vec<i64> =
        got.iter().flat_map(|b| b.column(0).as_primitive::<Int64Type>().values().to_vec()).collect();
    assert_eq!(got, [2, 3]);
}

#[test]
fn rows_can_be_counted_without_a_column() {
    let rules = Arc::new(rules(true, Fill::Nulls));
    let columns = Arc::new(MergeColumns::new(&schema(), Some(&[]), &rules).unwrap());
    let slice = Slice {
        base: vec![row("k", 1, None, None), row("l", 1, None, None)],
        logs: vec![
            Piece::Rows(vec![row("k", 2, None, None), row("n", 1, None, None), row("m", 1, None, None)]),
            Piece::Deletes(vec![("l".into(), None)]),
        ],
    };
    for budget_bytes in [1 << 20, 0] {
        let resources = MergeResources { budget_bytes, ..MergeResources::default() };
        let merged = MergedRows::new(&slice, columns.clone(), rules.clone(), &resources).unwrap();
        assert_eq!(merged.map(|batch| batch.unwrap().num_rows()).sum::<usize>(), 3);
    }
}

#[test]
fn a_projection_names_the_column_that_is_missing() {
    let rules = rules(true, Fill::Nothing);
    let error = MergeColumns::new(&schema(), Some(&["z".to_owned()]), &rules).unwrap_err();
    assert!(matches!(error, MergeError::MissingColumn { column, .. } if column == "z"));
}

fn any_row() -> impl Strategy<Value = Row> {
    let a = prop_oneof![Just(None), Just(Some("?".to_owned())), "[a-c]".prop_map(Some)];
    (0..6u8, 1..6i64, a, prop::option::of(0..9i64), prop::bool::weighted(0.1))
        .prop_map(|(key, ts, a, b, deleted)| Row { key: format!("k{key}"), ts, a, b, deleted })
}

fn any_piece(partial: bool) -> impl Strategy<Value = Piece> {
    let rows = || prop::collection::vec(any_row(), 0..5);
    let delete = (0..6u8, prop::option::of(1..6i64)).prop_map(|(key, ts)| (format!("k{key}"), ts));
    let weight = if partial { 3 } else { 0 };
    prop_oneof![
        4 => rows().prop_map(Piece::Rows),
        2 => prop::collection::vec(delete, 0..4).prop_map(Piece::Deletes),
        weight => (rows(), any::<bool>()).prop_map(|(rows, only_a)| Piece::Partial(rows, only_a)),
    ]
}

fn any_slice(partial: bool) -> impl Strategy<Value = Slice> {
    let base = prop::collection::btree_map(0..6u8, any_row(), 0..6).prop_map(|rows| {
        rows.into_iter().map(|(key, row)| Row { key: format!("k{key}"), deleted: false, ..row }).collect()
    });
    (base, prop::collection::vec(any_piece(partial), 0..6)).prop_map(|(base, logs)| Slice { base, logs })
}

impl std::fmt::Debug for Slice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "base {:?} logs {:?}", self.base, self.logs)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn rows_are_those_of_the_model(slice in any_slice(false), event_time: bool, fill in 0..3u8) {
        let fill = [Fill::Nothing, Fill::Nulls, Fill::Marker("?".into())][fill as usize].clone();
        check(&slice, &rules(event_time, fill));
    }

    #[test]
    fn partial_blocks_are_those_of_the_model(slice in any_slice(true), event_time: bool) {
        check(&slice, &rules(event_time, Fill::Nothing));
    }
}

/// The rows of `slice` where it is merged after each of `points` pieces of its logs: what comes out is
/// the base file of what follows, as compaction leaves it.
fn compacted(slice: &Slice, points: &[usize], merge: impl Fn(&Slice) -> Vec<Row>) -> Vec<Row> {
    let mut points = points.to_vec();
    points.sort_unstable();
    let (mut base, mut from) = (slice.base.clone(), 0);
    for to in points.into_iter().chain([slice.logs.len()]) {
        let to = to.clamp(from, slice.logs.len());
        base = merge(&Slice { base, logs: slice.logs[from..to].to_vec() });
        from = to;
    }
    base
}

fn check_compacted(slice: &Slice, points: &[usize], rules: &MergeRules) {
    let want = compacted(slice, points, |slice| Model { rules, partial: false }.run(slice));
    assert_eq!(
        compacted(slice, points, |slice| merge(slice, rules)),
        want,
        "{points:?}, {rules:?}\n{slice:?}"
    );
}

/// Hudi's answer depends on when it compacts, and so does ours.
#[test]
fn a_compaction_forgets_the_ordering_value_of_a_delete() {
    let late = Piece::Rows(vec![row("k", 5, Some("late"), None)]);
    let delete = Piece::Deletes(vec![("k".into(), Some(20))]);
    let slice = Slice { base: vec![row("k", 10, Some("base"), None)], logs: vec![delete, late] };
    let rules = rules(true, Fill::Nothing);
    let merged = |points: &[usize]| compacted(&slice, points, |slice| merge(slice, &rules));
    assert!(merged(&[]).is_empty() && merged(&[2]).is_empty());
    assert_eq!(merged(&[1]), [row("k", 5, Some("late"), None)]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn compactions_anywhere_leave_the_rows_of_the_model(
        slice in any_slice(false), points in prop::collection::vec(0..6_usize, 1..4), event_time: bool, fill in 0..3u8,
    ) {
        let fill = [Fill::Nothing, Fill::Nulls, Fill::Marker("?".into())][fill as usize].clone();
        check_compacted(&slice, &points, &rules(event_time, fill));
    }

    #[test]
    fn nor_do_partial_blocks_change_that(
        slice in any_slice(true), points in prop::collection::vec(0..6_usize, 1..4), event_time: bool,
    ) {
        check_compacted(&slice, &points, &rules(event_time, Fill::Nothing));
    }
}

/// As [`check`], with `bytes` for the log records: the fewer, the more partitions.
fn check_spilled(slice: &Slice, rules: &MergeRules, bytes: usize) {
    let want = Model { rules, partial: false }.run(slice);
    let resources = MergeResources { budget_bytes: bytes, ..MergeResources::default() };
    assert_eq!(merge_within(slice, rules, &resources), want, "{bytes} bytes, {rules:?}, {slice:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_budget_does_not_change_the_rows(
        slice in any_slice(false), event_time: bool, fill in 0..3u8, bytes in 0..8_000usize,
    ) {
        let fill = [Fill::Nothing, Fill::Nulls, Fill::Marker("?".into())][fill as usize].clone();
        check_spilled(&slice, &rules(event_time, fill), bytes);
    }

    #[test]
    fn nor_does_it_with_partial_blocks(slice in any_slice(true), event_time: bool, bytes in 0..8_000usize) {
        check_spilled(&slice, &rules(event_time, Fill::Nothing), bytes);
    }
}

/// A partial update names a key once as a rule: such rows lie where they are, and take their room once.
#[test]
fn rows_that_fill_no_others_fit_the_budget_as_whole_rows_do() {
    let rows: Vec<Row> = (0..500).map(|n| row(&format!("k{n}"), n, None, Some(n))).collect();
    let once = vec![Piece::Rows(rows.clone())];
    let twice = vec![Piece::Rows(rows.clone()), Piece::Rows(rows)];
    let fits = |logs: &[Piece], fill, budget_bytes| {
        let (slice, rules) = (Slice { base: Vec::new(), logs: logs.to_vec() }, rules(true, fill));
        let columns = Arc::new(MergeColumns::new(&schema(), None, &rules).unwrap());
        Fold::of_logs(&slice, &columns, &Arc::new(rules), budget_bytes).unwrap().is_some()
    };
    let least = |logs: &[Piece], fill: &Fill| {
        (0..10_000).map(|n| n * 64).find(|bytes| fits(logs, fill.clone(), *bytes)).unwrap()
    };
    assert_eq!(least(&once, &Fill::Nulls), least(&once, &Fill::Nothing));
    assert!(least(&twice, &Fill::Nulls) > least(&twice, &Fill::Nothing));
}

#[test]
fn a_spilled_slice_keeps_base_order_and_arrival_over_many_partitions() {
    let base = (0..5_000).map(|n| row(&format!("k{}", n * 7 % 5_000), 1, Some("base"), Some(n))).collect();
    let updates = |round: i64| {
        let rows =
            (0..3_000).map(|n| row(&format!("k{}", (n * 13 + round * 999) % 9_000), round, None, Some(n)));
        Piece::Rows(rows.collect())
    };
    let deletes = Piece::Deletes((0..700).map(|n| (format!("k{}", n * 11), None)).collect());
    let slice = Slice { base, logs: vec![updates(1), updates(2), deletes, updates(3)] };
    for bytes in [0, 50_000, 400_000] {
        check_spilled(&slice, &rules(true, Fill::Nulls), bytes);
    }
}
