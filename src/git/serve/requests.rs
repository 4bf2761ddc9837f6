//! Inspects the requests of a client that fetches, and permits only requests and arguments that are
//! known to reveal nothing but what is shown and what is requested by its id.
//!
//! Others reveal more: `deepen-not` and a filter such as `sparse:oid=` tell whether a hidden ref
//! exists. Some depend on the repository's own configuration, and each git has new ones. Format:
//! gitprotocol-v2, "Command Request".

use super::packets::{Packet, Packets, Refusal, Then, is_object_id, shown};

/// The maximum size of a request, in bytes: git holds most of it in memory.
const MAX_REQUEST: usize = 64 << 20;

/// Capabilities of the client, in addition to the command.
const CAPABILITIES: [&str; 4] = ["agent", "object-format", "session-id", "server-option"];

/// The kind of an argument's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Value {
    None,
    Id,
    Number,
    Prefix,
}

impl Value {
    fn takes(self, value: Option<&[u8]>) -> bool {
        match (self, value) {
            (Value::None, None) => true,
            (Value::Id, Some(value)) => is_object_id(value),
            (Value::Number, Some(value)) => value.iter().all(u8::is_ascii_digit),
            (Value::Prefix, Some(value)) => !value.contains(&0),
            _ => false,
        }
    }
}

const LS_REFS: [(&str, Value); 4] = [
    ("peel", Value::None),
    ("symrefs", Value::None),
    ("unborn", Value::None),
    ("ref-prefix", Value::Prefix),
];

const FETCH: [(&str, Value); 13] = [
    ("want", Value::Id),
    ("have", Value::Id),
    ("done", Value::None),
    ("thin-pack", Value::None),
    ("no-progress", Value::None),
    ("include-tag", Value::None),
    ("ofs-delta", Value::None),
    ("shallow", Value::Id),
    ("deepen", Value::Number),
    ("deepen-relative", Value::None),
    ("deepen-since", Value::Number),
    ("wait-for-done", Value::None),
    ("sideband-all", Value::None),
];

/// A client's requests, one after the other.
#[derive(Debug, Default)]
pub struct FetchRequests {
    packets: Packets,
    /// The arguments that the command takes.
    command: Option<&'static [(&'static str, Value)]>,
    in_arguments: bool,
    bytes: usize,
}

impl FetchRequests {
    /// Takes the client's next bytes and returns those that may be passed on: whole, permitted packets.
    ///
    /// # Errors
    /// When a request is not a known one.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Refusal> {
        let mut packets = std::mem::take(&mut self.packets);
        let passed = packets.read(bytes, |packet| self.check(packet).map_err(refusal));
        self.packets = packets;
        passed
    }

    fn check(&mut self, packet: Packet<'_>) -> Result<Then, String> {
        match packet {
            Packet::Flush => {
                (self.command, self.in_arguments, self.bytes) = (None, false, 0);
            }
            Packet::Delimiter if self.command.is_some() && !self.in_arguments => {
                self.in_arguments = true;
            }
            Packet::Line(line) => {
                self.bytes += line.len();
                if self.bytes > MAX_REQUEST {
                    return Err("the request is too long".to_owned());
                }
                self.check_line(line)?;
            }
            Packet::Delimiter | Packet::Malformed => {
                return Err("the request is malformed".to_owned());
            }
        }
        Ok(Then::Read)
    }

    fn check_line(&mut self, line: &[u8]) -> Result<(), String> {
        match self.command {
            Some(known) if self.in_arguments => check_argument(line, known),
            _ => self.check_key(line),
        }
    }

    fn check_key(&mut self, line: &[u8]) -> Result<(), String> {
        let (key, value) = split(line, b'=');
        if key == b"command" && self.command.is_none() {
            self.command = match value {
                Some(b"ls-refs") => Some(&LS_REFS),
                Some(b"fetch") => Some(&FETCH),
                _ => return Err(unknown(value.unwrap_or(key))),
            };
            return Ok(());
        }
        if value.is_some() && is_one_of(key, CAPABILITIES.into_iter()) {
            Ok(())
        } else {
            Err(unknown(key))
        }
    }
}

fn check_argument(line: &[u8], known: &[(&str, Value)]) -> Result<(), String> {
    let (name, value) = split(line, b' ');
    let argument = known.iter().find(|(known, _)| known.as_bytes() == name);
    match argument {
        Some((_, kind)) if kind.takes(value) => Ok(()),
        Some(_) => Err(format!("the value of `{}` is malformed", shown(name))),
        None => Err(unknown(name)),
    }
}

fn is_one_of<'a>(name: &[u8], mut known: impl Iterator<Item = &'a str>) -> bool {
    known.any(|known| known.as_bytes() == name)
}

fn unknown(name: &[u8]) -> String {
    format!("the host does not offer `{}`", shown(name))
}

/// The parts before and after the first `at`.
fn split(line: &[u8], at: u8) -> (&[u8], Option<&[u8]>) {
    let mut parts = line.splitn(2, |byte| *byte == at);
    (parts.next().unwrap_or_default(), parts.next())
}

fn refusal(reason: String) -> Refusal {
    Refusal {
        message: format!("dkr: fetch refused: {reason}"),
        sideband: false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::git::serve::packets::MAX_PACKET;

    const ID: &str = "1234567890123456789012345678901234567890";

    fn line(text: &str) -> String {
        format!("{:04x}{text}\n", text.len() + 5)
    }

    /// A request for `command` with these arguments.
    fn request(command: &str, arguments: &[&str]) -> String {
        let keys = [
            &format!("command={command}"),
            "agent=git/2",
            "object-format=sha1",
        ];
        let keys: String = keys.into_iter().map(line).collect();
        let arguments: String = arguments.iter().map(|text| line(text)).collect();
        format!("{keys}0001{arguments}0000")
    }

    fn refused(input: &str) -> String {
        let refusal = FetchRequests::default().read(input.as_bytes());
        refusal.unwrap_err().message
    }

    #[test]
    fn what_is_known_passes_byte_for_byte() {
        let with_id = ["want", "have", "shallow"].map(|name| format!("{name} {ID}"));
        let mut fetch: Vec<&str> = with_id.iter().map(String::as_str).collect();
        fetch.extend([
            "thin-pack",
            "no-progress",
            "include-tag",
            "ofs-delta",
            "deepen 3",
        ]);
        fetch.extend([
            "deepen-relative",
            "deepen-since 1700000000",
            "wait-for-done",
        ]);
        fetch.extend(["sideband-all", "done"]);
        let ls_refs = ["peel", "symrefs", "unborn", "ref-prefix refs/heads/a b"];
        let options = line("command=fetch") + &line("server-option=a=b") + &line("session-id=x");
        let input = [
            request("ls-refs", &ls_refs),
            request("fetch", &fetch),
            request("fetch", &[]),
            format!("{options}0000"),
            line("command=ls-refs") + "0000",
            "0000".to_owned(),
        ]
        .concat();
        for size in [1, 3, 50, 1000] {
            let mut requests = FetchRequests::default();
            let chunks = input.as_bytes().chunks(size);
            let passed: Vec<u8> = chunks.flat_map(|c| requests.read(c).unwrap()).collect();
            assert_eq!(passed, input.as_bytes());
        }
    }

    #[test]
    fn all_else_is_refused_by_its_name() {
        for (command, argument) in [
            ("fetch", "deepen-not refs/stash"),
            ("fetch", "filter sparse:oid=refs/stash:x"),
            ("fetch", "filter blob:none"),
            ("fetch", "want-ref refs/stash"),
            ("fetch", "packfile-uris https"),
            ("fetch", "ref-prefix refs/"),
            ("fetch", "peel"),
            ("fetch", "wait-for-do"),
            ("fetch", " done"),
            ("fetch", "WANT 1"),
            ("ls-refs", "want 1"),
            ("ls-refs", "deepen-not v1"),
            ("object-info", "size"),
            ("bundle-uri", ""),
            ("", ""),
        ] {
            let named = match command {
                "fetch" | "ls-refs" => argument.split(' ').next().unwrap(),
                command => command,
            };
            let message = refused(&request(command, &[argument]));
            let expected = format!("dkr: fetch refused: the host does not offer `{named}`");
            assert_eq!(message, expected);
        }
        for key in [
            "promisor-remote=x",
            "filter",
            "agent",
            "command=fetch",
            "want x",
        ] {
            let message = refused(&(line("command=fetch") + &line(key)));
            assert!(
                message.contains("the host does not offer"),
                "{key}: {message}"
            );
        }
    }

    #[test]
    fn values_are_what_they_must_be() {
        for argument in [
            "want HEAD",
            "want",
            "have 123",
            "shallow refs/heads/main",
            "deepen 0x1",
            "deepen -1",
            "deepen",
            "deepen-since yesterday",
            "done x",
            "thin-pack ",
            &format!("want {ID} x"),
            &format!("want {ID}\0"),
        ] {
            let message = refused(&request("fetch", &[argument]));
            assert!(message.ends_with("is malformed"), "{argument}: {message}");
        }
        for input in ["0002", "0003", "0004", "zzzz", "fff1", "0001"] {
            assert!(refused(input).ends_with("malformed"), "{input}");
        }
        let twice = line("command=fetch") + "00010001";
        assert!(refused(&twice).ends_with("malformed"));
    }

    #[test]
    fn a_request_that_does_not_end_is_refused() {
        let mut requests = FetchRequests::default();
        let start = line("command=ls-refs") + "0001";
        requests.read(start.as_bytes()).unwrap();
        let prefix = line(&format!("ref-prefix {}", "x".repeat(60_000)));
        let mut read = || requests.read(prefix.as_bytes());
        assert!((0..1000).all(|_| read().is_ok()));
        assert!((0..1000).any(|_| read().is_err()));
        // Those after each other may be long together.
        let mut requests = FetchRequests::default();
        let request = request("ls-refs", &[&format!("ref-prefix {}", "x".repeat(60_000))]);
        assert!((0..2000).all(|_| requests.read(request.as_bytes()).is_ok()));
    }

    proptest! {
        #[test]
        fn no_input_makes_it_panic_or_hold_more_than_a_packet(input: Vec<u8>, size in 1..64usize) {
            let mut requests = FetchRequests::default();
            for chunk in input.chunks(size) {
                if requests.read(chunk).is_err() {
                    break;
                }
                prop_assert!(requests.packets.held() <= MAX_PACKET + size);
            }
        }
    }
}
