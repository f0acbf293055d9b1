//! Real Spark with real Hudi: the writer, reader and table services of the other side.

mod command;
mod install;
mod session;
mod table;

pub use command::SparkCommand;
pub use install::Installation;
pub use session::{Answer, Query, Rows, Spark, SparkError};
pub use table::{Options, SparkTable};
