//! Containers that do not answer, or answer without end: dkr gives up after a while, says so, and
//! leaves nothing running that it started.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::containers::{baked, detached, inside, row, state};
use crate::support::{Invocation, Repo, Sandbox, wait_until};

/// Makes the container silent whenever it is asked what it holds.
const SILENT: &str = "echo work >work
    printf '#!/bin/sh\\nexec sleep 100000\\n' >/usr/local/lib/dkr/work.sh";

/// dkr that waits 2 s for an answer.
fn impatient(t: &Sandbox, arguments: &[&str]) -> Invocation {
    t.dkr(arguments).env("DKR_CONTAINER_TIMEOUT", "2")
}

/// A container that does not answer any more.
fn silent(t: &Sandbox, repo: &Repo, name: &str) -> String {
    let name = t.unique(name);
    detached(t, repo, &name);
    inside(t, &name, SILENT);
    name
}

/// The processes of the container that wait now. Every listing of the machine asks it, too, and waits
/// longer.
fn sleepers(t: &Sandbox, name: &str) -> BTreeSet<String> {
    let script = "grep -lsz 1000[0]0 /proc/[0-9]*/cmdline || true";
    let found = inside(t, name, script).stdout;
    found.lines().map(str::to_owned).collect()
}

const LATE: &str = "no answer from the container within 2 s";

#[test]
fn a_silent_container_that_runs_is_given_up() {
    let t = Sandbox::new();
    let repo = baked(&t);
    let name = silent(&t, &repo, "runs");
    for command in ["take", "diff"] {
        let failed = impatient(&t, &[command, &name]).failure(1);
        failed.stderr_has(LATE);
        failed.stderr_has("hint: wait longer with `DKR_CONTAINER_TIMEOUT=SECONDS`");
    }
    let listed = impatient(&t, &["ps", "--json"]).success();
    assert!(listed.stdout.contains("\"work\": null"), "{listed}");
    let left = sleepers(&t, &name);
    let ended = || sleepers(&t, &name).is_disjoint(&left);
    assert!(wait_until(Duration::from_secs(60), ended), "{left:?}");
    // It was told to end and did not: nothing is started to ask it again.
    let stopped = t.dkr(["stop", "--time", "1", &name]).success();
    stopped.stderr_has("which did not report its unsaved work");
    assert_eq!(state(&name).as_deref(), Some("exited"));
    t.dkr(["rm", "--force", &name]).success();
}

#[test]
fn a_silent_container_that_has_ended_is_asked_for_a_while_and_stopped_again() {
    let t = Sandbox::new();
    let repo = baked(&t);
    let name = silent(&t, &repo, "ended");
    t.dkr(["stop", "--time", "1", &name]).success();
    for command in ["take", "diff", "rm"] {
        impatient(&t, &[command, &name]).failure(1).stderr_has(LATE);
        assert_eq!(state(&name).as_deref(), Some("exited"), "{command}");
    }
    let pruned = impatient(&t, &["prune", "--yes"]).in_dir(&repo).success();
    pruned.stderr_has(&format!("keeping container `{name}`: "));
    assert_eq!(state(&name).as_deref(), Some("exited"));

    // One that nobody waits for any more is not left running either.
    let ways = [(Signal::INT, Some(130)), (Signal::KILL, None)];
    for (signal, code) in ways {
        let taking = t.dkr(["take", &name]).spawn();
        let runs = || state(&name).as_deref() == Some("running");
        assert!(wait_until(Duration::from_secs(30), runs));
        std::thread::sleep(Duration::from_millis(500));
        taking.signal(signal);
        assert_eq!(taking.wait().code, code);
        assert_eq!(row(&t, &name)["state"], "exited", "{signal:?}");
    }

    let began = Instant::now();
    let holder = t.dkr(["take", &name]).spawn();
    std::thread::sleep(Duration::from_secs(1));
    t.dkr(["rm", "--force", &name]).success();
    assert!(began.elapsed() < Duration::from_secs(20));
    holder.wait();
}

#[test]
fn work_without_end_is_cut_off() {
    let t = Sandbox::new();
    let repo = baked(&t);
    let name = t.unique("endless");
    detached(&t, &repo, &name);
    inside(
        &t,
        &name,
        "git commit -q --allow-empty -m x
         printf '#!/bin/sh\\ncase \"$*\" in *pack-objects* | *no-textconv*) exec yes;; esac\\n%s\\n' \
             'exec /usr/bin/git \"$@\"' >/usr/local/bin/git
         chmod 755 /usr/local/bin/git",
    );
    let before = repo.state();
    let failed = t.dkr(["take", &name]).failure(1);
    failed.stderr_has("cannot write commits to");
    assert_eq!(repo.state().changed_since(&before), [""; 0]);
    let many = t.command(
        "sh",
        [
            "-c",
            "\"$0\" diff \"$1\" | head -n 1",
            env!("CARGO_BIN_EXE_dkr"),
            &name,
        ],
    );
    assert_eq!(many.success().stdout, "y\n");
    let still = || inside(&t, &name, "grep -lszx ye[s] /proc/[0-9]*/cmdline | wc -l").stdout;
    assert!(wait_until(Duration::from_secs(20), || still().trim() == "0"));
    t.dkr(["rm", "--force", &name]).success();
}
