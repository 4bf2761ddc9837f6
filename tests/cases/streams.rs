//! `dkr start-image -- CMD`: the command has its own streams, status and signals.

use std::process::Command;

use rustix::process::Signal;

use super::containers::detached;
use super::create_image::two_commits;
use super::start_image::{containers, start};
use crate::support::Sandbox;

#[test]
fn a_command_has_its_own_streams_status_and_signals() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    t.dkr(["create-image"]).in_dir(&repo).success();

    let bytes: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
    let copied = start(&t, &repo, &[], &["cat"]).stdin(&bytes).success();
    assert!(
        copied.stdout_bytes == bytes,
        "{} bytes",
        copied.stdout.len()
    );

    let script = "echo out; echo err >&2; exit 7";
    let both = start(&t, &repo, &[], &["sh", "-c", script]).failure(7);
    assert_eq!(both.stdout, "out\n");
    assert!(both.stderr.ends_with("\nerr\n"), "{both}");

    let options = ["-e", "ONE=1 and 'more'", "-e", "TWO", "-e", "THREE"];
    let script = "echo \"$ONE\" \"$TWO\" \"${THREE-unset}\"";
    let passed = start(&t, &repo, &options, &["sh", "-c", script]);
    let passed = passed.env("TWO", "of the user").success();
    assert_eq!(passed.stdout, "1 and 'more' of the user unset\n");

    start(&t, &repo, &[], &["sh", "-c", "kill -9 $$"]).failure(137);
    let missing = start(&t, &repo, &[], &["no-such-command"]).failure(127);
    missing.stderr_has("no-such-command");
    assert_eq!(containers(&repo), 0);
}

#[test]
fn a_signal_reaches_the_command_whose_answer_counts() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    t.dkr(["create-image"]).in_dir(&repo).success();
    let script = "trap 'echo bye; exit 9' TERM; echo trapped >&2; while :; do sleep 0.1; done";
    let command = ["sh", "-c", script];
    for _ in 0..5 {
        let mut running = start(&t, &repo, &[], &command).spawn();
        running.wait_for_stderr("trapped");
        running.signal(Signal::TERM);
        let ended = running.wait();
        assert_eq!(
            (ended.code, ended.stdout.as_str()),
            (Some(9), "bye\n"),
            "{ended}"
        );
    }
    assert_eq!(containers(&repo), 0);
}

#[test]
fn a_hundred_megabytes_through_a_pipe_are_intact() {
    const NUMBERS: &str = "13000000";
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    t.dkr(["create-image"]).in_dir(&repo).success();
    let expected = Command::new("seq").arg(NUMBERS).output().unwrap().stdout;
    assert!(expected.len() > 100 << 20);
    let printed = start(&t, &repo, &[], &["seq", NUMBERS]).success();
    assert!(printed.stdout_bytes == expected, "{}", printed.stdout.len());
}

#[test]
fn output_that_a_full_disk_does_not_take_is_missed() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    t.dkr(["create-image"]).in_dir(&repo).success();
    let name = t.unique("full");
    detached(&t, &repo, &name);
    for command in [
        format!("exec {name} -- echo lost"),
        format!("exec {name} -- sh -c 'echo x >new' && dkr diff {name}"),
        "start-image . main --rm -- echo lost".to_owned(),
    ] {
        let script = format!("dkr() {{ \"$0\" \"$@\" >/dev/full; }}; dkr {command}");
        let dkr = env!("CARGO_BIN_EXE_dkr");
        let port = t.sshd().port().to_string();
        let full = t.command("sh", ["-c", &script, dkr]).in_dir(&repo);
        let full = full.env("DKR_SSH_PORT", port).failure(1);
        full.stderr_has("error: cannot write the output of the command in the container");
        full.stderr_has("No space left on device");
    }
    t.dkr(["rm", "--force", &name]).success();
}
