//! `dkr start-image`: a container on its own branch, with what the user gives it, and its way back.

use std::fs;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::create_image::{conf, two_commits};

use crate::support::{Api, Invocation, Repo, Sandbox, query, wait_until};

/// A start from the newest image of a repository's `main`.
pub fn start<'a>(
    t: &Sandbox,
    repo: &'a Repo,
    options: &[&'a str],
    command: &[&'a str],
) -> Invocation {
    let path = repo.path().to_str().unwrap();
    let arguments = [&["start-image", path, "main"], options, &["--"], command];
    t.dkr(arguments.concat())
}

/// The containers of a repository, running or not.
pub fn containers(repo: &Repo) -> usize {
    let label = format!("dkr.repo_path={}", repo.path().display());
    let filter = query(&json!({"label": [label]}).to_string());
    let found = Api::of_machine().get(&format!("/containers/json?all=1&filters={filter}"));
    found.as_array().unwrap().len()
}

/// A person's name and address, where git keeps them for one repository.
fn with_identity(repo: Repo) -> Repo {
    repo.git(["config", "user.name", "Ada Lovelace"]);
    repo.git(["config", "user.email", "ada@example.com"])
}

pub fn hostname() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    name.trim().to_owned()
}

#[test]
fn a_container_is_on_a_branch_of_its_own_at_the_newest_commit() {
    let t = Sandbox::new();
    let repo = with_identity(two_commits(&t, "linux"));
    t.dkr(["create-image"]).in_dir(&repo).success();
    repo.file("new", "new").commit("new");

    let script = "git branch --show-current; git rev-parse --abbrev-ref @{upstream}; \
                  git log --format=%s; git status --porcelain; git config user.name; hostname; \
                  cat /root/.claude.json";
    let output = start(&t, &repo, &[], &["sh", "-c", script]).success();
    let lines: Vec<&str> = output.stdout.lines().collect();
    let (branch, rest) = lines.split_first().unwrap();
    let words: Vec<&str> = branch.split('-').collect();
    let is_word = |word: &&str| word.len() > 1 && word.chars().all(|c| c.is_ascii_lowercase());
    assert!(words.len() == 2 && words.iter().all(is_word), "{branch}");
    let (last, rest) = rest.split_last().unwrap();
    let expected = ["host/main", "new", "add a", "initial", "Ada Lovelace"];
    assert_eq!(rest, [&expected[..], &[&hostname()]].concat(), "{output}");
    let trust: Value = serde_json::from_str(last).unwrap();
    assert_eq!(
        trust["projects"]["/workspace"]["hasTrustDialogAccepted"],
        true
    );
    assert_eq!(trust["hasCompletedOnboarding"], true);
    output.stderr_has("is 1 commit behind `main`");
    let commit = &repo.rev("main")[..7];
    output.stderr_has(&format!("Working copy updated to {commit}"));
    output.stderr_has(&format!("on branch {branch} (tracking host/main)"));
    assert_eq!(containers(&repo), 0);

    let name = t.unique("my-feature");
    let named = start(
        &t,
        &repo,
        &["--name", &name],
        &["git", "branch", "--show-current"],
    );
    assert_eq!(named.success().stdout, format!("{name}\n"));

    // Without dkr.
    for network in ["none", "bridge", "host"] {
        let options = json!({"HostConfig": {"NetworkMode": network}});
        let ended = t.image(&repo, "main").run_with(&["git", "status"], options);
        assert_eq!(ended.code, 0, "{ended:?}");
        assert!(ended.stdout.contains("working tree clean"), "{ended:?}");
    }
}

#[test]
fn a_name_that_cannot_be_a_branch_is_refused_before_anything_starts() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    t.dkr(["create-image"]).in_dir(&repo).success();
    let host = hostname();
    let taken = t.unique("taken");
    repo.branch(&format!("{host}/{taken}"), "main");
    let below = format!("{taken}/x");
    let longest = format!("{:x<240}", t.unique("long"));
    let too_long = format!("{longest}x");
    let bad = [
        "-x", "a..b", "a b", "HEAD", "x.lock", "a~1", "main", "main/x", &below, "", &too_long,
    ];
    for name in bad {
        let output = start(&t, &repo, &["--name", name], &["true"]).failure(2);
        output.stderr_has("cannot be a working branch");
        output.stderr_has("hint: ");
        assert!(!output.stderr.contains("Working copy"), "{output}");
        assert_eq!(containers(&repo), 0, "{name}");
    }
    // This one is the container's own, pushed earlier.
    start(&t, &repo, &["--name", &taken], &["true"]).success();
    start(&t, &repo, &["--name", &longest], &["true"]).success();
}

#[test]
fn work_comes_back_by_git_push_and_changes_nothing_else() {
    let t = Sandbox::new();
    let repo = with_identity(two_commits(&t, "linux"));
    repo.file("README", "changed by the user\n")
        .file("untracked", "x");
    t.dkr(["create-image"]).in_dir(&repo).success();
    for transport in ["session", "ssh"] {
        let name = t.unique(transport);
        let before = repo.state();
        let script = "echo work > work && git add work && git commit -qm work && git push 2>&1";
        let options = ["--transport", transport, "--name", &name];
        start(&t, &repo, &options, &["sh", "-c", script]).success();

        let branch = format!("{}/{name}", hostname());
        let log = repo.output(["log", "--format=%an %s", &branch]);
        assert_eq!(log, "Ada Lovelace work\nTest add a\nTest initial");
        assert_eq!(repo.output(["show", &format!("{branch}:work")]), "work");
        let own = [
            format!("git:/refs/heads/{}", hostname()),
            format!("git:/logs/refs/heads/{}", hostname()),
        ];
        let mut other = repo.state().changed_since(&before);
        other.retain(|path| !own.iter().any(|own| path.starts_with(own)));
        assert_eq!(other, Vec::<String>::new(), "{transport}");
    }
}

#[test]
fn what_would_stop_every_push_is_said_at_the_start() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    t.dkr(["create-image"]).in_dir(&repo).success();
    let said = "warning: `git push` in the container will fail: ";
    let output = start(&t, &repo, &[], &["true"]).success();
    assert!(!output.stderr.contains(said), "{output}");
    repo.branch(&hostname(), "main");
    let output = start(&t, &repo, &[], &["true"]).success();
    output.stderr_has(&format!(
        "{said}the repository has a branch `{}`",
        hostname()
    ));
}

#[test]
fn a_key_is_there_only_if_asked_for_and_can_only_be_read() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    t.dkr(["create-image"]).in_dir(&repo).success();
    let key = t.home().join(".ssh/id_ed25519");
    let script = "cat /root/.ssh/id_ed25519 2>/dev/null; test -e /run/secrets/anthropic_key && \
                  cat /run/secrets/anthropic_key /root/.claude/settings.json; true";
    let without = start(&t, &repo, &[], &["sh", "-c", script]).success();
    assert_eq!(without.stdout, "");

    let api_key = t.path().join("api key");
    fs::write(&api_key, "sk-ant-secret\n").unwrap();
    let options = [
        "--ssh-key",
        key.to_str().unwrap(),
        "--anthropic-key",
        api_key.to_str().unwrap(),
    ];
    let with = start(&t, &repo, &options, &["sh", "-c", script]);
    let with = with.env("DKR_TRANSPORT", "session").success();
    let private = fs::read_to_string(&key).unwrap();
    let rest = with.stdout.strip_prefix(&private).unwrap();
    let settings = rest.strip_prefix("sk-ant-secret\n").unwrap();
    let settings: Value = serde_json::from_str(settings).unwrap();
    assert_eq!(settings["apiKeyHelper"], "cat /run/secrets/anthropic_key");
    with.stderr_has(key.to_str().unwrap());

    let script = "for file in /root/.ssh/id_ed25519 /run/secrets/anthropic_key; do \
                  echo x >> $file && echo written; done 2>/dev/null; git fetch host && echo fetched";
    let written = start(&t, &repo, &options, &["sh", "-c", script]).success();
    assert_eq!(written.stdout, "fetched\n", "{written}");
    assert_eq!(fs::read_to_string(&key).unwrap(), private);

    let folder = t.path().to_str().unwrap();
    for (path, code) in [("/nonexistent/key", 3), (folder, 2)] {
        let refused = start(&t, &repo, &["--anthropic-key", path], &["true"]).failure(code);
        refused.stderr_has(&format!("cannot read the API key `{path}`"));
    }
    assert_eq!(containers(&repo), 0);
}

/// A volume of the engine; gone when dropped.
struct NamedVolume(String);

impl Drop for NamedVolume {
    fn drop(&mut self) {
        Api::of_machine().delete(&format!("/volumes/{}?force=1", self.0));
    }
}

#[test]
fn volumes_come_from_the_repository_as_far_as_the_user_allows() {
    let t = Sandbox::new();
    let volume = NamedVolume(t.unique("cache"));
    let shared = t.path().join("shared");
    fs::create_dir(&shared).unwrap();
    fs::write(shared.join("file"), "of the host\n").unwrap();
    let shared = shared.display();
    let repo = t.repo("linux");
    let named = format!("volumes = {}:/cache\n", volume.0);
    repo.file(".dkr.conf", conf(&named))
        .commit("a named volume");
    t.dkr(["create-image"]).in_dir(&repo).success();
    start(&t, &repo, &[], &["sh", "-c", "echo kept > /cache/file"]).success();
    let bind = format!("{shared}:/host:ro");
    let script = "cat /cache/file /host/file; echo x 2>/dev/null > /host/file || echo read-only; \
                  grep -c ' /bazel-cache ' /proc/self/mountinfo | head -c 1";
    let output = start(&t, &repo, &["-v", &bind], &["bash", "-c", script]).success();
    assert_eq!(output.stdout, "kept\nof the host\nread-only\n1", "{output}");
    // The user's takes the place of the repository's, however it is spelled.
    let instead = format!("{shared}:/cache/");
    let output = start(&t, &repo, &["-v", &instead], &["cat", "/cache/file"]).success();
    assert_eq!(output.stdout, "of the host\n");
    let over = format!("{}:/workspace", repo.path().display());
    let refused = start(&t, &repo, &["-v", &over], &["true"]).failure(2);
    refused.stderr_has("`/workspace` is the repository of the image");

    let host_path = format!("volumes = {shared}:/host\n");
    repo.file(".dkr.conf", conf(&host_path))
        .commit("a host path");
    let refused = t.dkr(["create-image"]).in_dir(&repo).failure(2);
    refused
        .stderr_has(".dkr.conf")
        .stderr_has("--allow-host-volumes");
    t.dkr(["create-image", "--allow-host-volumes"])
        .in_dir(&repo)
        .success();
    let channels = || fs::read_dir(t.path().join("state/dkr/channels")).unwrap();
    let before: Vec<_> = channels().map(|entry| entry.unwrap().path()).collect();
    let refused = start(&t, &repo, &[], &["true"]).failure(2);
    refused.stderr_has("--allow-host-volumes");
    assert_eq!(containers(&repo), 0);
    // A start that fails leaves no folder for a channel.
    assert!(channels().all(|entry| before.contains(&entry.unwrap().path())));
    let show = ["cat", "/host/file"];
    let allowed = start(&t, &repo, &["--allow-host-volumes"], &show).success();
    assert_eq!(allowed.stdout, "of the host\n");
    let config = t.path().join("config/dkr");
    fs::create_dir_all(&config).unwrap();
    fs::write(
        config.join("dkr.conf"),
        format!("allow_host_volumes = {shared}\n"),
    )
    .unwrap();
    start(&t, &repo, &[], &show).success();
}

#[test]
fn an_image_of_a_remote_branch_follows_that_and_no_local_one() {
    let t = Sandbox::new();
    let upstream = two_commits(&t, "upstream");
    let repo = upstream.clone_to("linux", "space");
    t.dkr(["create-image", ".", "space/main"])
        .in_dir(&repo)
        .success();
    repo.file("local", "local").commit("local");
    upstream.commits(3);
    let path = repo.path().to_str().unwrap();
    let run = || {
        let script = "git log -1 --format=%s; git rev-parse --abbrev-ref @{upstream}";
        t.dkr(["start-image", path, "space/main", "--", "sh", "-c", script])
            .success()
    };
    let before = run();
    // Nobody has fetched: what is known here counts.
    before.stderr_has("is up to date with `space/main`");
    assert_eq!(before.stdout, "add a\nhost/main\n");
    repo.git(["fetch", "--quiet", "space"]);
    let after = run();
    after.stderr_has("is 3 commits behind `space/main`");
    assert_eq!(after.stdout, "commit 3\nhost/main\n");
}

#[test]
fn a_port_is_published() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    t.dkr(["create-image"]).in_dir(&repo).success();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let published = format!("127.0.0.1:{port}:8080");
    let options = ["--network", "bridge", "-p", &published];
    let server = ["socat", "TCP-LISTEN:8080,fork", "SYSTEM:echo hello"];
    let running = start(&t, &repo, &options, &server).spawn();
    let mut answer = String::new();
    let answered = wait_until(Duration::from_secs(30), || {
        answer.clear();
        let stream = TcpStream::connect(("127.0.0.1", port));
        stream.is_ok_and(|mut stream| stream.read_to_string(&mut answer).is_ok())
            && !answer.is_empty()
    });
    running.signal(Signal::TERM);
    let ended = running.wait();
    assert!(answered && answer == "hello\n", "{answer:?}: {ended}");
    assert_eq!(ended.code, Some(143), "{ended}");
}
