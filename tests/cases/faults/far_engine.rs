//! Engines behind a real SSH server.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;

use super::one_error;
use crate::cases::create_image::two_commits;
use crate::support::{
    Answer, Api, FakeEngine, Invocation, KeyKind, Sandbox, Sshd, descendants, is_alive, wait_until,
    write_key, write_program,
};

/// How long anything may take on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// A machine whose docker client finds the engine at a socket.
struct Machine {
    sshd: Sshd,
    path: String,
    /// A line for each connection that the docker client joined.
    joined: PathBuf,
}

impl Machine {
    /// `restriction` is that of the one key that may come in, as `authorized_keys` has it.
    fn new(t: &Sandbox, restriction: &str, socket: &Path) -> Self {
        let folder = t.path().join("far");
        let bin = folder.join("bin");
        fs::create_dir_all(&bin).unwrap();
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        let (socket, joined) = (socket.display(), folder.join("joined"));
        let docker = format!(
            "#!/bin/sh\ncase $* in\n\
             'context inspect'*) echo unix://{socket} ;;\n\
             *dial-stdio) echo >>{}; exec socat -t 60 - UNIX-CONNECT:{socket} ;;\n\
             esac\n",
            joined.display()
        );
        write_program(&bin.join("docker"), &docker);
        let environment = [("PATH".to_owned(), path.clone())];
        let sshd = Sshd::start(&folder.join("sshd"), KeyKind::Ed25519, &environment);
        let key = folder.join("key");
        sshd.authorize(restriction, &write_key(KeyKind::Ed25519, "", &key));
        let known = folder.join("known_hosts");
        let line = format!("[127.0.0.1]:{} {}\n", sshd.port(), sshd.host_key());
        fs::write(&known, line).unwrap();
        let ssh = format!(
            "#!/bin/sh\nexec /usr/bin/ssh -F /dev/null -i {} -o IdentitiesOnly=yes \
             -o UserKnownHostsFile={} \"$@\"\n",
            key.display(),
            known.display()
        );
        write_program(&bin.join("ssh"), &ssh);
        Machine { sshd, path, joined }
    }

    /// A run of dkr with the engine behind this machine, at `socket` if that is not empty.
    fn dkr(&self, t: &Sandbox, arguments: &[&str], socket: &str) -> Invocation {
        let host = format!("ssh://root@127.0.0.1:{}{socket}", self.sshd.port());
        let dkr = t.dkr(arguments).env("PATH", &self.path);
        dkr.env("DOCKER_HOST", host)
    }

    fn logins(&self) -> usize {
        self.sshd.log().matches("Accepted publickey").count()
    }

    fn joined(&self) -> usize {
        fs::read_to_string(&self.joined).map_or(0, |text| text.lines().count())
    }
}

/// An engine that never says which images and containers there are.
fn silent(t: &Sandbox) -> FakeEngine {
    FakeEngine::start(t.path())
        .route("GET /images/json", Answer::Silence)
        .route("GET /containers/json", Answer::Silence)
}

#[test]
fn one_ssh_leads_every_request_to_the_engine() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    let engine = Api::of_machine();
    let machine = Machine::new(&t, "", engine.socket());
    // A second one where the first has learnt that the engine is not at the usual place.
    let usual = engine.socket() == Path::new("/var/run/docker.sock");
    let each = if usual { 1 } else { 2 };
    let create = ["create-image", "--transport", "session"];
    let create = machine.dkr(&t, &create, "").in_dir(&repo).success();
    assert_eq!((machine.logins(), machine.joined()), (each, 0), "{create}");
    assert_eq!(t.branch_images(&repo).len(), 1);

    let socket = engine.socket().display().to_string();
    let list = machine.dkr(&t, &["list-images", "."], &socket);
    list.in_dir(&repo).success();
    assert_eq!((machine.logins(), machine.joined()), (each + 1, 0));
}

#[test]
fn where_nothing_is_forwarded_each_request_has_an_ssh() {
    let t = Sandbox::new();
    for (name, restriction) in [
        ("no-port-forwarding", "no-port-forwarding"),
        ("restrict", "restrict,command=\"docker system dial-stdio\""),
    ] {
        let engine = FakeEngine::start(t.path())
            .route("GET /images/json", Answer::Json(200, "[]".into()))
            .route("GET /containers/json", Answer::Json(200, "[]".into()));
        let machine = Machine::new(&t, restriction, engine.socket());
        let list = machine.dkr(&t, &["list-images", "--json"], "").success();
        assert_eq!(list.stdout, "[]\n", "{name}");
        let asked = engine.requests();
        let asked = asked.iter().filter(|request| request.path != "/_ping");
        assert!(machine.joined() >= asked.count(), "{name}: {list}");
        drop(machine);
        fs::remove_dir_all(t.path().join("far")).unwrap();
    }
}

#[test]
fn a_server_that_dies_meanwhile_is_told_in_the_words_of_ssh() {
    let t = Sandbox::new();
    let engine = silent(&t);
    let mut machine = Machine::new(&t, "", Path::new("/nonexistent"));
    let socket = engine.socket().display().to_string();
    let dkr = machine.dkr(&t, &["list-images"], &socket).spawn();
    let asked = || engine.requests().iter().any(|r| r.path.contains("/images"));
    assert!(wait_until(PATIENCE, asked), "{:?}", engine.requests());
    machine.sshd.stop();
    let output = dkr.wait();
    assert_eq!(output.code, Some(1), "{output}");
    one_error(&output);
    output.stderr_has("Connection to 127.0.0.1 closed by remote host");

    let gone = machine.dkr(&t, &["list-images"], &socket).failure(1);
    one_error(&gone);
    gone.stderr_has("ssh://root@127.0.0.1:")
        .stderr_has("refused");
}

#[test]
fn the_ssh_of_a_killed_dkr_ends_with_it() {
    let t = Sandbox::new();
    let engine = silent(&t);
    let machine = Machine::new(&t, "", Path::new("/nonexistent"));
    let socket = engine.socket().display().to_string();
    let dkr = machine.dkr(&t, &["list-images"], &socket).spawn();
    let asked = || engine.requests().iter().any(|r| r.path.contains("/images"));
    assert!(wait_until(PATIENCE, asked), "{:?}", engine.requests());
    let ssh = descendants(dkr.pid());
    assert!(!ssh.is_empty());
    dkr.signal(Signal::KILL);
    dkr.wait();
    let ended = || !ssh.iter().any(|pid| is_alive(*pid));
    assert!(wait_until(PATIENCE, ended), "{ssh:?}");
    assert_eq!(fs::read_dir(t.path().join("tmp")).unwrap().count(), 0);
}
