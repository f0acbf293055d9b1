//! Reading what the system holds in memory, without waiting for the disk.
//!
//! To hand a small read to another thread takes longer than the read, wherever the page cache has the
//! bytes; and where all cores are at work, the other thread waits for its turn. So the thread that asks
//! tries it first: the path is looked up in the directory cache alone (`RESOLVE_CACHED`) and the bytes
//! are taken from the page cache alone (`RWF_NOWAIT`). `None` says that something would have had to
//! wait, or is not as it should be: [`read`](super::read) is to find out which.

use std::fs::File;
use std::io::IoSliceMut;
use std::ops::Range;

use bytes::Bytes;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::{Errno, ReadWriteFlags, preadv2};

use super::super::{Entry, Object};
use super::place::Place;
use super::read::entry_of;

/// More bytes than this are worth another thread: to copy them takes a tenth of a millisecond or more.
const BYTES_MAX: u64 = 1 << 20;

pub(super) fn get(place: &Place, max_bytes: u64) -> Option<Object> {
    let (file, entry) = open(place)?;
    if entry.size > max_bytes.min(BYTES_MAX) {
        return None;
    }
    let bytes = read(&file, &(0..entry.size))?;
    Some(Object { entry, version: None, bytes })
}

pub(super) fn get_ranges(place: &Place, ranges: &[Range<u64>]) -> Option<Vec<Bytes>> {
    let mut lengths = ranges.iter().map(|range| range.end.checked_sub(range.start));
    let bytes = lengths.try_fold(0_u64, |sum, length| sum.checked_add(length?))?;
    if bytes > BYTES_MAX {
        return None;
    }
    let (file, entry) = open(place)?;
    if ranges.iter().any(|range| range.end > entry.size) {
        return None;
    }
    ranges.iter().map(|range| read(&file, range)).collect()
}

/// Opens a regular file without following a link below the table's folder.
fn open(place: &Place) -> Option<(File, Entry)> {
    let folder = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = openat2(CWD, place.root(), folder, Mode::empty(), ResolveFlags::CACHED).ok()?;
    // Not to wait for the other end of a pipe.
    let for_reading = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let within = ResolveFlags::CACHED | ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let file = openat2(root, place.path().as_str(), for_reading, Mode::empty(), within).ok()?;
    let file = File::from(file);
    let metadata = file.metadata().ok()?;
    metadata.is_file().then(|| (file, entry_of(place.path().clone(), &metadata)))
}

fn read(file: &File, range: &Range<u64>) -> Option<Bytes> {
    let mut bytes = vec![0; usize::try_from(range.end - range.start).ok()?];
    let mut rest = bytes.as_mut_slice();
    let mut at = range.start;
    while !rest.is_empty() {
        match preadv2(file, &mut [IoSliceMut::new(rest)], at, ReadWriteFlags::NOWAIT) {
            Ok(0) => return None,
            Ok(count) => {
                rest = rest.get_mut(count..)?;
                at += count as u64;
            }
            Err(Errno::INTR) => {}
            Err(_) => return None,
        }
    }
    Some(bytes.into())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;
    use std::sync::Arc;

    use super::super::super::{Operation, TablePath};
    use super::super::read;
    use super::*;

    /// Places below a folder with two files, of 3 bytes and of one more than is read here.
    fn places() -> (tempfile::TempDir, impl Fn(&'static str) -> Place) {
        let folder = tempfile::tempdir().unwrap();
        let root = Arc::new(folder.path().join("table"));
        fs::create_dir_all(root.join("p")).unwrap();
        fs::write(root.join("p/small"), "abc").unwrap();
        fs::write(root.join("p/large"), vec![7; BYTES_MAX as usize + 1]).unwrap();
        (folder, move |path| Place::new(Operation::Get, root.clone(), TablePath::literal(path)))
    }

    #[test]
    fn what_was_just_written_is_read_as_from_the_disk() {
        let (_folder, place) = places();
        let (small, large) = (place("p/small"), place("p/large"));
        let file = File::open(small.file().unwrap()).unwrap();
        let byte = preadv2(file, &mut [IoSliceMut::new(&mut [0])], 0, ReadWriteFlags::NOWAIT);
        if byte == Err(Errno::OPNOTSUPP) {
            // As on tmpfs: nothing can be read here.
            assert!(get(&small, 3).is_none());
            return;
        }
        let here = get(&small, 3).unwrap();
        let there = read::get(&small, 3).unwrap();
        assert_eq!((here.bytes, here.entry), (there.bytes, there.entry));
        for (place, ranges) in [
            (&small, &[0..3, 1..2, 3..3, 2..3][..]),
            (&large, &[BYTES_MAX..BYTES_MAX + 1, 5..9]),
            (&small, &[]),
        ] {
            assert_eq!(get_ranges(place, ranges).unwrap(), read::get_ranges(place, ranges).unwrap());
        }
    }

    #[test]
    fn what_is_not_as_it_should_be_is_left_to_those_who_can_name_it() {
        let (folder, place) = places();
        let table = folder.path().join("table");
        fs::write(folder.path().join("outside"), "secret").unwrap();
        symlink("../../outside", table.join("p/out")).unwrap();
        symlink("small", table.join("p/link")).unwrap();
        symlink("p", table.join("q")).unwrap();
        let _socket = UnixListener::bind(table.join("p/socket")).unwrap();
        for path in ["p/none", "p", "p/out", "p/link", "q/small", "p/socket", "p/small/below"] {
            assert!(get(&place(path), 100).is_none(), "{path}");
            assert!(get_ranges(&place(path), std::slice::from_ref(&(0..1))).is_none(), "{path}");
        }
        let (small, large) = (place("p/small"), place("p/large"));
        assert!(get(&small, 2).is_none() && get(&large, u64::MAX).is_none());
        let backwards = Range { start: 2, end: 1 };
        for wrong in
            [&[0..1, 3..4][..], &[0..1, backwards], &[0..1, 0..u64::MAX], &[1..u64::MAX, 0..u64::MAX]]
        {
            assert!(get_ranges(&small, wrong).is_none(), "{wrong:?}");
        }
        assert!(get_ranges(&large, &[0..BYTES_MAX, 0..1]).is_none());
    }
}
