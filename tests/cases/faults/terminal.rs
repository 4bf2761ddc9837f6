//! Terminals that are narrow, closed, or attacked by what a build prints.

use crate::cases::create_image::{conf, two_commits};
use crate::support::Sandbox;

/// Clears the screen, moves to its top, sets the title, writes the clipboard, changes the colour.
const ATTACK: &str = r"\033[2J\033[H\033]0;owned\007\033]52;c;b3duZWQ=\007\033[31mred\r\n";

#[test]
fn what_a_step_prints_does_not_control_the_terminal() {
    let t = Sandbox::new();
    let section = format!("[post_clone]\nRUN printf '{ATTACK}'; printf '{ATTACK}' >&2; exit 3\n");
    let repo = t
        .repo("linux")
        .file(".dkr.conf", conf(&section))
        .commit("initial");
    let plain = t.dkr(["create-image", "--progress", "plain"]).in_dir(&repo);
    let plain = plain.failure(1);
    plain.stderr_has("[post_clone] red\n");
    assert!(!plain.stderr.contains(['\u{1b}', '\u{7}']), "{plain}");

    let terminal = t.dkr(["create-image"]).in_dir(&repo);
    let terminal = terminal.env("TERM", "xterm-256color").terminal(100, 30);
    assert_eq!(terminal.exit_code(), 1, "{}", terminal.screen());
    let screen = terminal.screen();
    assert!(screen.contains("\n    red\n    red\n"), "{screen}");
    assert!(screen.contains("check out the repository"), "{screen}");
    assert!(screen.contains("exit code 3"), "{screen}");
    let owned = screen.lines().find(|line| line.trim() == "owned");
    assert_eq!(owned, None, "{screen}");
    // The attack's own colour: red letters of the step's text.
    let coloured = terminal.screen_with_colours();
    assert!(!coloured.contains("\u{1b}[31mred"), "{coloured}");
}

#[test]
fn a_terminal_of_20_columns_is_enough() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    let terminal = t.dkr(["create-image"]).in_dir(&repo);
    let terminal = terminal.env("TERM", "xterm").terminal(20, 30);
    assert_eq!(terminal.exit_code(), 0, "{}", terminal.screen());
    let screen = terminal.screen().replace('\n', "");
    assert!(screen.contains("dkr:linux-main"), "{screen}");
    assert!(!screen.contains("panicked"), "{screen}");

    let terminal = t.dkr(["list-images", "."]).in_dir(&repo);
    let terminal = terminal.env("TERM", "xterm").terminal(20, 30);
    assert_eq!(terminal.exit_code(), 0, "{}", terminal.screen());
    let screen = terminal.screen().replace('\n', "");
    assert!(screen.contains(&repo.rev("main")[..7]), "{screen}");
}

#[test]
fn a_closed_or_full_output_is_no_panic() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    let port = t.sshd().port().to_string();
    let shell = |script: &str| {
        let shell = t.command("sh", ["-c", script, env!("CARGO_BIN_EXE_dkr")]);
        shell.in_dir(&repo).env("DKR_SSH_PORT", &port).run()
    };
    let built = shell("exec \"$0\" create-image >&-");
    assert_eq!(built.code, Some(0), "{built}");
    let quiet = shell("exec \"$0\" create-image >/dev/null 2>&-");
    assert_eq!((quiet.code, &*quiet.stderr), (Some(0), ""), "{quiet}");
    for (script, code) in [
        ("\"$0\" list-images --json >&-", 0),
        ("\"$0\" list-images >&- 2>&- <&-", 0),
        ("{ \"$0\" --help; echo $? >&2; } | true", 0),
        ("\"$0\" list-images --json >/dev/full", 1),
        ("\"$0\" create-image --dry-run >/dev/full", 1),
        ("\"$0\" list-images >/dev/full 2>/dev/full", 1),
        ("\"$0\" no-such-command >/dev/full 2>/dev/full", 2),
    ] {
        let output = shell(script);
        assert_eq!(output.code, Some(code), "{script}: {output}");
        assert!(!output.stderr.contains("panicked"), "{script}: {output}");
    }
}
