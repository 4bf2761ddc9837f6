//! On what it was measured: the machine, the engine, the versions.

use std::fs;

use serde_json::{Value, json};
use testkit::Sandbox;

use crate::Result;
use crate::container::Run;
use crate::store::{BASE_IMAGE, Store, text};

/// Names and what they are, in order.
pub struct Header(Vec<(&'static str, String)>);

impl Header {
    pub fn new(sandbox: &Sandbox, store: &Store) -> Result<Self> {
        let print = |program: &str, arguments: &[&str]| {
            let output = sandbox.command(program, arguments).run();
            output.stdout.trim().to_owned()
        };
        let folder = env!("CARGO_MANIFEST_DIR");
        let commit = print("git", &["-C", folder, "describe", "--always", "--dirty"]);
        let inside = Run {
            image: BASE_IMAGE,
            command: &["git", "--version"],
            ..Run::default()
        };
        let (inside, _) = inside.run(&store.api)?;
        let (disk, here) = &store.disk;
        let format = print("df", &["--output=fstype", &disk.to_string_lossy()]);
        let format = format.lines().last().unwrap_or_default().to_owned();
        let place = if *here {
            "the engine's"
        } else {
            "NOT the engine's"
        };
        Ok(Header(vec![
            ("date", print("date", &["-u", "+%Y-%m-%dT%H:%M:%SZ"])),
            ("machine", machine()),
            ("disk", format!("{format} ({place})")),
            ("engine", engine(store)),
            (
                "git",
                format!(
                    "{} here, {} in the image",
                    version(&print("git", &["--version"])),
                    version(&inside)
                ),
            ),
            (
                "dkr",
                format!(
                    "{} ({commit})",
                    version(&sandbox.dkr(["--version"]).run().stdout)
                ),
            ),
        ]))
    }

    pub fn to_text(&self) -> String {
        let lines = self.0.iter();
        lines
            .map(|(name, value)| format!("{name:10}  {value}\n"))
            .collect()
    }

    pub fn to_json(&self) -> Value {
        let pairs = self.0.iter();
        pairs
            .map(|(name, value)| ((*name).to_owned(), json!(value)))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }
}

/// The version number in what a program prints of its version.
fn version(text: &str) -> &str {
    let mut words = text.split_whitespace();
    let number = words.find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    number.unwrap_or_default()
}

fn engine(store: &Store) -> String {
    let versions = store.api.get("/version");
    let [engine, api] = ["Version", "ApiVersion"].map(|name| text(&versions[name]));
    let driver = text(&store.info["Driver"]);
    let place = store.api.socket().display();
    format!("{engine} (API {api}, {driver}) at {place}")
}

fn machine() -> String {
    let read = |file| fs::read_to_string(file).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let mut lines = text.lines();
        let line = lines.find(|line| line.starts_with(name));
        let value = line.and_then(|line| Some(line.split_once(':')?.1.trim().to_owned()));
        value.unwrap_or_default()
    };
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = field(&read("/proc/meminfo"), "MemTotal");
    let memory = memory
        .split(' ')
        .next()
        .and_then(|kb| kb.parse::<u64>().ok());
    format!(
        "{processors} x {}, {} GB of memory, Linux {}",
        field(&read("/proc/cpuinfo"), "model name"),
        memory.unwrap_or_default() / 1_000_000,
        read("/proc/sys/kernel/osrelease").trim()
    )
}
