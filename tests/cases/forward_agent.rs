//! `dkr start-image --forward-agent`: the user's SSH agent in a container, for the repository's
//! `origin` alone.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;

use super::create_image::two_commits;
use crate::support::{Invocation, Repo, Running, Sandbox, wait_until};

/// An agent with the user's key; ended with the test.
pub struct UserAgent {
    /// Its socket.
    pub socket: PathBuf,
    running: Option<Running>,
}

impl UserAgent {
    /// Starts it; it holds `~/.ssh/id_ed25519`.
    pub fn start(t: &Sandbox) -> Self {
        let socket = t.path().join("agent");
        let agent = ["-D", "-a", socket.to_str().unwrap()];
        let running = Some(t.command("ssh-agent", agent).spawn());
        assert!(wait_until(Duration::from_secs(30), || socket.exists()));
        t.sshd();
        let key = t.home().join(".ssh/id_ed25519");
        let add = t.command("ssh-add", ["-q", key.to_str().unwrap()]);
        add.env("SSH_AUTH_SOCK", &socket).success();
        UserAgent { socket, running }
    }
}

impl Drop for UserAgent {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            // It removes its socket then.
            running.signal(Signal::TERM);
            running.wait();
        }
    }
}

fn start(t: &Sandbox, repo: &Repo, options: &[&str], script: &str) -> Invocation {
    // The SSH server of the test is on the host's loopback.
    let start = ["start-image", ".", "main", "--network", "host"];
    let command = ["--", "sh", "-c", script];
    let arguments = [&start[..], options, &command].concat();
    t.dkr(arguments).in_dir(repo)
}

#[test]
fn a_container_pushes_to_origin_with_the_users_agent_and_without_the_key() {
    let t = Sandbox::new();
    let agent = UserAgent::start(&t);
    let upstream = two_commits(&t, "upstream").bare_clone_to("origin.git");
    let repo = upstream.clone_to("linux", "origin");
    let port = t.sshd().port();
    let url = format!("ssh://root@127.0.0.1:{port}{}", upstream.path().display());
    repo.git(["remote", "set-url", "origin", &url]);
    t.dkr(["create-image"]).in_dir(&repo).success();
    let forward = |script: &str| {
        let dkr = start(&t, &repo, &["--forward-agent"], script);
        dkr.env("SSH_AUTH_SOCK", &agent.socket)
    };

    // Nobody has ever connected there.
    let unknown = forward("true").failure(1);
    unknown.stderr_has("no known host key for `127.0.0.1`");
    unknown.stderr_has(&format!(
        "hint: connect to it once: `ssh -p {port} 127.0.0.1`"
    ));
    let line = format!("[127.0.0.1]:{port} {}\n", t.sshd().host_key());
    fs::write(t.home().join(".ssh/known_hosts"), line).unwrap();

    let push = format!(
        "git remote add origin {url} && git commit -q --allow-empty -m inside && \
         git push -q origin HEAD:refs/heads/inside && ls /root/.ssh && git push -q && echo pushed"
    );
    let output = forward(&push).success();
    assert_eq!(output.stdout, "known_hosts\npushed\n", "{output}");
    output.stderr_has("forwarding your SSH agent");
    assert_eq!(
        upstream.output(["log", "--format=%s", "-1", "inside"]),
        "inside"
    );

    // Without the flag there is none, and a server with another key gets nothing.
    let look = "echo \"<$SSH_AUTH_SOCK>\"; ls /run/ssh-agent.sock /root/.ssh/known_hosts";
    let without = start(&t, &repo, &[], look).env("SSH_AUTH_SOCK", &agent.socket);
    assert_eq!(without.run().stdout, "<>\n");
    let other = t.another_sshd("other", crate::support::KeyKind::Ecdsa);
    let impostor = format!("[127.0.0.1]:{} {}\n", port, other.host_key());
    fs::write(t.home().join(".ssh/known_hosts"), impostor).unwrap();
    let fetch = format!("git ls-remote {url} 2>&1 >/dev/null; echo ended with $?");
    let refused = forward(&fetch).success();
    assert!(
        refused.stdout.contains("Host key verification failed"),
        "{refused}"
    );
}

#[test]
fn an_agent_that_is_not_there_is_told_before_anything_starts() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    t.dkr(["create-image"]).in_dir(&repo).success();
    let forward = || start(&t, &repo, &["--forward-agent"], "true");
    let missing = forward().failure(2);
    missing
        .stderr_has("`SSH_AUTH_SOCK` is not set")
        .stderr_has("hint: start one");
    let file = t.path().join("file");
    fs::write(&file, "").unwrap();
    let no_socket = forward().env("SSH_AUTH_SOCK", &file).failure(2);
    no_socket.stderr_has("which is not a socket");
    let agent = UserAgent::start(&t);
    let without_origin = forward().env("SSH_AUTH_SOCK", &agent.socket).success();
    without_origin.stderr_has("warning: the repository has no `origin`");
}
