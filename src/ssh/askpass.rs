//! dkr as the program that `ssh-add` asks for a passphrase (`SSH_ASKPASS`).
//!
//! The passphrase is in no argument, environment or file: `ssh-add` hands its own standard input on,
//! and dkr at its other end writes it there. Once it is read, a question for another one gets an empty
//! answer, at which `ssh-add` gives up.

use std::io::{Read, Write};

use tokio::process::Command;
use zeroize::Zeroizing;

use crate::env::Env;
use crate::error::{Error, Result};

/// Set where dkr is started to answer the question.
const MARK: &str = "DKR_ASKPASS";
/// The longest passphrase, in bytes.
const LONGEST: u64 = 64 * 1024;

/// Whether this process is one that `ssh-add` asks.
pub fn is_asked(env: &Env) -> bool {
    env.get(MARK).is_some()
}

/// Passes the passphrase on; whether that worked.
pub fn answer() -> bool {
    // The whole room at once: a growing buffer would leave copies behind.
    let mut passphrase = Zeroizing::new(Vec::with_capacity(LONGEST as usize));
    let mut input = std::io::stdin().lock().take(LONGEST);
    let read = input.read_to_end(&mut passphrase);
    let mut output = std::io::stdout().lock();
    let written = output.write_all(&passphrase);
    read.is_ok() && written.and_then(|()| output.flush()).is_ok()
}

/// Makes `command`, a call of `ssh-add`, ask this program.
///
/// # Errors
/// When nothing says where this program is.
pub(super) fn ask_dkr(command: &mut Command) -> Result<()> {
    let program =
        std::env::current_exe().map_err(|e| Error::failed("cannot find dkr").source(e))?;
    command
        .env("SSH_ASKPASS", program)
        .env("SSH_ASKPASS_REQUIRE", "force")
        // Before OpenSSH 8.4 a program was asked only where there might be a window.
        .env("DISPLAY", ":")
        .env(MARK, "1");
    Ok(())
}
