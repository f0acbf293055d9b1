//! Writing through the sink.

mod archived;
mod changed;
mod copy_on_write;
mod cost;
mod flagged_rows;
mod in_flight;
mod late_files;
mod layout;
mod log_blocks;
mod lost_lock;
mod operations;
mod progress;
mod readers;
mod short_memory;
mod stated_index;
mod traps;
