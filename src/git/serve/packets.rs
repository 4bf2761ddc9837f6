//! Inspects what a client of git's protocol sends, packet by packet, and stops it at the first packet
//! that is not permitted. [`PushCommands`] and [`FetchRequests`] define what is.
//!
//! Format: gitprotocol-common, "pkt-line Format". No more than one packet is held.

use super::commands::PushCommands;
use super::requests::FetchRequests;
use crate::text::excerpt;

/// The largest packet, its four length digits included (gitprotocol-common).
pub(super) const MAX_PACKET: usize = 65_520;

/// The length to which a name that a client chose is cut in messages.
const SHOWN: usize = 200;

/// The kind of client, and its rules.
#[derive(Debug)]
pub enum Client<'a> {
    /// It fetches, in protocol version 2.
    Fetch(FetchRequests),
    /// It pushes.
    Push(PushCommands<'a>),
}

impl Client<'_> {
    /// Takes the client's next bytes and returns those that may be passed on.
    ///
    /// # Errors
    /// When it sent what is not permitted.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Refusal> {
        match self {
            Client::Fetch(requests) => requests.read(bytes),
            Client::Push(commands) => commands.read(bytes),
        }
    }
}

/// Why a client was stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The message for the user.
    pub message: String,
    /// Whether the client accepts errors on a side band.
    pub sideband: bool,
}

impl Refusal {
    /// The message as the client understands it at this point: on the error band if it asked for
    /// bands, else as an error packet.
    pub fn packet(&self) -> Vec<u8> {
        let start = if self.sideband { "\x03" } else { "ERR " };
        let text = format!("{start}{}\n", self.message);
        format!("{:04x}{text}0000", text.len() + 4).into_bytes()
    }
}

/// One packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packet<'a> {
    /// A line, without its end.
    Line(&'a [u8]),
    /// The end of a list.
    Flush,
    /// The end of a section (gitprotocol-v2).
    Delimiter,
    /// None.
    Malformed,
}

/// Whether more packets are inspected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    Read,
    /// What follows is not inspected.
    PassOn,
}

/// The packets of one client.
#[derive(Debug, Default)]
pub(super) struct Packets {
    pending: Vec<u8>,
    passing: bool,
}

impl Packets {
    /// Takes the client's next bytes and returns those of whole packets that `check` permits.
    ///
    /// # Errors
    /// As `check`, which must reject malformed packets.
    pub fn read<R>(
        &mut self,
        bytes: &[u8],
        mut check: impl FnMut(Packet<'_>) -> Result<Then, R>,
    ) -> Result<Vec<u8>, R> {
        self.pending.extend_from_slice(bytes);
        let mut permitted = 0;
        while !self.passing
            && let Some((packet, length)) = first_packet(&self.pending[permitted..])
        {
            self.passing = check(packet)? == Then::PassOn;
            permitted += length;
        }
        if self.passing {
            return Ok(std::mem::take(&mut self.pending));
        }
        Ok(self.pending.drain(..permitted).collect())
    }

    /// How many bytes are held.
    #[cfg(test)]
    pub fn held(&self) -> usize {
        self.pending.len()
    }
}

/// The packet that `bytes` begin with, if it is whole, and its length.
fn first_packet(bytes: &[u8]) -> Option<(Packet<'_>, usize)> {
    let digits = bytes.first_chunk::<4>()?;
    match announced(digits) {
        Some(0) => Some((Packet::Flush, 4)),
        Some(1) => Some((Packet::Delimiter, 4)),
        Some(length @ 5..=MAX_PACKET) => {
            let line = bytes.get(4..length)?;
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            Some((Packet::Line(line), length))
        }
        _ => Some((Packet::Malformed, 4)),
    }
}

/// The length that a packet announces: four hexadecimal digits.
fn announced(digits: &[u8; 4]) -> Option<usize> {
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    usize::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// Whether a word is the full id of an object.
pub(super) fn is_object_id(word: &[u8]) -> bool {
    matches!(word.len(), 40 | 64) && word.iter().all(u8::is_ascii_hexdigit)
}

/// A name that a client chose, for a message.
pub(super) fn shown(name: &[u8]) -> String {
    let name = String::from_utf8_lossy(name);
    excerpt(&name, SHOWN)
}
