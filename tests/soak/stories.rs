//! For each command: the setup, the arguments, and what must be true after it was killed and the next
//! command has run.

use std::fs;

use crate::lab::Lab;
use testkit::Api;

/// One command that is killed.
pub struct Story {
    /// The name of the command.
    pub name: &'static str,
    /// The setup; gets the number of the round.
    pub prepare: fn(&mut Lab, usize),
    /// Its arguments.
    pub arguments: fn(&Lab) -> Vec<String>,
    /// Whether it needs a terminal.
    pub terminal: bool,
    /// The check afterwards; gets whether it was killed before it exited.
    pub check: fn(&Lab, bool),
}

const BASE: Story = Story {
    name: "",
    prepare: |lab, _| lab.container_runs(),
    arguments: |_| Vec::new(),
    terminal: false,
    check: |_, _| {},
};

/// All stories.
pub const STORIES: &[Story] = &[
    Story {
        name: "create-image",
        prepare: |lab, round| lab.commit(round),
        arguments: |_| words(&["create-image"]),
        check: |lab, _| bakes(lab, "create-image"),
        ..BASE
    },
    Story {
        name: "update-image",
        prepare: |lab, round| lab.commit(round),
        arguments: |_| words(&["update-image"]),
        check: |lab, _| bakes(lab, "update-image"),
        ..BASE
    },
    Story {
        name: "start-image",
        prepare: |_, _| {},
        arguments: |lab| starts(lab, &[], "sleep 0.2"),
        check: |lab, _| {
            lab.rests();
            started(lab);
        },
        ..BASE
    },
    Story {
        name: "start-image -d",
        prepare: |_, _| {},
        arguments: |lab| starts(lab, &["--detach"], "sleep 1000"),
        check: |lab, _| started(lab),
        ..BASE
    },
    Story {
        name: "attach",
        prepare: |lab, _| {
            if lab.state().is_none() {
                let name = lab.name.clone();
                lab.ok(&["start-image", ".", "--name", &name, "--detach"]);
            }
        },
        arguments: |lab| words(&["attach", &lab.name]),
        terminal: true,
        check: |lab, _| {
            lab.ok(&["exec", &lab.name, "--", "tmux", "has-session", "-t", "main"]);
            reaches_the_host(lab);
        },
    },
    Story {
        name: "exec",
        arguments: |lab| {
            words(&[
                "exec",
                &lab.name,
                "--",
                "sh",
                "-c",
                "echo x >>file; sleep 0.1",
            ])
        },
        check: |lab, _| reaches_the_host(lab),
        ..BASE
    },
    Story {
        name: "stop",
        arguments: |lab| words(&["stop", &lab.name]),
        check: |lab, _| {
            if lab.state().as_deref() == Some("running") {
                lab.ok(&["stop", &lab.name]);
            }
            assert_eq!(lab.state().as_deref(), Some("exited"));
        },
        ..BASE
    },
    Story {
        name: "take",
        prepare: |lab, round| has_work_and_rests(lab, round),
        arguments: |lab| words(&["take", &lab.name]),
        check: |lab, _| {
            lab.ok(&["ps"]);
            assert_eq!(lab.state().as_deref(), Some("exited"));
            lab.ok(&["take", &lab.name]);
            let (name, mark) = (&lab.name, lab.mark());
            let taken = lab
                .repo
                .output(["show", &format!("refs/dkr/wip/{name}:work")]);
            assert_eq!(
                taken,
                fs::read_to_string(mark).expect("it was just written")
            );
        },
        ..BASE
    },
    Story {
        name: "diff",
        prepare: |lab, round| {
            if round % 10 == 0 || lab.state().is_none() {
                has_work_and_rests(lab, round);
            }
        },
        arguments: |lab| words(&["diff", &lab.name]),
        check: |lab, _| {
            lab.ok(&["ps"]);
            assert_eq!(lab.state().as_deref(), Some("exited"));
            assert!(lab.ok(&["diff", &lab.name]).stdout.contains("+++ b/work"));
        },
        ..BASE
    },
    Story {
        name: "rm",
        prepare: |lab, _| {
            lab.container_runs();
            lab.ok(&["stop", "--time", "1", &lab.name]);
        },
        arguments: |lab| words(&["rm", &lab.name]),
        check: |lab, _| {
            if lab.state().is_some() {
                lab.ok(&["rm", &lab.name]);
            }
            assert!(lab.listed().is_empty(), "{:?}", lab.listed());
        },
        ..BASE
    },
    Story {
        name: "prune",
        prepare: |lab, _| two_images(lab),
        arguments: |_| words(&["prune", "--yes", "--keep", "1"]),
        check: |lab, _| {
            lab.ok(&["prune", "--yes", "--keep", "1"]);
            lab.tag_is_on_the_newest();
            lab.ok(&["start-image", ".", "--", "true"]);
        },
        ..BASE
    },
    Story {
        name: "remove-image",
        prepare: |lab, _| two_images(lab),
        arguments: |lab| words(&["remove-image", &lab.moving_tag()]),
        check: |lab, _| {
            lab.ok(&["ls"]);
            lab.tag_is_on_the_newest();
            lab.ok(&["start-image", ".", "--", "true"]);
        },
        ..BASE
    },
    Story {
        name: "list-images",
        prepare: |_, _| {},
        arguments: |_| words(&["ls", "--stale"]),
        ..BASE
    },
    Story {
        name: "list-containers",
        arguments: |_| words(&["ps"]),
        ..BASE
    },
    Story {
        name: "status",
        arguments: |_| words(&["status"]),
        ..BASE
    },
];

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// The command succeeds now, and the newest image has the newest commit and the moving tag.
fn bakes(lab: &Lab, command: &str) {
    lab.mends_the_tag();
    lab.ok(&[command]);
    assert_eq!(lab.newest().label("dkr.commit"), lab.repo.rev("main"));
    lab.tag_is_on_the_newest();
    if lab.t.branch_images(&lab.repo).len() > 6 {
        lab.ok(&["prune", "--yes", "--keep", "1"]);
    }
}

/// A start whose command leaves a mark on the host and then work in the container.
fn starts(lab: &Lab, options: &[&str], then: &str) -> Vec<String> {
    let mark = lab.mark();
    let folder = mark.parent().expect("it is in a folder");
    let volume = format!("{}:/mark", folder.display());
    let script = format!("echo work >work; sync; echo >/mark/ran; {then}");
    let path = lab.repo.path().to_str().expect("names of tests are UTF-8");
    let start = [
        "start-image",
        path,
        "main",
        "--name",
        &lab.name,
        "-v",
        &volume,
    ];
    words(&[&start, options, &["--", "sh", "-c", &script]].concat())
}

/// A container whose command ran exists with its work, and one that exists can be used.
fn started(lab: &Lab) {
    lab.ok(&["ps"]);
    let (ran, state) = (lab.mark().exists(), lab.state());
    assert!(
        state.is_some() || !ran,
        "the container is lost with its work"
    );
    if let Some(state) = state {
        if state != "running" {
            lab.ok(&["start-image", ".", "--name", &lab.name, "--detach"]);
        }
        reaches_the_host(lab);
        if ran {
            assert_eq!(
                lab.ok(&["exec", &lab.name, "--", "cat", "work"]).stdout,
                "work\n"
            );
        }
        lab.gone();
    }
    let _ = fs::remove_file(lab.mark());
}

/// The container runs, and its channel works.
fn reaches_the_host(lab: &Lab) {
    lab.ok(&["exec", &lab.name, "--", "git", "fetch", "--quiet", "host"]);
}

/// The container is stopped and holds new work.
fn has_work_and_rests(lab: &Lab, round: usize) {
    lab.container_runs();
    let (work, mark) = (format!("work {round}"), lab.mark());
    fs::write(mark, &work).expect("the sandbox is writable");
    let script = format!("printf %s '{work}' >work");
    lab.ok(&["exec", &lab.name, "--", "sh", "-c", &script]);
    // A killed container has no report: it must be started to be checked.
    let kill = format!("/containers/{}/kill", lab.name);
    Api::of_machine().post(&kill, &serde_json::Value::Null);
    lab.rests();
}

/// The branch has at least two images.
fn two_images(lab: &Lab) {
    while lab.t.branch_images(&lab.repo).len() < 2 {
        lab.ok(&["create-image"]);
    }
}
