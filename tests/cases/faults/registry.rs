//! Base images that cannot be had, and what is asked for credentials on the way.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::json;

use super::refused;
use crate::support::{Invocation, Repo, Sandbox, write_program};

/// A registry that has nothing: all is 404, below `private/` 401.
struct Registry {
    port: u16,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Registry {
    fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let stopped = Arc::new(AtomicBool::new(false));
        let seen = stopped.clone();
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if seen.load(Ordering::SeqCst) {
                    break;
                }
                std::thread::spawn(move || answer(stream));
            }
        });
        let thread = Some(thread);
        Registry {
            port,
            stopped,
            thread,
        }
    }

    fn image(&self, name: &str) -> String {
        format!("127.0.0.1:{}/{name}", self.port)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the thread, which then sees that it is to stop.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Answers one request; a client that hangs up is no error here.
fn answer(mut stream: TcpStream) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let first = lines.next().and_then(Result::ok).unwrap_or_default();
    for line in lines.map_while(Result::ok) {
        if line.is_empty() {
            break;
        }
    }
    let status = match first.contains("/private/") {
        true => "401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"test\"",
        false => "404 Not Found",
    };
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let _ = stream.write_all(head.as_bytes());
}

fn on(t: &Sandbox, base: &str) -> (Repo, Invocation) {
    let repo = t.repo("linux");
    let repo = repo.file(".dkr.conf", format!("base_image = {base}\n"));
    repo.commit("base");
    let dkr = t.dkr(["create-image"]).in_dir(&repo);
    (repo, dkr)
}

#[test]
fn a_base_image_that_cannot_be_had_is_named() {
    let t = Sandbox::new();
    let registry = Registry::start();
    let missing = registry.image("missing:1");
    let (repo, dkr) = on(&t, &missing);
    refused(&t, &repo, dkr, 1, &[&missing, "docker login"]);
    let private = registry.image("private/base:1");
    let (repo, dkr) = on(&t, &private);
    refused(&t, &repo, dkr, 1, &[&private, "docker login"]);

    // Nothing listens there; a port that was just left may be another test's by now.
    let down = "127.0.0.1:1/base:1";
    let (repo, dkr) = on(&t, down);
    refused(
        &t,
        &repo,
        dkr,
        1,
        &[down, "connection refused", "docker pull"],
    );
}

#[test]
fn a_credential_helper_that_fails_or_hangs_costs_a_warning_and_time_but_no_more() {
    let t = Sandbox::new();
    let registry = Registry::start();
    let private = registry.image("private/base:1");
    let bin = t.path().join("bin");
    fs::create_dir(&bin).unwrap();
    for (name, script) in [
        ("hangs", "exec sleep 100"),
        ("fails", "echo no keyring; exit 1"),
    ] {
        let file = bin.join(format!("docker-credential-{name}"));
        write_program(&file, &format!("#!/bin/sh\n{script}\n"));
    }
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    for name in ["fails", "hangs"] {
        let config = json!({"credHelpers": {(format!("127.0.0.1:{}", registry.port)): name}});
        fs::write(t.path().join("config.json"), config.to_string()).unwrap();
        let (repo, dkr) = on(&t, &private);
        let dkr = dkr.env("DOCKER_CONFIG", t.path()).env("PATH", &path);
        let warning = format!("warning: no credentials for `127.0.0.1:{}`", registry.port);
        let helper = format!("docker-credential-{name}");
        let output = refused(
            &t,
            &repo,
            dkr,
            1,
            &[&warning, &helper, &private, "docker login"],
        );
        assert!(output.took < Duration::from_secs(40), "{output}");
    }
}
