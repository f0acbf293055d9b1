//! `lakebed-tools s3mock`: a command with a bucket at hand.

use std::error::Error;
use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitCode, ExitStatus};

use clap::Args;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

use super::S3Mock;

/// Runs a command with an S3Mock, which it reaches by the usual `AWS_*` variables.
#[derive(Debug, Args)]
pub struct S3MockArguments {
    /// The command and its arguments.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

impl S3MockArguments {
    /// Runs the command and returns its exit code.
    ///
    /// # Errors
    /// No S3Mock; a command that cannot be started.
    pub fn run(self) -> Result<ExitCode, Box<dyn Error>> {
        let mock = S3Mock::start()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let ended = runtime.block_on(self.with(&mock))?;
        Ok(exit_code(ended))
    }

    async fn with(self, mock: &S3Mock) -> std::io::Result<ExitStatus> {
        let mut words = self.command.into_iter();
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut child =
            Command::new(words.next().unwrap_or_default()).args(words).envs(mock.environment()).spawn()?;
        loop {
            tokio::select! {
                ended = child.wait() => return ended,
                // The terminal has sent it to the command, too.
                _ = interrupt.recv() => {}
                _ = terminate.recv() => terminate_child(&child),
            }
        }
    }
}

fn terminate_child(child: &Child) {
    let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(id) = id {
        kill_process(id, Signal::TERM).ok();
    }
}

/// The command's own code; as shells do it, 128 and the signal's number for one that was stopped.
fn exit_code(ended: ExitStatus) -> ExitCode {
    let code = ended.code().or(ended.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from)
}
