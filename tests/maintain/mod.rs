//! Table services.

pub mod archive;
mod beside;
mod catalogue;
mod clean;
mod clock;
mod clustering;
mod crash;
mod faults;
mod kill;
mod place;
mod result;
mod standstill;
mod takeover;
