//! Programs and settings of the host that must not run or apply when a container is served.

use std::fs;
use std::process::Command as StdCommand;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_the_host_configures_or_hooks_runs() {
    let t = served(3);
    let hooks = [
        "pre-receive",
        "update",
        "post-receive",
        "post-update",
        "proc-receive",
        "reference-transaction",
        "push-to-checkout",
        "pre-auto-gc",
        "post-index-change",
        "pre-push",
        "fsmonitor-watchman",
    ];
    for hook in hooks {
        t.canary(&format!("host/.git/hooks/{hook}"));
        t.canary(&format!("hooks/{hook}"));
    }
    let program = t.canary("bin/program");
    for key in [
        "core.fsmonitor",
        "core.sshCommand",
        "core.gitProxy",
        "core.alternateRefsCommand",
        "core.pager",
        "core.editor",
        "core.askPass",
        "credential.helper",
        "diff.external",
        "filter.x.clean",
        "filter.x.smudge",
        "filter.x.process",
        "gc.recentObjectsHook",
        "gpg.program",
        "gpg.ssh.program",
        "hook.x.command",
        "pager.upload-pack",
        "pager.receive-pack",
        "uploadpack.packObjectsHook",
    ] {
        t.host(&["config", key, &program]);
        // The user's own configuration, which git trusts more than the repository's.
        t.host(&["config", "--global", key, &program]);
    }
    for event in hooks {
        t.host(&["config", "--add", "hook.x.event", event]);
    }
    for (key, value) in [
        (
            "core.hooksPath",
            t.path("hooks").display().to_string().as_str(),
        ),
        ("alias.upload-pack", &format!("!{program}")),
        ("alias.receive-pack", &format!("!{program}")),
        ("gc.auto", "1"),
        ("gc.autoDetach", "false"),
        ("receive.autogc", "true"),
        ("receive.procReceiveRefs", "d:refs/heads"),
        ("receive.certNonceSeed", "seed"),
        ("receive.denyCurrentBranch", "updateInstead"),
        (
            "trace2.eventTarget",
            t.path("canary").display().to_string().as_str(),
        ),
    ] {
        t.host(&["config", key, value]);
    }
    fs::write(t.path("host/.git/info/attributes"), "* filter=x diff=x\n").unwrap();
    let _ = fs::remove_file(t.path("canary"));
    t.commit("work");
    t.ok(&["fetch", "-q", "host"]);
    t.ok(&["push", "-q", "host", "HEAD:refs/heads/box/a"]);
    t.fails(&["push", "-q", "host", "HEAD:refs/heads/main"]);
    t.fails(&[
        "push",
        "-q",
        "--signed=yes",
        "host",
        "HEAD:refs/heads/box/b",
    ]);
    t.ok(&["push", "-q", "-f", "host", "HEAD~1:refs/heads/box/a"]);
    t.fails(&[
        "push",
        "-q",
        "host",
        ":refs/heads/box/a",
        "HEAD:refs/heads/main",
    ]);
    let ran = fs::read_to_string(t.path("canary")).unwrap_or_default();
    assert_eq!(ran, "");
    // The canaries are alive: git as the user runs it does run them.
    t.host(&["config", "--unset", "core.alternateRefsCommand"]);
    t.host(&["update-ref", "refs/heads/canary", "HEAD"]);
    assert!(
        fs::read_to_string(t.path("canary"))
            .unwrap()
            .contains("reference-transaction")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_object_is_not_fetched_from_a_promisor() {
    let t = served(3);
    let program = t.canary("bin/ssh");
    for (key, value) in [
        ("remote.origin.url", "ssh://example.invalid/x"),
        ("remote.origin.promisor", "true"),
        ("core.sshCommand", &program),
        ("protocol.ssh.allow", "always"),
    ] {
        t.host(&["config", key, value]);
    }
    let missing = "1234567890123456789012345678901234567890";
    t.fails(&["fetch", "-q", "host", missing]);
    // A push of a tree whose file is missing everywhere.
    let tree = format!("100644 blob {missing}\tx\n");
    fs::write(t.path("clone/tree"), tree).unwrap();
    let mut make = StdCommand::new("git");
    make.args(["mktree", "--missing"])
        .current_dir(t.path("clone"));
    let made = make
        .stdin(fs::File::open(t.path("clone/tree")).unwrap())
        .output()
        .unwrap();
    let tree = String::from_utf8(made.stdout).unwrap();
    let commit = t.ok(&["commit-tree", "-m", "hollow", tree.trim()]);
    let update = format!(
        "{} {commit} refs/heads/box/a\0 report-status",
        "0".repeat(40)
    );
    let mut stream = UnixStream::connect(t.path("run/git-receive-pack"))
        .await
        .unwrap();
    let packet = format!("{:04x}{update}0000", update.len() + 4);
    stream.write_all(packet.as_bytes()).await.unwrap();
    let mut pack = StdCommand::new("git");
    pack.args(["pack-objects", "--stdout", "-q"])
        .current_dir(t.path("clone"));
    fs::write(t.path("clone/ids"), format!("{commit}\n{tree}")).unwrap();
    let pack = pack
        .stdin(fs::File::open(t.path("clone/ids")).unwrap())
        .output()
        .unwrap();
    assert!(pack.status.success());
    stream.write_all(&pack.stdout).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.contains("ng refs/heads/box/a"), "{answer}");
    assert!(!t.path("canary").exists());
    // The canary is alive: git as the user runs it does fetch.
    t.host(&["config", "core.repositoryFormatVersion", "1"]);
    t.host(&["config", "extensions.partialClone", "origin"]);
    t.host_fails(&["cat-file", "-p", missing]);
    assert!(t.path("canary").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_in_the_configuration_is_switched_off_by_its_name_or_nothing_is_served() {
    let t = Sandbox::new(1);
    t.host(&["config", "hook.a.b.command", "true"]);
    let command = receive_pack(&t, 1).command(&t.env()).await.unwrap();
    let mut arguments = command.as_std().get_args();
    assert!(arguments.any(|argument| argument == "hook.a.b.enabled=false"));
    t.host(&["config", "hook.a=b.command", "true"]);
    assert!(receive_pack(&t, 1).command(&t.env()).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_path_reaches_the_service_and_no_relative_folder_in_it() {
    let t = Sandbox::new(1);
    let env = Env::from_iter([
        ("PATH", ".:/usr/bin:bin:/bin"),
        ("HOME", "/home/user"),
        ("GIT_CONFIG_COUNT", "1"),
        ("SSH_AUTH_SOCK", "/agent"),
    ]);
    let command = upload_pack(&t).command(&env).await.unwrap();
    let given: Vec<_> = command.as_std().get_envs().collect();
    let path = given.iter().find(|(name, _)| *name == "PATH").unwrap().1;
    assert_eq!(path.unwrap(), "/usr/bin:/bin");
    let home = given.iter().find(|(name, _)| *name == "HOME").unwrap().1;
    assert_eq!(home.unwrap(), "/dev/null");
    assert!(
        !given
            .iter()
            .any(|(name, _)| *name == "SSH_AUTH_SOCK" || *name == "GIT_CONFIG_COUNT")
    );
}
