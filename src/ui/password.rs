//! A line typed without echo.
//!
//! Read byte by byte with the terminal's own editing and signals off, so that Ctrl-C is an answer
//! and the terminal is put back in order whatever happens.

use std::os::fd::AsFd;

use rustix::io::{Errno, read};
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};

use crate::error::{Error, Result};

/// Reads a line from the terminal `input`, once `prompt` has asked for it. What was typed before
/// that is thrown away.
///
/// # Errors
/// [`Error::interrupted`] by Ctrl-C, or Ctrl-D on an empty line; an error if the terminal cannot
/// be read.
pub fn read_line(input: impl AsFd, prompt: impl FnOnce()) -> Result<String> {
    let fail = |e: Errno| Error::failed("cannot read from the terminal").because(e);
    // First: what is typed at once upon the prompt would be shown and lost.
    let silent = Silent::new(&input).map_err(fail)?;
    prompt();
    let mut line = Line::default();
    let mut byte = [0];
    loop {
        match read(&silent.terminal, &mut byte) {
            Ok(0) => return Err(Error::interrupted()),
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(e) => return Err(fail(e)),
        }
        match line.push(byte[0]) {
            Key::More => {}
            Key::Interrupt => return Err(Error::interrupted()),
            Key::End => {
                return String::from_utf8(line.0)
                    .map_err(|_| Error::failed("cannot read from the terminal: not UTF-8"));
            }
        }
    }
}

/// A terminal without echo, line editing and signals, until dropped.
struct Silent<Fd: AsFd> {
    terminal: Fd,
    before: Termios,
}

impl<Fd: AsFd> Silent<Fd> {
    fn new(terminal: Fd) -> rustix::io::Result<Self> {
        let before = tcgetattr(&terminal)?;
        let mut modes = before.clone();
        modes.local_modes -=
            LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG | LocalModes::IEXTEN;
        modes.special_codes[SpecialCodeIndex::VMIN] = 1;
        modes.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(&terminal, OptionalActions::Flush, &modes)?;
        Ok(Silent { terminal, before })
    }
}

impl<Fd: AsFd> Drop for Silent<Fd> {
    fn drop(&mut self) {
        // A terminal that is gone needs no order.
        let _ = tcsetattr(&self.terminal, OptionalActions::Drain, &self.before);
    }
}

/// What a typed byte means for the line.
#[derive(Debug, PartialEq, Eq)]
enum Key {
    More,
    End,
    Interrupt,
}

/// The bytes of the line so far.
#[derive(Debug, Default)]
struct Line(Vec<u8>);

impl Line {
    fn push(&mut self, byte: u8) -> Key {
        match byte {
            b'\r' | b'\n' => return Key::End,
            0x03 => return Key::Interrupt,
            0x04 if self.0.is_empty() => return Key::Interrupt,
            // Backspace takes a whole character: its continuation bytes, then its first.
            0x08 | 0x7f => while self.0.pop().is_some_and(|b| b & 0xc0 == 0x80) {},
            // Ctrl-U, the usual kill character.
            0x15 => self.0.clear(),
            0x00..0x20 => {}
            _ => self.0.push(byte),
        }
        Key::More
    }
}

#[cfg(test)]
mod tests {
    use rustix::fs::{Mode, OFlags, open};
    use rustix::io::write;
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

    use super::*;

    fn typed(text: &str) -> (String, Key) {
        let mut line = Line::default();
        for byte in text.bytes() {
            let key = line.push(byte);
            if key != Key::More {
                return (String::from_utf8(line.0).unwrap(), key);
            }
        }
        (String::from_utf8(line.0).unwrap(), Key::More)
    }

    #[test]
    fn a_line_is_edited_as_terminals_do() {
        assert_eq!(typed("secret\r"), ("secret".into(), Key::End));
        assert_eq!(typed("aä漢\u{7f}\u{8}b\n"), ("ab".into(), Key::End));
        assert_eq!(typed("wrong\u{15}right\n"), ("right".into(), Key::End));
        assert_eq!(typed("\u{7f}\n"), (String::new(), Key::End));
        assert_eq!(typed("x\u{4}\u{1a}y\n"), ("xy".into(), Key::End));
    }

    #[test]
    fn ctrl_c_and_an_early_ctrl_d_interrupt() {
        assert_eq!(typed("ab\u{3}").1, Key::Interrupt);
        assert_eq!(typed("\u{4}").1, Key::Interrupt);
    }

    #[test]
    fn what_is_typed_at_once_upon_the_prompt_is_read_and_not_shown() {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let terminal = open(
            name.as_c_str(),
            OFlags::RDWR | OFlags::NOCTTY,
            Mode::empty(),
        );
        let terminal = terminal.unwrap();
        let typed = || {
            let modes = tcgetattr(&terminal).unwrap().local_modes;
            assert!(!modes.contains(LocalModes::ECHO), "it would be shown");
            assert_eq!(write(&master, b"secret\r").unwrap(), 7);
        };
        assert_eq!(read_line(&terminal, typed).unwrap(), "secret");
        write(&terminal, b"next").unwrap();
        let mut shown = [0; 64];
        let count = read(&master, &mut shown).unwrap();
        assert_eq!(&shown[..count], b"next");
    }

    #[test]
    fn what_is_no_terminal_is_refused() {
        let file = tempfile::tempfile().unwrap();
        let error = read_line(file, || panic!("nobody is asked")).unwrap_err();
        assert_eq!(error.message, "cannot read from the terminal");
    }
}
