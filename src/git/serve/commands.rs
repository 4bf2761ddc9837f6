//! Inspects the refs that a client asks `receive-pack` to update, and stops it at the first one
//! outside its prefix.
//!
//! git's `receive.hideRefs` alone is not enough: its patterns cannot show `refs/heads/box/*`
//! without showing the branch `refs/heads/box`. Format: gitprotocol-pack, "Reference Update
//! Request"; all of it comes in one list of packets before the pack.

use super::PushPrefix;
use super::packets::{Packet, Packets, Refusal, Then, is_object_id, shown};

/// The maximum number of lines in one push: updates, and roots of a shallow clone.
const MAX_COMMANDS: usize = 10_000;

/// A push whose list of updates is being read.
#[derive(Debug)]
pub struct PushCommands<'a> {
    prefix: &'a PushPrefix,
    packets: Packets,
    commands: usize,
    sideband: bool,
}

impl<'a> PushCommands<'a> {
    /// Nothing read yet; `prefix` may be updated.
    pub(super) fn new(prefix: &'a PushPrefix) -> Self {
        PushCommands {
            prefix,
            packets: Packets::default(),
            commands: 0,
            sideband: false,
        }
    }

    /// Takes the client's next bytes and returns those that may be passed on: whole, permitted packets,
    /// and after the end of the list everything.
    ///
    /// # Errors
    /// When an update is outside the prefix, or the bytes are not such a list.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Refusal> {
        let mut packets = std::mem::take(&mut self.packets);
        let passed = packets.read(bytes, |packet| match packet {
            Packet::Line(line) => self.check(line).map(|()| Then::Read),
            Packet::Flush => Ok(Then::PassOn),
            Packet::Delimiter | Packet::Malformed => Err(self.malformed()),
        });
        self.packets = packets;
        passed
    }

    /// Checks one line as `receive-pack` reads it: it ends at the first NUL, after which the
    /// client's capabilities follow.
    fn check(&mut self, line: &[u8]) -> Result<(), Refusal> {
        let mut parts = line.splitn(2, |byte| *byte == 0);
        let command = parts.next().unwrap_or_default();
        if let Some(capabilities) = parts.next() {
            let mut words = capabilities.split(|byte| *byte == b' ');
            self.sideband |= words.any(|word| word == b"side-band-64k");
        }
        // git remembers each line, those of a shallow clone too.
        self.commands += 1;
        if self.commands > MAX_COMMANDS {
            return Err(self.refusal(&format!("more than {MAX_COMMANDS} refs in one push")));
        }
        if command.starts_with(b"shallow ") {
            return Ok(());
        }
        if command.starts_with(b"push-cert") {
            return Err(self.refusal("signed pushes are not supported"));
        }
        let mut words = command.splitn(3, |byte| *byte == b' ');
        let (Some(old), Some(new), Some(name)) = (words.next(), words.next(), words.next()) else {
            return Err(self.malformed());
        };
        if !is_object_id(old) || !is_object_id(new) {
            return Err(self.malformed());
        }
        let namespace = self.prefix.namespace();
        match name.strip_prefix(namespace.as_bytes()) {
            Some(branch) if !branch.is_empty() => Ok(()),
            _ => Err(self.refusal(&self.elsewhere(name, new))),
        }
    }

    /// Why `name` must not be set to `new`, and where a branch may be.
    fn elsewhere(&self, name: &[u8], new: &[u8]) -> String {
        let namespace = self.prefix.namespace();
        let shown = shown(name);
        let name = String::from_utf8_lossy(name);
        let deletes = new.iter().all(|digit| *digit == b'0');
        let way = match name.strip_prefix("refs/heads/") {
            Some(branch) if is_plain(branch) && !deletes => {
                format!(" (try `git push host HEAD:{namespace}{branch}`)")
            }
            _ => String::new(),
        };
        format!("only `{namespace}*` may be pushed, not `{shown}`{way}")
    }

    fn malformed(&self) -> Refusal {
        self.refusal("the list of refs to update is malformed")
    }

    fn refusal(&self, reason: &str) -> Refusal {
        Refusal {
            message: format!("dkr: push refused: {reason}"),
            sideband: self.sideband,
        }
    }
}

/// Whether a branch's name can be part of a suggested command.
fn is_plain(branch: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    (1..200).contains(&branch.len()) && branch.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::git::serve::packets::MAX_PACKET;

    fn line(name: &str, capabilities: &str) -> Vec<u8> {
        let (old, new) = ("0".repeat(40), "a".repeat(40));
        let text = format!("{old} {new} {name}{capabilities}");
        format!("{:04x}{text}", text.len() + 4).into_bytes()
    }

    fn read(input: &[u8]) -> Result<Vec<u8>, Refusal> {
        PushCommands::new(&PushPrefix::of_hostname("box")).read(input)
    }

    #[test]
    fn updates_below_the_prefix_pass_byte_for_byte_with_the_pack_behind_them() {
        let mut input = line("refs/heads/box/a", "\0 report-status side-band-64k");
        input.extend(line("refs/heads/box/b/c", ""));
        input.extend(b"0000PACK anything 0000 zzzz");
        let prefix = PushPrefix::of_hostname("box");
        for size in [1, 3, 50, 1000] {
            let mut commands = PushCommands::new(&prefix);
            let chunks = input.chunks(size);
            let passed: Vec<u8> = chunks.flat_map(|c| commands.read(c).unwrap()).collect();
            assert_eq!(passed, input);
        }
    }

    #[test]
    fn any_other_ref_stops_the_push_and_is_named() {
        let others = [
            "refs/heads/box",
            "refs/heads/box/",
            "refs/heads/boxes/a",
            "refs/heads/main",
            "refs/tags/v1",
            "refs/notes/commits",
            "refs/remotes/origin/main",
            "refs/dkr/x",
            "HEAD",
            "",
        ];
        for name in others {
            let mut input = line("refs/heads/box/fine", "\0side-band-64k");
            input.extend(line(name, ""));
            let refusal = read(&input).unwrap_err();
            assert!(refusal.message.contains(&format!("not `{name}`")));
            assert_eq!(refusal.packet()[4], 3);
        }
    }

    #[test]
    fn a_branch_in_the_wrong_place_is_told_the_right_one() {
        let message = |name| read(&line(name, "\0report-status")).unwrap_err().message;
        let way = "(try `git push host HEAD:refs/heads/box/side`)";
        assert!(message("refs/heads/side").ends_with(way));
        for name in ["refs/tags/v1", "refs/heads/a`b", "refs/heads/"] {
            assert!(!message(name).contains("try"), "{name}");
        }
    }

    #[test]
    fn a_client_without_bands_gets_an_error_packet() {
        let refusal = read(&line("refs/heads/main", "\0report-status")).unwrap_err();
        let packet = String::from_utf8(refusal.packet()).unwrap();
        let length = usize::from_str_radix(&packet[..4], 16).unwrap();
        assert_eq!(length + 4, packet.len());
        assert!(packet[4..].starts_with("ERR dkr: push refused: only `refs/heads/box/*`"));
    }

    #[test]
    fn what_is_no_list_of_updates_is_refused() {
        let cases: [&[u8]; 7] = [
            b"0001",
            b"0004",
            b"+004",
            b"zzzz",
            b"fff1",
            b"0009abcde",
            b"000epush-cert\0",
        ];
        for input in cases {
            assert!(read(input).is_err(), "{}", input.escape_ascii());
        }
        assert_eq!(read(b"0000").unwrap(), b"0000");
    }

    #[test]
    fn the_number_of_updates_is_bounded() {
        let mut input = line("refs/heads/box/a", "").repeat(MAX_COMMANDS);
        assert!(read(&input).is_ok());
        input.extend(line("refs/heads/box/a", ""));
        assert!(read(&input).is_err());
        let shallow = format!("0034shallow {}", "a".repeat(40));
        assert!(read(shallow.repeat(MAX_COMMANDS).as_bytes()).is_ok());
        assert!(read(shallow.repeat(MAX_COMMANDS + 1).as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn no_input_makes_it_panic_or_hold_more_than_a_packet(input: Vec<u8>, size in 1..64usize) {
            let prefix = PushPrefix::of_hostname("box");
            let mut commands = PushCommands::new(&prefix);
            for chunk in input.chunks(size) {
                if commands.read(chunk).is_err() {
                    break;
                }
                prop_assert!(commands.packets.held() <= MAX_PACKET + size);
            }
        }
    }
}
