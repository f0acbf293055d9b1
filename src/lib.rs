//! Lakebed writes and maintains Apache Hudi tables with no JVM: this is its architecture page.
//!
//! # One way through
//!
//! ```text
//! write     source -> decode -> mapping -> KeyedBatch -> bucket -> group writer -> StagedFiles -> commit
//! read      TableSnapshot -> FileSlice -> merge -> RecordBatches
//! maintain  Survey -> planner -> draft -> plan on the timeline -> merge of slices, sort -> StagedFiles -> commit
//! fleet     tables -> known files, advanced by the timeline -> what is due in each -> order -> table by table
//! go back   savepoint -> what came later -> plan on the timeline -> rollbacks, the newest first -> restore
//! doctor    look -> Facts -> checks -> Findings
//! ```
//!
//! Every arrow carries a plain value. A commit is data plus progress: one completed instant carries
//! the rows and the source positions that produced them, so that recovery reads the table and
//! nothing else.
//!
//! # The house
//!
//! | room | job |
//! |---|---|
//! | `formats/hudi` | a crate of its own: bytes to values and back; no I/O, clock or randomness |
//! | [`storage`] | the one seam to the disk: local folders, buckets, the table lock, injected faults |
//! | [`timeline`] | what was done to a table, and when it showed; advanced by what is new |
//! | [`table`] | properties, schemas, file groups and slices; what a write is handed and hands back |
//! | [`merge`] | log records folded by key and put over base rows, exactly as Spark + Hudi does it |
//! | [`read`] | rows of slices and tables; the merge's files |
//! | [`write`](mod@write) | keyed rows into buckets and files; knows nothing of the timeline |
//! | [`commit`] | the only writer of the timeline: begin, publish, roll back, keep, restore, fence |
//! | [`sink`] | the two-phase sink that any engine can embed |
//! | [`ingest`] | sources, decoders, the checkpoint loop |
//! | [`maintain`] | table services: pure planners, and an executor for each kind of plan; fleets of tables; restores; the doctor |
//! | [`settings`] | how times, sizes and zones are written in files and arguments |
//! | [`cli`] | the program, a file or folder per command |
//! | [`environment`], [`memory`], `near_match`, `human`, [`Error`] | time, ids and a place for what does not fit, injected; what the machine has; words for people; for everyone |
//!
//! Dependencies point down: `cli -> ingest -> {sink, maintain} -> {write, commit} -> read -> merge -> table
//! -> timeline -> storage`; `maintain` needs no sink, and `ingest` runs it beside a job on demand. Everyone may use `formats/hudi`; nobody imports `cli`. `write` and `commit` share only
//! [`WriteTask`](table::WriteTask) and [`StagedFiles`](table::StagedFiles); `write` reads the base files
//! that it replaces.
//!
//! # Invariants
//! * A reader never sees half a checkpoint; a crash at any step leaves the table as before or after.
//! * Only `commit` changes the timeline, under the table's own lock; conflicts are outcomes, not errors.
//! * A marker is durable before its data file begins; `.inflight` before the first of them.
//! * Of one pipeline only the newest epoch commits.
//! * A file goes when no newest slice, savepoint, pending plan or reader within the window needs it.
//! * What was written to a group that a clustering was to replace stays, and the group with it.
//! * A service that dies is gone on with, not undone: its plan stays. One executor is at work at a time, and
//!   never are there two base files of one group and instant.
//! * What is completed is taken back only if nothing is built on it, the newest first; while a restore is pending
//!   nobody begins or completes anything else.
//! * Work follows what changed: buckets and columns touched, never the age of the table. What is planned by what
//!   was known before is looked for anew; what a commit wrote and is not there is not compacted over.
//!
//! # Terms
//! Hudi's own: *instant*, *file group*, *file slice*, *base file*, *log file*, *record key*, *partition
//! path*, *bucket*, *ordering value*, *marker*. Ours: a *pipeline* is a name under which a table keeps
//! *progress*, how far its sources were read; an *epoch* one run of it, by number; a *checkpoint* what one
//! commit of it holds.
//!
//! # Absent, and why
//! * Log compactions, and the building of indexes: those of other engines are lived with. A metadata table is
//!   not kept up to date: one that is there is refused, or dropped on demand.
//! * Merge modes of Java classes, schema-on-read history, HFile and ORC files: they need a JVM or are
//!   of no use without one.
//! * A catalog: a table is its folder.

pub mod cli;
pub mod commit;
pub mod environment;
mod error;
mod human;
pub mod ingest;
pub mod maintain;
pub mod memory;
pub mod merge;
mod near_match;
pub mod read;
pub mod settings;
pub mod sink;
pub mod storage;
pub mod table;
pub mod timeline;
pub mod write;

pub use error::{Error, ErrorKind};
