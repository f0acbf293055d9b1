//! Logs, on standard error.

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::error::{Error, ErrorKind};

/// The variable that chooses what is logged.
const VARIABLE: &str = "LAKEBED_LOG";

/// Starts logging: warnings, with `verbose` more of our own; what `LAKEBED_LOG` says if it is set.
///
/// # Errors
/// A `LAKEBED_LOG` that is no list of targets and levels.
pub(super) fn start(verbose: u8) -> Result<(), Error> {
    let ours = match verbose {
        0 => LevelFilter::WARN,
        1 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let by_arguments = || Targets::new().with_default(LevelFilter::WARN).with_target("lakebed", ours);
    let targets = match std::env::var(VARIABLE) {
        Ok(text) if !text.trim().is_empty() => text.parse().map_err(|error| {
            let expected =
                "expected a level (error, warn, info, debug, trace) or target=level, joined by commas";
            Error::new(ErrorKind::FixInput, format!("{VARIABLE}={text:?}: {error}; {expected}"))
        })?,
        _ => by_arguments(),
    };
    let colours = anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(colours);
    // Somebody who embeds the program's entry may have started logging already.
    let _ = tracing_subscriber::registry().with(targets).with(lines).try_init();
    Ok(())
}
