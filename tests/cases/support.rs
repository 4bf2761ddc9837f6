//! The machinery of the tests itself: a test built on a broken one proves nothing.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{
    Answer, Api, BASE_IMAGE, FakeEngine, Image, KeyKind, Output, PrivateEngine, RepoState, Running,
    Sandbox, Sshd,
};

#[test]
fn the_same_story_makes_the_same_commits() {
    let tell = || {
        let t = Sandbox::new();
        let repo = t.repo("linux").file("README", "hello").commit("initial");
        repo.commits(3).file("a/b", "x").commit("more").rev("HEAD")
    };
    assert_eq!(tell(), tell());
}

#[test]
fn branches_begin_at_earlier_commits() {
    let t = Sandbox::new();
    let repo = t.repo("linux").file("a", "1").commit("one");
    repo.file("a", "2").commit("two").tag("v2").commits(3);
    repo.switch_new("topic", "main:0")
        .file("b", "1")
        .commit("t");

    assert_eq!(repo.rev("topic:0"), repo.rev("main:0"));
    assert_eq!(repo.rev("v2"), repo.rev("main:1"));
    assert_eq!(repo.output(["rev-list", "--count", "main"]), "5");
    assert_eq!(repo.output(["rev-list", "--count", "topic"]), "2");
    repo.reset("main:0").checkout("main:1");
    assert_eq!(repo.rev("topic"), repo.rev("main:0"));
    assert_eq!(fs::read_to_string(repo.path().join("a")).unwrap(), "2");
    repo.remove("a")
        .executable("run", "#!/bin/sh\n")
        .symlink("link", "run");
    assert_eq!(repo.output(["status", "--short"]), " D a\n?? link\n?? run");
}

#[test]
fn clones_have_remotes_of_any_name() {
    let t = Sandbox::new();
    let upstream = t.repo("upstream").file("a", "1").commit("one");
    let bare = upstream.bare_clone_to("server.git");
    let repo = bare.clone_to("work", "space").file("a", "2").commit("two");
    repo.push("space", "main")
        .reset("main:0")
        .push("space", "+main");
    assert_eq!(bare.rev("main"), upstream.rev("main"));

    repo.branch("side", "main").remote("other/name", &upstream);
    assert_eq!(repo.rev("other/name/main"), upstream.rev("main"));
    let linked = repo.worktree("linked", "side").file("b", "1").commit("b");
    assert_eq!(repo.rev("side"), linked.rev("HEAD"));
}

#[test]
fn the_state_of_a_repository_tells_every_change() {
    let t = Sandbox::new();
    let repo = t.repo("linux").file("a", "1").commit("one");
    let before: RepoState = repo.state();
    repo.git(["cat-file", "-p", "HEAD"]);
    assert!(repo.state() == before);

    repo.file("a", "2")
        .git(["config", "x.y", "z"])
        .branch("b", "main");
    let changed = repo.state().changed_since(&before);
    let names = [
        "git:/config",
        "git:/logs/refs/heads/b",
        "git:/refs/heads/b",
        "work:/a",
    ];
    assert_eq!(changed, names);
}

#[test]
fn a_program_sees_only_the_sandbox() {
    let t = Sandbox::new();
    let seen = t
        .command("sh", ["-c", "env; cat; echo error >&2; exit 3"])
        .env("A", "b")
        .env_remove("TERM")
        .stdin("input\n")
        .failure(3);
    seen.stderr_has("error");
    let mut names: Vec<&str> = seen
        .stdout
        .lines()
        .filter_map(|l| Some(l.split_once('=')?.0))
        .collect();
    names.retain(|name| !["PATH", "USER", "LOGNAME", "DOCKER_HOST", "PWD"].contains(name));
    names.sort_unstable();
    let expected = [
        "A",
        "GIT_CONFIG_GLOBAL",
        "GIT_CONFIG_NOSYSTEM",
        "HOME",
        "LANG",
        "TMPDIR",
        "XDG_CACHE_HOME",
        "XDG_CONFIG_HOME",
        "XDG_DATA_HOME",
        "XDG_RUNTIME_DIR",
        "XDG_STATE_HOME",
    ];
    assert_eq!(names, expected);
    assert!(seen.stdout_bytes.ends_with(b"input\n"), "{seen}");
    assert!(t.home().starts_with(t.path()));
    assert_ne!(t.unique("linux"), Sandbox::new().unique("linux"));
}

#[test]
fn dkr_runs_in_the_sandbox() {
    let t = Sandbox::new();
    let repo = t.repo("linux");
    t.dkr(["--version"]).in_dir(&repo).success();
}

#[test]
fn a_program_is_interrupted_with_its_children() {
    let t = Sandbox::new();
    let script = "echo ready >&2; sleep 100; echo survived";
    let mut running: Running = t.command("sh", ["-c", script]).in_dir(t.home()).spawn();
    running.wait_for_stderr("ready");
    assert!(running.pid() > 1);
    running.signal(Signal::INT);
    let ended = running.wait();
    assert_eq!((ended.code, ended.signal()), (None, Some(2)), "{ended}");
    assert!(ended.took < Duration::from_secs(20));
}

#[test]
fn a_program_that_hangs_is_killed() {
    let t = Sandbox::new();
    let hanging = t
        .command("sleep", ["100"])
        .limit(Duration::from_millis(100));
    let panic = catch_unwind(AssertUnwindSafe(|| hanging.run())).unwrap_err();
    let message = panic.downcast_ref::<String>().unwrap();
    let ended = message.contains("has not ended: `sleep 100`");
    assert!(ended, "{message}");
}

#[test]
fn what_a_program_has_started_does_not_hold_up_a_test() {
    let t = Sandbox::new();
    let script = "echo said; sleep 100 & exit 3";
    let left = t
        .command("sh", ["-c", script])
        .limit(Duration::from_millis(100));
    let panic = catch_unwind(AssertUnwindSafe(|| left.run())).unwrap_err();
    let message = panic.downcast_ref::<String>().unwrap();
    let held = "a child held the output open: `sh -c echo said;";
    assert!(message.starts_with(held), "{message}");
    assert!(message.contains("exit status: 3"), "{message}");
    assert!(message.contains("--- stdout\nsaid\n"), "{message}");
}

#[test]
fn the_ssh_server_lets_in_the_keys_of_the_sandbox() {
    let t = Sandbox::new();
    let repo = t.repo("linux").file("a", "1").commit("one");
    let list = |sshd: &Sshd, key: &Path| -> Output {
        let host = "127.0.0.1";
        let known = t.path().join("known_hosts");
        let line = format!("[{host}]:{} {}\n", sshd.port(), sshd.host_key());
        fs::write(&known, line).unwrap();
        let options = format!(
            "ssh -F none -o BatchMode=yes -o IdentitiesOnly=yes -o UserKnownHostsFile={} -i {}",
            known.display(),
            key.display(),
        );
        let url = format!("ssh://[{host}]:{}{}", sshd.port(), repo.path().display());
        t.command("git", ["ls-remote", &url, "HEAD"])
            .env("GIT_SSH_COMMAND", options)
            .run()
    };

    let default = t.home().join(".ssh/id_ed25519");
    let answer = list(t.sshd(), &default);
    assert_eq!(
        answer.stdout,
        format!("{}\tHEAD\n", repo.rev("HEAD")),
        "{answer}"
    );
    let kinds = [
        KeyKind::Rsa,
        KeyKind::RsaPem,
        KeyKind::RsaPkcs8,
        KeyKind::Ecdsa,
    ];
    for kind in kinds {
        let answer = list(t.sshd(), &t.key(kind, ""));
        assert_eq!(answer.code, Some(0), "{kind:?}: {answer}");
    }
    let encrypted = list(t.sshd(), &t.key(KeyKind::Ed25519, "secret"));
    assert_eq!(encrypted.code, Some(128), "{encrypted}");

    let mut other = t.another_sshd("other", KeyKind::Rsa);
    assert_eq!(list(&other, &default).code, Some(128));
    let public = fs::read_to_string(default.with_extension("pub")).unwrap();
    other.authorize("restrict", &public);
    let answer = list(&other, &default);
    assert_eq!(answer.code, Some(0), "{answer}");
    other.authorize_nobody();
    list(&other, &default).stderr_has("Permission denied");
    assert!(
        other.log().contains("Accepted publickey"),
        "{}",
        other.log()
    );
    other.stop();
    // Its port may be another's by now.
    let stopped = list(&other, &default);
    assert_ne!(stopped.code, Some(0), "{stopped}");
}

#[test]
fn an_image_is_asked_about() {
    let t = Sandbox::new();
    let base = t.image_named(BASE_IMAGE);
    assert!(base.tags().contains(&BASE_IMAGE.to_owned()));
    assert!(base.env().iter().any(|v| v.starts_with("PATH=")));
    assert_eq!(base.layers().len(), 1);
    assert_eq!(base.label("dkr.commit"), "");
    assert!(base.history().iter().any(|(_, size)| *size > 100_000_000));
    assert!(base.run(["git", "--version"]).starts_with("git version 2."));

    let script = ["sh", "-c", "echo $A; echo oops >&2; exit 7"];
    let options = json!({"Env": ["A=b"], "HostConfig": {"NetworkMode": "host"}});
    let ended = base.run_with(&script, options);
    assert_eq!(
        (ended.code, &*ended.stdout, &*ended.stderr),
        (7, "b\n", "oops\n")
    );
}

#[test]
fn the_images_of_a_sandbox_go_with_it() {
    let api = Api::of_machine();
    let t = Sandbox::new();
    let repo = t.repo("linux").file("a", "1").commit("one");
    let base = t.image_named(BASE_IMAGE);
    let container = api.post(
        "/containers/create",
        &json!({"Image": base.id(), "Cmd": ["true"]}),
    );
    let id = container["Id"].as_str().unwrap();
    let commit = |time: &str| {
        let labels = json!({
            "dkr.repo_path": repo.path(), "dkr.branch": "main", "dkr.created_at": time,
        });
        api.post(
            &format!(
                "/commit?container={id}&repo=dkr&tag={}-{}",
                t.unique("t"),
                &time[..4]
            ),
            &json!({"Labels": labels}),
        );
    };
    commit("2001-01-01T00:00:00Z");
    commit("2002-01-01T00:00:00Z");
    api.delete(&format!("/containers/{id}?force=1"));

    assert_eq!(t.images(&repo).len(), 2);
    let newest = t.image(&repo, "main");
    assert_eq!(newest.label("dkr.created_at"), "2002-01-01T00:00:00Z");
    let running = json!({"Image": newest.id(), "Cmd": ["sleep", "100"]});
    let running = api.post("/containers/create", &running);
    let running = running["Id"].as_str().unwrap().to_owned();
    api.post(&format!("/containers/{running}/start"), &Value::Null);

    let path = repo.path().to_owned();
    drop(t);
    let filter = json!({"label": [format!("dkr.repo_path={}", path.display())]});
    assert!(Image::matching(&api, &filter, &path).is_empty());
    assert!(api.find(&format!("/containers/{running}/json")).is_none());
}

#[test]
fn the_fake_engine_answers_as_told() {
    let t = Sandbox::new();
    let engine = FakeEngine::start(t.path())
        .route("GET /images/json", Answer::Json(500, "{}".into()))
        .route("GET /images/json", Answer::Json(200, "[1]".into()))
        .route("POST /build", Answer::Parts(vec!["a".into(), "bc".into()]))
        .route("POST /cut", Answer::CutOff(vec!["a".into()]))
        .route("POST /session", Answer::Upgrade(Duration::from_millis(50)))
        .route("GET /close", Answer::Close)
        .route("GET /silence", Answer::Silence);
    assert!(Api::at(engine.socket()).answers());
    assert!(engine.host().starts_with("unix:///"));

    let ask = |request: &str| {
        let mut stream = UnixStream::connect(engine.socket()).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let silent = request.contains("/silence");
        let limit = Duration::from_millis(if silent { 500 } else { 10_000 });
        stream.set_read_timeout(Some(limit)).unwrap();
        let mut answer = String::new();
        let ended = stream.read_to_string(&mut answer).is_ok();
        let body = answer
            .split_once("\r\n\r\n")
            .map(|(_, body)| body.to_owned());
        (body.unwrap_or_default(), ended)
    };
    assert_eq!(
        ask("GET /v1.41/images/json?all=1 HTTP/1.1\r\n\r\n"),
        ("[1]".into(), true)
    );
    let build = "POST /build HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntar\r\n0\r\n\r\n";
    assert_eq!(ask(build), ("1\r\na\r\n2\r\nbc\r\n0\r\n\r\n".into(), true));
    assert_eq!(
        ask("POST /cut HTTP/1.1\r\n\r\n"),
        ("1\r\na\r\n".into(), true)
    );
    assert_eq!(ask("POST /session HTTP/1.1\r\n\r\n"), (String::new(), true));
    assert_eq!(ask("GET /close HTTP/1.1\r\n\r\n"), (String::new(), true));
    assert_eq!(ask("GET /silence HTTP/1.1\r\n\r\n"), (String::new(), false));
    assert_eq!(ask("HEAD /_ping HTTP/1.1\r\n\r\n"), (String::new(), true));

    let requests = engine.requests();
    let build = requests.iter().find(|r| r.path == "/build").unwrap();
    assert_eq!((&*build.method, &*build.body), ("POST", &b"tar"[..]));
    assert_eq!(build.header("Transfer-Encoding"), Some("chunked"));
}

#[test]
fn a_private_engine_is_killed_and_comes_back() {
    let t = Sandbox::new();
    let mut engine = PrivateEngine::start(&t);
    assert!(engine.host().contains("/engine-"));
    let base = engine.api().find(&format!("/images/{BASE_IMAGE}/json"));
    let base = Image::new(engine.api(), base.unwrap(), t.path());
    assert_eq!(base.run(["echo", "hello"]), "hello\n");
    engine.kill();
    assert!(!engine.api().answers());
    engine.start_again();
    assert_eq!(base.run(["echo", "again"]), "again\n");
}

#[test]
fn a_private_engine_has_a_small_disk() {
    let t = Sandbox::new();
    let engine = PrivateEngine::with_disk(&t, "700m");
    let base = engine.api().find(&format!("/images/{BASE_IMAGE}/json"));
    let base = Image::new(engine.api(), base.unwrap(), t.path());
    let write = |megabytes: &str| {
        let count = format!("count={megabytes}");
        let dd = ["dd", "if=/dev/zero", "of=/big", "bs=1M", &count];
        base.run_with(&dd, json!({})).code
    };
    assert_eq!((write("100"), write("900")), (0, 1));
}

#[test]
fn a_terminal_is_typed_into_and_read() {
    let t = Sandbox::new();
    let script = "printf 'name? '; read name; printf '\\033[1mhello\\033[0m %s\\n' \"$name\"; \
                  stty size; read again; stty size; exit 7";
    let terminal = t
        .command("sh", ["-c", script])
        .env("TERM", "xterm")
        .terminal(80, 24);
    terminal.wait_for("name?");
    terminal.send_keys(&["world", "Enter"]);
    let screen = terminal.wait_for("24 80");
    assert!(screen.contains("hello world"), "{screen}");
    assert!(terminal.screen_with_colours().contains("\u{1b}[1mhello"));
    terminal.resize(100, 30);
    terminal.send_keys(&["Enter"]);
    terminal.wait_for("30 100");
    assert_eq!(terminal.exit_code(), 7);

    let killed = t.command("sh", ["-c", "kill -KILL $$"]).terminal(80, 24);
    assert_eq!(killed.exit_code(), 137);
}
