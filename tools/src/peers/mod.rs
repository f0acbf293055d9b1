//! hudi-core, the other library that needs no JVM: a second reader, and a peer in comparisons.
//!
//! It is asked by a program of its own, `tools/peers`, because it brings other versions of arrow
//! and object_store than Lakebed uses.

mod hudi_rs;

pub use hudi_rs::{Figures, HudiRs, PeerTable};
