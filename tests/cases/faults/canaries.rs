//! A repository whose configuration and hooks are canaries: whatever a bake or a container does,
//! nothing that they name runs on the host.

use std::fs;
use std::path::{Path, PathBuf};

use crate::cases::create_image::{conf, two_commits};
use crate::cases::start_image::hostname;
use crate::support::{Repo, Sandbox, write_program};

const HOOKS: [&str; 14] = [
    "fsmonitor-watchman",
    "post-checkout",
    "post-index-change",
    "post-receive",
    "post-update",
    "pre-auto-gc",
    "pre-commit",
    "pre-push",
    "pre-receive",
    "proc-receive",
    "push-to-checkout",
    "query-watchman",
    "reference-transaction",
    "update",
];

/// Has everything that git can be told to run leave a line in the file that comes back.
fn poison(t: &Sandbox, repo: &Repo) -> PathBuf {
    let canary = t.path().join("canary");
    let program = t.path().join("program");
    let script = format!("#!/bin/sh\necho \"$0 $*\" >>{}\n", canary.display());
    write_program(&program, &script);
    let run = program.to_str().unwrap();
    let command = format!("!{run}");
    let filter = format!("{run}; cat");
    let hooks = t.path().join("hooks");
    let git = repo.path().join(".git");
    for folder in [&hooks, &git.join("hooks")] {
        fs::create_dir_all(folder).unwrap();
        for hook in HOOKS {
            write_program(&folder.join(hook), &script);
        }
    }
    // Objects of another repository, whose refs a program is to list.
    let beside = repo.bare_clone_to(&format!("{}-beside.git", t.unique("objects")));
    let alternate = beside.path().join("objects");
    fs::create_dir_all(git.join("objects/info")).unwrap();
    fs::write(
        git.join("objects/info/alternates"),
        alternate.to_str().unwrap(),
    )
    .unwrap();
    fs::write(
        git.join("info/attributes"),
        "* filter=canary diff=canary merge=canary\n",
    )
    .unwrap();
    for (key, value) in [
        ("core.alternateRefsCommand", run),
        ("core.askPass", run),
        ("core.editor", run),
        ("core.fsmonitor", run),
        ("core.gitProxy", run),
        ("core.hooksPath", hooks.to_str().unwrap()),
        ("core.pager", run),
        ("core.sshCommand", run),
        ("credential.helper", &command),
        ("diff.canary.textconv", run),
        ("diff.external", run),
        ("filter.canary.clean", &filter),
        ("filter.canary.process", run),
        ("filter.canary.smudge", &filter),
        ("gc.recentObjectsHook", run),
        ("gpg.program", run),
        ("gpg.ssh.program", run),
        ("merge.canary.driver", run),
        ("pager.upload-pack", run),
        ("uploadpack.packObjectsHook", run),
        ("alias.fetch", &command),
        ("alias.upload-pack", &command),
        ("alias.receive-pack", &command),
        ("gc.auto", "1"),
        ("gc.autoDetach", "false"),
        ("receive.autogc", "true"),
        ("receive.certNonceSeed", "seed"),
        ("receive.denyCurrentBranch", "updateInstead"),
        ("receive.advertisePushOptions", "true"),
    ] {
        // No git of the repository's own runs here, which would call the hooks.
        let config = ["config", "--file", ".git/config", key, value];
        t.command("git", config).in_dir(repo).success();
    }
    canary
}

/// What ran so far.
fn ran(canary: &Path) -> String {
    fs::read_to_string(canary).unwrap_or_default()
}

/// git as the user runs it does call them.
fn assert_alive(t: &Sandbox, repo: &Repo, canary: &Path) {
    t.command("git", ["status"]).in_dir(repo).run();
    assert_ne!(ran(canary), "", "the canaries are dead");
}

#[test]
fn nothing_that_the_repository_configures_is_run() {
    let t = Sandbox::new();
    let upstream = two_commits(&t, "upstream");
    let repo = upstream.clone_to("linux", "space");
    upstream.file("new", "new").commit("new");
    let canary = poison(&t, &repo);
    let state = || {
        let git = repo.path().join(".git");
        let read = |name: &str| fs::read(git.join(name)).unwrap();
        ["HEAD", "index", "config", "refs/heads/main"].map(read)
    };
    let before = state();
    // Over SSH the host's own git serves a clone, as it does for everybody who may log in.
    for (transport, clone) in [("ssh", "packs"), ("session", "packs"), ("session", "full")] {
        let way = ["--transport", transport, "--clone", clone];
        let bake = [&["create-image", ".", "space/main"], &way[..]].concat();
        t.dkr(bake).in_dir(&repo).success();
        assert_eq!(ran(&canary), "", "{way:?}");
        assert!(state() == before);
        assert_eq!(t.image(&repo, "main").run(["cat", "new"]), "new");
    }
    assert_alive(&t, &repo, &canary);
}

/// A container that tries whatever it can. It says what succeeded.
const ATTACK: &str = r#"
exec 2>/dev/null
git commit -q --allow-empty -m x
try() { "$@" >/dev/null && echo "succeeded: $*"; }
for ref in refs/heads/main refs/heads/topic refs/heads/new "refs/heads/$HOSTNAME"     "refs/heads/${HOSTNAME}x/y" refs/heads/other/y "refs/heads/$HOSTNAME/../main"     refs/tags/v1 refs/tags/new refs/notes/commits refs/notes/x refs/remotes/space/main     refs/remotes/host/main refs/dkr/x refs/stash refs/for/main refs/replace/x refs/bisect/bad     refs/worktree/x refs/pull/1/head HEAD FETCH_HEAD config; do
    try git push -q --force host "HEAD:$ref"
    try git push -q host ":$ref"
done
try git push -q --mirror "$(git remote get-url host)"
try git push -q --tags --force host
try git push -q --atomic host "HEAD:refs/heads/$HOSTNAME/a" +HEAD:refs/heads/main
try git push -q --push-option=x host "HEAD:refs/heads/$HOSTNAME/b"
try git push -q --signed=yes host "HEAD:refs/heads/$HOSTNAME/c"
try git archive --remote=host HEAD
# What the server would take for paths of its own.
blob=$(echo x | git hash-object -w --stdin)
for name in .git .. .gitmodules; do
    tree=$(printf '120000 blob %s	%s
' "$blob" "$name" | git mktree)
    try git push -q host "$(git commit-tree -m x "$tree"):refs/heads/$HOSTNAME/d"
done
# Other services, repositories and options.
for socket in /run/dkr/git-upload-pack /run/dkr/git-receive-pack; do
    for line in git-upload-archive "git-receive-pack '/etc'" "git-upload-pack --upload-pack=id"         '003agit-upload-pack /etc host=x' 'GIT_DIR=/etc' "$(printf 'ffff%070000d' 0)"; do
        echo "$line" | timeout 5 socat - "UNIX-CONNECT:$socket" >/dev/null
    done
done
try ls /run/dkr/git-upload-archive
# The folder of the sockets and what leads out of it.
try rm /run/dkr/git-upload-pack
try mv /run/dkr/git-upload-pack /run/dkr/x
try touch /run/dkr/x
try ln -s /etc/passwd /run/dkr/x
try mount -o remount,rw /run/dkr
try ls /run/dkr/../dkr/channel.json
try ls /root/.ssh/id_ed25519
try ls /var/run/docker.sock
git fetch -q host && echo fetched
git push -q && echo pushed
"#;

#[test]
fn a_hostile_container_changes_nothing_on_the_host() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux").branch("topic", "main").tag("v1");
    repo.file(".dkr.conf", conf("packages = git\n"))
        .commit("base");
    t.dkr(["create-image"]).in_dir(&repo).success();
    let canary = poison(&t, &repo);
    let refs = || repo.output(["for-each-ref"]);
    let (before, refs_before) = (repo.state(), refs());
    let name = t.unique("attack");
    let start = ["start-image", ".", "main", "--name", &name];
    let start = [&start[..], &["--", "sh", "-c", ATTACK]].concat();
    let output = t.dkr(start).in_dir(&repo).success();
    assert_eq!(output.stdout, "fetched\npushed\n", "{output}");
    assert_eq!(ran(&canary), "");

    let own = format!("refs/heads/{}", hostname());
    let mut changed = repo.state().changed_since(&before);
    changed.retain(|path| !path.contains(&own));
    assert_eq!(changed, Vec::<String>::new());
    let pushed = format!("{own}/{name}");
    let left: Vec<_> = refs().lines().map(str::to_owned).collect();
    let others = left.iter().filter(|line| !line.ends_with(&pushed));
    let others: Vec<&str> = others.map(String::as_str).collect();
    assert_eq!(others.join("\n"), refs_before);
    assert_eq!(left.len(), others.len() + 1, "{left:?}");
    assert_alive(&t, &repo, &canary);
}
