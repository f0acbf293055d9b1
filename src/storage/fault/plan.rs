//! What is to fail, and where.

/// What happens, and at which operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// The number of the operation, counted from 0 over all operations.
    pub at: usize,
    /// What happens there.
    pub kind: FaultKind,
}

/// What happens at the operation of a [`Fault`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// It is not done and fails with [`Io`](crate::storage::StorageError::Io); later ones work.
    FailBefore,
    /// It is done and yet fails; later ones work. A write fails with
    /// [`Ambiguous`](crate::storage::StorageError::Ambiguous) where the trait allows that, else with
    /// [`Io`](crate::storage::StorageError::Io).
    FailAfter,
    /// It is not done, and nothing is from here on.
    DieBefore,
    /// It is done, but nobody is told, and nothing is done from here on.
    DieAfter,
    /// Nothing more is done from here on but this, when [`land`](super::FaultStorage::land) is called: a
    /// request that was on its way when the process stopped.
    DieDuring,
    /// The process stands still: this and all that it asks for from here on waits until it is
    /// [woken](super::FaultStorage::wake), and is done then. But for the bytes of data files that it reads or
    /// writes, which nobody sees: who is about them would keep a thread from those who are awake.
    StandStill,
    /// A [`put_if_absent`](crate::storage::Storage::put_if_absent) is on its way: it fails with
    /// [`Ambiguous`](crate::storage::StorageError::Ambiguous), and so many operations later it is done
    /// after all. Until then all operations on its path fail. Another operation is done as ever.
    Late {
        /// How many operations later.
        operations: usize,
    },
}
