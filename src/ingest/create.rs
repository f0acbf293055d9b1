//! A table that is made if it is not there, and must be the one that was asked for if it is.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lakebed_hudi::file_name::PARTITION_METADATA;
use lakebed_hudi::schema::{TableSchema, sql_type};
use lakebed_hudi::table_config::{NewTable, TableConfig};

use super::IngestError;
use super::columns::{check_sample, mapped_columns, stated_columns};
use super::job::{CreateSettings, Job};
use super::mapping::Mapping;
use super::source::first_file;
use crate::environment::Environment;
use crate::settings::SettingsError;
use crate::storage::{Entry, Scheme, Storage, TablePath, TableUri};
use crate::table::properties::PropertiesFileError;
use crate::table::{
    NewTableError, Role, Table, TableError, TableSnapshot, check_new, check_place, differences, properties,
};
use crate::write::KeyRules;

/// Makes the table `new` in `storage`, or checks that the one there is the same; says whether it
/// was there. `columns` are those that were stated: a table may have more.
///
/// # Errors
/// [`NewTableError::Different`] names each difference. Nothing is changed then.
pub async fn create_or_check(
    storage: &Arc<dyn Storage>,
    environment: &Environment,
    new: &NewTable,
    columns: Option<&TableSchema>,
) -> Result<bool, TableError> {
    match Table::create(storage.clone(), environment, new).await {
        Ok(_) => Ok(false),
        Err(TableError::Exists { .. }) => {
            check_same(storage, environment, new, columns).await?;
            Ok(true)
        }
        Err(error) => Err(error),
    }
}

async fn check_same(
    storage: &Arc<dyn Storage>,
    environment: &Environment,
    new: &NewTable,
    columns: Option<&TableSchema>,
) -> Result<(), TableError> {
    let mut differences = differences(&properties::load(storage.as_ref()).await?, new);
    if differences.is_empty() && columns.is_none() {
        return Ok(());
    }
    let snapshot = Table::open(storage.clone(), environment, None).await?.snapshot(None).await?;
    if let Some(columns) = columns {
        differences.extend(column_differences(&snapshot.schema().await?, columns));
    }
    if differences.is_empty() {
        return Ok(());
    }
    let empty = is_empty(&snapshot).await?;
    Err(NewTableError::Different { uri: storage.uri().to_string(), differences, empty }.into())
}

/// Whether nothing is lost with the table: no write of it is there, and no file of data.
async fn is_empty(snapshot: &TableSnapshot) -> Result<bool, TableError> {
    if snapshot.timeline.instants().any(|instant| instant.action.writes_data()) {
        return Ok(false);
    }
    let is_data = |file: &Entry| !file.path.file_name().starts_with(PARTITION_METADATA);
    Ok(!snapshot.partitions().await?.iter().flat_map(|(_, files)| files).any(is_data))
}

fn column_differences(existing: &TableSchema, asked: &TableSchema) -> Vec<String> {
    let told = |column: &str, asked: &_| match existing.arrow().field_with_name(column) {
        Err(_) => Some(format!("it has no column {column:?}, asked for {}", sql_type(asked))),
        Ok(field) if field.data_type() != asked => {
            let (is, asked) = (sql_type(field.data_type()), sql_type(asked));
            Some(format!("column {column:?} is {is}, asked for {asked}"))
        }
        Ok(_) => None,
    };
    asked.arrow().fields().iter().filter_map(|field| told(field.name(), field.data_type())).collect()
}

/// What a job finds where its table is to be.
#[derive(Debug)]
pub(super) enum Found {
    /// The table, the same as the job asks for.
    Table,
    /// Nothing, and the job says what to make.
    Nothing(Box<NewTable>, TableSchema),
}

/// Looks where the job's table is to be, and compares it with what the job says. Changes nothing.
pub(super) async fn find_table_of(
    job: &Job,
    storage: &Arc<dyn Storage>,
    environment: &Environment,
) -> Result<Found, IngestError> {
    let exists = properties::exist(storage.as_ref(), &TablePath::root()).await.map_err(TableError::from)?;
    let Some(settings) = &job.table.create else {
        let uri = storage.uri();
        let advice = "make it with `lakebed table create`, or say in table.create what it is to be";
        let missing = || SettingsError::new("table.uri", format!("{uri} is no Hudi table: {advice}"));
        return if exists { Ok(Found::Table) } else { Err(missing().into()) };
    };
    let columns = stated(job, settings)?;
    if exists {
        let new = settings.new_table(&job.table.uri.parse()?, columns.as_ref());
        check_same(storage, environment, &new, columns.as_ref()).await?;
        return Ok(Found::Table);
    }
    // What is wrong with the inputs is told before anything is made.
    let first = first_file(&job.source)?;
    let (new, schema) = table_of(job, settings, columns, first.as_deref())?;
    check_new(&new).map_err(at_its_setting)?;
    let config = TableConfig::from_properties(new.to_properties())
        .map_err(|error| TableError::from(PropertiesFileError::Config(error)))?;
    let mapping = Mapping::new(job, schema.arrow(), &KeyRules::of(&config))?;
    if let (None, Some(sample)) = (&settings.schema, &first) {
        check_sample(sample, &job.format(), mapping.taken_as_is())?;
    }
    check_folder(storage.uri())?;
    check_place(storage.as_ref()).await?;
    Ok(Found::Nothing(Box::new(new), schema))
}

/// What is wrong with the table that the job is to make, with the setting that says so.
fn at_its_setting(error: NewTableError) -> IngestError {
    let setting = match &error {
        NewTableError::Name { .. } => "name",
        NewTableError::Schema(_) | NewTableError::NoColumns | NewTableError::Reserved { .. } => "schema",
        NewTableError::UnknownColumn { role, .. } | NewTableError::Repeated { role, .. } => match role {
            Role::Key => "key",
            Role::Partition => "partition",
            Role::Ordering => "ordering",
            Role::Hash => "hash_field",
        },
        NewTableError::Needs { .. } => "key",
        NewTableError::Buckets { .. } => "buckets",
        NewTableError::HashOutsideKey { .. } => "hash_field",
        NewTableError::UnknownReader { .. } => "readers",
        // They are refused, and no mistake in a setting.
        NewTableError::Type { .. } | NewTableError::Misread { .. } | NewTableError::Different { .. } => {
            return TableError::from(error).into();
        }
    };
    SettingsError::new(&format!("table.create.{setting}"), error.to_string()).into()
}

/// Refuses a place where no folder can be made, as a file or a link to nothing is there or above.
fn check_folder(uri: &TableUri) -> Result<(), SettingsError> {
    if uri.scheme() != Scheme::File {
        return Ok(());
    }
    let mut places = Path::new(uri.path()).ancestors();
    let is_folder = |place: &&Path| match place.metadata() {
        Ok(found) => found.is_dir(),
        // A link to nothing; what else there is, making it tells.
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    };
    match places.find(|place| place.symlink_metadata().is_ok()).filter(|place| !is_folder(place)) {
        Some(place) => {
            let problem = format!("{uri} cannot be made: {} is no folder", place.display());
            Err(SettingsError::new("table.uri", problem))
        }
        None => Ok(()),
    }
}

/// Makes the job's table if it is not there and the job says so; returns its columns then. One that
/// is there must be the same.
pub(super) async fn create_table_of(
    job: &Job,
    storage: &Arc<dyn Storage>,
    environment: &Environment,
) -> Result<Option<TableSchema>, IngestError> {
    let Found::Nothing(new, schema) = find_table_of(job, storage, environment).await? else {
        return Ok(None);
    };
    let existed = create_or_check(storage, environment, &new, Some(&schema)).await?;
    Ok((!existed).then_some(schema))
}

/// The columns that the job states.
fn stated(job: &Job, settings: &CreateSettings) -> Result<Option<TableSchema>, IngestError> {
    let name = settings.table_name(&job.table.uri.parse()?);
    Ok(settings.schema.as_ref().map(|file| stated_columns(&PathBuf::from(file), &name)).transpose()?)
}

/// The table that the job would make.
fn table_of(
    job: &Job,
    settings: &CreateSettings,
    stated: Option<TableSchema>,
    first: Option<&Path>,
) -> Result<(NewTable, TableSchema), IngestError> {
    let uri = job.table.uri.parse()?;
    let schema = match stated {
        Some(schema) => schema,
        None => {
            let file = first.ok_or_else(|| {
                SettingsError::new(
                    "table.create.schema",
                    "it is needed: there is no file yet to tell columns by",
                )
            })?;
            mapped_columns(job, file, &settings.table_name(&uri), &settings.key)?
        }
    };
    Ok((settings.new_table(&uri, Some(&schema)), schema))
}
