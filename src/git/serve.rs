//! git's own server programs, run so that an untrusted client can do no harm: `upload-pack` and
//! `receive-pack` of exactly one repository.
//!
//! Called by the channel of a running container and by builds. It accepts nothing from the client but
//! the pack protocol, runs no hook and no configured program, and must never be given a repository,
//! option or environment that a client chose.
//!
//! `upload-pack` speaks protocol version 2, in which a client may ask for any object whose id it
//! knows, advertised or not (gitprotocol-v2, `want`). That is how a build gets an exact commit;
//! hiding a ref hides its name and its id, not what it points at from a client that has the id.

mod bridge;
mod commands;
mod config;
mod flow;
mod group;
mod packets;
mod prefix;
mod quarantine;
mod receive;
mod ref_files;
mod requests;
mod shown;
#[cfg(test)]
pub(crate) mod slow_pack;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod tips;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::process::Command;

use super::command::{HARMLESS, REF_PARANOIA};
use crate::env::Env;
use crate::error::{Error, Result};

pub use bridge::{ServiceEnd, ServiceLimits, Traffic, bridge};
use commands::PushCommands;
pub use config::push_obstacle;
use group::{Process, Streams};
use packets::Client;
pub use prefix::PushPrefix;
use quarantine::Quarantine;
pub use quarantine::clear_leftovers;
pub use receive::RefUpdate;
use ref_files::RefFiles;
use requests::FetchRequests;

/// The largest pack that `receive-pack` accepts, in bytes (2 GiB).
pub const MAX_PUSH_BYTES: u64 = 2 << 30;

/// The most memory that git may allocate at once while it receives a pack: a few kilobytes of pack can
/// claim to unpack to gigabytes. Larger files are streamed (`core.bigFileThreshold` below).
const MAX_ALLOCATION: &str = "513m";

/// Which of git's server programs to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// `git upload-pack`: serves fetches of branches, tags and the tracking branches of `remotes`.
    UploadPack {
        /// Remotes of the repository whose `refs/remotes/<remote>/*` are shown.
        remotes: Vec<String>,
    },
    /// `git receive-pack`: accepts pushes to the branches below `prefix` and no others.
    ReceivePack {
        /// Where pushes may go.
        prefix: PushPrefix,
        /// The largest pack to accept, in bytes; usually [`MAX_PUSH_BYTES`].
        max_bytes: u64,
    },
    /// `git receive-pack`: receives from dkr itself what it fetched from a container.
    Deliver {
        /// The full names of the refs that are written.
        refs: Vec<String>,
        /// Whether a branch may lose commits.
        force: bool,
    },
}

/// One server program for one repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    git_dir: PathBuf,
    program: Program,
}

impl Service {
    /// The service `program` of the repository whose git directory is `git_dir`: the `.git` of
    /// the main worktree, or the bare repository.
    ///
    /// The caller has opened the repository and so checked its ownership (`safe.directory`): here this
    /// directory is trusted whoever owns it, and the user's own configuration is not read at all.
    ///
    /// # Errors
    /// When the path is not absolute.
    pub fn new(git_dir: &Path, program: Program) -> Result<Self> {
        if !git_dir.is_absolute() {
            let path = git_dir.display();
            return Err(Error::bug(format!(
                "cannot serve the relative path `{path}`"
            )));
        }
        Ok(Service {
            git_dir: git_dir.to_path_buf(),
            program,
        })
    }

    /// git's name of the service, as a client of `ext::` requests it with `%S`.
    pub fn name(&self) -> &'static str {
        match self.program {
            Program::UploadPack { .. } => "git-upload-pack",
            Program::ReceivePack { .. } | Program::Deliver { .. } => "git-receive-pack",
        }
    }

    /// The process to run, without its standard streams. Of `env` only `PATH` is used.
    ///
    /// # Errors
    /// When the repository's configuration cannot be read, or names a hook that cannot be
    /// disabled; when dkr itself would write through a symbolic ref.
    pub async fn command(&self, env: &Env) -> Result<Command> {
        let mut command = hardened_git(env, &self.git_dir);
        for hook in config::configured_hooks(env, &self.git_dir).await? {
            set(&mut command, &format!("hook.{hook}.enabled=false"));
        }
        match &self.program {
            Program::UploadPack { remotes } => self.upload_pack(&mut command, remotes),
            Program::ReceivePack { prefix, max_bytes } => {
                receive(&mut command, &[prefix.namespace()], *max_bytes);
                // They are the user's own; git would write to the ref that they point to.
                let symbolic = RefFiles(&self.git_dir).symbolic(&prefix.blocking_ref());
                hide(&mut command, "receive.hideRefs", symbolic);
                command.arg("receive-pack");
            }
            Program::Deliver { refs, force } => {
                self.none_is_symbolic(refs)?;
                receive(&mut command, &shown::folders_of(refs), MAX_PUSH_BYTES);
                let deny = format!("receive.denyNonFastForwards={}", !force);
                set(&mut command, &deny);
                command.arg("receive-pack");
            }
        }
        command.arg(&self.git_dir);
        Ok(command)
    }

    /// Settings of an `upload-pack` that shows branches, tags and the tracking branches of `remotes`.
    fn upload_pack(&self, command: &mut Command, remotes: &[String]) {
        let remotes = remotes
            .iter()
            .map(|remote| format!("refs/remotes/{remote}/"));
        let folders = ["refs/heads/", "refs/tags/"].map(str::to_owned);
        let mut folders: Vec<String> = folders.into_iter().chain(remotes).collect();
        show(command, "uploadpack.hideRefs", &folders);
        folders.push("HEAD".to_owned());
        // They would be shown with the name and the id of the ref that they point to.
        let leading_out = RefFiles(&self.git_dir).leading_out(&folders);
        hide(command, "uploadpack.hideRefs", leading_out);
        UPLOAD_PACK.iter().for_each(|line| set(command, line));
        command.env("GIT_PROTOCOL", "version=2");
        command.args(["upload-pack", "--strict"]);
    }

    fn none_is_symbolic(&self, refs: &[String]) -> Result<()> {
        let files = RefFiles(&self.git_dir);
        match refs.iter().flat_map(|name| files.symbolic(name)).next() {
            None => Ok(()),
            Some(name) => {
                let message = format!("cannot write the ref `{}`", name.display());
                let cause = "it is symbolic: the ref that it points to would be written";
                Err(Error::failed(message).cause(cause))
            }
        }
    }

    /// Answers one client on `stream`, until it or the service ends, or `gone` completes.
    ///
    /// # Errors
    /// When git cannot be started. What happens afterwards is in [`Traffic::outcome`].
    pub async fn answer<S>(
        &self,
        stream: S,
        env: &Env,
        limits: &ServiceLimits,
        gone: impl Future<Output = ()>,
    ) -> Result<Traffic>
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let rules = match &self.program {
            Program::UploadPack { .. } => Client::Fetch(FetchRequests::default()),
            Program::ReceivePack { prefix, .. } => Client::Push(PushCommands::new(prefix)),
            Program::Deliver { .. } => return Err(Error::bug("cannot serve what dkr delivers")),
        };
        let started = self.start(env, limits.grace).await?;
        Ok(bridge::answer(stream, started, Some(rules), limits, gone).await)
    }

    async fn start(&self, env: &Env, grace: Duration) -> Result<(Process, Streams)> {
        let mut command = self.command(env).await?;
        let quarantine = match self.program {
            Program::UploadPack { .. } => None,
            Program::ReceivePack { .. } | Program::Deliver { .. } => {
                clear_leftovers(env).await;
                Quarantine::watch(&mut command, env)
            }
        };
        Process::start(command, quarantine, grace)
    }
}

/// Settings of a `receive-pack` that knows nothing but what is below `folders`.
fn receive(command: &mut Command, folders: &[String], max_bytes: u64) {
    command.env("GIT_ALLOC_LIMIT", MAX_ALLOCATION);
    show(command, "receive.hideRefs", folders);
    set(command, &format!("receive.maxInputSize={max_bytes}"));
    RECEIVE_PACK.iter().for_each(|line| set(command, line));
}

/// What a fetch must not request, regardless of the repository's own configuration.
const UPLOAD_PACK: [&str; 6] = [
    "uploadpack.advertiseBundleURIs=false",
    // A filter can name the object that it is read from, and so reveal whether that exists.
    "uploadpack.allowFilter=false",
    "uploadpack.allowRefInWant=false",
    "transfer.advertiseObjectInfo=false",
    "transfer.advertiseSID=false",
    "promisor.advertise=false",
];

/// What a push must not do or cause, regardless of the repository's own configuration. The prefix
/// belongs to the container alone, so deletions and forced updates inside it are permitted.
const RECEIVE_PACK: [&str; 17] = [
    "receive.denyCurrentBranch=refuse",
    "receive.denyDeleteCurrent=refuse",
    "receive.denyDeletes=false",
    "receive.denyNonFastForwards=false",
    "receive.procReceiveRefs=",
    "receive.advertisePushOptions=false",
    "receive.fsckObjects=true",
    "receive.shallowUpdate=false",
    "receive.autogc=false",
    // `index-pack` holds one object at a time and streams larger files; `unpack-objects`
    // would hold all commits and trees of a push at once.
    "receive.unpackLimit=1",
    "core.bigFileThreshold=512m",
    "pack.threads=1",
    // A signed push would have git run the program that checks signatures.
    "gpg.program=false",
    "gpg.openpgp.program=false",
    "gpg.x509.program=false",
    "gpg.ssh.program=false",
    "transfer.advertiseSID=false",
];

/// `git` on `git_dir` with nothing of the user's environment and configuration but `PATH`, and
/// with every program that the repository could configure disabled.
fn hardened_git(env: &Env, git_dir: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .env_clear()
        .env("PATH", absolute_path(env))
        // No `~/.gitconfig` and no `~` in the repository's configuration leads to a file; older
        // versions of git have no other way to set it.
        .env("HOME", "/dev/null")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_ATTR_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        // A missing object is never fetched from a promisor remote: that would run the user's
        // ssh, proxy or credential helper.
        .env("GIT_NO_LAZY_FETCH", "1")
        .env("GIT_ALLOW_PROTOCOL", "none")
        .env(REF_PARANOIA, "0")
        .env("LC_ALL", "C")
        .stdin(Stdio::null());
    let mut safe = OsString::from("safe.directory=");
    safe.push(git_dir);
    command.arg("-c").arg(safe);
    for (key, value) in HARMLESS {
        set(&mut command, &format!("{key}={value}"));
    }
    tips::list_only_own(&mut command, git_dir);
    command
}

/// Hides all refs but those below `folders` from git.
fn show(command: &mut Command, key: &str, folders: &[String]) {
    set(command, &format!("{key}=refs/"));
    for folder in folders {
        set(command, &format!("{key}=!{folder}"));
    }
}

/// Hides `refs` that were shown before.
fn hide(command: &mut Command, key: &str, refs: Vec<PathBuf>) {
    for name in refs {
        let mut line = OsString::from(format!("{key}="));
        line.push(name);
        command.arg("-c").arg(line);
    }
}

fn set(command: &mut Command, line: &str) {
    command.args(["-c", line]);
}

/// `PATH` without relative folders: git changes into the repository, where they would find files
/// that a fetch may have put there.
fn absolute_path(env: &Env) -> OsString {
    let path = env.path("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
    let folders = std::env::split_paths(&path).filter(|folder| folder.is_absolute());
    std::env::join_paths(folders).expect("parts of a split PATH hold no separator")
}
