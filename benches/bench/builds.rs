//! The arms that build with a Dockerfile written by hand.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use dkr::buildkit::{
    AgentMount, BuildContext, BuildFailure, BuildRequest, Gate, MountService, build,
};
use dkr::env::Env;
use dkr::ssh::known_hosts::known_hosts_line;
use dkr::ssh::ssh_url;
use dkr::ssh::{Identity, Unlock};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Frame};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::Result;
use crate::api::{Body, query};
use crate::repo::MAIN;
use crate::sandbox::Sandbox;
use crate::store::{BASE_IMAGE, LABEL, Store, text};

/// The host as a build sees it.
const HOST: &str = "127.0.0.1";
/// Bytes that are sent at a time.
const PIECE: usize = 1 << 18;

/// What all arms share; its steps are in the build cache, as dkr's own of the same kind are.
fn preparation() -> String {
    format!(
        "FROM {BASE_IMAGE}\n\
         RUN command -v git ssh tmux socat && \
         git config --system user.name Bench && git config --system user.email bench@example.com\n"
    )
}

/// Builds by hand: with an SSH agent, as `docker build --ssh default` does.
pub struct Builder<'a> {
    store: &'a Store,
    sandbox: &'a Sandbox,
    identity: Identity,
    user: String,
}

impl<'a> Builder<'a> {
    pub async fn new(store: &'a Store, sandbox: &'a Sandbox) -> Result<Self> {
        let (key, env) = (sandbox.user_key(), Env::of_process());
        let identity = Identity::load(&key, Unlock::Never, &env).await?;
        let identity = identity.ok_or("the key is encrypted")?;
        let user = sandbox.command("id").arg("-un").output()?.stdout;
        Ok(Builder {
            store,
            sandbox,
            identity,
            user: String::from_utf8(user)?.trim().to_owned(),
        })
    }

    /// Only what the arms share, so that the first of them finds it in the build cache too.
    pub async fn prepare(&self, tag: &str) -> Result<()> {
        let text = format!("{}{}", preparation(), known_hosts());
        self.build(&text, &[], tag).await
    }

    /// `git clone` of a branch in a step that has never run before.
    pub async fn clone(&self, repo: &Path, branch: &str, round: &str, tag: &str) -> Result<()> {
        let text = format!(
            "{}{}ARG URL\nARG BRANCH\nARG ROUND\n\
             RUN --mount=type=ssh git clone --origin host --branch \"$BRANCH\" \"$URL\" /workspace\n\
             WORKDIR /workspace\n",
            preparation(),
            known_hosts(),
        );
        let url = ssh_url(
            &self.user,
            HOST,
            self.sandbox.port(),
            &repo.to_string_lossy(),
        );
        let arguments = [("URL", url.as_str()), ("BRANCH", branch), ("ROUND", round)];
        self.build(&text, &arguments, tag).await
    }

    /// The newest commits on an image that was cloned.
    pub async fn update(&self, from: &str, round: &str, tag: &str) -> Result<()> {
        let text = format!(
            "FROM {from}\nARG ROUND\n\
             RUN --mount=type=ssh cd /workspace && git fetch host && git rebase host/{MAIN}\n"
        );
        self.build(&text, &[("ROUND", round)], tag).await
    }

    async fn build(&self, dockerfile: &str, arguments: &[(&str, &str)], tag: &str) -> Result<()> {
        let gate = Arc::new(Gate::new());
        gate.open();
        let agent: Arc<dyn MountService> = Arc::new(AgentMount::new(&self.identity, gate));
        let line = known_hosts_line(HOST, self.sandbox.port(), &self.sandbox.host_key());
        let pairs = arguments.iter();
        let request = BuildRequest {
            context: BuildContext::new()
                .file("Dockerfile", 0o644, dockerfile)
                .file("known_hosts", 0o644, format!("{line}\n")),
            tags: vec![tag.to_owned()],
            build_args: pairs
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect::<BTreeMap<_, _>>(),
            labels: BTreeMap::from([(LABEL.to_owned(), self.store.run.clone())]),
            network: Some("host".to_owned()),
            mounts: HashMap::from([("default".to_owned(), agent)]),
            ..BuildRequest::default()
        };
        let never = std::future::pending();
        let env = Env::of_process();
        let built = build(&self.store.api.engine, &env, request, &mut |_| (), never).await;
        built.map(drop).map_err(|failure| worded(failure).into())
    }

    /// The repository with its work tree, `COPY`d from the build context; `round` makes the step
    /// one that has never run before.
    pub async fn copy(&self, repo: &Path, round: &str, tag: &str) -> Result<()> {
        let dockerfile = format!(
            "{}COPY repository /workspace\nWORKDIR /workspace\n",
            preparation()
        );
        let labels = json!({LABEL: self.store.run}).to_string();
        let pairs = [
            ("version", "2"),
            ("t", tag),
            ("networkmode", "host"),
            ("labels", &labels),
        ];
        let query = query(&pairs);
        let (body, writer) = stream();
        let (repo, round) = (repo.to_owned(), round.to_owned());
        let sending = tokio::task::spawn_blocking(move || {
            write_context(writer, &dockerfile, &repo, &round).map_err(|e| e.to_string())
        });
        let path = format!("/build?{query}");
        let answer = self
            .store
            .api
            .bytes("POST", &path, "application/x-tar", body)
            .await;
        sending.await??;
        let answer = answer?;
        let values = serde_json::Deserializer::from_slice(&answer).into_iter::<Value>();
        for value in values {
            let error = text(&value?["error"]);
            if !error.is_empty() {
                return Err(error.into());
            }
        }
        Ok(())
    }
}

fn known_hosts() -> &'static str {
    "COPY known_hosts /etc/ssh/ssh_known_hosts\n"
}

fn worded(failure: BuildFailure) -> String {
    let log = match &failure {
        BuildFailure::Step(step) => step.log.join("\n"),
        _ => String::new(),
    };
    let error = failure.into_error();
    format!("{}: {}\n{log}", error.message, error.causes.join(": "))
}

/// A body, and where to write it.
fn stream() -> (Body, impl Write + Send + 'static) {
    let (pieces, body) = mpsc::channel(8);
    let body = StreamBody::new(ReceiverStream::new(body));
    let writer = BufWriter::with_capacity(PIECE, Pieces(pieces));
    (BodyExt::boxed(body), writer)
}

struct Pieces(mpsc::Sender<io::Result<Frame<Bytes>>>);

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = Frame::data(Bytes::copy_from_slice(bytes));
        let sent = self.0.blocking_send(Ok(piece));
        sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_context(to: impl Write, dockerfile: &str, repo: &Path, round: &str) -> io::Result<()> {
    let mut archive = tar::Builder::new(to);
    archive.follow_symlinks(false);
    let mut file = |path: &str, text: &str| {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(text.len() as u64);
        archive.append_data(&mut header, path, text.as_bytes())
    };
    file("Dockerfile", dockerfile)?;
    // A file that git does not look at.
    file("repository/.git/dkr-bench", round)?;
    archive.append_dir_all("repository", repo)?;
    archive.into_inner()?.flush()
}
