//! Every fixture table gives exactly the rows that Spark + Hudi read from it.

use std::path::Path;

use arrow::array::{Array, BooleanArray, RecordBatch, Scalar};
use arrow::compute::kernels::cmp::eq;
use arrow::compute::{concat_batches, filter_record_batch, is_null};
use arrow::datatypes::DataType;
use arrow::util::display::array_value_to_string;
use futures::TryStreamExt as _;
use lakebed::environment::Environment;
use lakebed::read::{Comparison, Filter, FilterTest, ReadError, Scan, ScanOptions, parse_as_of};
use lakebed::storage::{self, TableUri};
use lakebed::table::Table;

use crate::fixtures::{Fixture, Query, catalogue, expected, rows, unpack};

async fn read(folder: &Path, query: &Query, budget_bytes: usize) -> Result<Vec<RecordBatch>, ReadError> {
    let options = ScanOptions {
        with_meta: true,
        base_files_only: query.name == "read_optimized",
        memory_budget_bytes: budget_bytes,
        ..ScanOptions::default()
    };
    scan(folder, query, options).await
}

async fn scan(folder: &Path, query: &Query, options: ScanOptions) -> Result<Vec<RecordBatch>, ReadError> {
    let uri: TableUri = folder.display().to_string().parse().unwrap();
    let environment = Environment::real();
    let storage = storage::open(&uri, &environment).await?;
    let table = Table::open(storage, &environment, None).await?;
    let as_of = query.as_of.as_deref().map(|text| parse_as_of(text, None).unwrap());
    let snapshot = table.snapshot(as_of).await?;
    let scan = Scan::plan(&snapshot, options).await?;
    let schema = scan.schema();
    let mut batches: Vec<RecordBatch> = scan.stream().try_collect().await?;
    batches.push(RecordBatch::new_empty(schema));
    Ok(batches)
}

#[tokio::test(flavor = "multi_thread")]
async fn fixture_tables_read_as_spark_reads_them() {
    let catalogue = catalogue();
    let mut wrong = Vec::new();
    for fixture in &catalogue {
        let folder = unpack(&fixture.name);
        for query in &fixture.queries {
            // The second budget makes every merge go through the spill file.
            for budget_bytes in [64 << 20, 0] {
                let found = read(folder.path(), query, budget_bytes).await;
                wrong.extend(
                    check(fixture, query, found)
                        .map(|what| format!("{} {}: {what}", fixture.name, query.name)),
                );
            }
        }
    }
    assert!(wrong.is_empty(), "{} differ\n{}", wrong.len(), wrong.join("\n"));
}

/// Whatever a row is asked by, what comes out is what the whole table says of it.
#[tokio::test(flavor = "multi_thread")]
async fn columns_and_filters_change_nothing_but_what_they_leave_out() {
    let mut compared = 0;
    for fixture in catalogue().iter().filter(|fixture| fixture.refused.is_none()) {
        let folder = unpack(&fixture.name);
        for query in fixture.queries.iter().filter(|q| q.rows.is_some() && q.name != "read_optimized") {
            let all = read(folder.path(), query, 64 << 20).await.unwrap();
            let all = concat_batches(&all[0].schema(), &all).unwrap();
            for (number, field) in all.schema().fields().iter().enumerate() {
                let columns = Some(vec![field.name().clone()]);
                let found =
                    scan(folder.path(), query, ScanOptions { columns, ..ScanOptions::default() }).await;
                assert_same(&[all.project(&[number]).unwrap()], &found.unwrap(), fixture, field.name());
                compared += 1;
                let Some(filter) = filter_of(&all, number) else { continue };
                let mask = filter_mask(&all, number);
                let options =
                    ScanOptions { with_meta: true, filters: vec![filter], ..ScanOptions::default() };
                let found = scan(folder.path(), query, options).await.unwrap();
                let want = filter_record_batch(&all, &mask).unwrap();
                assert_same(&[want], &found, fixture, field.name());
                compared += 1;
            }
        }
    }
    assert!(compared > 0);
}

/// A filter that the first row passes, for columns whose text says their value.
fn filter_of(all: &RecordBatch, column: usize) -> Option<Filter> {
    let values = all.column(column);
    let spelled = matches!(
        values.data_type(),
        DataType::Utf8 | DataType::Int32 | DataType::Int64 | DataType::Date32 | DataType::Boolean
    );
    if !spelled || values.is_empty() {
        return None;
    }
    let test = match values.is_null(0) {
        true => FilterTest::IsNull,
        false => FilterTest::Compare(Comparison::Equal, array_value_to_string(values, 0).unwrap()),
    };
    Some(Filter { column: all.schema().field(column).name().clone(), test })
}

fn filter_mask(all: &RecordBatch, column: usize) -> BooleanArray {
    let values = all.column(column);
    match values.is_null(0) {
        true => is_null(values).unwrap(),
        false => eq(values, &Scalar::new(values.slice(0, 1))).unwrap(),
    }
}

fn assert_same(want: &[RecordBatch], found: &[RecordBatch], fixture: &Fixture, what: &str) {
    if want.iter().all(|batch| batch.num_rows() == 0) {
        assert!(found.iter().all(|batch| batch.num_rows() == 0), "{} {what}", fixture.name);
        return;
    }
    let difference = rows::difference(want, found).unwrap();
    assert!(difference.is_none(), "{} {what}: {}", fixture.name, difference.unwrap_or_default());
}

fn check(fixture: &Fixture, query: &Query, found: Result<Vec<RecordBatch>, ReadError>) -> Option<String> {
    match (found, &fixture.refused, &query.rows) {
        (Err(error), Some(word), _) if error.to_string().contains(word.as_str()) => None,
        (Err(error), Some(word), _) => Some(format!("expected a refusal with {word:?}, found: {error}")),
        (Ok(_), Some(word), _) => Some(format!("expected a refusal with {word:?}, found rows")),
        // Spark itself fails on it: whatever we do, we do not panic.
        (_, None, None) => None,
        (Err(error), None, Some(_)) => Some(error.to_string()),
        (Ok(found), None, Some(_)) => {
            let difference = rows::difference(&expected(&fixture.name, &query.name), &found);
            difference.map_or_else(|e| Some(e.to_string()), |d| d.map(|d| d.to_string()))
        }
    }
}
