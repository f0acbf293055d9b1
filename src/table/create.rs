//! What a new table must be like, checked before anything is written.

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema};
use lakebed_hudi::ordering_value::OrderingClass;
use lakebed_hudi::schema::TableSchema;
use lakebed_hudi::table_config::{NewTable, PartialUpdateMode, TableConfig, TableType, key};
use lakebed_hudi::value_text::ValueTexts;

use super::new_table_error::{BUCKETS_MAX, NewTableError, Role};
use super::reader::{check_reader, is_text};
use crate::near_match::near_match;

/// Checks a new table and returns what its owner should know of it.
///
/// # Errors
/// Whatever would make a table that cannot be written, or that a declared reader misreads.
pub fn check_new(new: &NewTable) -> Result<Vec<String>, NewTableError> {
    check_name(&new.name)?;
    let schema = TableSchema::from_avro(&new.create_schema)?;
    let schema = schema.arrow();
    if schema.fields().is_empty() {
        return Err(NewTableError::NoColumns);
    }
    let reserved = |name: &&String| name.starts_with("_hoodie_") && *name != "_hoodie_is_deleted";
    if let Some(column) = schema.fields().iter().map(|field| field.name()).find(reserved) {
        return Err(NewTableError::Reserved { column: column.clone() });
    }
    check_columns(schema, Role::Key, &new.record_key_fields)?;
    check_columns(schema, Role::Partition, &new.partition_fields)?;
    check_columns(schema, Role::Ordering, &new.ordering_fields)?;
    check_index(schema, new)?;
    if new.record_key_fields.is_empty() {
        if !new.ordering_fields.is_empty() {
            return Err(NewTableError::Needs { what: "an ordering column", needs: "a record key" });
        }
        if new.partial_update.is_some() {
            return Err(NewTableError::Needs { what: "partial update", needs: "a record key" });
        }
    }
    let mut notes = notes(schema, new);
    for reader in &new.readers {
        check_reader(reader.parse()?, schema, new.into(), &mut notes)?;
    }
    Ok(notes)
}

fn check_name(name: &str) -> Result<(), NewTableError> {
    let why = if name.is_empty() {
        "it is empty"
    } else if name.len() > 200 {
        "it is longer than 200 bytes"
    } else if name.trim() != name || name.chars().any(|c| c.is_control() || matches!(c, '/' | '\\' | '`')) {
        "it has outer blanks, control characters, slashes or backquotes"
    } else {
        return Ok(());
    };
    Err(NewTableError::Name { name: name.chars().take(200).collect(), why })
}

fn check_columns(schema: &Schema, role: Role, columns: &[String]) -> Result<(), NewTableError> {
    for (i, column) in columns.iter().enumerate() {
        if columns.iter().take(i).any(|earlier| earlier == column) {
            return Err(NewTableError::Repeated { role, column: column.clone() });
        }
        let Ok(field) = schema.field_with_name(column) else {
            let known: Vec<String> = schema.fields().iter().map(|f| f.name().clone()).collect();
            let near = near_match(column, known.iter().map(String::as_str)).map(str::to_owned);
            return Err(NewTableError::UnknownColumn { role, column: column.clone(), near, known });
        };
        if let Some(why) = unfit(schema, role, column, field.data_type()) {
            let data_type = field.data_type().clone();
            return Err(NewTableError::Type { role, column: column.clone(), data_type, why });
        }
    }
    Ok(())
}

/// Why a column of that type cannot have that role.
fn unfit(schema: &Schema, role: Role, column: &str, data_type: &DataType) -> Option<&'static str> {
    let has_text = || ValueTexts::of_column(&RecordBatch::new_empty(schema.clone().into()), column).is_ok();
    match role {
        Role::Ordering => OrderingClass::of(data_type)
            .is_err()
            .then_some("it cannot order rows; use a boolean, number, string, date or timestamp"),
        Role::Partition if matches!(data_type, DataType::Timestamp(_, _)) => Some(
            "Spark reads a timestamp in a partition path as null; partition by a date or text made from it",
        ),
        Role::Partition if data_type.is_floating() => {
            Some("values that look alike make partitions of their own; partition by a whole number or text")
        }
        _ if !has_text() => Some("it has no text; use a boolean, number, string, date or timestamp"),
        _ => None,
    }
}

fn check_index(schema: &Schema, new: &NewTable) -> Result<(), NewTableError> {
    let Some(index) = &new.bucket_index else { return Ok(()) };
    if new.record_key_fields.is_empty() {
        return Err(NewTableError::Needs { what: "a bucket index", needs: "a record key" });
    }
    if !(1..=BUCKETS_MAX).contains(&index.buckets) {
        return Err(NewTableError::Buckets { buckets: index.buckets });
    }
    if index.hash_fields.is_empty() {
        return Err(NewTableError::Needs { what: "a bucket index", needs: "a column to hash" });
    }
    check_columns(schema, Role::Hash, &index.hash_fields)?;
    match index.hash_fields.iter().find(|field| !new.record_key_fields.contains(field)) {
        None => Ok(()),
        Some(column) => {
            let keys = new.record_key_fields.join(", ");
            Err(NewTableError::HashOutsideKey { column: column.clone(), keys })
        }
    }
}

/// What the owner of a table should know of it.
fn notes(schema: &Schema, new: &NewTable) -> Vec<String> {
    let mut notes = Vec::new();
    if !new.record_key_fields.is_empty() && new.bucket_index.is_none() {
        notes.push("without buckets Lakebed only adds rows: it cannot update or delete them".to_owned());
    }
    let ordered_by = |is_wanted: fn(&DataType) -> bool| {
        let is_wanted = |c: &&String| schema.field_with_name(c).is_ok_and(|f| is_wanted(f.data_type()));
        new.ordering_fields.iter().find(is_wanted)
    };
    let date = ordered_by(|data_type| *data_type == DataType::Date32);
    let decimal = ordered_by(DataType::is_decimal);
    match (new.table_type, date, decimal) {
        (TableType::CopyOnWrite, Some(column), _) | (TableType::CopyOnWrite, None, Some(column)) => {
            notes.push(format!(
                "ordering column {column:?} is a date or decimal: Spark 3.5 with Hudi 1.2.0 reads the \
                 table, but fails on upserting into it"
            ));
        }
        (TableType::MergeOnRead, Some(column), _) => notes.push(format!(
            "ordering column {column:?} is a date: deletes that carry a date can be written by Lakebed, \
             but Spark 3.5 with Hudi 1.2.0 fails on writing them"
        )),
        _ => {}
    }
    if new.ordering_fields.len() > 1 {
        notes.push("with several ordering columns Spark's SQL DELETE does not work".to_owned());
    }
    if !new.url_encode && new.partition_fields.iter().any(|column| is_text(schema, column)) {
        notes.push("partition paths are not escaped: a '/' in a value makes a deeper folder".to_owned());
    }
    let required = |column: &&str| schema.field_with_name(column).is_ok_and(|field| !field.is_nullable());
    if new.partial_update == Some(PartialUpdateMode::IgnoreDefaults) {
        let fixed = |name: &&str| {
            let named = |list: &[String]| list.iter().any(|column| column == name);
            !named(&new.record_key_fields) && !named(&new.partition_fields) && !named(&new.ordering_fields)
        };
        let names = schema.fields().iter().map(|field| field.name().as_str());
        let never: Vec<&str> = names.filter(required).filter(fixed).collect();
        if !never.is_empty() {
            let never = never.join(", ");
            notes.push(format!("columns that are not nullable always take the newer value: {never}"));
        }
    }
    notes
}

/// What an existing table has otherwise than `new` asks for, for people.
pub fn differences(existing: &TableConfig, new: &NewTable) -> Vec<String> {
    /// What whoever makes a table calls it, and Hudi.
    const COMPARED: [(&str, &str); 12] = [
        ("type", key::TYPE),
        ("key", key::RECORD_KEY_FIELDS),
        ("partition", key::PARTITION_FIELDS),
        ("ordering", key::ORDERING_FIELDS),
        ("merge_mode", key::MERGE_MODE),
        ("partial_update", key::PARTIAL_UPDATE_MODE),
        ("hive_style", key::HIVE_STYLE),
        ("url_encode", key::URL_ENCODE),
        ("index", key::INDEX_TYPE),
        ("buckets", key::BUCKETS),
        ("hash_field", key::BUCKET_HASH_FIELD),
        ("readers", key::READERS),
    ];
    let asked = new.to_properties();
    let differs = |(_, key): &(&str, &str)| existing.properties.get(key) != asked.get(key);
    let tell = |value: Option<&str>| value.map_or_else(|| "nothing".to_owned(), |value| format!("{value:?}"));
    let told = |(name, key): (&str, &str)| {
        let (is, asked) = (tell(existing.properties.get(key)), tell(asked.get(key)));
        format!("{name} ({key}) is {is}, asked for {asked}")
    };
    COMPARED.into_iter().filter(differs).map(told).collect()
}
