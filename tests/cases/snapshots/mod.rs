//! What dkr prints, word by word: both streams and the exit code of the runs that a person meets. Each
//! test keeps its runs in a file of `expected`, so that a change of words is a diff one can read.
//!
//! After a change that is meant, write the files anew and read the diff:
//!
//! ```sh
//! INSTA_UPDATE=always cargo test --locked --test main -- snapshots
//! git diff tests/cases/snapshots/expected
//! ```
//!
//! Without the variable a run that prints something else fails and shows the difference. What differs
//! from one machine or run to the next (paths, versions, times, ports, ids) is replaced by a word in
//! brackets.

mod configuration;
mod help;
mod images;
mod listings;
mod names;
mod usage;
mod work;

use std::fmt::Write;
use std::fs;
use std::path::Path;

use crate::cases::start_image::hostname;
use crate::support::{Invocation, Output, Sandbox};

/// An engine that is not there.
const NOWHERE: &str = "unix:///nonexistent/docker.sock";

/// What is replaced in every transcript: an expression, and what stands in its place.
const VARYING: &[(&str, &str)] = &[
    (
        r"\b\d+ (second|minute|hour|day|week|month|year)s? ago|just now",
        "[AGE]",
    ),
    (
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z|\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)?",
        "[TIME]",
    ),
    // The commit, where the program is built from a checkout.
    (r"\[VERSION\] \([0-9a-f]{10} \d{4}-\d\d-\d\d\)", "[VERSION]"),
    // `::1` where the machine has IPv6.
    (r"@(\[::1\]|127\.0\.0\.1):", "@[LOCALHOST]:"),
];

/// What is replaced where a real engine answers, too: ids of images and containers, the random end of an
/// image's own tag, commits that are made meanwhile, sizes and durations.
const VARYING_ON_AN_ENGINE: &[(&str, &str)] = &[
    (r"\b([0-9a-f]{64}|[0-9a-f]{12})\b", "[ID]"),
    (r"(dkr:[\w.\[\]-]+)-[0-9a-f]{6}\b", "$1-[HEX]"),
    (r" at [0-9a-f]{10} as ", " at [COMMIT] as "),
    (r"\b\d+(\.\d+)? ([kMGT]?B|bytes)\b", "[SIZE]"),
    (r"\b(\d+h )?(\d+m )?\d+(\.\d+)?s\b", "[DURATION]"),
];

/// Runs of dkr one after the other, as they are kept.
struct Transcript<'a> {
    t: &'a Sandbox,
    text: String,
    /// Texts that differ from run to run, and what stands in their place.
    named: Vec<(String, &'static str)>,
    /// The same for expressions.
    varying: Vec<(&'static str, &'static str)>,
}

impl<'a> Transcript<'a> {
    /// Runs without an engine or on a fake one.
    fn new(t: &'a Sandbox) -> Self {
        let path = t.path().to_str().expect("names of tests are UTF-8");
        let named = [
            (path.to_owned(), "[SANDBOX]"),
            (t.unique(""), "-[RANDOM]"),
            (env!("CARGO_PKG_VERSION").to_owned(), "[VERSION]"),
        ];
        Transcript {
            t,
            text: String::new(),
            named: named.into(),
            varying: VARYING.to_vec(),
        }
    }

    /// Runs that a real engine answers.
    fn on_an_engine(t: &'a Sandbox) -> Self {
        let mut transcript = Self::new(t);
        transcript.varying.extend(VARYING_ON_AN_ENGINE);
        let port = t.sshd().port();
        transcript
            .naming(format!(":{port}"), ":[PORT]")
            .naming(format!("{}/", hostname()), "[HOST]/")
            .narrow()
    }

    /// Replaces one more text.
    fn naming(mut self, text: impl Into<String>, name: &'static str) -> Self {
        self.named.push((text.into(), name));
        self
    }

    /// Replaces what fits one more expression.
    fn replacing(mut self, what: &'static str, name: &'static str) -> Self {
        self.varying.push((what, name));
        self
    }

    /// Makes columns narrow, where they hold what differs in its length from run to run.
    fn narrow(mut self) -> Self {
        self.varying.push((r"(\S) {2,}", "$1  "));
        self
    }

    /// A run of dkr without an engine and without an SSH server.
    fn dkr(&self, arguments: &[&str]) -> Invocation {
        self.t
            .command(env!("CARGO_BIN_EXE_dkr"), arguments)
            .env("DOCKER_HOST", NOWHERE)
            .env("USER", "user")
    }

    /// Says what the next runs have in common.
    fn heading(&mut self, text: &str) {
        self.line(&format!("## {text}\n"));
    }

    /// Runs it and keeps what it printed.
    fn run(&mut self, dkr: Invocation) -> Output {
        let output = dkr.run();
        self.keep(&output);
        output
    }

    /// Keeps what a program that has ended printed.
    fn keep(&mut self, output: &Output) {
        self.line(&format!("$ {}", output.line()));
        for (name, printed) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
            if !printed.is_empty() {
                self.line(&format!("--- {name}"));
                let lines = printed.lines().filter(|line| is_said_everywhere(line));
                lines.for_each(|line| self.line(line));
            }
        }
        let code = output.code.map_or("none".to_owned(), |c| c.to_string());
        self.line(&format!("--- exit code {code}\n"));
    }

    /// Keeps what a terminal shows.
    fn keep_screen(&mut self, command: &str, screen: &str) {
        self.line(&format!("$ {command}\n--- screen\n{}\n", screen.trim_end()));
    }

    fn line(&mut self, text: &str) {
        writeln!(self.text, "{text}").expect("a text can be written to");
    }

    /// Compares all of it with the file of that name.
    fn check(self, name: &str) {
        let named = self.named.iter();
        let text = named.fold(self.text, |text, (what, name)| text.replace(what, name));
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path("expected");
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        for (what, name) in self.varying {
            settings.add_filter(what, name);
        }
        settings.bind(|| insta::assert_snapshot!(name, text));
    }
}

/// Whether each engine of each age says that line while it builds: of its steps those that are dkr's own,
/// and only that they begin or fail.
fn is_said_everywhere(line: &str) -> bool {
    let begins = |words: &[&str]| words.iter().any(|word| line.starts_with(word));
    let of_engine = begins(&["[FROM ", "[exporting "]);
    !line.starts_with("[")
        || (!of_engine && line.ends_with(" started"))
        || begins(&["[pre_", "[post_"])
        // JSON.
        || ["[", "[]"].contains(&line)
}

/// A file that no test compares with would say nothing.
#[test]
fn every_expected_file_belongs_to_a_test() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/snapshots");
    let entries = |folder: &Path| fs::read_dir(folder).unwrap().map(Result::unwrap);
    let tests: String = entries(&folder)
        .filter_map(|entry| fs::read_to_string(entry.path()).ok())
        .collect();
    for entry in entries(&folder.join("expected")) {
        let file = entry.file_name().into_string().unwrap();
        let name = file.strip_suffix(".snap").unwrap_or(&file);
        let mentioned = tests.contains(&format!("(\"{name}\""));
        assert!(mentioned, "no test compares with {file}");
    }
}
