//! dkr as the program that `ssh-add` asks for a passphrase (`SSH_ASKPASS`).
//!
//! The passphrase is in no argument, environment or file: `ssh-add` passes its own standard input on,
//! and the dkr at its other end writes it there. Once it is read, another question gets an empty answer,
//! and `ssh-add` gives up.

use std::io::{Read, Write};

use tokio::process::Command;
use zeroize::Zeroizing;

use crate::env::Env;
use crate::error::{Error, Result};

/// Set when dkr is started to answer the question.
const MARK: &str = "DKR_ASKPASS";
/// The longest passphrase, in bytes.
const LONGEST: u64 = 64 * 1024;

/// Whether this process is one that `ssh-add` asks.
pub fn is_asked(env: &Env) -> bool {
    env.get(MARK).is_some()
}

/// Passes the passphrase on; returns whether that worked.
pub fn answer() -> bool {
    // Allocated at once: a growing buffer would leave copies behind.
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
/// When the path of this program is not known.
pub(super) fn ask_dkr(command: &mut Command) -> Result<()> {
    let program =
        std::env::current_exe().map_err(|e| Error::failed("cannot find dkr").source(e))?;
    command
        .env("SSH_ASKPASS", program)
        .env("SSH_ASKPASS_REQUIRE", "force")
        // Before OpenSSH 8.4 a program was only used if `DISPLAY` was set.
        .env("DISPLAY", ":")
        .env(MARK, "1");
    Ok(())
}
