//! Table services.

mod beside;
mod catalogue;
mod clean;
mod crash;
mod faults;
mod kill;
mod place;
mod result;
mod standstill;
mod takeover;
