//! `dkr start-image` in a terminal: the session in tmux, coming and going, and what is left of it.

use std::fs;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::create_image::two_commits;
use super::start_image::containers;
use crate::support::{Api, Repo, Sandbox, Terminal, processes_mentioning, wait_until};

/// Runs dkr between two looks at the terminal's settings, and says what came of it.
const SCRIPT: &str = r#"stty -a >before; "$@"; status=$?; stty -a >after
diff before after && same=', terminal as before'; echo "ended with $status$same""#;

/// A terminal of 100 columns in which `start-image` runs with these options.
fn session(t: &Sandbox, options: &[&str]) -> Terminal {
    let dkr = [env!("CARGO_BIN_EXE_dkr"), "start-image"];
    let arguments = [&["-c", SCRIPT, "sh"], &dkr[..], options].concat();
    let port = t.sshd().port().to_string();
    t.command("sh", arguments)
        .env("DKR_SSH_PORT", port)
        .env("PS1", "$ ")
        .terminal(100, 30)
}

fn baked(t: &Sandbox) -> Repo {
    let repo = two_commits(t, "linux");
    t.dkr(["create-image"]).in_dir(&repo).success();
    repo
}

/// Whether a container runs, nothing if there is none.
fn runs(name: &str) -> Option<bool> {
    let found = Api::of_machine().find(&format!("/containers/{name}/json"));
    found.map(|container| container["State"]["Running"] == true)
}

/// Sends a signal to the dkr that runs in the sandbox with these arguments.
fn kill_dkr(t: &Sandbox, arguments: &str, signal: Signal) {
    let line = format!("{} {arguments}", env!("CARGO_BIN_EXE_dkr"));
    let mut found = processes_mentioning(t.path()).into_iter();
    let found = found.find(|(pid, text)| text.trim_end() == format!("process {pid}: {line}"));
    let (pid, _) = found.expect("it runs");
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

#[test]
fn a_session_is_left_come_back_to_and_ended() {
    let t = Sandbox::new();
    let repo = baked(&t);
    let path = repo.path().to_str().unwrap();
    let name = t.unique("session");
    let terminal = session(&t, &[path, "main", "--name", &name]);
    terminal.wait_for("/workspace#");
    // A size arrives a moment after the session that it is for.
    let shows = |size: &str| {
        let command = "clear; echo \"$(git branch --show-current) $(tput cols) $LANG\"";
        let line = format!("{name} {size} C.UTF-8");
        let asked = wait_until(Duration::from_secs(20), || {
            terminal.send_keys(&[command, "Enter"]);
            wait_until(Duration::from_secs(1), || terminal.screen().contains(&line))
        });
        assert!(asked, "{}", terminal.screen());
    };
    shows("100");
    terminal.resize(70, 20);
    shows("70");
    terminal.resize(100, 30);
    shows("100");

    // Colours and characters of other scripts come through.
    let colours = r"clear; printf '\033[31mred\033[0m gr\303\274n \346\274\242\n'";
    terminal.send_keys(&[colours, "Enter"]);
    terminal.wait_for("red grün 漢");
    let screen = terminal.screen_with_colours();
    assert!(screen.contains("\u{1b}[31mred"), "{screen}");

    terminal.send_keys(&["C-b", "d"]);
    let screen = terminal.wait_for("ended with 0, terminal as before");
    assert!(
        screen.contains(&format!("container `{name}` is still running")),
        "{screen}"
    );
    let back = format!("dkr attach {name}");
    assert!(screen.contains(&back), "{screen}");
    assert_eq!(runs(&name), Some(true));

    let terminal = session(&t, &["--name", &name]);
    terminal.wait_for("red grün 漢");
    terminal.send_keys(&["clear; exit", "Enter"]);
    terminal.wait_for("ended with 0, terminal as before");
    assert_eq!(runs(&name), None);
    assert_eq!(containers(&repo), 0);
}

#[test]
fn a_session_outlives_a_terminal_that_closes_and_a_dkr_that_is_killed() {
    let t = Sandbox::new();
    let repo = baked(&t);
    let path = repo.path().to_str().unwrap();
    let name = t.unique("lost");
    let terminal = session(&t, &[path, "main", "--name", &name]);
    terminal.wait_for("/workspace#");
    terminal.send_keys(&["echo work > work; clear; echo fir''st", "Enter"]);
    terminal.wait_for("first");
    drop(terminal);
    assert_eq!(runs(&name), Some(true));

    let terminal = session(&t, &["--name", &name]);
    terminal.send_keys(&["clear; cat work | tr a-z A-Z", "Enter"]);
    terminal.wait_for("WORK");
    kill_dkr(&t, &format!("start-image --name {name}"), Signal::KILL);
    terminal.wait_for("ended with 137");
    drop(terminal);
    for signal in [Signal::TERM, Signal::HUP] {
        assert_eq!(runs(&name), Some(true));
        let terminal = session(&t, &["--name", &name]);
        terminal.wait_for("WORK");
        kill_dkr(&t, &format!("start-image --name {name}"), signal);
        terminal.wait_for(", terminal as before");
    }
    assert_eq!(runs(&name), Some(true));

    // A stopped one is started again, where it was.
    Api::of_machine().post(&format!("/containers/{name}/stop?t=5"), &Value::Null);
    assert_eq!(runs(&name), Some(false));
    let terminal = session(&t, &["--name", &name]);
    terminal.wait_for("/workspace#");
    terminal.send_keys(&[
        "clear; cat work | tr a-z A-Z; git branch --show-current",
        "Enter",
    ]);
    terminal.wait_for(&format!("WORK\n{name}"));
    terminal.send_keys(&["exit", "Enter"]);
    terminal.wait_for("ended with");
    // The file is only there.
    assert_eq!(runs(&name), Some(false));
}

#[test]
fn a_command_in_a_terminal_has_it_to_itself() {
    let t = Sandbox::new();
    let repo = baked(&t);
    let path = repo.path().to_str().unwrap();
    let command = |script| [path, "main", "--", "sh", "-c", script];
    // A size arrives a moment after the terminal that it is for.
    let script = "until [ \"$(stty size)\" = '30 100' ]; do sleep 0.1; done; stty size; \
        echo \"$TERM\"; printf 'name? '; read name; echo \"hello $name\"; exit 3";
    let terminal = session(&t, &command(script));
    terminal.wait_for("name?");
    terminal.send_keys(&["Ada", "Enter"]);
    let screen = terminal.wait_for("ended with 3, terminal as before");
    for shown in ["30 100", "screen", "hello Ada"] {
        assert!(screen.contains(shown), "{shown}: {screen}");
    }
    // What dkr said while it waited is gone.
    for shown in [
        "looking up the image",
        "creating the container",
        "starting container",
    ] {
        assert!(!screen.contains(shown), "{shown}: {screen}");
    }

    // Ctrl-C is the command's.
    let terminal = session(
        &t,
        &command("trap 'echo caught; exit 4' INT; echo ready; sleep 100 & wait"),
    );
    terminal.wait_for("ready");
    terminal.send_keys(&["C-c"]);
    let screen = terminal.wait_for("ended with 4, terminal as before");
    assert!(screen.contains("caught"), "{screen}");
    assert_eq!(containers(&repo), 0);
}

#[test]
fn a_session_needs_a_terminal_and_a_name_of_its_own() {
    let t = Sandbox::new();
    let repo = baked(&t);
    let path = repo.path().to_str().unwrap();
    let output = t.dkr(["start-image", path, "main"]).failure(2);
    output.stderr_has("without a terminal");
    output.stderr_has("hint: run a command: `dkr start-image -- CMD`");

    let name = t.unique("taken");
    let terminal = session(&t, &[path, "main", "--name", &name]);
    terminal.wait_for("/workspace#");
    let second = t.dkr(["start-image", path, "main", "--name", &name, "--", "true"]);
    let second = second.failure(1);
    second.stderr_has(&format!("container `{name}` already exists"));
    second.stderr_has(&format!("reattach to it with `dkr attach {name}`"));

    // The same name in another repository is another piece of work.
    let other = two_commits(&t, "other");
    t.dkr(["create-image"]).in_dir(&other).success();
    let path = other.path().to_str().unwrap();
    let elsewhere = session(&t, &[path, "main", "--name", &name]);
    let screen = elsewhere.wait_for("ended with 1");
    assert!(
        screen.contains("its working branch is `") && screen.contains("with `--name`"),
        "{screen}"
    );

    terminal.send_keys(&["exit", "Enter"]);
    terminal.wait_for("ended with 0");
    assert_eq!(fs::read_dir(t.path().join("tmp")).unwrap().count(), 0);
}
