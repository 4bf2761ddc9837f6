//! Containers that lost something: the process that serves them, their image, or tmux.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::baked;
use crate::cases::create_image::{conf, two_commits};
use crate::cases::start_image::{containers, hostname};
use crate::support::{Api, Sandbox, Terminal, processes_mentioning};

/// `start-image` in a terminal.
fn start(t: &Sandbox, arguments: &[&str]) -> Terminal {
    let arguments = [&["start-image"], arguments].concat();
    t.dkr(arguments).env("PS1", "$ ").terminal(100, 30)
}

/// Kills the process that serves the sandbox's one container, as a reboot would.
fn kill_channel(t: &Sandbox) {
    let mut found = processes_mentioning(t.path()).into_iter();
    let found = found.find(|(_, text)| text.contains(" channel-server "));
    let (pid, _) = found.expect("a channel is served");
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
}

#[test]
fn a_container_gets_its_channel_back_and_outlives_its_image() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    t.dkr(["create-image"]).in_dir(&repo).success();
    let name = t.unique("work");
    let path = repo.path().to_str().unwrap();
    let terminal = start(&t, &[path, "main", "--name", &name]);
    terminal.wait_for("/workspace#");
    kill_channel(&t);
    let push = "clear; git commit -q --allow-empty -m work; git push -q && echo PUSHED | rev";
    terminal.send_keys(&[push, "Enter"]);
    let screen = terminal.wait_for("hint: run `dkr ");
    assert!(screen.contains("the host does not answer"), "{screen}");
    terminal.send_keys(&["C-b", "d"]);
    assert_eq!(terminal.exit_code(), 0);

    let terminal = start(&t, &["--name", &name]);
    terminal.wait_for("hint: run `dkr ");
    terminal.send_keys(&["clear; git push -q && echo PUSHED | rev", "Enter"]);
    terminal.wait_for("DEHSUP");
    let pushed = format!("{}/{name}", hostname());
    assert_eq!(repo.output(["log", "--format=%s", "-1", &pushed]), "work");
    terminal.send_keys(&["C-b", "d"]);
    assert_eq!(terminal.exit_code(), 0);

    // Stopped, and its image taken away: what it holds is still there.
    let api = Api::of_machine();
    api.post(&format!("/containers/{name}/stop?t=5"), &Value::Null);
    for image in baked(&t, &repo) {
        api.delete(&format!("/images/{}?force=1", image.id()));
    }
    assert!(baked(&t, &repo).is_empty());
    let terminal = start(&t, &["--name", &name]);
    terminal.wait_for("/workspace#");
    let again = "clear; git commit -q --allow-empty -m again; git push -q && echo PUSHED | rev";
    terminal.send_keys(&[again, "Enter"]);
    terminal.wait_for("DEHSUP");
    assert_eq!(repo.output(["log", "--format=%s", "-1", &pushed]), "again");
    terminal.send_keys(&["clear; exit", "Enter"]);
    assert_eq!(terminal.exit_code(), 0);
}

#[test]
fn an_image_without_tmux_runs_commands_and_says_why_it_has_no_session() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    repo.file(".dkr.conf", conf("[post_clone]\nRUN rm /usr/bin/tmux\n"));
    repo.commit("without tmux");
    t.dkr(["create-image"]).in_dir(&repo).success();
    let path = repo.path().to_str().unwrap();
    let terminal = start(&t, &[path, "main"]);
    assert_eq!(terminal.exit_code(), 1, "{}", terminal.screen());
    let screen = terminal.screen();
    assert!(screen.contains("error: cannot start tmux"), "{screen}");
    let command = ["start-image", path, "main", "--", "echo", "works"];
    assert_eq!(t.dkr(command).success().stdout, "works\n");
    assert_eq!(containers(&repo), 0);
}
