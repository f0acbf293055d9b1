//! Writing through the sink.

mod in_flight;
mod operations;
