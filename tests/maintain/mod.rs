//! Table services.

pub mod archive;
mod beside;
mod catalogue;
mod clean;
pub mod clock;
mod clustering;
mod crash;
mod doctor;
mod faults;
mod kill;
mod known_files;
mod matrix;
mod memory;
mod place;
mod result;
mod standstill;
mod takeover;
mod undo;
