//! An SSH agent inside the dkr process, answered to by `RUN --mount=type=ssh`.
//!
//! It lists one key and signs with it while its [`Gate`] is open; to every other request it answers
//! `FAILURE`, so keys can be neither added nor removed. Its protocol:
//! <https://datatracker.ietf.org/doc/draft-ietf-sshm-ssh-agent/>.

use std::sync::Arc;

use russh::keys::HashAlg;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::ssh_mount::{MountService, Serving};
use super::{Gate, Key};
use crate::engine::Connection;

/// The longest message of either side, in bytes, as OpenSSH's agent has it.
const MAX_MESSAGE: usize = 256 * 1024;

// Message numbers and flags: sections 6.1 and 6.2 of the protocol.
const FAILURE: u8 = 5;
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;
const RSA_SHA2_256: u32 = 2;
const RSA_SHA2_512: u32 = 4;

/// The agent: one key behind one gate.
#[derive(Debug, Clone)]
pub struct Agent {
    key: Key,
    gate: Arc<Gate>,
}

impl Agent {
    /// An agent that signs with `key` while `gate` is open.
    pub fn new(key: Key, gate: Arc<Gate>) -> Self {
        Agent { key, gate }
    }

    /// Answers requests until the stream ends or breaks the protocol.
    async fn answer_all(self, mut stream: Connection) {
        while let Ok(length) = stream.read_u32().await {
            let length = length as usize;
            if length > MAX_MESSAGE {
                return;
            }
            let mut message = vec![0; length];
            if stream.read_exact(&mut message).await.is_err() {
                return;
            }
            let answer = self.answer(message).await;
            let mut frame = Vec::new();
            put_string(&mut frame, &answer);
            if stream.write_all(&frame).await.is_err() || stream.flush().await.is_err() {
                return;
            }
        }
    }

    async fn answer(&self, message: Vec<u8>) -> Vec<u8> {
        let answer = match Question::parse(&message) {
            Some(Question::List) => self.list(),
            Some(Question::Sign { key, hash }) if self.holds(key) => {
                if self.gate.passes().await {
                    // An RSA signature takes long enough to be in the way of other tasks.
                    let agent = self.clone();
                    let signing = tokio::task::spawn_blocking(move || agent.sign(&message, hash));
                    signing.await.ok().flatten()
                } else {
                    None
                }
            }
            _ => None,
        };
        answer.unwrap_or_else(|| vec![FAILURE])
    }

    fn holds(&self, blob: &[u8]) -> bool {
        self.key.public_blob().is_ok_and(|own| own == blob)
    }

    fn list(&self) -> Option<Vec<u8>> {
        let mut answer = vec![IDENTITIES_ANSWER];
        answer.extend(1u32.to_be_bytes());
        put_string(&mut answer, &self.key.public_blob().ok()?);
        // A comment; the name of a file on the host is nobody else's business.
        put_string(&mut answer, b"dkr");
        Some(answer)
    }

    fn sign(&self, message: &[u8], hash: Option<HashAlg>) -> Option<Vec<u8>> {
        let (_, data, _) = sign_fields(message.get(1..)?)?;
        let mut answer = vec![SIGN_RESPONSE];
        put_string(&mut answer, &self.key.sign(data, hash)?);
        Some(answer)
    }
}

impl MountService for Agent {
    fn serve(&self, stream: Connection) -> Serving {
        Box::pin(self.clone().answer_all(stream))
    }
}

/// A request that is answered with more than `FAILURE`.
enum Question<'a> {
    List,
    Sign {
        key: &'a [u8],
        hash: Option<HashAlg>,
    },
}

impl<'a> Question<'a> {
    fn parse(message: &'a [u8]) -> Option<Self> {
        match message.split_first()? {
            (&REQUEST_IDENTITIES, _) => Some(Question::List),
            (&SIGN_REQUEST, fields) => {
                let (key, _, flags) = sign_fields(fields)?;
                let hash = if flags & RSA_SHA2_512 != 0 {
                    Some(HashAlg::Sha512)
                } else if flags & RSA_SHA2_256 != 0 {
                    Some(HashAlg::Sha256)
                } else {
                    None
                };
                Some(Question::Sign { key, hash })
            }
            _ => None,
        }
    }
}

/// Key, data and flags of a sign request.
fn sign_fields(mut fields: &[u8]) -> Option<(&[u8], &[u8], u32)> {
    let key = take_string(&mut fields)?;
    let data = take_string(&mut fields)?;
    let flags = u32::from_be_bytes(*fields.first_chunk()?);
    Some((key, data, flags))
}

fn take_string<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (string, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    *bytes = rest;
    Some(string)
}

fn put_string(to: &mut Vec<u8>, string: &[u8]) {
    let length = u32::try_from(string.len()).expect("agent messages are far below 4 GiB");
    to.extend(length.to_be_bytes());
    to.extend(string);
}

#[cfg(test)]
mod tests {
    use super::super::key::tests::generate;
    use super::*;
    use proptest::prelude::*;
    use std::path::Path;
    use std::process::{Output, Stdio};
    use tokio::io::DuplexStream;
    use tokio::process::Command;

    fn agent(folder: &Path, arguments: &[&str]) -> (Agent, Arc<Gate>) {
        let file = generate(folder, arguments, "");
        let key = Key::load(&file, &mut |_| None).unwrap();
        let gate = Arc::new(Gate::new());
        (Agent::new(key, gate.clone()), gate)
    }

    fn listen(agent: Agent, socket: &Path) -> tokio::task::JoinHandle<()> {
        let listener = tokio::net::UnixListener::bind(socket).unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(agent.serve(Box::new(stream)));
            }
        })
    }

    async fn run(program: &str, arguments: &[&str], folder: &Path) -> Output {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(folder)
            .env("SSH_AUTH_SOCK", "agent");
        command.stdin(Stdio::null()).output().await.unwrap()
    }

    async fn sign(folder: &Path) -> Output {
        std::fs::write(folder.join("text"), "a text").unwrap();
        let _ = std::fs::remove_file(folder.join("text.sig"));
        run(
            "ssh-keygen",
            &["-Y", "sign", "-f", "key.pub", "-n", "test", "text"],
            folder,
        )
        .await
    }

    #[tokio::test]
    async fn openssh_lists_the_key_and_accepts_its_signatures() {
        let kinds: [&[&str]; 5] = [
            &["-t", "ed25519"],
            &["-t", "rsa", "-b", "2048"],
            &["-t", "ecdsa", "-b", "256"],
            &["-t", "ecdsa", "-b", "384"],
            &["-t", "ecdsa", "-b", "521"],
        ];
        for kind in kinds {
            let folder = tempfile::tempdir().unwrap();
            let folder = folder.path();
            let (agent, gate) = agent(folder, kind);
            let fingerprint = agent.key.fingerprint();
            // ssh-keygen signs with the agent only when the private file is not there.
            std::fs::remove_file(folder.join("key")).unwrap();
            let listening = listen(agent, &folder.join("agent"));
            let listed = run("ssh-add", &["-l"], folder).await;
            assert!(
                String::from_utf8_lossy(&listed.stdout).contains(&fingerprint),
                "{listed:?}"
            );
            gate.open();
            let signed = sign(folder).await;
            assert!(signed.status.success(), "{kind:?}: {signed:?}");
            let mut command = Command::new("ssh-keygen");
            command.args(["-Y", "check-novalidate", "-n", "test", "-s", "text.sig"]);
            command
                .current_dir(folder)
                .stdin(std::fs::File::open(folder.join("text")).unwrap());
            let checked = command.output().await.unwrap();
            assert!(checked.status.success(), "{kind:?}: {checked:?}");
            gate.close();
            assert!(!sign(folder).await.status.success());
            listening.abort();
        }
    }

    #[tokio::test]
    async fn keys_cannot_be_added_or_removed() {
        let folder = tempfile::tempdir().unwrap();
        let (agent, gate) = agent(folder.path(), &["-t", "ed25519"]);
        gate.open();
        let listening = listen(agent, &folder.path().join("agent"));
        for arguments in [&["key"][..], &["-D"], &["-d", "key"], &["-x"]] {
            let output = run("ssh-add", arguments, folder.path()).await;
            assert!(!output.status.success(), "{arguments:?}: {output:?}");
        }
        listening.abort();
    }

    #[tokio::test]
    async fn an_rsa_signature_needs_sha2_and_the_flags_choose_it() {
        let folder = tempfile::tempdir().unwrap();
        let (agent, gate) = agent(folder.path(), &["-t", "rsa", "-b", "2048"]);
        gate.open();
        let cases = [
            (0u32, None),
            (1, None),
            (2, Some("rsa-sha2-256")),
            (4, Some("rsa-sha2-512")),
            (6, Some("rsa-sha2-512")),
        ];
        for (flags, algorithm) in cases {
            let mut message = vec![SIGN_REQUEST];
            put_string(&mut message, &agent.key.public_blob().unwrap());
            put_string(&mut message, b"data");
            message.extend(flags.to_be_bytes());
            let answer = agent.answer(message).await;
            // SIGN_RESPONSE, the signature's length, then the algorithm's name.
            let name = answer.get(5..).and_then(|mut rest| take_string(&mut rest));
            assert_eq!(name, algorithm.map(str::as_bytes), "{flags}");
            assert_eq!(
                answer[0],
                if algorithm.is_some() {
                    SIGN_RESPONSE
                } else {
                    FAILURE
                }
            );
        }
    }

    #[tokio::test]
    async fn another_key_is_not_signed_with_and_a_huge_message_ends_the_connection() {
        let folder = tempfile::tempdir().unwrap();
        let (agent, gate) = agent(folder.path(), &["-t", "ed25519"]);
        gate.open();
        let mut message = vec![SIGN_REQUEST];
        put_string(&mut message, b"another");
        put_string(&mut message, b"data");
        message.extend(0u32.to_be_bytes());
        assert_eq!(agent.answer(message).await, [FAILURE]);
        let (mut client, serving) = connect(&agent);
        client.write_u32(MAX_MESSAGE as u32 + 1).await.unwrap();
        serving.await.unwrap();
    }

    fn connect(agent: &Agent) -> (DuplexStream, tokio::task::JoinHandle<()>) {
        let (client, server) = tokio::io::duplex(1024);
        (client, tokio::spawn(agent.serve(Box::new(server))))
    }

    #[test]
    fn no_bytes_panic_and_every_frame_is_answered() {
        let folder = tempfile::tempdir().unwrap();
        let (agent, gate) = agent(folder.path(), &["-t", "ed25519"]);
        gate.open();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .build()
            .unwrap();
        proptest!(ProptestConfig::with_cases(2000), |(mut message: Vec<u8>, kind in prop::option::of(11u8..14))| {
            message.splice(0..0, kind);
            runtime.block_on(async {
                let (mut client, serving) = connect(&agent);
                let mut frame = Vec::new();
                put_string(&mut frame, &message);
                client.write_all(&frame).await.unwrap();
                let length = client.read_u32().await.unwrap();
                let mut answer = vec![0; length as usize];
                client.read_exact(&mut answer).await.unwrap();
                assert!([FAILURE, IDENTITIES_ANSWER].contains(&answer[0]));
                // Raw bytes, without a frame around them.
                client.write_all(&message).await.unwrap();
                client.shutdown().await.unwrap();
                let _ = client.read_to_end(&mut answer).await;
                serving.await.unwrap();
            });
        });
    }
}
