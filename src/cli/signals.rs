//! SIGINT and SIGTERM.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::Exit;
use crate::error::{Error, ErrorKind};

/// SIGINT and SIGTERM, which do not end the program any more.
#[derive(Debug)]
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Receives them from now on.
    pub(super) fn receive() -> Result<Self, Error> {
        let of = |kind| {
            let failed = |error| format!("signals cannot be received: {error}");
            signal(kind).map_err(|error| Error::new(ErrorKind::Failed, failed(error)))
        };
        Ok(Self { interrupt: of(SignalKind::interrupt())?, terminate: of(SignalKind::terminate())? })
    }

    /// Returns at the next one.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Turns true at the first SIGINT or SIGTERM; a second one ends the program at once.
pub(super) fn stop_signal() -> Result<watch::Receiver<bool>, Error> {
    let mut signals = Signals::receive()?;
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        signals.next().await;
        tracing::info!("finishing the checkpoint; a second signal stops at once");
        // Nobody listens any more if the run has just ended.
        let _ = stop.send(true);
        signals.next().await;
        tracing::warn!("stopped by a second signal; the open checkpoint is not committed");
        std::process::exit(Exit::Failed.code().into());
    });
    Ok(stopped)
}
