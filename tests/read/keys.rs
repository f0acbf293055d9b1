//! Record keys and partition paths are spelled as Spark + Hudi spelled those that are stored.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray as _, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use lakebed::environment::Environment;
use lakebed::storage;
use lakebed::table::Table;
use lakebed_hudi::base_file::{PARTITION_PATH, RECORD_KEY};
use lakebed_hudi::table_config::TableConfig;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::fixtures::{Fixture, catalogue, unpack};

/// What the properties of a table leave to its writers, as the catalogue says the table was written.
fn settings(name: &str) -> &'static [(&'static str, &'static str)] {
    match name {
        "key_custom" => &[
            ("hoodie.keygen.timebased.timestamp.type", "EPOCHMILLISECONDS"),
            ("hoodie.keygen.timebased.output.dateformat", "yyyyMMdd"),
        ],
        _ => &[],
    }
}

#[tokio::test]
async fn keys_and_paths_of_stored_rows_are_those_that_are_stored() {
    let mut wrong = Vec::new();
    let mut compared = Vec::new();
    for fixture in catalogue().iter().filter(|fixture| fixture.refused.is_none()) {
        let folder = unpack(&fixture.name);
        let (config, rows) = stored(fixture, folder.path()).await;
        if rows.iter().any(|batch| batch.num_rows() > 0) {
            compared.push(fixture.name.clone());
        }
        for batch in rows {
            wrong.extend(
                differences(&config, &batch).into_iter().map(|what| format!("{}: {what}", fixture.name)),
            );
        }
    }
    assert!(wrong.is_empty(), "{} differ\n{}", wrong.len(), wrong.join("\n"));
    assert!(compared.len() > 100, "only {} tables: {compared:?}", compared.len());
    for generator in
        ["key_timestamp", "key_timestamp_text", "key_custom", "partition_slash_dates", "key_types"]
    {
        assert!(compared.iter().any(|name| name == generator), "{generator}");
    }
}

/// The rows of all base files that readers may see, as the files have them.
async fn stored(fixture: &Fixture, folder: &Path) -> (TableConfig, Vec<RecordBatch>) {
    let environment = Environment::real();
    let storage = storage::open(&folder.display().to_string().parse().unwrap(), &environment).await.unwrap();
    let table = Table::open(storage, &environment, None).await.unwrap();
    let mut properties = table.config.properties.clone();
    settings(&fixture.name).iter().for_each(|(key, value)| properties.set(*key, *value));
    let groups = table.snapshot(None).await.unwrap().all_file_groups().await.unwrap();
    let slices = groups.into_iter().flat_map(|(_, groups)| groups).flat_map(|group| group.slices);
    let bases = slices.filter_map(|slice| slice.base);
    let rows = bases.flat_map(|base| {
        let file = File::open(folder.join(base.path.as_str())).unwrap();
        ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap().map(Result::unwrap)
    });
    (TableConfig::from_properties(properties).unwrap(), rows.collect())
}

fn made_anew(config: &TableConfig, rows: &RecordBatch) -> Result<Vec<(&'static str, ArrayRef)>, String> {
    let paths = config.partition_path.paths(rows).map_err(|error| error.to_string())?.paths;
    let mut made = vec![(PARTITION_PATH, cast(&paths, &DataType::Utf8).unwrap())];
    if let Some(rule) = &config.record_key {
        let keys = rule.keys(rows).map_err(|error| error.to_string())?;
        made.push((RECORD_KEY, Arc::new(keys.keys) as ArrayRef));
    }
    Ok(made)
}

fn differences(config: &TableConfig, rows: &RecordBatch) -> Vec<String> {
    let made = match made_anew(config, rows) {
        Ok(made) => made,
        Err(error) => return vec![error],
    };
    let mut found = Vec::new();
    for (column, made) in made {
        let stored = cast(rows.column_by_name(column).unwrap(), &DataType::Utf8).unwrap();
        let rows = made.as_string::<i32>().iter().zip(stored.as_string::<i32>());
        let differ = rows.filter(|(made, stored)| made != stored);
        found.extend(differ.map(|(made, stored)| format!("{column}: {made:?} where {stored:?} is stored")));
    }
    found
}
