//! How long work goes on, on standard error.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::output::{Format, Output};
use super::signals::Stop;

/// Work that is counted in bytes.
const BAR: &str = "{spinner} {bar:24} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left: {wide_msg}";

/// Work that is counted in instants.
const INSTANTS: &str = "{spinner} {bar:24} {pos} of {len} instants, {per_sec}, {eta} left: {wide_msg}";

/// Tells how work goes on: on a terminal a bar that moves and lines, else lines; for scripts a JSON object
/// per line.
#[derive(Clone)]
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    format: Format,
}

impl Progress {
    /// Of work that is counted in bytes.
    pub(super) fn new(output: Output) -> Self {
        Self::with(output, BAR)
    }

    /// Of work that is counted in instants.
    pub(super) fn instants(output: Output) -> Self {
        Self::with(output, INSTANTS)
    }

    fn with(output: Output, template: &str) -> Self {
        let format = output.format();
        let bar = (format != Format::Json && io::stderr().is_terminal()).then(|| {
            let style =
                ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
            let bar = ProgressBar::new(0).with_style(style);
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Self { bar, format }
    }

    /// So much is to be done, for what `message` says.
    pub(super) fn begin(&self, amount: u64, message: String) {
        if let Some(bar) = &self.bar {
            bar.reset();
            bar.set_length(amount);
            bar.set_message(message);
        }
    }

    /// Goes on with something else of it.
    pub(super) fn describe(&self, message: String) {
        if let Some(bar) = &self.bar {
            bar.set_message(message);
        }
    }

    /// It turns out that so much more is to be done.
    pub(super) fn lengthen(&self, amount: u64) {
        if let Some(bar) = &self.bar {
            bar.inc_length(amount);
        }
    }

    /// So much more of it is done.
    pub(super) fn advance(&self, amount: u64) {
        if let Some(bar) = &self.bar {
            bar.inc(amount);
        }
    }

    /// Tells what happened: `event` to scripts, `text` to people.
    pub(super) fn tell(&self, event: &impl Serialize, text: Option<&str>) {
        match self.format {
            Format::Json => self.write(&serde_json::to_string(event).unwrap_or_default()),
            _ => _ = text.map(|text| self.write(text)),
        }
    }

    /// Tells that a signal has arrived.
    pub(super) fn tell_stop(&self, stop: Stop) {
        let (event, text) = match stop {
            Stop::Asked => ("stopping", "stopping as soon as it is in order; a second signal stops at once"),
            Stop::Forced => ("stopped", "stopped by a second signal: the next run goes on"),
        };
        if stop == Stop::Forced {
            self.end();
        }
        self.tell(&serde_json::json!({ "event": event }), Some(text));
    }

    /// Takes the bar away.
    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn write(&self, line: &str) {
        // Progress that nobody can see is no failure.
        let write = || drop(io::stderr().write_all(format!("{line}\n").as_bytes()));
        self.bar.as_ref().map_or_else(write, |bar| bar.suspend(write));
    }
}
