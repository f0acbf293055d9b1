//! The bytes of a base file that takes the place of another one, with the rows that came over those of the
//! other.

use super::WriteError;
use super::base_file::{BaseFileEncoder, BaseFileSummary};
use super::meta_columns::Place;
use super::row_format::RowFormat;
use super::splice::{Source, splice};
use super::staging::{Pieces, send};
use crate::merge::{FoldedLogs, MergeCounts, MergeResources, MergedRows, SliceSource};
use crate::read::SliceReader;

/// Encodes the rows of `rows` and sends what is ready to the file. What they leave of the file in `base` as it
/// is, is copied where that can be done, and so many columns of the rest are made at the same time.
pub(super) fn encode(
    rows: &dyn SliceSource,
    base: Option<&SliceReader>,
    format: &RowFormat,
    merge: &MergeResources,
    place: &Place,
    (pieces, columns_at_once): (&Pieces, usize),
) -> Result<(BaseFileSummary, MergeCounts), WriteError> {
    let (columns, rules) = (&format.rewritten, &format.rules);
    let source = base.map_or(Ok(None), |base| Source::of(base, format))?;
    let merged = match source {
        None => MergedRows::new(rows, columns.clone(), rules.clone(), merge)?,
        Some(source) => match FoldedLogs::fold(rows, columns, rules, merge)? {
            Some(logs) => return splice(source, logs, format, place, (pieces, columns_at_once)),
            None => MergedRows::in_parts(rows, columns, rules, merge)?,
        },
    };
    anew(merged, format, place, pieces)
}

fn anew(
    mut merged: MergedRows<'_>,
    format: &RowFormat,
    place: &Place,
    pieces: &Pieces,
) -> Result<(BaseFileSummary, MergeCounts), WriteError> {
    let mut encoder = BaseFileEncoder::new(format.base.clone(), place.generated_of_kept());
    while let Some(batch) = merged.next().transpose()? {
        send(pieces, encoder.write(&batch)?)?;
    }
    let (rest, summary) = encoder.finish()?;
    send(pieces, rest)?;
    Ok((summary, merged.counts()))
}
