//! Lakebed's workshop.

fn main() {}
