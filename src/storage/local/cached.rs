//! Reading what the system holds in memory, without waiting for the disk.
//!
//! To hand a small read to another thread takes longer than the read, wherever the page cache has the
//! bytes; and where all cores are at work, the other thread waits for its turn. So the thread that asks
//! tries it first: the path is looked up in the directory cache alone (`RESOLVE_CACHED`) and the bytes
//! are taken from the page cache alone (`RWF_NOWAIT`). For everything else [`read`](super::read) is there.
//!
//! File systems that cannot read so, those of other machines among them, are asked once.

use std::fs::File;
use std::io::IoSliceMut;
use std::ops::Range;

use bytes::Bytes;
use rustix::fd::OwnedFd;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::{Errno, ReadWriteFlags, preadv2};

use super::super::{Entry, Object};
use super::place::Place;
use super::read::entry_of;

/// More bytes than this are worth another thread: to copy them takes a tenth of a millisecond or more.
const BYTES_MAX: u64 = 1 << 20;

/// Why nothing was read here. None says that a file is missing or damaged: that is for others to find out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Elsewhere {
    /// Something would have to wait, or is not as it should be.
    ThisTime,
    /// Neither this system nor this file system reads so.
    Always,
}

impl From<Errno> for Elsewhere {
    fn from(error: Errno) -> Self {
        match error {
            Errno::OPNOTSUPP | Errno::NOSYS | Errno::PERM | Errno::INVAL => Self::Always,
            _ => Self::ThisTime,
        }
    }
}

type Result<T> = std::result::Result<T, Elsewhere>;

pub(super) fn get(place: &Place, max_bytes: u64) -> Result<Object> {
    let (file, entry) = open(place)?;
    if entry.size > max_bytes.min(BYTES_MAX) {
        return Err(Elsewhere::ThisTime);
    }
    let bytes = read(&file, &(0..entry.size))?;
    Ok(Object { entry, version: None, bytes })
}

pub(super) fn get_ranges(place: &Place, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
    let mut lengths = ranges.iter().map(|range| range.end.checked_sub(range.start));
    let bytes = lengths.try_fold(0_u64, |sum, length| sum.checked_add(length?));
    if bytes.is_none_or(|bytes| bytes > BYTES_MAX) {
        return Err(Elsewhere::ThisTime);
    }
    let (file, entry) = open(place)?;
    if ranges.iter().any(|range| range.end > entry.size) {
        return Err(Elsewhere::ThisTime);
    }
    ranges.iter().map(|range| read(&file, range)).collect()
}

/// Opens a regular file without following a link below the table's folder.
fn open(place: &Place) -> Result<(File, Entry)> {
    let at = |folder: &OwnedFd, flags| {
        let within = ResolveFlags::CACHED | ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        openat2(folder, place.path().as_str(), flags | OFlags::CLOEXEC, Mode::empty(), within)
    };
    let folder = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = openat2(CWD, place.root(), folder, Mode::empty(), ResolveFlags::CACHED)?;
    // Pipes and devices notice when somebody opens them.
    let found = File::from(at(&root, OFlags::PATH)?);
    if !found.metadata().is_ok_and(|metadata| metadata.is_file()) {
        return Err(Elsewhere::ThisTime);
    }
    let file = File::from(at(&root, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?);
    let metadata = file.metadata().ok().filter(std::fs::Metadata::is_file).ok_or(Elsewhere::ThisTime)?;
    Ok((file, entry_of(place.path().clone(), &metadata)))
}

fn read(file: &File, range: &Range<u64>) -> Result<Bytes> {
    let length = usize::try_from(range.end - range.start).map_err(|_| Elsewhere::ThisTime)?;
    let mut bytes = vec![0; length];
    let mut rest = bytes.as_mut_slice();
    let mut at = range.start;
    while !rest.is_empty() {
        match preadv2(file, &mut [IoSliceMut::new(rest)], at, ReadWriteFlags::NOWAIT) {
            Ok(0) => return Err(Elsewhere::ThisTime),
            Ok(count) => {
                rest = rest.get_mut(count..).unwrap_or_default();
                at += count as u64;
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;
    use std::process::Command;
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

    /// What is in memory may leave it at any time; it does not stay away.
    fn once_in_memory<T>(try_it: impl Fn() -> Result<T>) -> T {
        let tried = (0..100).map(|_| try_it()).find(|tried| !matches!(tried, Err(Elsewhere::ThisTime)));
        match tried {
            Some(Ok(found)) => found,
            Some(Err(elsewhere)) => panic!("{elsewhere:?}, though the file system can do it"),
            None => panic!("it was never in memory"),
        }
    }

    #[test]
    fn what_was_just_written_is_read_as_from_the_disk() {
        let (_folder, place) = places();
        let (small, large) = (place("p/small"), place("p/large"));
        let file = File::open(small.file().unwrap()).unwrap();
        let byte = preadv2(file, &mut [IoSliceMut::new(&mut [0])], 0, ReadWriteFlags::NOWAIT);
        if byte == Err(Errno::OPNOTSUPP) {
            eprintln!("skipped: the file system of the temporary folder, as tmpfs, cannot do that");
            assert_eq!(get(&small, 3).map(drop), Err(Elsewhere::Always));
            return;
        }
        let here = once_in_memory(|| get(&small, 3));
        let there = read::get(&small, 3).unwrap();
        assert_eq!((here.bytes, here.entry), (there.bytes, there.entry));
        for (place, ranges) in [
            (&small, &[0..3, 1..2, 3..3, 2..3][..]),
            (&large, &[BYTES_MAX..BYTES_MAX + 1, 5..9]),
            (&small, &[]),
        ] {
            let here = once_in_memory(|| get_ranges(place, ranges));
            assert_eq!(here, read::get_ranges(place, ranges).unwrap());
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
        assert!(Command::new("mkfifo").arg(table.join("p/pipe")).status().unwrap().success());
        for path in ["p/none", "p", "p/out", "p/link", "q/small", "p/socket", "p/pipe", "p/small/below"] {
            assert!(get(&place(path), 100).is_err(), "{path}");
            assert!(get_ranges(&place(path), std::slice::from_ref(&(0..1))).is_err(), "{path}");
        }
        let (small, large) = (place("p/small"), place("p/large"));
        assert!(get(&small, 2).is_err() && get(&large, u64::MAX).is_err());
        let backwards = Range { start: 2, end: 1 };
        for wrong in
            [&[0..1, 3..4][..], &[0..1, backwards], &[0..1, 0..u64::MAX], &[1..u64::MAX, 0..u64::MAX]]
        {
            assert!(get_ranges(&small, wrong).is_err(), "{wrong:?}");
        }
        assert!(get_ranges(&large, &[0..BYTES_MAX, 0..1]).is_err());
    }

    #[test]
    fn where_it_cannot_be_done_it_is_not_tried_again() {
        for error in [Errno::OPNOTSUPP, Errno::NOSYS, Errno::PERM, Errno::INVAL] {
            assert_eq!(Elsewhere::from(error), Elsewhere::Always);
        }
        for error in [Errno::AGAIN, Errno::NOENT, Errno::LOOP, Errno::ACCESS, Errno::XDEV] {
            assert_eq!(Elsewhere::from(error), Elsewhere::ThisTime);
        }
    }
}
