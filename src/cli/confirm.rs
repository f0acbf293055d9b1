//! Asking before something is done that cannot be undone.

use std::io::{self, IsTerminal as _, Write as _};

use crate::error::{Error, ErrorKind};

/// Asks on the terminal whether `what`, which says what would happen, is to be done, unless that was said already.
///
/// # Errors
/// No, or nobody to ask: then `--yes` has to say it.
pub(super) fn confirm(what: &str, yes: bool) -> Result<(), Error> {
    if yes {
        return Ok(());
    }
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        let text = format!(
            "nothing was done: {what}, for good, and there is no terminal to ask on: say --yes to do it, or --dry-run to \
             see what goes"
        );
        return Err(Error::new(ErrorKind::FixInput, text));
    }
    let unasked = |error: io::Error| Error::new(ErrorKind::Failed, format!("the terminal failed: {error}"));
    write!(io::stderr(), "{what}. This cannot be undone. Go on? [y/N] ").map_err(unasked)?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).map_err(unasked)?;
    match answer.trim().to_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Error::new(ErrorKind::Refused, "not confirmed; nothing was changed")),
    }
}
