//! What the program says of itself.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Output};

use serde_json::Value;

/// Runs dkr with nothing in its environment but a home.
pub fn dkr<'a>(arguments: impl IntoIterator<Item = &'a str>, variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dkr"))
        .args(arguments)
        .env_clear()
        .env("HOME", "/nowhere")
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

/// What the program prints to stdout, which has to succeed.
pub fn help<'a>(arguments: impl IntoIterator<Item = &'a str>) -> String {
    let output = dkr(arguments, &[]);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The commands that `dkr --help` lists, each with its aliases.
pub fn commands() -> BTreeMap<String, Vec<String>> {
    let help = help(["--help"]);
    let list = help.split("Commands:\n").nth(1).unwrap();
    let list = list.split("\n\n").next().unwrap();
    // A name stands two columns in; what is further in goes on with the text of the line before.
    let rows = list.replace("\n   ", " ");
    let rows = rows.lines().map(str::trim_start);
    rows.filter_map(|row| {
        let name = row.split(' ').next().filter(|name| *name != "help")?;
        let aliases = row
            .split_once("[alias")
            .and_then(|(_, rest)| rest.split_once(": "));
        let aliases = aliases.map_or("", |(_, aliases)| aliases.trim_end_matches(']'));
        let aliases = aliases.split(", ").filter(|alias| !alias.is_empty());
        Some((name.to_owned(), aliases.map(str::to_owned).collect()))
    })
    .collect()
}

/// Settings as the program lists them.
pub fn settings() -> Vec<Value> {
    let output = dkr(["show-config", "--json"], &[]);
    let config: Value = serde_json::from_slice(&output.stdout).unwrap();
    config["settings"].as_array().unwrap().clone()
}

/// The flags in a text: `--name` and `-n`, each without what follows.
pub fn flags_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| c.is_whitespace() || "[]`(),|=".contains(c));
    let flags = words.filter(|word| word.len() > 1 && word.starts_with('-'));
    let in_flag = |c: char| c.is_ascii_alphanumeric() || c == '-';
    flags
        .map(|flag| flag.chars().take_while(|c| in_flag(*c)).collect())
        .filter(|flag: &String| flag.chars().any(char::is_alphabetic))
        .collect()
}
