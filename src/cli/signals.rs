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

/// What a signal does to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// It ends as soon as it can in good order.
    Asked,
    /// It ends at once.
    Forced,
}

/// Turns true at the first SIGINT or SIGTERM; a second one ends the program at once. Both are told.
pub(super) fn stop_signal(tell: impl Fn(Stop) + Send + 'static) -> Result<watch::Receiver<bool>, Error> {
    let mut signals = Signals::receive()?;
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        signals.next().await;
        tell(Stop::Asked);
        // Nobody listens any more if the run has just ended.
        let _ = stop.send(true);
        signals.next().await;
        tell(Stop::Forced);
        std::process::exit(Exit::Failed.code().into());
    });
    Ok(stopped)
}
