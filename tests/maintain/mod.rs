//! Table services.

mod beside;
mod catalogue;
mod crash;
mod place;
mod result;
mod standstill;
mod takeover;
