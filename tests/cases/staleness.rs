//! What `dkr start-image` says of a stale image, and what it does about it.

use super::create_image::two_commits;
use super::start_image::{containers, start};
use crate::support::{KeyKind, Repo, Sandbox};

/// Prints how many commits the container's branch has.
const COUNT: [&str; 4] = ["git", "rev-list", "--count", "HEAD"];

/// An image of two commits.
fn baked(t: &Sandbox) -> Repo {
    let repo = two_commits(t, "linux");
    t.dkr(["create-image"]).in_dir(&repo).success();
    repo
}

#[test]
fn a_stale_image_is_told_of_and_the_answer_can_be_given_before() {
    let t = Sandbox::new();
    let repo = baked(&t);
    repo.commits(51);
    let behind = "is 51 commits behind `main`";
    let hint = format!("run `dkr update-image {} main`", repo.path().display());

    let asked = start(&t, &repo, &[], &COUNT).success();
    asked.stderr_has(&format!("warning: image `{}", "dkr:linux"));
    asked.stderr_has(behind).stderr_has(&hint);
    assert_eq!(asked.stdout, "53\n");
    let proceeds = start(&t, &repo, &["--stale", "proceed"], &COUNT).success();
    proceeds.stderr_has(behind);
    let fails = start(&t, &repo, &["--stale", "fail"], &COUNT).failure(5);
    fails.stderr_has(behind).stderr_has(&hint);
    assert_eq!((fails.stdout.as_str(), containers(&repo)), ("", 0));
    for fresh_enough in [["--max-behind", "51"], ["--max-behind", "1000"]] {
        let options = [&["--stale", "fail"], &fresh_enough[..]].concat();
        let output = start(&t, &repo, &options, &COUNT).success();
        assert!(!output.stderr.contains("warning"), "{output}");
    }
    let wrong = start(&t, &repo, &["--stale", "perhaps"], &COUNT).failure(2);
    wrong.stderr_has("`perhaps`").stderr_has("proceed");

    assert_eq!(t.image(&repo, "main").label("dkr.type"), "base");
    let updates = start(&t, &repo, &["--stale", "update"], &COUNT).success();
    assert_eq!(updates.stdout, "53\n", "{updates}");
    let image = t.image(&repo, "main");
    assert_eq!(image.label("dkr.type"), "update");
    assert_eq!(image.label("dkr.commit"), repo.rev("main"));
    start(&t, &repo, &["--stale", "fail", "--max-behind", "0"], &COUNT).success();
}

#[test]
fn on_a_terminal_a_stale_image_is_a_question() {
    let t = Sandbox::new();
    let repo = baked(&t);
    repo.commits(60);
    let path = repo.path().to_str().unwrap();
    let ask = |keys: &[&str]| {
        let arguments = [
            "start-image",
            path,
            "main",
            "--",
            "sh",
            "-c",
            "tty; git --no-pager log -1 --format=%s",
        ];
        let terminal = t.dkr(arguments).terminal(100, 30);
        terminal.wait_for("What now?");
        terminal.send_keys(keys);
        (terminal.exit_code(), terminal.screen())
    };
    let (code, screen) = ask(&["Down", "Down", "Enter"]);
    assert_eq!((code, containers(&repo)), (5, 0), "{screen}");
    let (code, screen) = ask(&["Down", "Enter"]);
    assert!(code == 0 && screen.contains("/dev/pts/"), "{screen}");
    assert!(screen.contains("commit 60"), "{screen}");
    assert_eq!(t.image(&repo, "main").label("dkr.type"), "base");
    let (code, screen) = ask(&["Enter"]);
    assert!(code == 0 && screen.contains("commit 60"), "{screen}");
    assert_eq!(t.image(&repo, "main").label("dkr.type"), "update");
}

#[test]
fn a_rewritten_branch_one_moved_back_and_a_lost_one_are_warned_of() {
    let t = Sandbox::new();
    let repo = baked(&t);
    repo.reset("main:0").file("new", "new").commit("rewritten");
    let hint = format!("run `dkr create-image {} main`", repo.path().display());
    let show = ["git", "log", "--format=%s"];

    let output = start(&t, &repo, &[], &show).success();
    output.stderr_has("have diverged").stderr_has(&hint);
    assert_eq!(output.stdout, "rewritten\ninitial\n", "{output}");
    let failed = start(&t, &repo, &["--stale", "fail"], &show).failure(5);
    failed.stderr_has("have diverged").stderr_has(&hint);

    repo.reset("main:0");
    let output = start(&t, &repo, &[], &show).success();
    output.stderr_has("which was moved back");
    assert_eq!(output.stdout, "initial\n", "{output}");

    repo.git(["branch", "--quiet", "-m", "main", "other"]);
    let output = start(&t, &repo, &[], &show).success();
    output.stderr_has("cannot be compared with `main`");
    assert_eq!(output.stdout, "add a\ninitial\n", "{output}");
    start(&t, &repo, &["--stale", "fail"], &show).failure(5);
}

#[test]
fn without_an_ssh_server_work_goes_on_from_the_baked_commit() {
    let t = Sandbox::new();
    let repo = baked(&t);
    let sshd = t.another_sshd("other", KeyKind::Ed25519);
    let public = t.home().join(".ssh/id_ed25519.pub");
    sshd.authorize("", &std::fs::read_to_string(public).unwrap());
    let port = sshd.port().to_string();
    let show = ["sh", "-c", "git log --format=%s; git branch --show-current"];
    let name = t.unique("offline");
    let options = |port| ["--transport", "ssh", "--ssh-port", port, "--name", &name];
    repo.file("new", "new").commit("new");
    let there = start(&t, &repo, &options(&port), &show).success();
    assert_eq!(
        there.stdout,
        format!("new\nadd a\ninitial\n{name}\n"),
        "{there}"
    );

    // Nothing listens there; a port that was just left may be another test's by now.
    let gone = start(&t, &repo, &options("1"), &show).success();
    gone.stderr_has("warning: the host's SSH server does not answer");
    gone.stderr_has("continuing from the baked commit");
    assert_eq!(gone.stdout, format!("add a\ninitial\n{name}\n"), "{gone}");
    assert_eq!(containers(&repo), 0);
}
