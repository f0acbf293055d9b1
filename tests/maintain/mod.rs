//! Table services.

mod beside;
mod catalogue;
mod crash;
mod faults;
mod kill;
mod place;
mod result;
mod standstill;
mod takeover;
