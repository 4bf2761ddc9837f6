//! The user's terminal while a container uses it: raw mode, which is restored however dkr ends, and its
//! size.

use std::sync::{Mutex, Once, PoisonError};
use std::time::Duration;

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use crate::error::{Error, Result};

/// The original mode, while the terminal is in raw mode.
static COOKED: Mutex<Option<Termios>> = Mutex::new(None);

/// Resets what a full-screen program that was cut off has changed, with the control sequences of xterm and
/// compatible terminals: main screen, visible cursor, no mouse reports, no bracketed paste, normal keys,
/// normal colours.
pub(super) const LEAVE_FULL_SCREEN: &[u8] =
    b"\x1b[?1049l\x1b[?25h\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1004l\x1b[?1006l\x1b[?2004l\x1b[?1l\x1b>\x1b[m";

/// The terminal on stdin in raw mode: all keys are passed on. Dropping this, or a panic, restores the
/// terminal.
#[derive(Debug)]
pub struct RawMode(());

impl RawMode {
    /// Puts the terminal in raw mode.
    ///
    /// # Errors
    /// When stdin is not a terminal.
    pub fn enter() -> Result<Self> {
        let failed = |e| Error::failed("cannot use the terminal on standard input").source(e);
        let cooked = tcgetattr(std::io::stdin()).map_err(failed)?;
        let mut raw = cooked.clone();
        raw.make_raw();
        restore_on_panic();
        *COOKED.lock().unwrap_or_else(PoisonError::into_inner) = Some(cooked);
        tcsetattr(std::io::stdin(), OptionalActions::Now, &raw).map_err(failed)?;
        Ok(RawMode(()))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        restore();
    }
}

/// Sets the size of a terminal in a container with `resize`, which returns whether it succeeded. The
/// engine refuses until the process is running: as Docker's client does, this retries with growing delays.
pub(super) async fn set_size(resize: impl AsyncFn() -> bool) {
    for attempt in 1..=10 {
        if resize().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10 * attempt)).await;
    }
}

/// Restores the terminal, if it is in raw mode. Code that ends the process without unwinding calls it first.
pub fn restore() {
    let cooked = COOKED.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(cooked) = cooked {
        // The terminal may be closed.
        let _: std::result::Result<_, _> =
            tcsetattr(std::io::stdin(), OptionalActions::Now, &cooked);
    }
}

fn restore_on_panic() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            restore();
            report(info);
        }));
    });
}

/// A terminal's size in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Rows.
    pub rows: u16,
    /// Columns.
    pub columns: u16,
}

/// The size of the terminal on stdout, else of that on stdin. `None` if there is none or its size is
/// unknown.
pub fn size() -> Option<Size> {
    let size = tcgetwinsize(std::io::stdout())
        .or_else(|_| tcgetwinsize(std::io::stdin()))
        .ok()?;
    (size.ws_row > 0 && size.ws_col > 0).then_some(Size {
        rows: size.ws_row,
        columns: size.ws_col,
    })
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::process::{Command, Stdio};

    use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
    use rustix::termios::LocalModes;

    use super::*;

    /// Set for the test program that panics in raw mode.
    const PANICS: &str = "DKR_TEST_PANICS";
    /// The exit code of a test program in which a test panicked.
    const PANICKED: i32 = 101;

    fn modes(terminal: &File) -> LocalModes {
        tcgetattr(terminal).unwrap().local_modes
    }

    #[test]
    fn a_panic_leaves_the_terminal_as_it_was() {
        if std::env::var_os(PANICS).is_some() {
            // Only the panic itself may restore it.
            std::mem::forget(RawMode::enter().unwrap());
            let raw = tcgetattr(std::io::stdin()).unwrap().local_modes;
            if raw.intersects(LocalModes::ICANON | LocalModes::ECHO) {
                std::process::exit(0);
            }
            panic!("in raw mode");
        }
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
        let user = openpt(flags).unwrap();
        grantpt(&user).unwrap();
        unlockpt(&user).unwrap();
        let terminal = File::from(ioctl_tiocgptpeer(&user, flags).unwrap());
        let before = modes(&terminal);
        assert!(before.contains(LocalModes::ICANON | LocalModes::ECHO));

        let (_, module) = module_path!().split_once("::").unwrap();
        let test = format!("{module}::a_panic_leaves_the_terminal_as_it_was");
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &test])
            .env(PANICS, "1")
            .stdin(Stdio::from(terminal.try_clone().unwrap()))
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(PANICKED), "{output:?}");
        assert_eq!(modes(&terminal), before);
    }
}
