//! The properties of the three standard streams: whether they are terminals, colours, characters, size.

use std::io::IsTerminal;
use std::os::fd::AsFd;

use rustix::termios::tcgetwinsize;

use crate::env::Env;
use crate::ui::style::Style;

/// The size assumed for a terminal that does not report one.
const USUAL_SIZE: (usize, usize) = (80, 24);

/// The properties of this process's streams that decide how dkr prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terminal {
    /// Standard input is a terminal.
    pub stdin: bool,
    /// Standard output is a terminal.
    pub stdout: bool,
    /// Standard error is a terminal.
    pub stderr: bool,
    /// The terminal cannot move its cursor (`TERM=dumb`, or no `TERM`).
    pub dumb: bool,
    /// `NO_COLOR` is set (<https://no-color.org>).
    pub no_color: bool,
    /// The locale's character set is UTF-8.
    pub unicode: bool,
}

impl Terminal {
    /// Inspects this process's streams, and `env` for `TERM`, `NO_COLOR` and the locale.
    pub fn of_process(env: &Env) -> Self {
        Terminal {
            stdin: std::io::stdin().is_terminal(),
            stdout: std::io::stdout().is_terminal(),
            stderr: std::io::stderr().is_terminal(),
            ..Self::of_env(env)
        }
    }

    /// What `env` determines; no stream is a terminal.
    pub fn of_env(env: &Env) -> Self {
        // The precedence of setlocale(3).
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
            .iter()
            .find_map(|name| env.get(name));
        let locale = locale.unwrap_or_default().to_ascii_lowercase();
        Terminal {
            stdin: false,
            stdout: false,
            stderr: false,
            dumb: env.get("TERM").is_none_or(|term| term == "dumb"),
            no_color: env.get("NO_COLOR").is_some(),
            unicode: locale.contains("utf-8") || locale.contains("utf8"),
        }
    }

    /// The style of text on standard error.
    pub fn stderr_style(&self) -> Style {
        Style {
            colour: self.stderr && !self.dumb && !self.no_color,
            unicode: self.unicode,
        }
    }

    /// Whether questions can be asked: printed to standard error, answered on standard input.
    pub fn can_ask(&self) -> bool {
        self.stdin && self.stderr && !self.dumb
    }
}

/// Columns and rows of the terminal of `stream`; the default size if it does not report one.
pub fn size(stream: impl AsFd) -> (usize, usize) {
    match tcgetwinsize(stream) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
            (usize::from(size.ws_col), usize::from(size.ws_row))
        }
        _ => USUAL_SIZE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terminal(env: &[(&str, &str)]) -> Terminal {
        let env = Env::from_iter(env.iter().copied());
        Terminal {
            stdin: true,
            stderr: true,
            ..Terminal::of_env(&env)
        }
    }

    #[test]
    fn colour_needs_a_terminal_that_can_and_a_user_who_wants() {
        assert!(terminal(&[("TERM", "xterm")]).stderr_style().colour);
        assert!(!terminal(&[("TERM", "dumb")]).stderr_style().colour);
        let refused = terminal(&[("TERM", "xterm"), ("NO_COLOR", "1")]);
        assert!(!refused.stderr_style().colour);
        let piped = Terminal::of_env(&Env::from_iter([("TERM", "xterm")]));
        assert!(!piped.stderr_style().colour && !piped.can_ask());
    }

    #[test]
    fn the_first_locale_variable_that_is_set_decides() {
        assert!(terminal(&[("LANG", "C.UTF-8")]).unicode);
        assert!(terminal(&[("LC_ALL", ""), ("LANG", "de_DE.utf8")]).unicode);
        assert!(!terminal(&[("LC_ALL", "C"), ("LANG", "C.UTF-8")]).unicode);
        assert!(!terminal(&[]).unicode);
    }

    #[test]
    fn what_is_no_terminal_has_the_usual_size() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(size(&file), (80, 24));
    }
}
