//! `assets/install-packages.sh` with stand-ins for the package managers.
//!
//! A stand-in writes its command line to a file and ends with the status it is told. `PATH`
//! holds nothing else: `rm` is a stand-in too, so that nothing of this machine is removed.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::support::write_program;

const TOOLS: [&str; 4] = ["git", "tmux", "openssh-client", "socat"];

/// A command and the shell commands that give its answer.
type StandIn<'a> = (&'a str, &'a str);

/// A base image: the directory that is its whole `PATH`.
struct Image(TempDir);

impl Image {
    /// An image with `commands`.
    fn with(commands: &[StandIn]) -> Self {
        let image = Image(tempfile::tempdir().expect("a temporary directory"));
        fs::create_dir(image.0.path().join("bin")).expect("an empty directory");
        for (name, answer) in commands.iter().chain(&[("rm", "")]) {
            let log = image.log();
            let script = format!(
                "#!/bin/sh\nprintf '%s\\n' \"{name}${{*:+ $*}}\" >>'{}'\n{answer}\n",
                log.display()
            );
            let path = image.0.path().join("bin").join(name);
            write_program(&path, &script);
        }
        image
    }

    fn log(&self) -> PathBuf {
        self.0.path().join("calls")
    }

    fn install(&self, names: &[&str]) -> Output {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/install-packages.sh");
        Command::new("/bin/sh")
            .arg(script)
            .args(names)
            .env_clear()
            .env("PATH", self.0.path().join("bin"))
            .output()
            .expect("a shell")
    }

    #[track_caller]
    fn installs(&self, names: &[&str]) {
        let output = self.install(names);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    }

    /// Every command line so far.
    fn calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.log()).unwrap_or_default();
        calls.lines().map(str::to_owned).collect()
    }

    /// The command lines that ask no package database.
    fn changes(&self) -> Vec<String> {
        let mut calls = self.calls();
        calls.retain(|call| {
            let questions = [
                "dpkg-query ",
                "rpm ",
                "apk info ",
                "pacman -T ",
                "apt-config ",
            ];
            !questions.iter().any(|question| call.starts_with(question))
        });
        calls
    }
}

#[test]
fn each_manager_installs_what_is_missing_under_its_own_names() {
    let apt = [
        "apt-get update",
        "apt-get install -y --no-install-recommends git tmux openssh-client socat",
        "apt-get clean",
    ];
    let dnf = [
        "dnf install -y --setopt=install_weak_deps=False git tmux openssh-clients socat",
        "dnf clean all",
    ];
    let yum = [
        "yum install -y --setopt=skip_missing_names_on_install=False git tmux openssh-clients socat",
        "yum clean all",
    ];
    let zypper = [
        "zypper --non-interactive install --no-recommends git tmux openssh-clients socat",
        "zypper --non-interactive clean --all",
    ];
    let rpm = ("rpm", "exit 1");
    let apk = "case $1 in info) exit 1 ;; esac";
    let pacman = "case $1 in -T) exit 127 ;; esac";
    let cases: [(&[StandIn], &[&str]); 6] = [
        (&[("apt-get", ""), ("dpkg-query", "exit 1")], &apt),
        (&[("dnf", ""), ("yum", ""), rpm], &dnf),
        (&[("yum", ""), rpm], &yum),
        (&[("zypper", ""), rpm], &zypper),
        (
            &[("apk", apk)],
            &["apk add --no-cache git tmux openssh-client socat"],
        ),
        (
            &[("pacman", pacman)],
            &["pacman -Syu --noconfirm --needed git tmux openssh socat"],
        ),
    ];
    for (commands, expected) in cases {
        let image = Image::with(commands);
        image.installs(&TOOLS);
        let mut changes = image.changes();
        changes.retain(|call| !call.starts_with("rm -rf "));
        assert_eq!(changes, expected);
    }
}

#[test]
fn nothing_is_called_when_the_tools_are_on_the_path() {
    let tools = [("git", ""), ("tmux", ""), ("ssh", ""), ("socat", "")];
    for manager in ["apt-get", "dnf", "yum", "apk", "pacman", "zypper"] {
        let mut commands = tools.to_vec();
        commands.push((manager, "exit 9"));
        let image = Image::with(&commands);
        image.installs(&TOOLS);
        image.installs(&[]);
        assert_eq!(image.calls(), [""; 0], "{manager}");
    }
    let image = Image::with(&tools);
    image.installs(&TOOLS);
}

#[test]
fn only_the_database_is_asked_when_every_package_is_installed() {
    let rpm = ["rpm -q cmake", "rpm -q openssh-clients"];
    let dpkg = "echo 'install ok installed 1.2-3 '";
    let cases: [(&[StandIn], &[&str]); 6] = [
        (
            &[("apt-get", "exit 9"), ("dpkg-query", dpkg)],
            &[
                "dpkg-query -W -f=${Status} ${Version} \\n cmake",
                "dpkg-query -W -f=${Status} ${Version} \\n openssh-client",
            ],
        ),
        (&[("dnf", "exit 9"), ("rpm", "")], &rpm),
        (&[("yum", "exit 9"), ("rpm", "")], &rpm),
        (&[("zypper", "exit 9"), ("rpm", "")], &rpm),
        (
            &[("apk", "")],
            &["apk info -e cmake", "apk info -e openssh-client"],
        ),
        (&[("pacman", "")], &["pacman -T cmake", "pacman -T openssh"]),
    ];
    for (commands, expected) in cases {
        let image = Image::with(commands);
        image.installs(&["cmake", "openssh-clients"]);
        assert_eq!(image.calls(), expected);
    }
}

#[test]
fn a_package_that_another_provides_counts_as_installed() {
    let rpm = "case $2 in --whatprovides) ;; *) exit 1 ;; esac";
    let image = Image::with(&[("dnf", "exit 9"), ("rpm", rpm)]);
    image.installs(&["vim"]);
    assert_eq!(image.calls(), ["rpm -q vim", "rpm -q --whatprovides vim"]);
}

#[test]
fn only_the_missing_packages_are_installed() {
    let dpkg = "case $3 in \
                here) echo 'install ok installed 1 ' ;; \
                pinned) echo 'hold ok installed 1:2 ' ;; \
                removed) echo 'deinstall ok config-files 1 ' ;; \
                *) exit 1 ;; esac";
    let image = Image::with(&[("apt-get", ""), ("dpkg-query", dpkg), ("git", "")]);
    image.installs(&["git", "here", "removed", "pinned=1:2", "pinned=1:", "g++"]);
    assert_eq!(
        image.changes()[1],
        "apt-get install -y --no-install-recommends removed pinned=1: g++"
    );
}

#[test]
fn lists_are_removed_only_if_the_image_had_none() {
    for had_lists in [false, true] {
        let lists = tempfile::tempdir().unwrap();
        let lists = lists.path();
        fs::write(lists.join("lock"), "").unwrap();
        if had_lists {
            fs::write(lists.join("deb.example.com_dists_x_InRelease"), "").unwrap();
        }
        let config = format!("echo \"lists='{}/'\"", lists.display());
        let image = Image::with(&[
            ("apt-get", ""),
            ("apt-config", &config),
            ("dpkg-query", "exit 1"),
        ]);
        image.installs(&["cmake"]);
        let removed = format!("rm -rf {}//lock", lists.display());
        assert_eq!(image.calls().last() == Some(&removed), !had_lists);
        let removals = image
            .calls()
            .iter()
            .filter(|c| c.starts_with("rm "))
            .count();
        assert_eq!(removals, usize::from(!had_lists));
    }
}

#[test]
fn the_status_of_a_manager_that_fails_is_passed_on() {
    let apk = "case $1 in info) exit 1 ;; *) exit 7 ;; esac";
    let pacman = "case $1 in -T) exit 127 ;; *) exit 7 ;; esac";
    for commands in [
        [("apt-get", "exit 7"), ("dpkg-query", "exit 1")],
        [("dnf", "exit 7"), ("rpm", "exit 1")],
        [("yum", "exit 7"), ("rpm", "exit 1")],
        [("zypper", "exit 7"), ("rpm", "exit 1")],
        [("apk", apk), ("rpm", "")],
        [("pacman", pacman), ("rpm", "")],
    ] {
        let image = Image::with(&commands);
        let output = image.install(&["cmake"]);
        assert_eq!(output.status.code(), Some(7), "{commands:?}");
        assert_eq!(image.changes().len(), 1, "nothing follows a failure");
    }
    let update_only = "case $1 in update) ;; *) exit 100 ;; esac";
    let image = Image::with(&[("apt-get", update_only), ("dpkg-query", "exit 1")]);
    assert_eq!(image.install(&["cmake"]).status.code(), Some(100));
}

#[test]
fn zypper_may_ask_for_a_restart() {
    let zypper = "case $2 in install) exit 103 ;; esac";
    Image::with(&[("zypper", zypper), ("rpm", "exit 1")]).installs(&["cmake"]);
}

#[test]
fn an_image_without_a_package_manager_is_named_as_such() {
    let output = Image::with(&[("git", "")]).install(&["git", "cmake", "socat"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "dkr: no package manager found (looked for apt-get, dnf, yum, apk, pacman, zypper)\n\
         dkr: cannot install cmake socat\n"
    );
}

#[test]
fn an_option_is_no_package_name() {
    let image = Image::with(&[("apt-get", ""), ("dpkg-query", "exit 1")]);
    let output = image.install(&["cmake", "-oAPT::x=y"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(image.changes(), [""; 0]);
}
