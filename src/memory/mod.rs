//! How much memory there is to use, how much is used, and where things wait that do not fit.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use arrow::array::{Array, ArrayData, RecordBatch};
use arrow::buffer::Buffer;

mod resident;
mod room;

pub use resident::{keep_within, resident_bytes};
pub use room::{Room, Share};

/// The share of what there is that a program takes when nobody says how much.
const SHARE: u64 = 4;

/// More is not taken unasked.
const DEFAULT_BYTES_MAX: u64 = 2 << 30;

/// What a machine without any limit that we can read is taken to have.
const UNKNOWN_BYTES: u64 = 2 << 30;

/// Where rows, log records and parts of uploads wait that do not fit their memory.
///
/// The files have no name: the system takes their space back when they are closed, and also
/// when the process is killed.
#[derive(Debug, Clone, Default)]
pub struct SpillArea {
    folder: Option<PathBuf>,
}

impl SpillArea {
    /// An area on the disk of `folder`, which must exist.
    pub fn in_folder(folder: impl Into<PathBuf>) -> Self {
        Self { folder: Some(folder.into()) }
    }

    /// Its folder; the system's temporary one where none was given.
    pub fn folder(&self) -> PathBuf {
        self.folder.clone().unwrap_or_else(std::env::temp_dir)
    }

    /// A new file.
    pub(crate) fn file(&self) -> io::Result<File> {
        tempfile::tempfile_in(self.folder())
    }
}

/// The memory that a program takes when nobody says how much: a quarter of what the control group
/// or the machine has, at most 2 GiB.
pub fn default_budget_bytes() -> u64 {
    (available_bytes().unwrap_or(UNKNOWN_BYTES) / SHARE).min(DEFAULT_BYTES_MAX)
}

/// The memory that this process may use: the least limit of its control groups, else the machine's
/// memory; `None` where neither can be read.
pub fn available_bytes() -> Option<u64> {
    let limits = control_group_limits(Path::new("/sys/fs/cgroup"), &read("/proc/self/cgroup")?);
    limits.into_iter().chain(machine_bytes(&read("/proc/meminfo")?)).min()
}

/// The limits of the process's control group and those above it, of version 2 or 1.
fn control_group_limits(root: &Path, membership: &str) -> Vec<u64> {
    let mut limits = Vec::new();
    for line in membership.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let (base, file) = match controllers {
            "" => (root.to_owned(), "memory.max"),
            names if names.split(',').any(|name| name == "memory") => {
                (root.join("memory"), "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let mut group = base.join(path.trim_start_matches('/'));
        loop {
            let limit = std::fs::read_to_string(group.join(file)).ok();
            limits.extend(limit.and_then(|text| text.trim().parse::<u64>().ok()));
            if group == base || !group.pop() {
                break;
            }
        }
    }
    limits
}

fn machine_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// What an array takes beside its values: rows that are dealt out to many partitions are more of this
/// than of them.
const ARRAY_BYTES: usize = 320;

/// The bytes that a batch keeps in memory, other parts of its buffers included.
///
/// Columns of one buffer, as those of a decoded IPC message are, count once.
pub(crate) fn batch_bytes(batch: &RecordBatch) -> usize {
    let (mut buffers, mut arrays) = (Vec::new(), 0);
    for column in batch.columns() {
        arrays += add_buffers(&column.to_data(), &mut buffers);
    }
    buffers.sort_unstable();
    buffers.dedup();
    buffers.into_iter().map(|(_, bytes)| bytes).sum::<usize>() + arrays * ARRAY_BYTES
}

/// Adds where each buffer of an array begins, and its bytes. Returns of how many arrays it is made.
fn add_buffers(data: &ArrayData, buffers: &mut Vec<(usize, usize)>) -> usize {
    let of = |buffer: &Buffer| (buffer.data_ptr().as_ptr() as usize, buffer.capacity());
    buffers.extend(data.buffers().iter().chain(data.nulls().map(|nulls| nulls.buffer())).map(of));
    1 + data.child_data().iter().map(|child| add_buffers(child, buffers)).sum::<usize>()
}

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};
    use arrow::ipc::reader::StreamReader;
    use arrow::ipc::writer::StreamWriter;

    use super::*;

    #[test]
    fn columns_of_one_buffer_count_once() {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..10_000));
        let texts: ArrayRef = Arc::new(StringArray::from_iter_values((0..10_000).map(|n| n.to_string())));
        let batch =
            RecordBatch::try_from_iter([("n", numbers.clone()), ("m", numbers), ("t", texts)]).unwrap();
        assert!(batch_bytes(&batch) >= 80_000 + 40_000 + 38_890);
        assert!(batch_bytes(&batch) < 2 * 80_000 + 40_000);

        let mut message = StreamWriter::try_new(Vec::new(), batch.schema_ref()).unwrap();
        message.write(&batch).unwrap();
        let message = message.into_inner().unwrap();
        let length = message.len();
        let decoded = StreamReader::try_new(Cursor::new(message), None).unwrap().next().unwrap().unwrap();
        let bytes = batch_bytes(&decoded) - 3 * ARRAY_BYTES;
        assert!(bytes <= length, "{bytes} of {length}");
        assert!(batch_bytes(&decoded.slice(0, 1)) > length / 2, "a part keeps the whole");
    }

    #[test]
    fn the_least_limit_above_a_process_counts() {
        let root = tempfile::tempdir().unwrap();
        let leaf = root.path().join("outer/inner");
        std::fs::create_dir_all(&leaf).unwrap();
        std::fs::write(leaf.join("memory.max"), "max\n").unwrap();
        std::fs::write(root.path().join("outer/memory.max"), "1073741824\n").unwrap();
        assert_eq!(control_group_limits(root.path(), "0::/outer/inner\n"), [1 << 30]);
        assert!(control_group_limits(root.path(), "0::/\n").is_empty());
    }

    #[test]
    fn older_control_groups_are_read_too() {
        let root = tempfile::tempdir().unwrap();
        let group = root.path().join("memory/job");
        std::fs::create_dir_all(&group).unwrap();
        std::fs::write(group.join("memory.limit_in_bytes"), "536870912\n").unwrap();
        let membership = "5:cpu,cpuacct:/job\n4:memory:/job\n";
        assert_eq!(control_group_limits(root.path(), membership), [512 << 20]);
    }

    #[test]
    fn a_machine_says_what_it_has() {
        assert_eq!(machine_bytes("MemTotal:       24576 kB\nMemFree: 1 kB\n"), Some(24 << 20));
        assert!(available_bytes().is_none_or(|bytes| bytes > 1 << 20));
    }
}
