//! How settings are written, in files and as arguments: times, sizes, zones.

mod timezone;
mod units;

pub use timezone::Timezone;
pub(crate) use units::NumberOrText;
pub use units::{Size, TimeSpan};
