//! How a run goes on, on standard error.

use std::io::{self, IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};

use crate::cli::human;
use crate::cli::output::{Format, Output};
use crate::cli::signals::Stop;
use crate::ingest::Event;

/// A bar that moves on a terminal, where the end is known; else a spinner.
const BAR: &str = "{spinner} {bar:24} {percent}%, {eta} left: {wide_msg}";
const SPINNER: &str = "{spinner} {wide_msg}";

/// Shows events: on a terminal a line that moves and a line per commit, else a line per commit; for
/// scripts a JSON object per line.
#[derive(Clone)]
pub(super) struct Display {
    bar: Option<ProgressBar>,
    format: Format,
}

impl Display {
    pub(super) fn new(output: Output) -> Self {
        let format = output.format();
        let bar = (format != Format::Json && io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::new_spinner().with_style(style(SPINNER));
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Self { bar, format }
    }

    pub(super) fn show(&self, event: &Event) {
        match (event, &self.bar) {
            (Event::Written { .. }, Some(bar)) => advance(bar, event),
            (Event::Written { .. }, None) => {}
            (event, _) => self.tell(event),
        }
    }

    /// Tells where metrics are.
    pub(super) fn tell_metrics(&self, address: SocketAddr) {
        let url = format!("http://{address}/metrics");
        self.write(&match self.format {
            Format::Json => serde_json::json!({ "event": "metrics", "url": url }).to_string(),
            _ => format!("metrics are at {url}"),
        });
    }

    /// Tells that a signal has arrived.
    pub(super) fn tell_stop(&self, stop: Stop) {
        let (event, text) = match stop {
            Stop::Asked => ("stopping", "stopping as soon as it is in order; a second signal stops at once"),
            Stop::Forced => ("stopped", "stopped by a second signal: what is open is not committed"),
        };
        if stop == Stop::Forced {
            self.end();
        }
        self.write(&match self.format {
            Format::Json => serde_json::json!({ "event": event }).to_string(),
            _ => text.to_owned(),
        });
    }

    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn tell(&self, event: &Event) {
        let line = match self.format {
            Format::Json => serde_json::to_string(event).ok(),
            _ => line(event),
        };
        if let Some(line) = line {
            self.write(&line);
        }
    }

    fn write(&self, line: &str) {
        // Progress that nobody can see is no failure.
        let write = || drop(io::stderr().write_all(format!("{line}\n").as_bytes()));
        self.bar.as_ref().map_or_else(write, |bar| bar.suspend(write));
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

fn advance(bar: &ProgressBar, event: &Event) {
    let Event::Written { input, records, bytes, read_bytes, found_bytes, .. } = event else { return };
    if let Some(found) = found_bytes {
        if bar.length() != Some(*found) {
            bar.set_style(style(BAR));
            bar.set_length(*found);
        }
        bar.set_position(*read_bytes);
    }
    let rate = *records as f64 / bar.elapsed().as_secs_f64().max(1e-3);
    bar.set_message(format!(
        "{} records of {}, {} a second, at {input}",
        HumanCount(*records),
        HumanBytes(*bytes),
        HumanCount(rate as u64)
    ));
}

fn line(event: &Event) -> Option<String> {
    Some(match event {
        Event::Created { uri, columns } => format!("created {uri} with {columns} columns"),
        Event::Restored { instant, checkpoint: 0 } => {
            format!("the table was restored at {instant}: no progress is left, and everything is read again")
        }
        Event::Restored { instant, checkpoint } => format!(
            "the table was restored at {instant}: what came after checkpoint {checkpoint} is read again"
        ),
        Event::Started { epoch, checkpoint: 0 } => format!("epoch {epoch}: nothing is committed yet"),
        Event::Started { epoch, checkpoint } => {
            format!("epoch {epoch}: going on after checkpoint {checkpoint}")
        }
        Event::Reset => "resetting the progress: everything is read again".to_owned(),
        Event::Written { .. } => return None,
        Event::Committed(done) => {
            let (checkpoint, instant) = (done.checkpoint, &done.instant);
            format!("checkpoint {checkpoint} committed at {instant}: {}", human::counted(done.rows, "row"))
        }
        Event::Served { totals, .. } if totals.is_nothing() => return None,
        Event::Served { totals, took } => format!("services: {totals}, in {:.1} s", took.as_secs_f64()),
        Event::ServicesFailed { reason } => format!("a service failed, and is tried again: {reason}"),
        Event::Rewound { reason } => format!("going back to the last commit: {reason}"),
        Event::Retrying { reason } => format!("trying again: {reason}"),
    })
}
