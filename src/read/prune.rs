//! Row groups and pages of a base file that cannot hold a row that passes the filters.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::{Field, Schema};
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};

use super::ReadError;
use super::filter::{BoundFilter, Ranges};
use super::parquet_rows::{ParquetFile, RowGroup};
use crate::table::conform;

/// The row groups of `file`, and of those the pages, that may hold rows that pass all `filters`.
///
/// Statistics that are missing, old (of before Parquet had column orders) or of another type
/// than the column leave nothing out.
pub(super) fn row_groups(file: &ParquetFile, filters: &[BoundFilter]) -> Result<Vec<RowGroup>, ReadError> {
    let mut groups = file.row_groups();
    for filter in filters {
        let metadata = file.metadata.metadata();
        let schema = (file.metadata.schema(), file.metadata.parquet_schema());
        let Ok(converter) = StatisticsConverter::try_new(&filter.column, schema.0, schema.1) else {
            continue;
        };
        let Some(leaf) = converter.parquet_column_index() else { continue };
        let mut kept = Vec::with_capacity(groups.len());
        for group in groups {
            let outline = metadata.row_group(group.index);
            let dated = outline.column(leaf).statistics().is_none_or(|s| s.is_min_max_deprecated());
            let ranges = || {
                Ok(Ranges {
                    min: converter.row_group_mins([outline])?,
                    max: converter.row_group_maxes([outline])?,
                    nulls: converter.row_group_null_counts([outline])?,
                    rows: vec![outline.num_rows().unsigned_abs()],
                })
            };
            let may = if dated { None } else { may_pass(filter, &file.source.guarded(ranges)?) };
            if may.is_some_and(|may| may == [false]) {
                continue;
            }
            let pages = pages(file, filter, &converter, group.index)?;
            let rows = match (group.rows, pages) {
                (Some(a), Some(b)) => Some(a.intersection(&b)),
                (a, b) => a.or(b),
            };
            if rows.as_ref().is_none_or(RowSelection::selects_any) {
                kept.push(RowGroup { index: group.index, rows });
            }
        }
        groups = kept;
    }
    Ok(groups)
}

/// The rows of the pages that may hold a match; `None` where nothing is known of pages.
fn pages(
    file: &ParquetFile,
    filter: &BoundFilter,
    converter: &StatisticsConverter<'_>,
    group: usize,
) -> Result<Option<RowSelection>, ReadError> {
    let metadata = file.metadata.metadata();
    let outline = metadata.row_group(group);
    let (Some(columns), Some(offsets)) = (metadata.column_index(), metadata.offset_index()) else {
        return Ok(None);
    };
    let complete = offsets.get(group).is_some_and(|o| o.len() == outline.num_columns())
        && columns.get(group).is_some_and(|c| c.len() == outline.num_columns());
    if !complete {
        return Ok(None);
    }
    let ranges = file.source.guarded(|| {
        let groups = [group];
        let Some(rows) = converter.data_page_row_counts(offsets, metadata.row_groups(), groups.iter())?
        else {
            return Ok(None);
        };
        Ok(Some(Ranges {
            min: converter.data_page_mins(columns, offsets, groups.iter())?,
            max: converter.data_page_maxes(columns, offsets, groups.iter())?,
            nulls: converter.data_page_null_counts(columns, offsets, groups.iter())?,
            rows: rows.iter().map(Option::unwrap_or_default).collect(),
        }))
    })?;
    let Some(ranges) = ranges else { return Ok(None) };
    let adds_up = ranges.rows.iter().sum::<u64>() == outline.num_rows().unsigned_abs();
    let fits = [ranges.min.len(), ranges.max.len(), ranges.nulls.len()] == [ranges.rows.len(); 3];
    let Some(may) = may_pass(filter, &ranges).filter(|may| adds_up && fits && may.contains(&false)) else {
        return Ok(None);
    };
    let selectors = may.iter().zip(&ranges.rows).map(|(may, rows)| {
        let rows = *rows as usize;
        if *may { RowSelector::select(rows) } else { RowSelector::skip(rows) }
    });
    Ok(Some(selectors.collect()))
}

/// Which runs may pass; `None` if their bounds are of a type that cannot be compared.
fn may_pass(filter: &BoundFilter, ranges: &Ranges) -> Option<Vec<bool>> {
    let typed = |bounds: &ArrayRef| {
        let field = |data_type| Schema::new(vec![Field::new(&filter.column, data_type, true)]);
        let batch =
            RecordBatch::try_new(Arc::new(field(bounds.data_type().clone())), vec![bounds.clone()]).ok()?;
        let batch = conform(&batch, &Arc::new(field(filter.data_type.clone()))).ok()?;
        Some(batch.column(0).clone())
    };
    let ranges = Ranges {
        min: typed(&ranges.min)?,
        max: typed(&ranges.max)?,
        nulls: ranges.nulls.clone(),
        rows: ranges.rows.clone(),
    };
    filter.may_pass(&ranges).ok()
}
