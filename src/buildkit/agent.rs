//! The part of an SSH agent that `RUN --mount=type=ssh` of dkr's own step can use: signing with one key
//! while the [`Gate`] is open.
//!
//! The agent itself is a process (`ssh::agent`), dkr's own or the user's. The step's bytes are
//! not passed on unchecked: a client of an agent's socket can remove its keys, add others, lock it, and
//! sign with all of them, and what a step runs comes from the base image. So dkr itself lists the one
//! key, passes on requests to sign with it, and answers `FAILURE` to everything else. That is simpler
//! than restricting the agent by other means, and works for the user's own agent, too, of which no
//! copy with one key can be made. The protocol:
//! <https://datatracker.ietf.org/doc/draft-ietf-sshm-ssh-agent/>.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;

use super::Gate;
use super::ssh_mount::{MountService, Serving};
use crate::engine::Connection;
use crate::ssh::Identity;

/// The longest message of either side, in bytes; the same as in OpenSSH's agent.
const MAX_MESSAGE: usize = 256 * 1024;

// Message numbers and flags: sections 6.1 and 6.2 of the protocol.
const FAILURE: u8 = 5;
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const RSA_SHA2_256: u32 = 2;
const RSA_SHA2_512: u32 = 4;

/// One key of an agent behind one gate.
#[derive(Debug, Clone)]
pub struct AgentMount {
    socket: PathBuf,
    /// The public key, and certificates for it, as SSH encodes them.
    keys: Arc<[Vec<u8>]>,
    gate: Arc<Gate>,
}

impl AgentMount {
    /// Lets steps sign with `identity` while `gate` is open. Its agent has to outlive the steps.
    pub fn new(identity: &Identity, gate: Arc<Gate>) -> Self {
        AgentMount {
            socket: identity.socket().to_owned(),
            keys: identity.blobs().into(),
            gate,
        }
    }

    /// Answers requests until the stream ends or breaks the protocol.
    async fn answer_all(self, mut stream: Connection) {
        while let Some(message) = receive(&mut stream).await {
            let answer = self.answer(&message).await;
            let answer = answer.unwrap_or_else(|| vec![FAILURE]);
            if send(&mut stream, &answer).await.is_none() {
                return;
            }
        }
    }

    async fn answer(&self, message: &[u8]) -> Option<Vec<u8>> {
        match message.split_first()? {
            (&REQUEST_IDENTITIES, _) => Some(self.list()),
            (&SIGN_REQUEST, fields) if self.may_sign(fields)? && self.gate.passes().await => {
                self.pass_on(message).await
            }
            _ => None,
        }
    }

    fn list(&self) -> Vec<u8> {
        let count = u32::try_from(self.keys.len()).expect("a key has a few certificates");
        let mut answer = vec![IDENTITIES_ANSWER];
        answer.extend(count.to_be_bytes());
        for key in self.keys.iter() {
            put_string(&mut answer, key);
            // The comment: the step must not learn the name of a file on the host.
            put_string(&mut answer, b"dkr");
        }
        answer
    }

    /// Whether a request is for one of the keys. RSA with SHA-1 is refused: servers have not accepted
    /// it since OpenSSH 8.8.
    fn may_sign(&self, mut fields: &[u8]) -> Option<bool> {
        let key = take_string(&mut fields)?;
        let _data = take_string(&mut fields)?;
        let flags = u32::from_be_bytes(*fields.first_chunk()?);
        let kind = take_string(&mut &*key)?;
        let is_safe = !kind.starts_with(b"ssh-rsa") || flags & (RSA_SHA2_256 | RSA_SHA2_512) != 0;
        Some(is_safe && self.keys.iter().any(|own| own == key))
    }

    /// The agent's own answer.
    async fn pass_on(&self, message: &[u8]) -> Option<Vec<u8>> {
        let mut agent = UnixStream::connect(&self.socket).await.ok()?;
        send(&mut agent, message).await?;
        receive(&mut agent).await
    }
}

impl MountService for AgentMount {
    fn serve(&self, stream: Connection) -> Serving {
        Box::pin(self.clone().answer_all(stream))
    }
}

/// The next message; `None` at the end, and if it is too long.
async fn receive(stream: &mut (impl AsyncRead + Unpin)) -> Option<Vec<u8>> {
    let length = stream.read_u32().await.ok()? as usize;
    if length > MAX_MESSAGE {
        return None;
    }
    let mut message = vec![0; length];
    stream.read_exact(&mut message).await.ok()?;
    Some(message)
}

async fn send(stream: &mut (impl AsyncWrite + Unpin), message: &[u8]) -> Option<()> {
    let mut frame = Vec::new();
    put_string(&mut frame, message);
    stream.write_all(&frame).await.ok()?;
    stream.flush().await.ok()
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
    use super::*;
    use crate::env::Env;
    use crate::ssh::Unlock;
    use crate::ssh::key::tests::generate;
    use proptest::prelude::*;
    use std::path::Path;
    use std::process::{Output, Stdio};
    use tokio::io::DuplexStream;
    use tokio::process::Command;

    /// A new key in an agent of its own, and what a step reaches of it.
    async fn mount(folder: &Path, arguments: &[&str]) -> (Identity, AgentMount, Arc<Gate>) {
        let file = generate(folder, arguments, "");
        let identity = Identity::load(&file, Unlock::Never, &Env::default()).await;
        let identity = identity.unwrap().expect("it has no passphrase");
        let gate = Arc::new(Gate::new());
        let mount = AgentMount::new(&identity, gate.clone());
        (identity, mount, gate)
    }

    fn listen(mount: AgentMount, socket: &Path) -> tokio::task::JoinHandle<()> {
        let listener = tokio::net::UnixListener::bind(socket).unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(mount.serve(Box::new(stream)));
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
            let (_identity, mount, gate) = mount(folder, kind).await;
            // ssh-keygen signs with the agent only when the private file is not there.
            std::fs::remove_file(folder.join("key")).unwrap();
            let listening = listen(mount, &folder.join("agent"));
            let listed = run("ssh-add", &["-L"], folder).await;
            let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
            let public = std::fs::read_to_string(folder.join("key.pub")).unwrap();
            assert_eq!(listed, public.replace(" comment", " dkr"));
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
        let (identity, mount, gate) = mount(folder.path(), &["-t", "ed25519"]).await;
        gate.open();
        let listening = listen(mount, &folder.path().join("agent"));
        for arguments in [&["key"][..], &["-D"], &["-d", "key"], &["-x"]] {
            let output = run("ssh-add", arguments, folder.path()).await;
            assert!(!output.status.success(), "{arguments:?}: {output:?}");
        }
        let left = crate::ssh::agent::keys(identity.socket()).await.unwrap();
        assert_eq!(left.len(), 1);
        listening.abort();
    }

    #[tokio::test]
    async fn an_rsa_signature_needs_sha2_and_the_flags_choose_it() {
        let folder = tempfile::tempdir().unwrap();
        let kind = ["-t", "rsa", "-b", "2048"];
        let (identity, mount, gate) = mount(folder.path(), &kind).await;
        gate.open();
        let cases = [
            (0u32, None),
            (1, None),
            (2, Some("rsa-sha2-256")),
            (4, Some("rsa-sha2-512")),
        ];
        for (flags, algorithm) in cases {
            let mut message = vec![SIGN_REQUEST];
            put_string(&mut message, &identity.blobs()[0]);
            put_string(&mut message, b"data");
            message.extend(flags.to_be_bytes());
            let answer = mount.answer(&message).await;
            // The kind of the answer, the signature's length, then the algorithm's name.
            let name = answer
                .as_ref()
                .and_then(|answer| take_string(&mut &answer[5..]));
            assert_eq!(name, algorithm.map(str::as_bytes), "{flags}");
        }
    }

    #[tokio::test]
    async fn another_key_is_not_signed_with_and_a_huge_message_ends_the_connection() {
        let folder = tempfile::tempdir().unwrap();
        let (identity, mount, gate) = mount(folder.path(), &["-t", "ed25519"]).await;
        gate.open();
        // The agent holds it, and would sign.
        let second = folder.path().join("second");
        std::fs::create_dir(&second).unwrap();
        let key = generate(&second, &["-t", "ed25519"], "");
        let mut add = Command::new("ssh-add");
        let add = add
            .arg("-q")
            .arg(key)
            .env("SSH_AUTH_SOCK", identity.socket());
        assert!(add.status().await.unwrap().success());
        let keys = crate::ssh::agent::keys(identity.socket()).await.unwrap();
        let own = &identity.blobs()[0];
        let other = keys.iter().map(|key| &key.blob).find(|blob| *blob != own);
        for (blob, is_signed) in [(own, true), (other.unwrap(), false)] {
            let mut message = vec![SIGN_REQUEST];
            put_string(&mut message, blob);
            put_string(&mut message, b"data");
            message.extend(0u32.to_be_bytes());
            assert_eq!(mount.answer(&message).await.is_some(), is_signed);
        }
        let (mut client, serving) = connect(&mount);
        client.write_u32(MAX_MESSAGE as u32 + 1).await.unwrap();
        serving.await.unwrap();
    }

    fn connect(mount: &AgentMount) -> (DuplexStream, tokio::task::JoinHandle<()>) {
        let (client, server) = tokio::io::duplex(1024);
        (client, tokio::spawn(mount.serve(Box::new(server))))
    }

    #[test]
    fn no_bytes_panic_and_every_frame_is_answered() {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let made = mount(folder.path(), &["-t", "ed25519"]);
        let (_identity, mount, gate) = runtime.block_on(made);
        gate.open();
        proptest!(|(mut message: Vec<u8>, kind in prop::option::of(11u8..14))| {
            message.splice(0..0, kind);
            runtime.block_on(async {
                let (mut client, serving) = connect(&mount);
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
