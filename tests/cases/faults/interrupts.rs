//! Builds that are interrupted, killed, blocked, or that two people ask for at once.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{baked, refused};
use crate::cases::create_image::{conf, two_commits};
use crate::support::{
    KeyKind, Repo, Sandbox, Sshd, processes_mentioning, wait_until, write_program,
};

/// Stand-ins for a host that never answers a clone: a server's forced command, a `git` to be found
/// first, and the file that appears when one of them is asked.
struct HangingHost {
    sshd: Sshd,
    path: String,
    asked: PathBuf,
}

impl HangingHost {
    fn new(t: &Sandbox) -> Self {
        let asked = t.path().join("asked");
        let bin = t.path().join("bin");
        fs::create_dir(&bin).unwrap();
        // It ends with its input, and says nothing meanwhile.
        let hang = format!("exec tee {} 3>&1 >/dev/null", asked.display());
        let forced = format!(
            "case $SSH_ORIGINAL_COMMAND in\n*git\\ --version*) git --version ;;\n*) {hang} ;;\nesac\n"
        );
        fs::write(bin.join("forced.sh"), forced).unwrap();
        let git = t.command("sh", ["-c", "command -v git"]).success();
        let git = git.stdout.trim();
        let git = format!(
            "#!/bin/sh\ncase \"$*\" in\n*upload-pack*) {hang} ;;\n*) exec {git} \"$@\" ;;\nesac\n"
        );
        write_program(&bin.join("git"), &git);
        t.sshd();
        let public = fs::read_to_string(t.home().join(".ssh/id_ed25519.pub")).unwrap();
        let sshd = t.another_sshd("hanging", KeyKind::Ed25519);
        let command = format!("command=\"sh {}/forced.sh\"", bin.display());
        sshd.authorize(&command, &public);
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        HangingHost { sshd, path, asked }
    }
}

/// Whether a clone of the sandbox's repository runs: on the host, or `ssh` in a build, whose
/// arguments name the repository.
fn clone_runs(t: &Sandbox) -> bool {
    let running = processes_mentioning(t.path()).into_iter();
    let mut running = running.map(|(_, text)| text);
    running.any(|text| !text.contains("sshd") && !text.contains("dkr create-image"))
}

/// Interrupts a bake while it clones; how long dkr then took to end, and its clone.
fn interrupt(
    t: &Sandbox,
    repo: &Repo,
    host: &HangingHost,
    way: &[&str],
    signal: Signal,
) -> [Duration; 2] {
    let port = host.sshd.port().to_string();
    let arguments = [&["create-image", "--ssh-port", &port], way].concat();
    let dkr = t.dkr(arguments).in_dir(repo).env("PATH", &host.path);
    let dkr = dkr.limit(Duration::from_secs(60)).spawn();
    let cloning = || host.asked.exists() && clone_runs(t);
    if !wait_until(Duration::from_secs(60), cloning) {
        panic!("no clone begins: {}", dkr.wait());
    }
    let sent = Instant::now();
    dkr.signal(signal);
    let output = dkr.wait();
    let ended = sent.elapsed();
    let code = (signal != Signal::KILL).then_some(130);
    assert_eq!(
        (output.code, &*output.stdout),
        (code, ""),
        "{way:?}: {output}"
    );
    if code.is_some() {
        output.stderr_has("interrupted");
    }
    // The kernel tells the engine of a killed dkr; an interrupted one tells it itself.
    let gone = wait_until(Duration::from_secs(30), || !clone_runs(t));
    assert!(gone, "{way:?}: the step runs on: {output}");
    fs::remove_file(&host.asked).unwrap();
    [ended, sent.elapsed()]
}

#[test]
fn an_interrupted_clone_ends_within_a_second_and_the_next_run_succeeds() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    // Commits of its own: a build of the same commit at the same time would share the clone.
    repo.file("name", t.unique("own")).commit("own");
    let before = repo.state();
    let host = HangingHost::new(&t);
    let limits = [Duration::from_secs(1), Duration::from_millis(1500)];
    for (transport, clone, signal) in [
        ("ssh", "full", Signal::INT),
        ("ssh", "packs", Signal::TERM),
        ("ssh", "full", Signal::KILL),
        ("session", "full", Signal::INT),
        ("session", "full", Signal::KILL),
    ] {
        let way = ["--transport", transport, "--clone", clone];
        // A machine that is busy with something else makes one late, but not each of three.
        let mut late = Vec::new();
        let in_time = (0..3).any(|_| {
            let took = interrupt(&t, &repo, &host, &way, signal);
            late.push(took);
            took[0] < limits[0] && took[1] < limits[1]
        });
        assert!(in_time, "{way:?} {signal:?}: {late:?}");
    }
    assert!(t.images(&repo).is_empty());

    t.dkr(["create-image"]).in_dir(&repo).success();
    assert_eq!(t.image(&repo, "main").run(["cat", "README"]), "hello\n");
    assert_eq!(repo.state().changed_since(&before), Vec::<String>::new());
}

#[test]
fn a_blocked_output_does_not_cost_the_session() {
    let t = Sandbox::new();
    let section =
        "[post_clone]\nRUN seq -f 'line %g ..............................' 8000; sleep 9\n";
    let repo = t
        .repo("linux")
        .file(".dkr.conf", conf(section))
        .commit("initial");
    let status = t.path().join("status");
    // Nobody reads for longer than the engine's patience with a session.
    let script = format!(
        "{{ \"$0\" create-image --progress plain 2>&1; echo $? >{}; }} | {{ sleep 14; cat; }}",
        status.display()
    );
    let shell = ["-c", &script, env!("CARGO_BIN_EXE_dkr")];
    let output = t.command("sh", shell).in_dir(&repo);
    let port = t.sshd().port().to_string();
    let output = output.env("DKR_SSH_PORT", port).success();
    assert!(
        output.stdout.len() > 1 << 17,
        "too little to block: {}",
        output.stdout.len()
    );
    assert_eq!(fs::read_to_string(status).unwrap(), "0\n", "{output}");
    assert!(output.stdout.ends_with('\n') && output.stdout.contains("\ndkr:linux-main"));
}

#[test]
fn two_bakes_of_a_repository_at_once_both_succeed() {
    let t = Sandbox::new();
    let name = t.unique("twice");
    let tag = format!("dkr:{name}-main\n");
    let repo = t.repo(&name).file("README", "hello\n");
    repo.file(".dkr.conf", conf("[post_clone]\nRUN sleep 2\n"))
        .commit("initial");
    let spawn = || t.dkr(["create-image"]).in_dir(&repo).spawn();
    let (first, second) = (spawn(), spawn());
    let ended = [first.wait(), second.wait()];
    for output in &ended {
        assert_eq!((output.code, &*output.stdout), (Some(0), &*tag), "{output}");
    }
    let waited = ended
        .iter()
        .filter(|o| o.stderr.contains("waiting for another dkr"));
    assert_eq!(waited.count(), 1, "{}{}", ended[0], ended[1]);
    assert_eq!(baked(&t, &repo).len(), 2);
}

#[test]
fn a_failing_bake_leaves_the_tag_with_the_image_that_has_it() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    t.dkr(["create-image"]).in_dir(&repo).success();
    let id = t.image(&repo, "main").id().to_owned();
    repo.file(".dkr.conf", conf("[post_clone]\nRUN exit 3\n"))
        .commit("broken");
    t.dkr(["create-image"]).in_dir(&repo).failure(1);
    assert_eq!(baked(&t, &repo).len(), 1);
    assert_eq!(t.image(&repo, "main").id(), id);

    let other = two_commits(&t, "other");
    other
        .file(".dkr.conf", "base_image = x\ny\n")
        .commit("broken");
    let dkr = t.dkr(["create-image"]).in_dir(&other);
    refused(&t, &other, dkr, 2, &["line 2"]);
}

#[test]
fn a_build_whose_shared_step_is_killed_with_another_build_succeeds() {
    let t = Sandbox::new();
    let first = two_commits(&t, "first").file("name", t.unique("own"));
    first.commit("own");
    // The same commits and refs: its steps are the same to the engine.
    let path = first.path().with_file_name("second");
    let copied = ["-r", first.path().to_str().unwrap(), path.to_str().unwrap()];
    t.command("cp", copied).success();
    let host = HangingHost::new(&t);
    let create = || t.dkr(["create-image", "--transport", "session", "--clone", "full"]);
    let killed = create().in_dir(&first).env("PATH", &host.path).spawn();
    assert!(wait_until(Duration::from_secs(60), || host.asked.exists()));

    let mut waiting = create()
        .in_dir(&path)
        .limit(Duration::from_secs(100))
        .spawn();
    waiting.wait_for_stderr("dkr-fixtures:debian] done");
    // Were the step its own, it would be done by then.
    std::thread::sleep(Duration::from_secs(10));
    killed.signal(Signal::KILL);
    killed.wait();
    let output = waiting.wait();
    assert_eq!(output.code, Some(0), "{output}");
    output.stderr_has("warning: the build shared a step with a canceled build");
    assert_eq!(t.image(&path, "main").run(["cat", "README"]), "hello\n");
    assert!(t.images(&first).is_empty());
}
