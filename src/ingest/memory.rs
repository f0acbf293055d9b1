//! What a run holds of its input before the sink has it.

use super::job::{BadRecordPolicy, Job};

/// The part of dead letters, at most so many bytes.
const LETTERS_SHARE: u64 = 4;
const LETTERS_BYTES_MAX: u64 = 16 << 20;

/// The parts of a job's memory that are for its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct InputMemory {
    /// Chunks that are read and decoded ahead of the writer.
    pub(super) ahead_bytes: usize,
    /// Dead letters of a checkpoint: more of them end it, or the run where it is an overwrite.
    pub(super) letters_bytes: usize,
}

impl InputMemory {
    /// The parts of the `input_bytes` that the sink leaves for input.
    pub(super) fn of(job: &Job, input_bytes: u64) -> Self {
        let letters_bytes = match job.bad_records.policy {
            BadRecordPolicy::DeadLetter => (input_bytes / LETTERS_SHARE).min(LETTERS_BYTES_MAX),
            BadRecordPolicy::Fail => 0,
        };
        let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        Self { ahead_bytes: bytes(input_bytes - letters_bytes), letters_bytes: bytes(letters_bytes) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dead_letters_have_a_part_where_the_job_allows_them() {
        let job = |bad_records: &str| {
            let text =
                format!("pipeline: p\ntable: {{uri: /t}}\nsource: {{files: [/in/*.csv]}}\n{bad_records}");
            Job::from_yaml(&text).unwrap()
        };
        let parts = |job: &Job, mib: u64| {
            let parts = InputMemory::of(job, mib << 20);
            (parts.ahead_bytes >> 20, parts.letters_bytes >> 20)
        };
        assert_eq!(parts(&job(""), 8), (8, 0));
        let letters = job("bad_records: {policy: dead_letter, path: /letters}");
        assert_eq!((parts(&letters, 8), parts(&letters, 480)), ((6, 2), (464, 16)));
    }
}
