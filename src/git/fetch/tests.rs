//! Tests of `fetch` on real repositories.

use super::*;
use crate::error::Kind;
use crate::git::testing::{HERMETIC, TestRepo, write_script};
use std::time::Instant;

const TRACKING: &str = "refs/remotes/space/main";

fn branch(name: &str) -> RemoteBranch {
    RemoteBranch {
        remote: "space".to_owned(),
        branch: name.to_owned(),
        tracking_ref: format!("refs/remotes/space/{name}"),
    }
}

/// A remote with a commit on `main`, and a repository that knows it as `space`.
fn pair() -> (TestRepo, TestRepo) {
    let remote = TestRepo::new();
    remote.commit("a", "theirs 1");
    let repo = TestRepo::new();
    repo.commit("a", "ours");
    let url = remote.path().to_str().unwrap();
    repo.git(&["remote", "add", "space", url]);
    (remote, repo)
}

fn fetch(repo: &TestRepo, branch: &RemoteBranch) -> Result<FetchOutcome> {
    let opened = repo.open();
    let mut command = opened.fetch_command(branch, &Env::default(), false, false);
    command.envs(HERMETIC);
    opened.fetch_by(command, branch, None)
}

/// Makes `space` a remote that is reached through `script` in place of SSH.
fn reach_through(repo: &TestRepo, script: &str) {
    let path = repo.path().with_file_name("ssh");
    write_script(&path, script);
    repo.git(&["config", "remote.space.url", "ssh://git@host.invalid/x"]);
    repo.git(&["config", "core.sshCommand", path.to_str().unwrap()]);
    repo.git(&["config", "ssh.variant", "simple"]);
}

#[test]
fn the_tracking_ref_follows_even_a_forced_push() {
    let (remote, repo) = pair();
    assert_eq!(
        fetch(&repo, &branch("main")).unwrap(),
        FetchOutcome::Fetched
    );
    assert_eq!(repo.git(&["rev-parse", TRACKING]), remote.head());
    remote.git(&["commit", "-q", "--amend", "-m", "rewritten"]);
    let opened = repo.open();
    let outcome = opened.fetch_remote_branch(&branch("main"), &Env::default(), false, None);
    assert_eq!(outcome.unwrap(), FetchOutcome::Fetched);
    assert_eq!(repo.git(&["rev-parse", TRACKING]), remote.head());
}

#[test]
fn nothing_but_objects_and_the_one_tracking_ref_is_written_and_nothing_runs() {
    let (remote, repo) = pair();
    remote.git(&["branch", "other"]);
    fetch(&repo, &branch("main")).unwrap();
    remote.commit("a", "theirs 2");
    remote.git(&["tag", "-a", "-m", "t", "v1"]);
    remote.git(&["branch", "-D", "-q", "other"]);
    repo.git(&["update-ref", "refs/remotes/space/other", "HEAD"]);

    // Every setting that would make a fetch write more or run something.
    let canary = repo.path().with_file_name("canary");
    let script = format!("echo \"$0\" >> '{}'", canary.display());
    let hooks = repo.path().with_file_name("hooks");
    std::fs::create_dir(&hooks).unwrap();
    for name in [
        "reference-transaction",
        "post-index-change",
        "post-merge",
        "post-checkout",
        "pre-auto-gc",
        "post-rewrite",
        "fsmonitor",
    ] {
        write_script(&hooks.join(name), &script);
        write_script(&repo.path().join(".git/hooks").join(name), &script);
    }
    let hooks = hooks.to_str().unwrap();
    for (key, value) in [
        ("core.hooksPath", hooks),
        ("core.fsmonitor", &format!("{hooks}/fsmonitor")),
        ("hook.mine.command", &format!("{hooks}/fsmonitor")),
        ("hook.mine.event", "reference-transaction"),
        ("fetch.prune", "true"),
        ("fetch.pruneTags", "true"),
        ("fetch.writeCommitGraph", "true"),
        ("fetch.recurseSubmodules", "true"),
        ("fetch.bundleURI", "file:///nonexistent.bundle"),
        ("remote.space.prune", "true"),
        ("remote.space.tagOpt", "--tags"),
        ("remote.space.followRemoteHEAD", "always"),
        ("gc.auto", "1"),
        ("gc.autoDetach", "false"),
        ("maintenance.autoDetach", "false"),
        ("core.logAllRefUpdates", "always"),
    ] {
        repo.git(&["config", key, value]);
    }
    // What those commands themselves set off does not count.
    let _ = std::fs::remove_file(&canary);

    let is_written = |name: &str| {
        name.starts_with(".git/objects/")
            || name == format!(".git/{TRACKING}")
            || name == format!(".git/logs/{TRACKING}")
    };
    let before = repo.snapshot(is_written);
    assert_eq!(
        fetch(&repo, &branch("main")).unwrap(),
        FetchOutcome::Fetched
    );
    assert!(repo.snapshot(is_written) == before);
    let ran = std::fs::read_to_string(&canary).unwrap_or_default();
    assert_eq!(ran, "");
    let graphs = repo.path().join(".git/objects/info");
    assert_eq!(std::fs::read_dir(graphs).unwrap().count(), 0);
    assert_eq!(
        std::fs::read_to_string(repo.path().join(".git").join(TRACKING)).unwrap(),
        format!("{}\n", remote.head())
    );
}

#[test]
fn no_reflog_is_made_for_a_new_tracking_ref() {
    let (_remote, repo) = pair();
    fetch(&repo, &branch("main")).unwrap();
    assert!(!repo.path().join(".git/logs").join(TRACKING).exists());
    assert!(!repo.path().join(".git/FETCH_HEAD").exists());
}

#[test]
fn odd_names_of_remotes_and_branches_are_just_names() {
    let (remote, repo) = pair();
    let url = remote.path().to_str().unwrap();
    let canary = repo.path().join("canary");
    let touch = "$(touch${IFS}canary)";
    for (name, branch) in [("-r", "-x"), ("a=b", "ü"), ("a/b", "a'b"), ("r", touch)] {
        remote.git(&["update-ref", &format!("refs/heads/{branch}"), "HEAD"]);
        repo.git(&["config", &format!("remote.{name}.url"), url]);
        let tracking_ref = format!("refs/remotes/{name}/{branch}");
        let (remote_name, branch) = (name.to_owned(), branch.to_owned());
        let branch = RemoteBranch {
            remote: remote_name,
            branch,
            tracking_ref: tracking_ref.clone(),
        };
        assert_eq!(fetch(&repo, &branch).unwrap(), FetchOutcome::Fetched);
        assert_eq!(
            repo.git(&["rev-parse", "--verify", &tracking_ref]),
            remote.head()
        );
    }
    assert!(!canary.exists());
}

#[test]
fn a_linked_worktree_fetches_into_the_shared_refs() {
    let (remote, repo) = pair();
    let linked = repo.path().with_file_name("linked");
    repo.git(&["worktree", "add", "-q", linked.to_str().unwrap()]);
    let opened = Repository::discover(&linked).unwrap();
    let mut command = opened.fetch_command(&branch("main"), &Env::default(), false, false);
    command.envs(HERMETIC);
    opened.fetch_by(command, &branch("main"), None).unwrap();
    assert_eq!(repo.git(&["rev-parse", TRACKING]), remote.head());
}

#[test]
fn offline_the_tracking_ref_from_before_serves() {
    let (remote, repo) = pair();
    fetch(&repo, &branch("main")).unwrap();
    let known = repo.git(&["rev-parse", TRACKING]);
    std::fs::remove_dir_all(remote.path()).unwrap();
    let FetchOutcome::Offline(reason) = fetch(&repo, &branch("main")).unwrap() else {
        panic!("the remote is gone");
    };
    assert!(
        reason.contains("does not appear to be a git repository"),
        "{reason}"
    );
    assert!(!reason.contains("fatal:"), "{reason}");
    assert_eq!(repo.git(&["rev-parse", TRACKING]), known);
}

#[test]
fn offline_without_a_tracking_ref_is_an_error_with_gits_words() {
    let (_remote, repo) = pair();
    repo.git(&[
        "config",
        "remote.space.url",
        "https://u:secret@host.invalid/x",
    ]);
    let error = fetch(&repo, &branch("main")).unwrap_err();
    assert_eq!(error.kind, Kind::Failed);
    assert!(error.message.contains("`space/main`"), "{error}");
    assert!(error.to_string().contains("host.invalid"), "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");
    assert!(error.hints[0].contains("git fetch space"), "{error}");
}

#[test]
fn a_branch_that_is_gone_is_an_error_even_with_a_tracking_ref() {
    let (remote, repo) = pair();
    remote.git(&["branch", "gone"]);
    fetch(&repo, &branch("gone")).unwrap();
    remote.git(&["branch", "-D", "-q", "gone"]);
    let error = fetch(&repo, &branch("gone")).unwrap_err();
    assert_eq!(error.kind, Kind::NotFound);
    assert!(error.message.contains("has no branch `gone`"), "{error}");
    assert!(
        error.hints[0].contains("git ls-remote --heads space"),
        "{error}"
    );

    repo.git(&["branch", "space/gone"]);
    let error = fetch(&repo, &branch("gone")).unwrap_err();
    assert!(error.hints[0].contains("refs/heads/space/gone"), "{error}");
}

#[test]
fn without_a_terminal_ssh_is_told_not_to_ask() {
    let (_remote, repo) = pair();
    let said = repo.path().with_file_name("said");
    let script = format!(
        "echo \"$SSH_ASKPASS $SSH_ASKPASS_REQUIRE $GIT_TERMINAL_PROMPT\" > '{}'\necho no way >&2\nexit 255",
        said.display()
    );
    reach_through(&repo, &script);
    let opened = repo.open();
    for (env, interactive, expected) in [
        (Env::default(), false, "false force 0"),
        (
            Env::from_iter([("SSH_ASKPASS", "mine")]),
            false,
            "mine force 0",
        ),
        (Env::default(), true, "unset unset unset"),
    ] {
        let mut command = opened.fetch_command(&branch("main"), &env, interactive, false);
        let set: Vec<_> = command
            .get_envs()
            .map(|(name, _)| name.to_owned())
            .collect();
        for name in ["SSH_ASKPASS", "SSH_ASKPASS_REQUIRE", "GIT_TERMINAL_PROMPT"] {
            if !set.iter().any(|known| known == name) {
                let own = env.get(name).unwrap_or("unset");
                command.env(name, own);
            }
        }
        command.stdin(Stdio::null()).envs(HERMETIC);
        let error = opened.fetch_by(command, &branch("main"), None).unwrap_err();
        assert_eq!(error.causes[0], "no way");
        assert_eq!(std::fs::read_to_string(&said).unwrap().trim(), expected);
    }
}

#[test]
fn a_background_process_that_keeps_the_pipe_open_does_not_hold_us_up() {
    let (_remote, repo) = pair();
    reach_through(
        &repo,
        "sleep 60 > /dev/null < /dev/null &\necho no way >&2\nexit 255",
    );
    let start = Instant::now();
    let error = fetch(&repo, &branch("main")).unwrap_err();
    assert_eq!(error.causes[0], "no way");
    assert!(start.elapsed() < Duration::from_secs(30));
}

#[test]
fn progress_is_reported_line_by_line_if_asked_for() {
    let (_remote, repo) = pair();
    let opened = repo.open();
    let mut lines = Vec::new();
    let mut command = opened.fetch_command(&branch("main"), &Env::default(), false, true);
    command.envs(HERMETIC);
    let mut report = |line: &str| lines.push(line.to_owned());
    opened
        .fetch_by(command, &branch("main"), Some(&mut report))
        .unwrap();
    assert!(
        lines.iter().any(|line| line.contains("Counting objects")),
        "{lines:?}"
    );
    assert!(lines.iter().all(|line| !line.contains(['\r', '\n'])));
}

#[test]
fn a_git_that_is_missing_or_interrupted_is_said_so() {
    let (_remote, repo) = pair();
    let opened = repo.open();
    let mut command = Command::new("/nonexistent/git");
    command.stderr(Stdio::piped());
    let error = opened.fetch_by(command, &branch("main"), None).unwrap_err();
    assert_eq!(error.message, "cannot run the program `git`");
    assert_eq!(error.hints.len(), 1);

    let mut command = Command::new("sh");
    command.args(["-c", "kill -INT $$"]).stderr(Stdio::piped());
    let error = opened.fetch_by(command, &branch("main"), None).unwrap_err();
    assert_eq!(error.kind, Kind::Interrupted);
}
