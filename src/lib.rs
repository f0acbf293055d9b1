//! Lakebed writes and maintains Apache Hudi tables with no JVM.
