//! From key generator settings to the rules that make keys and paths.

use super::{TableConfigError, TableVersion, bad_value, key, list};
use crate::partition_path::{
    PartitionKind, PartitionPart, PartitionPathRule, TimestampRule, TimestampRuleError,
};
use crate::properties::Properties;
use crate::record_key::RecordKeyRule;

const SLASH_EXTRACTOR: &str = ".SlashEncodedDayPartitionValueExtractor";
const EXPECTED: &str = "SIMPLE, COMPLEX, TIMESTAMP, CUSTOM or NON_PARTITION";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Generator {
    Simple,
    Complex,
    Timestamp,
    Custom,
    NonPartition,
}

/// The rules of one table.
pub(super) struct Keys {
    pub record_key: Option<RecordKeyRule>,
    pub ambiguous: bool,
    pub partition_path: PartitionPathRule,
}

impl Keys {
    pub(super) fn of(properties: &Properties, version: TableVersion) -> Result<Self, TableConfigError> {
        let key_fields = list(properties, key::RECORD_KEY_FIELDS).unwrap_or_default();
        let partition_fields = list(properties, key::PARTITION_FIELDS).unwrap_or_default();
        let generator = match declared(properties)? {
            Some(generator) => generator,
            None => inferred(&key_fields, &partition_fields),
        };
        let one_complex_field = generator == Generator::Complex && key_fields.len() == 1;
        let record_key = match key_fields.as_slice() {
            [] => None,
            [field] if !one_complex_field => Some(RecordKeyRule::Bare(field.clone())),
            _ => Some(RecordKeyRule::Composite(key_fields)),
        };
        let parts = partition_fields
            .iter()
            .map(|field| part(field, generator, properties))
            .collect::<Result<Vec<_>, TableConfigError>>()?;
        let flag = |key| properties.get(key).is_some_and(|v| v.trim().eq_ignore_ascii_case("true"));
        let partition_path = PartitionPathRule {
            parts: if generator == Generator::NonPartition { Vec::new() } else { parts },
            hive_style: flag(key::HIVE_STYLE),
            url_encode: flag(key::URL_ENCODE),
            slash_separated_dates: slash_separated_dates(properties),
        };
        Ok(Self { record_key, ambiguous: one_complex_field && version < TableVersion::Nine, partition_path })
    }
}

/// Hudi 1.2.0 leaves the setting itself to every writer, and keeps the extractor that it infers from it.
///
/// Seen in a table that Spark with Hudi 1.2.0 wrote (fixture `partition_slash_dates`).
fn slash_separated_dates(properties: &Properties) -> bool {
    match properties.get(key::SLASH_DATES) {
        Some(set) => set.trim().eq_ignore_ascii_case("true"),
        None => properties
            .get(key::PARTITION_EXTRACTOR)
            .is_some_and(|class| class.trim().ends_with(SLASH_EXTRACTOR)),
    }
}

fn declared(properties: &Properties) -> Result<Option<Generator>, TableConfigError> {
    let (key, found) =
        match (properties.get(key::KEY_GENERATOR_TYPE), properties.get(key::KEY_GENERATOR_CLASS)) {
            (Some(found), _) => (key::KEY_GENERATOR_TYPE, found),
            (None, Some(found)) => (key::KEY_GENERATOR_CLASS, found),
            (None, None) => return Ok(None),
        };
    let name = found.rsplit('.').next().unwrap_or(found);
    let generator = match name {
        "SIMPLE" | "SIMPLE_AVRO" | "SimpleKeyGenerator" | "SimpleAvroKeyGenerator" => Generator::Simple,
        "COMPLEX" | "COMPLEX_AVRO" | "ComplexKeyGenerator" | "ComplexAvroKeyGenerator" => Generator::Complex,
        "TIMESTAMP" | "TIMESTAMP_AVRO" | "TimestampBasedKeyGenerator" | "TimestampBasedAvroKeyGenerator" => {
            Generator::Timestamp
        }
        "CUSTOM" | "CUSTOM_AVRO" | "CustomKeyGenerator" | "CustomAvroKeyGenerator" => Generator::Custom,
        "NON_PARTITION"
        | "NON_PARTITION_AVRO"
        | "NonpartitionedKeyGenerator"
        | "NonpartitionedAvroKeyGenerator" => Generator::NonPartition,
        _ => return Err(bad_value(key, found, EXPECTED)),
    };
    Ok(Some(generator))
}

/// Source: `KeyGenUtils.inferKeyGeneratorType`.
fn inferred(key_fields: &[String], partition_fields: &[String]) -> Generator {
    match partition_fields {
        [] => Generator::NonPartition,
        [first, ..] if first.contains(':') => Generator::Custom,
        [_] if key_fields.len() <= 1 => Generator::Simple,
        _ => Generator::Complex,
    }
}

fn part(
    field: &str,
    generator: Generator,
    properties: &Properties,
) -> Result<PartitionPart, TableConfigError> {
    let (column, kind) = field.split_once(':').unwrap_or((field, ""));
    let is_time = match (generator, kind.to_ascii_uppercase().as_str()) {
        (Generator::Timestamp, _) => true,
        (Generator::Custom, "TIMESTAMP") => true,
        (Generator::Custom, "SIMPLE") => false,
        (Generator::Custom, _) => {
            return Err(bad_value(
                key::PARTITION_FIELDS,
                field,
                "columns of the form name:SIMPLE or name:TIMESTAMP",
            ));
        }
        _ => false,
    };
    let kind = if is_time {
        let get = |name: &str| {
            let get = |prefix: &str| properties.get(&format!("{prefix}{name}"));
            get("hoodie.keygen.timebased.").or_else(|| get("hoodie.deltastreamer.keygen.timebased."))
        };
        match TimestampRule::from_settings(get) {
            Ok(rule) => PartitionKind::Timestamp(Box::new(rule)),
            Err(TimestampRuleError::Missing { .. }) => PartitionKind::Undeclared,
            Err(error) => return Err(error.into()),
        }
    } else {
        PartitionKind::Simple
    };
    Ok(PartitionPart { column: column.to_owned(), kind })
}
