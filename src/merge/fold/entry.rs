//! What the logs say of one key, and the rows that fill its row.

use crate::merge::ordering::EntryOrdering;

/// No batch, row or link.
pub(super) const NONE: u32 = u32::MAX;

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) ordering: EntryOrdering,
    pub(super) deleted: bool,
    pub(super) row: RowRef,
    /// First and last link of the rows that fill this one, in order of precedence.
    pub(super) fill: Option<(u32, u32)>,
}

/// Where a row lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::merge) struct RowRef {
    pub(in crate::merge) batch: u32,
    pub(in crate::merge) row: u32,
}

#[derive(Debug)]
pub(super) struct Link {
    pub(super) row: RowRef,
    pub(super) next: u32,
}

impl Entry {
    /// `incoming` takes this entry's place and is filled from it.
    pub(super) fn put_before(&mut self, incoming: Self, links: &mut Vec<Link>) {
        let link = links.len() as u32;
        let (next, last) = self.fill.map_or((NONE, link), |(first, last)| (first, last));
        links.push(Link { row: self.row, next });
        *self = Self { fill: Some((link, last)), ..incoming };
    }

    /// `row` fills what this entry and the rows behind it leave open.
    pub(super) fn put_behind(&mut self, row: RowRef, links: &mut Vec<Link>) {
        let link = links.len() as u32;
        links.push(Link { row, next: NONE });
        if let Some((_, last)) = self.fill
            && let Some(last) = links.get_mut(last as usize)
        {
            last.next = link;
        }
        self.fill = Some((self.fill.map_or(link, |(first, _)| first), link));
    }

    /// Its row, then those that fill it.
    pub(super) fn rows<'a>(&self, links: &'a [Link]) -> impl Iterator<Item = RowRef> + use<'a> {
        let mut next = self.fill.map_or(NONE, |(first, _)| first);
        let filling = std::iter::from_fn(move || {
            let link = links.get(next as usize)?;
            next = link.next;
            Some(link.row)
        });
        std::iter::once(self.row).chain(filling)
    }
}
