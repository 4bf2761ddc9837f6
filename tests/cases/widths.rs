//! What is listed fits the terminal, be it 40 or 200 columns wide, and a pipe gets all of it.

use super::create_image::two_commits;
use super::stocked;
use crate::support::Sandbox;

/// Names that fit no narrow terminal beside anything else.
const BRANCHES: [&str; 3] = [
    "main",
    "topic-with-a-name-longer-than-a-narrow-terminal",
    "space/devel",
];
const CONTAINERS: [&str; 2] = ["fix/the-parser-of-nested-expressions-in-it", "sketch"];

/// Each command, a header that only a table has, and what a block of it begins with.
const LISTINGS: &[(&[&str], &str)] = &[
    (&["ls"], "IMAGE ID"),
    (&["ls", "--stale"], "FRESHNESS"),
    (&["ls", "--no-trunc"], "IMAGE ID"),
    (&["ps"], "UNPUSHED"),
    (&["status"], ".DKR.CONF"),
    (&["inspect-image", "linux-main"], "CONTAINER"),
    (&["show-config"], "ABOUT"),
    (&["prune", "--keep", "0", "--dry-run"], "OWN SIZE"),
];

#[test]
fn every_listing_fits_40_and_200_columns() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    let engine = stocked::engine(&t, &repo, &BRANCHES, &CONTAINERS);
    let dkr = |arguments: &[&str]| {
        let dkr = t.command(env!("CARGO_BIN_EXE_dkr"), arguments);
        dkr.in_dir(&repo).env("DOCKER_HOST", engine.host())
    };
    for (arguments, header) in LISTINGS {
        let piped = dkr(arguments).success().stdout;
        let in_pipe = piped.lines().find(|line| line.contains(header));
        assert!(in_pipe.is_some(), "{piped}");
        for width in [40, 80, 200] {
            // Messages on standard error are sentences, which a terminal wraps.
            let script = "\"$@\" 2>/dev/null";
            let command = [&["-c", script, "sh", env!("CARGO_BIN_EXE_dkr")], *arguments].concat();
            let shell = t.command("sh", command).in_dir(&repo);
            let terminal = shell.env("DOCKER_HOST", engine.host()).terminal(width, 200);
            assert_eq!(terminal.exit_code(), 0);
            let lines = terminal.lines();
            for line in &lines {
                let columns = line.chars().count();
                assert!(columns <= width.into(), "{arguments:?} at {width}: {line}");
            }
            let text = lines.join("\n");
            assert!(text.contains(header) || width == 80, "{text}");
            if width == 200 && *arguments != ["ls", "--no-trunc"] {
                // As wide as it needs: nothing is cut.
                assert_eq!(text.trim_end(), piped.trim_end(), "{arguments:?}");
            }
        }
    }
}

#[test]
fn a_terminal_of_80_columns_still_has_tables() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    let engine = stocked::engine(&t, &repo, &BRANCHES, &CONTAINERS);
    for (command, headers) in [
        ("ls", "TAG REPO BRANCH COMMIT CREATED OWN SIZE"),
        (
            "ps",
            "NAME BRANCH STATE CREATED AHEAD BEHIND FILES UNPUSHED",
        ),
    ] {
        let dkr = t.dkr([command]).env("DOCKER_HOST", engine.host());
        let terminal = dkr.terminal(80, 40);
        assert_eq!(terminal.exit_code(), 0);
        let lines = terminal.lines();
        let words: Vec<&str> = lines[0].split_whitespace().collect();
        assert_eq!(words.join(" "), headers);
    }
}

#[test]
fn what_a_question_is_about_fits_too() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    let engine = stocked::engine(&t, &repo, &BRANCHES, &[]);
    for width in [40, 200] {
        let dkr = t.dkr(["prune", "--keep", "0"]).in_dir(&repo);
        let terminal = dkr.env("DOCKER_HOST", engine.host()).terminal(width, 100);
        terminal.wait_for("Remove ");
        let lines = terminal.lines();
        assert!(
            lines.iter().any(|line| line.contains("OWN SIZE")),
            "{lines:?}"
        );
        for line in lines {
            assert!(line.chars().count() <= width.into(), "{width}: {line}");
        }
        terminal.send_keys(&["n"]);
        assert_eq!(terminal.exit_code(), 0);
        terminal.wait_for("nothing was removed");
    }
    let requests = engine.requests().into_iter();
    assert_eq!(
        requests
            .filter(|request| request.method == "DELETE")
            .count(),
        0
    );
}

#[test]
fn doctor_fits_and_keeps_its_words_whole() {
    let t = Sandbox::new();
    for width in [40, 200] {
        let terminal = t.dkr(["doctor"]).terminal(width, 100);
        assert_eq!(terminal.exit_code(), 0);
        let lines = terminal.lines();
        // A hint is to be copied: only the terminal breaks it. A path is one word.
        let table = lines.iter().filter(|line| {
            let words = line.split_whitespace();
            !line.contains("hint:")
                && words
                    .clone()
                    .all(|word| word.len() < usize::from(width) - 6)
        });
        for line in table {
            assert!(line.chars().count() <= width.into(), "{width}: {line}");
        }
        let words = lines.join(" ");
        let words: Vec<&str> = words.split_whitespace().collect();
        let words = words.join(" ");
        assert!(
            words.contains("that a build") || words.contains("session"),
            "{words}"
        );
        assert!(words.contains("transport using SSH as"), "{words}");
    }
}

#[test]
fn colour_is_for_terminals_whose_user_wants_it() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    let wrong = || {
        t.dkr(["start-image", "/nowhere", "--", "true"])
            .in_dir(&repo)
    };
    let piped = wrong().failure(3);
    assert!(piped.stderr.starts_with("error: ") && !piped.stderr.contains('\u{1b}'));
    for (variable, coloured) in [("UNRELATED", true), ("NO_COLOR", false)] {
        let terminal = wrong().env(variable, "1").terminal(100, 20);
        assert_eq!(terminal.exit_code(), 3);
        let screen = terminal.screen_with_colours();
        assert_eq!(screen.contains('\u{1b}'), coloured, "{screen:?}");
        assert!(terminal.screen().contains("error: "), "{screen}");
    }
}
