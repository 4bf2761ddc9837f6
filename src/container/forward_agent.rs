//! The user's SSH agent in a container (`--forward-agent`): with it, and with the host keys of the
//! repository's `origin`, the user can push to `origin` from inside.

use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use crate::app::Context;
use crate::engine::{Engine, Location};
use crate::error::{Error, Result, quoted};
use crate::git::Repository;
use crate::ssh::known_hosts;

/// Where the agent's socket is in the container.
pub const MOUNT_POINT: &str = "/run/ssh-agent.sock";

/// A running agent, and the servers it may be used for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardedAgent {
    /// Its socket on this machine.
    pub socket: PathBuf,
    /// Lines for `known_hosts` that pin the server of `origin`; empty if `origin` does not use
    /// SSH.
    pub known_hosts: String,
}

impl ForwardedAgent {
    /// Finds the user's agent, pins the server of `origin`, and reports both.
    ///
    /// # Errors
    /// When there is no agent, the engine cannot mount its socket, or no host key of the server is
    /// known.
    pub async fn find(engine: &Engine, repo: Option<&Repository>, cx: &Context) -> Result<Self> {
        let socket = socket(cx.env.path("SSH_AUTH_SOCK").as_deref())?;
        if engine.location().await? != Location::ThisMachine {
            return Err(refused()
                .cause(format!("{engine} cannot mount a socket of this machine"))
                .hint("omit `--forward-agent`"));
        }
        let origin = repo.and_then(Repository::origin_server);
        let known_hosts = match &origin {
            None => {
                cx.ui.warning(
                    "the repository has no `origin` that uses SSH: \
                     no host key is known in the container",
                );
                String::new()
            }
            Some(server) => {
                let lines = known_hosts::lines_of(&server.host, server.port, &cx.env).await?;
                if lines.is_empty() {
                    let (host, port) = (&server.host, server.port);
                    return Err(refused()
                        .cause(format!(
                            "no known host key for `{host}` port {port}, the server of `origin`"
                        ))
                        .hint(format!(
                            "connect to it once: `ssh -p {port} {}`",
                            quoted(host)
                        )));
                }
                lines.join("\n")
            }
        };
        cx.ui
            .message("forwarding your SSH agent: programs in the container can use all its keys");
        Ok(ForwardedAgent {
            socket,
            known_hosts,
        })
    }
}

fn socket(path: Option<&Path>) -> Result<PathBuf> {
    let missing = |cause: String| {
        let start = "start one: `eval \"$(ssh-agent)\" && ssh-add`";
        Error::usage("cannot forward an SSH agent")
            .cause(cause)
            .hint(start)
    };
    let path = path.ok_or_else(|| missing("`SSH_AUTH_SOCK` is not set".to_owned()))?;
    let found = std::fs::metadata(path).is_ok_and(|meta| meta.file_type().is_socket());
    if !found {
        let cause = format!(
            "`SSH_AUTH_SOCK` names `{}`, which is not a socket",
            path.display()
        );
        return Err(missing(cause));
    }
    std::path::absolute(path).map_err(|e| missing(e.to_string()))
}

fn refused() -> Error {
    Error::failed("cannot forward your SSH agent")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_a_socket() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent");
        assert!(socket(None).unwrap_err().to_string().contains("is not set"));
        assert!(socket(Some(&path)).is_err());
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert_eq!(socket(Some(&path)).unwrap(), path);
        drop(listener);
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "").unwrap();
        let error = socket(Some(&path)).unwrap_err();
        assert!(error.to_string().contains("not a socket"), "{error}");
    }
}
