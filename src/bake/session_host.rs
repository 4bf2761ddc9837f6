//! The host's side of the transport `session`: what dkr answers when a step of the build asks for
//! the repository through the build session.
//!
//! What programs on the host write to stderr goes to the caller of the build: over SSH it would be
//! part of the step's output.
//!
//! A client names a service in its first line: `git-upload-pack` of one repository, or one of the
//! bake's streams, of which it picks lines that dkr itself listed. Nothing else that it sends
//! determines what runs or is read, because the base image may contain malicious programs.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::io::Cursor;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, join, split};
use tokio::process::Command;
use tokio::sync::mpsc::UnboundedSender;

use crate::buildkit::ssh_mount::Serving;
use crate::buildkit::{Gate, MountService};
use crate::engine::Connection;
use crate::env::Env;
use crate::error::Result;
use crate::git::serve::{Program, Service, ServiceEnd, ServiceLimits, bridge};

/// The longest name of a service.
const NAME: usize = 64;
/// How long a step may go without reading what it requested: an engine that flushes gigabytes to disk
/// stalls that long.
const STALL: Duration = Duration::from_secs(10 * 60);

/// A command on the host whose output a step of the build may ask for.
#[derive(Debug, Clone)]
pub struct HostStream {
    /// The command, quoted for a shell.
    pub command: Vec<u8>,
    /// The allowed lines of its standard input.
    pub lines: HashSet<String>,
}

/// What a step of the build may ask for, while the gate is open.
pub struct SessionHost {
    gate: Arc<Gate>,
    offer: Arc<Offer>,
    complaints: UnboundedSender<String>,
}

struct Offer {
    env: Env,
    upload_pack: Service,
    streams: HashMap<String, HostStream>,
}

impl SessionHost {
    /// Offers the repository at `git_dir` with its branches and tags, those of `remotes`, and the
    /// output of the `streams` by their names. What a failing one writes to
    /// stderr goes to `complaints`.
    ///
    /// # Errors
    /// When `git_dir` is not absolute.
    pub fn new(
        gate: Arc<Gate>,
        env: &Env,
        git_dir: &Path,
        remotes: Vec<String>,
        streams: HashMap<String, HostStream>,
        complaints: UnboundedSender<String>,
    ) -> Result<Self> {
        let upload_pack = Service::new(git_dir, Program::UploadPack { remotes })?;
        let offer = Offer {
            env: env.clone(),
            upload_pack,
            streams,
        };
        Ok(SessionHost {
            gate,
            offer: Arc::new(offer),
            complaints,
        })
    }
}

impl MountService for SessionHost {
    fn serve(&self, stream: Connection) -> Serving {
        let (gate, offer) = (self.gate.clone(), self.offer.clone());
        let complaints = self.complaints.clone();
        Box::pin(async move {
            if gate.passes().await
                && let Some(complaint) = offer.answer(stream).await
            {
                // The receiver is gone when the build has succeeded.
                let _ = complaints.send(complaint);
            }
        })
    }
}

impl Offer {
    /// Returns what went wrong on the host; the step itself checks what arrived.
    async fn answer(&self, mut stream: Connection) -> Option<String> {
        let name = read_name(&mut stream).await?;
        let limits = ServiceLimits {
            stall: STALL,
            ..ServiceLimits::default()
        };
        let never = std::future::pending();
        let ended = match self.streams.get(&name) {
            Some(wanted) => {
                let (mut reader, writer) = split(stream);
                let Some(input) = read_lines(&mut reader, &wanted.lines).await else {
                    return Some(format!(
                        "a step asked for something other than what `{name}` offers"
                    ));
                };
                let stream = join(Cursor::new(input), writer);
                bridge(stream, shell(&wanted.command), &limits, never).await
            }
            None if name == self.upload_pack.name() => {
                self.upload_pack
                    .answer(stream, &self.env, &limits, never)
                    .await
            }
            None => return None,
        };
        match ended {
            Ok(traffic) => match traffic.outcome {
                ServiceEnd::Failed(complaint) => Some(complaint),
                _ => None,
            },
            Err(error) => Some([vec![error.message], error.causes].concat().join("\n")),
        }
    }
}

/// A command that dkr itself composed, quoted for a shell.
fn shell(command: &[u8]) -> Command {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(OsString::from_vec(command.to_vec()));
    shell
}

/// The first line, without its end; nothing after it is taken from the stream.
async fn read_name(stream: &mut Connection) -> Option<String> {
    let mut name = Vec::new();
    loop {
        match stream.read_u8().await.ok()? {
            b'\n' => return String::from_utf8(name).ok(),
            byte if name.len() < NAME => name.push(byte),
            _ => return None,
        }
    }
}

/// Reads to the end; `None` unless each line is one of `lines`.
async fn read_lines(
    reader: &mut (impl AsyncRead + Unpin),
    lines: &HashSet<String>,
) -> Option<Vec<u8>> {
    let most: usize = lines.iter().map(|line| line.len() + 1).sum();
    let mut input = Vec::new();
    let mut bounded = reader.take(most as u64 + 1);
    bounded.read_to_end(&mut input).await.ok()?;
    let text = std::str::from_utf8(&input).ok()?;
    let known = input.len() <= most && text.lines().all(|line| lines.contains(line));
    known.then_some(input)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

    fn host(gate: Arc<Gate>) -> (SessionHost, UnboundedReceiver<String>) {
        let streams = [
            ("packs-0", &b"cat; echo end"[..]),
            ("broken", b"echo begin; echo oops >&2; exit 3"),
        ];
        let streams = streams.map(|(name, command)| {
            let lines = ["list", "other"].map(str::to_owned).into();
            let command = command.to_vec();
            (name.to_owned(), HostStream { command, lines })
        });
        let env = Env::from_iter([("PATH", std::env::var("PATH").unwrap())]);
        let nowhere = Path::new("/nonexistent");
        let (complaints, heard) = unbounded_channel();
        let host = SessionHost::new(gate, &env, nowhere, vec![], streams.into(), complaints);
        (host.unwrap(), heard)
    }

    async fn ask(host: &SessionHost, question: &str) -> String {
        let (mut client, server) = tokio::io::duplex(1024);
        let serving = tokio::spawn(host.serve(Box::new(server)));
        client.write_all(question.as_bytes()).await.unwrap();
        client.shutdown().await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        serving.await.unwrap();
        answer
    }

    #[tokio::test]
    async fn a_stream_is_known_by_its_name_and_nothing_else_runs() {
        let gate = Arc::new(Gate::new());
        gate.open();
        let (host, mut heard) = host(gate.clone());
        assert_eq!(ask(&host, "packs-0\nlist\n").await, "list\nend\n");
        assert_eq!(ask(&host, "packs-1\nlist\n").await, "");
        assert_eq!(ask(&host, "git-receive-pack\n").await, "");
        assert_eq!(ask(&host, &"x".repeat(500)).await, "");
        gate.close();
        assert_eq!(ask(&host, "packs-0\nlist\n").await, "");
        assert!(heard.try_recv().is_err());
    }

    #[tokio::test]
    async fn a_stream_takes_no_line_that_was_not_listed() {
        let gate = Arc::new(Gate::new());
        gate.open();
        let (host, mut heard) = host(gate);
        assert_eq!(ask(&host, "packs-0\nother\nlist").await, "other\nlistend\n");
        for asked in [
            "/etc/hostname\n",
            "../list\n",
            "-C/etc\nlist\n",
            "list\0x\n",
            "\n",
            "list\nlist\nlist\n",
        ] {
            assert_eq!(
                ask(&host, &format!("packs-0\n{asked}")).await,
                "",
                "{asked}"
            );
            let complaint = heard.recv().await.unwrap();
            assert!(complaint.contains("`packs-0`"), "{complaint}");
        }
    }

    #[tokio::test]
    async fn what_fails_on_the_host_is_heard() {
        let gate = Arc::new(Gate::new());
        gate.open();
        let (host, mut heard) = host(gate);
        assert_eq!(ask(&host, "broken\n").await, "begin\n");
        assert_eq!(heard.recv().await.unwrap(), "oops");
        assert_eq!(ask(&host, "git-upload-pack\n").await, "");
        let complaint = heard.recv().await.unwrap();
        assert!(complaint.contains("/nonexistent"), "{complaint}");
    }
}
