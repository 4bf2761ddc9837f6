//! The git of an image, its version, its configuration and its environment: none of them decides what
//! dkr's own repositories and steps are.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use super::packs::inside;
use super::start_image::{hostname, start};
use crate::support::{Api, BASE_IMAGE, Repo, SANDBOX_LABEL, Sandbox, query};

/// What the files of the system and of a user can say to hinder dkr: the defaults of git 3, and settings
/// that make a command do more, less or something else.
const HOSTILE: &str = r#"
[init]
	defaultObjectFormat = sha256
	defaultRefFormat = reftable
	templateDir = /nonexistent
[safe]
	bareRepository = explicit
[core]
	hooksPath = /hooks
	fsmonitor = /hooks/fsmonitor
	splitIndex = true
	preferSymlinkRefs = true
	safecrlf = true
	alternateRefsCommand = false
[fetch]
	fsckObjects = true
	prune = true
	pruneTags = true
	recurseSubmodules = true
	negotiationAlgorithm = noop
	writeCommitGraph = true
[transfer]
	fsckObjects = true
[submodule]
	recurse = true
[commit]
	gpgSign = true
[rebase]
	autoStash = true
	autoSquash = true
	updateRefs = true
[user]
	useConfigOnly = true
[protocol]
	version = 0
	allow = never
[ssh]
	variant = simple
[url "https://nowhere.invalid/"]
	insteadOf = ext::
	insteadOf = ssh://
	pushInsteadOf = ext::
	pushInsteadOf = ssh://
[push]
	followTags = true
	gpgSign = true
	pushOption = x
	recurseSubmodules = only
[color]
	ui = always
"#;

/// A base image with more files, each with its mode; it goes with the sandbox.
fn base_image(t: &Sandbox, files: &[(&str, u32, Vec<u8>)]) -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |path: &str, mode, contents: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(contents.len() as u64);
        header.set_mode(mode);
        tar.append_data(&mut header, path, contents).unwrap();
    };
    let dockerfile = format!("FROM {BASE_IMAGE}\nCOPY root /\n");
    add("Dockerfile", 0o644, dockerfile.as_bytes());
    for (path, mode, contents) in files {
        add(&format!("root/{path}"), *mode, contents);
    }
    let name = format!("dkr-test:{}-{number}", t.unique("base"));
    let labels = json!({SANDBOX_LABEL: t.path()}).to_string();
    let (tag, labels) = (query(&name), query(&labels));
    let build = format!("/build?t={tag}&labels={labels}&rm=1");
    let log = Api::of_machine().post_tar(&build, &tar.into_inner().unwrap());
    assert!(!log.contains("\"error\""), "{log}");
    name
}

/// A repository on that base image whose history has what git's checks do not take.
fn repository(t: &Sandbox, name: &str, base: &str) -> Repo {
    let repo = t.repo(name).file("README", "hello\n");
    let sections = "[post_clone]\nRUN grep -q local README || echo local >>README\n\
                    RUN test -e made || { echo made >made && $GIT add made && $GIT commit -qm made; }\n";
    let git = "GIT_CONFIG_NOSYSTEM=1 git -c user.name=x -c user.email=x@x";
    let sections = sections.replace("$GIT", git);
    let conf = format!("base_image = {base}\n{sections}");
    repo.file(".dkr.conf", conf).commit("initial");
    let tree = repo.output(["rev-parse", "main^{tree}"]);
    let commit = format!("tree {tree}\nauthor a<a@b> 1 +0000\ncommitter a <a@b> 1 +0000\n\nodd\n");
    let write = [
        "hash-object",
        "-t",
        "commit",
        "-w",
        "--literally",
        "--stdin",
    ];
    let commit = repo.git_with_input(&write, commit.as_bytes());
    repo.git(["update-ref", "refs/heads/odd", &commit])
        .tag("v1")
}

/// Bakes, updates, starts behind the tip, fetches and pushes.
fn everything_works(t: &Sandbox, repo: &Repo, transport: &str, clone: &str) {
    let of = ["--transport", transport];
    let create = [&["create-image", "--clone", clone], &of[..]].concat();
    t.dkr(create).in_dir(repo).success();
    repo.file("new", "new").commit("new").tag("v2");
    t.dkr([&["update-image"], &of[..]].concat())
        .in_dir(repo)
        .success();
    let image = t.image(repo, "main");
    let script = "export GIT_CONFIG_NOSYSTEM=1; git fsck --connectivity-only --no-dangling; git log --format=%s; \
        git cat-file -e host/odd; git tag; cat .git/config; ls .git; git status --short";
    let printed = inside(&image, script);
    assert!(
        printed.starts_with("made\nnew\ninitial\nv1\nv2\n"),
        "{printed}"
    );
    assert!(printed.ends_with(" M README\n"), "{printed}");
    for trace in ["sha256", "reftable", "sharedindex"] {
        assert!(!printed.contains(trace), "{printed}");
    }

    repo.file("newer", "newer").commit("newer");
    let name = t.unique(transport);
    let script = "git config core.hooksPath /dev/null; git config core.fsmonitor false; \
        git log -3 --format=%s; git fetch -q; \
        export GIT_COMMITTER_DATE=@2000000000; \
        GIT_CONFIG_NOSYSTEM=1 git commit -q --allow-empty -m work; \
        GIT_CONFIG_NOSYSTEM=1 git tag -m t t; git push -q";
    let options = [&["--name", &name], &of[..]].concat();
    let output = start(t, repo, &options, &["sh", "-ec", script]).success();
    assert_eq!(output.stdout, "made\nnewer\nnew\n", "{output}");
    let pushed = format!("{}/{name}", hostname());
    assert_eq!(repo.output(["log", "-1", "--format=%s", &pushed]), "work");
}

fn hostile() -> Vec<(&'static str, u32, Vec<u8>)> {
    let mut files = vec![("etc/gitconfig", 0o644, HOSTILE.into())];
    for hook in [
        "hooks/fsmonitor",
        "hooks/post-checkout",
        "hooks/reference-transaction",
        "hooks/post-index-change",
        "hooks/pre-rebase",
        "hooks/post-rewrite",
    ] {
        files.push((hook, 0o755, b"#!/bin/sh\nexit 1\n".into()));
    }
    files
}

/// The git of this machine, which may be newer than the base image's: it goes before that.
fn git_of_this_machine(t: &Sandbox) -> (&'static str, u32, Vec<u8>) {
    let path = t.command("sh", ["-c", "command -v git"]).success().stdout;
    (
        "usr/local/bin/git",
        0o755,
        fs::read(path.trim_end()).unwrap(),
    )
}

/// git as version 2.25 of it would be: it knows nothing that came later.
const OLD_GIT: &str = r#"#!/bin/sh
unset GIT_CONFIG_COUNT GIT_CONFIG_GLOBAL GIT_CONFIG_SYSTEM GIT_DEFAULT_REF_FORMAT
for argument; do
    case $argument in
    --version)
        echo "git version 2.25.1"
        exit
        ;;
    --config-env* | --object-format* | --ref-format* | --show-object-format* | --initial-branch* | \
        --no-write-fetch-head | --no-auto-maintenance | --path-format* | --stdin-packs | --empty*)
        echo "error: unknown option \`$argument'" >&2
        exit 129
        ;;
    esac
done
exec /usr/bin/git -c push.negotiate=false "$@"
"#;

#[test]
fn what_a_base_image_configures_for_its_git_decides_nothing() {
    let t = Sandbox::new();
    let mut files = hostile();
    files.push(git_of_this_machine(&t));
    let repo = repository(&t, "linux", &base_image(&t, &files));
    everything_works(&t, &repo, "session", "packs");
}

#[test]
fn an_old_git_is_as_good_as_a_new_one() {
    let t = Sandbox::new();
    let mut files = hostile();
    files.push(("usr/local/bin/git", 0o755, OLD_GIT.into()));
    let base = base_image(&t, &files);
    for (transport, clone) in [("session", "full"), ("ssh", "packs")] {
        let repo = repository(&t, transport, &base);
        everything_works(&t, &repo, transport, clone);
    }
}

#[test]
fn a_git_that_is_too_old_is_refused_by_its_version() {
    let t = Sandbox::new();
    let repo = t.repo("linux");
    for (version, words) in [
        (
            "2.24.4",
            "cannot use the image's git 2.24.4: 2.25 or newer is needed",
        ),
        (
            "1.8.3.1",
            "cannot use the image's git 1.8.3.1: 2.25 or newer is needed",
        ),
        (
            "unknown",
            "cannot determine the version of the image's git: git version unknown",
        ),
    ] {
        let git = format!("#!/bin/sh\necho git version {version}\n");
        let base = base_image(&t, &[("usr/local/bin/git", 0o755, git.into())]);
        repo.file(".dkr.conf", format!("base_image = {base}\n"))
            .commit(version);
        for clone in ["packs", "full"] {
            let create = t.dkr(["create-image", "--clone", clone]).in_dir(&repo);
            create.failure(1).stderr_has(words);
        }
        assert!(t.images(&repo).is_empty());
    }
}
