//! The commands, flags, settings and variables that the pages name are known to the program.

use std::collections::{BTreeMap, BTreeSet};

use super::generated::UPDATE;
use super::program::{commands, flags_in, help, settings};
use super::{code, pages, read, short};

/// Variables of dkr that are no settings: those of tests, and of every image.
const OTHER_VARIABLES: [&str; 2] = [UPDATE, "DKR_BRANCH"];
/// Keys of `.dkr.conf`.
const CONF_KEYS: [&str; 3] = ["base_image", "packages", "volumes"];

#[test]
fn every_command_flag_and_setting_exists() {
    let known = Known::of_the_program();
    let mut unknown = Vec::new();
    for page in pages() {
        for code in code(&read(&page)) {
            for what in known.check(&code) {
                unknown.push(format!("{}: {what} in `{code}`", short(&page)));
            }
        }
    }
    assert!(unknown.is_empty(), "{}", unknown.join("\n"));
}

#[test]
fn the_rules_see_what_they_forbid() {
    let known = Known::of_the_program();
    for good in [
        "dkr create-image . --dry-run",
        "dkr ps -q",
        "$ DKR_STALE=fail dkr si -- make --jobs",
        "tar c data | dkr exec x -- tar x --verbose",
        "--transport ssh",
        "transport = ssh",
        "git clone --bare",
        "dkr:story-main",
    ] {
        assert!(known.check(good).is_empty(), "{good}");
    }
    for bad in [
        "dkr bake",
        "dkr create-image --name x",
        "make | dkr exec --no-such-flag x",
        "dkr ps -Z",
        "--no-such-flag",
        "no_such_key = 1",
        "DKR_NO_SUCH=1",
    ] {
        assert_eq!(known.check(bad).len(), 1, "{bad}");
    }
}

/// What the program knows.
struct Known {
    /// The flags of each command, by its name and its aliases, and those of none.
    flags: BTreeMap<String, BTreeSet<String>>,
    keys: BTreeSet<String>,
    variables: BTreeSet<String>,
}

impl Known {
    fn of_the_program() -> Self {
        let mut flags = BTreeMap::from([(String::new(), flags_in(&help(["--help"])))]);
        for (command, aliases) in commands() {
            let of_it = flags_in(&help([command.as_str(), "--help"]));
            flags.extend(aliases.into_iter().map(|alias| (alias, of_it.clone())));
            flags.insert(command, of_it);
        }
        let all = |field: &str| -> BTreeSet<String> {
            let values = settings().into_iter();
            values
                .filter_map(|setting| Some(setting[field].as_str()?.to_owned()))
                .collect()
        };
        let (mut keys, mut variables) = (all("key"), all("variable"));
        keys.extend(CONF_KEYS.map(str::to_owned));
        variables.extend(OTHER_VARIABLES.map(str::to_owned));
        Known {
            flags,
            keys,
            variables,
        }
    }

    /// What of a piece of code does not exist.
    fn check(&self, code: &str) -> Vec<String> {
        let mut unknown = Vec::new();
        for variable in words_with(code, "DKR_") {
            if !self.variables.contains(variable) {
                unknown.push(format!("no variable `{variable}`"));
            }
        }
        if let Some((key, _)) = code.split_once(" = ")
            && key.chars().all(|c| c.is_ascii_lowercase() || c == '_')
            && !self.keys.contains(key)
        {
            unknown.push(format!("no key `{key}`"));
        }
        let words: Vec<&str> = code.split_whitespace().collect();
        let calls = (0..words.len()).filter(|at| words[*at] == "dkr" && begins(&words[..*at]));
        let calls: Vec<usize> = calls.map(|at| at + 1).collect();
        if calls.is_empty() && code.starts_with("--") {
            let known = |flag: &String| self.flags.values().any(|flags| flags.contains(flag));
            let given = words.iter().flat_map(|word| flags_in(word));
            let missing = given.filter(|flag| !known(flag));
            unknown.extend(missing.map(|flag| format!("no flag `{flag}`")));
        }
        for start in calls {
            unknown.extend(self.check_call(&words[start..]));
        }
        unknown
    }

    /// What of the words after `dkr` does not exist, up to the next command of a shell.
    fn check_call(&self, words: &[&str]) -> Vec<String> {
        // In capitals it stands for any command.
        let is_command = |word: &&str| word.starts_with(|c: char| c.is_ascii_lowercase());
        let command = words
            .first()
            .copied()
            .filter(is_command)
            .unwrap_or_default();
        let command = command.trim_end_matches([')', ';', ',', '…']);
        let Some(flags) = self.flags.get(command) else {
            return vec![format!("no command `{command}`")];
        };
        let own = words
            .iter()
            .take_while(|word| !matches!(**word, "--" | "|" | "&&" | "#"));
        let given = own.flat_map(|word| flags_in(word));
        let missing = given.filter(|flag| !flags.contains(flag) && words[0] != "COMMAND");
        missing
            .map(|flag| format!("no flag `{flag}` of `dkr {command}`"))
            .collect()
    }
}

/// Whether a command begins after these words of a shell's line.
fn begins(before: &[&str]) -> bool {
    let last = before.last();
    last.is_none_or(|word| matches!(*word, "$" | "|" | "&&") || word.contains('='))
}

/// The words in a text that begin so, each up to what no name holds.
fn words_with<'t>(text: &'t str, start: &str) -> Vec<&'t str> {
    let in_name = |c: char| c.is_ascii_uppercase() || c == '_';
    text.match_indices(start)
        .map(|(position, _)| {
            let rest = &text[position..];
            &rest[..rest.find(|c| !in_name(c)).unwrap_or(rest.len())]
        })
        .collect()
}
