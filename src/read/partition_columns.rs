//! Partition columns as Spark shows them: from the path, not from the file.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use lakebed_hudi::partition_path::PartitionKind;
use lakebed_hudi::table_config::{TableConfig, key};

/// How the partition columns of a table are shown.
#[derive(Debug, Clone)]
pub(super) struct PartitionColumns {
    source: Source,
    config: TableConfig,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// SIMPLE and COMPLEX key generators: values parsed from the path.
    Path,
    /// TIMESTAMP: values of the file, as text.
    FileText,
    /// CUSTOM, and tables without partitions: values of the file.
    File,
}

impl PartitionColumns {
    pub(super) fn of(config: &TableConfig) -> Self {
        let is_time = |kind: &PartitionKind| !matches!(kind, PartitionKind::Simple);
        let source = if config.partition_path.parts.is_empty() || is_custom(config) {
            Source::File
        } else if config.partition_path.parts.iter().any(|part| is_time(&part.kind)) {
            Source::FileText
        } else {
            Source::Path
        };
        Self { source, config: config.clone() }
    }

    /// The schema that rows of `schema` are shown with.
    pub(super) fn shown(&self, schema: &Schema) -> SchemaRef {
        let shown = |field: &Arc<Field>| {
            let partition = self.config.partition_path.parts.iter().any(|p| p.column == *field.name());
            match self.source {
                Source::FileText if partition => {
                    Arc::new(Field::new(field.name(), DataType::Utf8, field.is_nullable()))
                }
                Source::Path if partition => Arc::new(field.as_ref().clone().with_nullable(true)),
                _ => field.clone(),
            }
        };
        Arc::new(Schema::new(schema.fields().iter().map(shown).collect::<Vec<_>>()))
    }

    /// The values, one each, of the columns that the path of `partition` decides.
    ///
    /// Text that is no value of its column is null: so is every time, whose path is the number of
    /// its microseconds.
    ///
    /// Source: `HoodieSparkUtils.parsePartitionColumnValues`.
    pub(super) fn values(&self, schema: &Schema, partition: &str) -> BTreeMap<String, ArrayRef> {
        let rule = &self.config.partition_path;
        let texts = match self.source {
            Source::Path => rule.values(partition).unwrap_or_default(),
            Source::FileText | Source::File => Vec::new(),
        };
        let mut values = BTreeMap::new();
        for (part, text) in rule.parts.iter().zip(texts) {
            let Ok(field) = schema.field_with_name(&part.column) else { continue };
            // Spark shows the folders of a table whose properties have no such setting as they are.
            let dates = self.config.flag(key::SLASH_DATES, false) && rule.parts.len() == 1;
            let text = text.map(|t| if dates { t.replace('/', "-") } else { t.into_owned() });
            values.insert(part.column.clone(), typed(text.as_deref(), field.data_type()));
        }
        values
    }
}

fn is_custom(config: &TableConfig) -> bool {
    let generator = config.properties.get(key::KEY_GENERATOR_TYPE);
    let generator = generator.or_else(|| config.properties.get(key::KEY_GENERATOR_CLASS));
    match generator.map(|name| name.rsplit('.').next().unwrap_or(name).to_ascii_uppercase()) {
        Some(name) => name.starts_with("CUSTOM"),
        None => config.properties.get(key::PARTITION_FIELDS).is_some_and(|fields| fields.contains(':')),
    }
}

fn typed(text: Option<&str>, data_type: &DataType) -> ArrayRef {
    let text = text.filter(|text| !text.is_empty() && !matches!(data_type, DataType::Timestamp(_, _)));
    let text: ArrayRef = Arc::new(StringArray::from(vec![text]));
    cast(&text, data_type).unwrap_or_else(|_| new_null_array(data_type, 1))
}

#[cfg(test)]
mod tests {
    use arrow::array::Array;
    use arrow::util::display::array_value_to_string;
    use lakebed_hudi::properties::Properties;

    use super::*;

    fn shown(properties: &str, columns: &[(&str, DataType)], path: &str) -> Vec<String> {
        let text = format!(
            "hoodie.table.name=t\nhoodie.table.version=9\nhoodie.table.type=MERGE_ON_READ\n{properties}"
        );
        let config = TableConfig::from_properties(Properties::parse(text.as_bytes()).unwrap()).unwrap();
        let fields: Vec<_> =
            columns.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), true)).collect();
        let values = PartitionColumns::of(&config).values(&Schema::new(fields), path);
        let text = |(name, value): (&String, &ArrayRef)| match value.is_null(0) {
            true => format!("{name}: null"),
            false => format!("{name}: {}", array_value_to_string(value, 0).unwrap()),
        };
        values.iter().map(text).collect()
    }

    #[test]
    fn values_come_from_the_path() {
        let simple = "hoodie.table.partition.fields=p\nhoodie.table.keygenerator.type=SIMPLE\nhoodie.datasource.write.hive_style_partitioning=true";
        let utf8 = [("p", DataType::Utf8)];
        assert_eq!(shown(simple, &utf8, "p=a%2Fb"), ["p: a/b"]);
        assert_eq!(shown(simple, &utf8, "p=__HIVE_DEFAULT_PARTITION__"), ["p: null"]);
        assert_eq!(shown(simple, &[("p", DataType::Date32)], "p=2024-01-02"), ["p: 2024-01-02"]);
        assert_eq!(shown(simple, &[("p", DataType::Int32)], "p=-7"), ["p: -7"]);
        let time = DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, Some("UTC".into()));
        assert_eq!(shown(simple, &[("p", time)], "p=1704164645678901"), ["p: null"]);
        let complex = "hoodie.table.partition.fields=y,m\nhoodie.table.keygenerator.type=COMPLEX";
        assert_eq!(
            shown(complex, &[("y", DataType::Int32), ("m", DataType::Utf8)], "2024/01"),
            ["m: 01", "y: 2024"]
        );
    }

    #[test]
    fn custom_and_timestamp_keys_show_what_the_file_has() {
        let custom = "hoodie.table.partition.fields=p:SIMPLE\nhoodie.table.keygenerator.type=CUSTOM";
        assert_eq!(shown(custom, &[("p", DataType::Utf8)], "a"), [""; 0]);
    }
}
