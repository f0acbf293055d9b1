//! Lakebed writes and maintains Apache Hudi tables with no JVM.

pub mod merge;
pub mod table;
