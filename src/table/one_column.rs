//! Tables of one column in memory, for tests.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use lakebed_hudi::schema::TableSchema;
use lakebed_hudi::table_config::{NewTable, TableType};

use super::Table;
use crate::environment::Environment;
use crate::storage::object::ObjectStorage;

/// Its one column is the text `id`.
pub(crate) fn of_one_column(table_type: TableType) -> NewTable {
    let schema = Schema::new(vec![Field::new("id", DataType::Utf8, true)]);
    let created = TableSchema::from_arrow(&schema, "t").unwrap().to_avro();
    NewTable::without_keys("t", table_type, created)
}

impl Table {
    /// A table in memory.
    pub(crate) async fn in_memory(new: &NewTable) -> Self {
        let environment = Environment::real();
        let storage = ObjectStorage::in_memory(&"s3://memory/t".parse().unwrap(), &environment);
        Self::create(Arc::new(storage), &environment, new).await.unwrap()
    }
}
