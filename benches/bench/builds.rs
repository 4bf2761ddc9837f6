//! The arms that build with a Dockerfile written by hand.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde_json::{Value, json};
use testkit::{SANDBOX_LABEL, Sandbox};

use crate::Result;
use crate::repo::MAIN;
use crate::store::{BASE_IMAGE, Store, pairs, text};

/// The host as a build sees it.
const HOST: &str = "127.0.0.1";
/// Bytes that are sent at a time.
const PIECE: usize = 1 << 18;
/// Gives a step the benchmark's key and known hosts. An SSH agent (`type=ssh`), of which only the
/// signature of the login comes, would need a BuildKit session.
const MOUNT: &str = "--mount=type=bind,source=ssh,target=/root/.ssh";

/// What all arms share; its steps are in the build cache, as dkr's own of the same kind are.
fn preparation() -> String {
    format!(
        "FROM {BASE_IMAGE}\n\
         RUN command -v git ssh tmux socat && \
         git config --system user.name Bench && git config --system user.email bench@example.com\n"
    )
}

/// Builds by hand, as `docker build` does.
pub struct Builder<'a> {
    store: &'a Store<'a>,
    sandbox: &'a Sandbox,
    user: String,
}

impl<'a> Builder<'a> {
    pub fn new(store: &'a Store, sandbox: &'a Sandbox) -> Self {
        let user = sandbox.command("id", ["-un"]).success().stdout;
        Builder {
            store,
            sandbox,
            user: user.trim().to_owned(),
        }
    }

    /// Only what the arms share, so that the first of them finds it in the build cache too.
    pub fn prepare(&self, tag: &str) -> Result<()> {
        self.build(&preparation(), &[], tag)
    }

    /// `git clone` of a branch in a step that has never run before.
    pub fn clone(&self, repo: &Path, branch: &str, round: &str, tag: &str) -> Result<()> {
        let text = format!(
            "{}ARG URL\nARG BRANCH\nARG ROUND\n\
             RUN {MOUNT} git clone --origin host --branch \"$BRANCH\" \"$URL\" /workspace\n\
             WORKDIR /workspace\n",
            preparation(),
        );
        let path = testkit::query(&repo.to_string_lossy()).replace("%2F", "/");
        let url = format!("ssh://{}@{HOST}:{}{path}", self.user, self.port());
        let arguments = [("URL", url.as_str()), ("BRANCH", branch), ("ROUND", round)];
        self.build(&text, &arguments, tag)
    }

    /// The newest commits on an image that was cloned.
    pub fn update(&self, from: &str, round: &str, tag: &str) -> Result<()> {
        let text = format!(
            "FROM {from}\nARG ROUND\n\
             RUN {MOUNT} cd /workspace && git fetch host && git rebase host/{MAIN}\n"
        );
        self.build(&text, &[("ROUND", round)], tag)
    }

    fn build(&self, dockerfile: &str, arguments: &[(&str, &str)], tag: &str) -> Result<()> {
        // It makes the key when it starts.
        let host_key = self.sandbox.sshd().host_key();
        let key = fs::read_to_string(self.sandbox.home().join(".ssh/id_ed25519"))?;
        let known_hosts = format!("[{HOST}]:{} {host_key}\n", self.port());
        let mut context = tar::Builder::new(Vec::new());
        add_file(&mut context, "Dockerfile", dockerfile)?;
        add_file(&mut context, "ssh/id_ed25519", &key)?;
        add_file(&mut context, "ssh/known_hosts", &known_hosts)?;
        let log = self
            .store
            .api
            .post_tar(&self.request(arguments, tag), &context.into_inner()?);
        built(&log)
    }

    /// The repository with its work tree, `COPY`d from the build context.
    pub fn copy(&self, repo: &Path, context: &Context, tag: &str) -> Result<()> {
        let path = self.request(&[], tag);
        let (reader, writer) = io::pipe()?;
        std::thread::scope(|scope| {
            let sending = scope.spawn(|| context.write(writer, repo));
            let log = self.store.api.post_tar_from(&path, reader, context.size);
            sending.join().map_err(|_| "the build context was lost")??;
            built(&log)
        })
    }

    /// The path and query of a request for a build that BuildKit does.
    fn request(&self, arguments: &[(&str, &str)], tag: &str) -> String {
        let arguments: Value = arguments.iter().copied().collect();
        let labels = json!({SANDBOX_LABEL: self.sandbox.path()});
        let pairs = pairs(&[
            ("version", "2"),
            ("t", tag),
            ("networkmode", "host"),
            ("labels", &labels.to_string()),
            ("buildargs", &arguments.to_string()),
        ]);
        format!("/build?{pairs}")
    }

    fn port(&self) -> u16 {
        self.sandbox.sshd().port()
    }
}

/// What the log of a build says of its end.
fn built(log: &str) -> Result<()> {
    for line in serde_json::Deserializer::from_str(log).into_iter::<Value>() {
        let error = text(&line?["error"]);
        if !error.is_empty() {
            return Err(error.into());
        }
    }
    Ok(())
}

/// A build context that holds a repository.
pub struct Context {
    round: String,
    /// Its bytes, which the engine wants to know first.
    size: u64,
}

impl Context {
    /// `round` makes the step that copies it one that has never run before.
    pub fn new(repo: &Path, round: &str) -> Result<Self> {
        let mut context = Context {
            round: round.to_owned(),
            size: 0,
        };
        let mut counter = Counter(0);
        context.write(&mut counter, repo)?;
        context.size = counter.0;
        Ok(context)
    }

    fn write(&self, to: impl Write, repo: &Path) -> io::Result<()> {
        let mut archive = tar::Builder::new(BufWriter::with_capacity(PIECE, to));
        archive.follow_symlinks(false);
        let dockerfile = format!(
            "{}COPY repository /workspace\nWORKDIR /workspace\n",
            preparation()
        );
        add_file(&mut archive, "Dockerfile", &dockerfile)?;
        // A file that git does not look at.
        add_file(&mut archive, "repository/.git/dkr-bench", &self.round)?;
        archive.append_dir_all("repository", repo)?;
        archive.into_inner()?.flush()
    }
}

/// Counts what is written.
struct Counter(u64);

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Adds a file that only its owner reads, as ssh wants it of a key.
fn add_file(archive: &mut tar::Builder<impl Write>, path: &str, text: &str) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o600);
    header.set_size(text.len() as u64);
    archive.append_data(&mut header, path, text.as_bytes())
}
