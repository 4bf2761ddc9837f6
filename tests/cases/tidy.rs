//! The rules of the source tree that no compiler checks: who may use whom, who prints, how
//! long a file may be, that scripts are clean.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The rooms (a folder or file of `src`, or a folder within a room) from the bottom, each with the
/// rooms that it may use. `ARCHITECTURE.md` has a picture of them.
const ROOMS: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("env", &[]),
    ("text", &[]),
    ("ui", &["error", "env", "text"]),
    ("image", &["error", "text"]),
    ("git", &["error", "env", "text", "image"]),
    ("engine", &["error", "env", "text"]),
    ("app", &["env", "ui", "engine"]),
    ("ssh", &["error", "env", "text", "app", "engine"]),
    (
        "buildkit",
        &["error", "env", "text", "engine", "git", "ssh"],
    ),
    (
        "bake",
        &[
            "error", "env", "text", "ui", "app", "image", "git", "engine", "ssh", "buildkit",
        ],
    ),
    (
        "container/channel",
        &["error", "env", "text", "git", "image"],
    ),
    (
        "container",
        &[
            "error", "env", "text", "ui", "app", "image", "git", "engine", "ssh", "bake",
        ],
    ),
    (
        "catalog",
        &[
            "error",
            "env",
            "text",
            "app",
            "image",
            "git",
            "engine",
            "bake",
            "container",
        ],
    ),
    (
        "doctor",
        &[
            "error",
            "env",
            "text",
            "app",
            "image",
            "git",
            "engine",
            "ssh",
            "buildkit",
            "bake",
            "container",
            "catalog",
        ],
    ),
    (
        "cli",
        &[
            "error",
            "env",
            "text",
            "ui",
            "image",
            "engine",
            "ssh",
            "bake",
            "container",
        ],
    ),
    (
        "commands",
        &[
            "error",
            "env",
            "text",
            "ui",
            "app",
            "image",
            "git",
            "engine",
            "ssh",
            "bake",
            "container",
            "catalog",
            "doctor",
            "cli",
        ],
    ),
    (
        "lib",
        &[
            "error", "env", "ui", "app", "engine", "ssh", "cli", "commands",
        ],
    ),
    ("main", &[]),
];

/// A word that may stand only in the code of some rooms.
const WORDS: &[(&str, &[&str])] = &[
    ("print!", &["ui"]),
    ("println!", &["ui"]),
    ("eprint!", &["ui"]),
    ("eprintln!", &["ui"]),
    ("git2", &["git"]),
    ("bollard", &["engine", "buildkit"]),
    ("bollard_buildkit_proto", &["engine", "buildkit"]),
    ("hyper", &["engine", "buildkit"]),
    ("hyper_util", &["engine", "buildkit"]),
    ("tonic", &["engine", "buildkit"]),
    ("clap", &["cli", "commands"]),
    ("clap_complete", &["cli", "commands"]),
    ("clap_mangen", &["commands"]),
];

/// No longer than a reader can keep in mind.
const LONGEST: usize = 400;

#[test]
fn rooms_use_only_what_is_below_them() {
    let broken = check(|file| {
        let (name, allowed) = room_of(&file.path);
        let is_own = |used: &str| name == used || name.starts_with(&format!("{used}/"));
        let used = used_modules(&file.code).into_iter();
        used.filter(|used| !is_own(used) && !allowed.contains(used))
            .map(|used| format!("`{name}` may not use `{used}`"))
            .collect()
    });
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_architecture_describes_every_room_and_names_files_that_exist() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let words: Vec<&str> = text.split('`').skip(1).step_by(2).collect();
    let rooms = ROOMS.iter().map(|(name, _)| *name);
    let undescribed: Vec<&str> = rooms
        .filter(|name| !["lib", "main"].contains(name) && !words.contains(name))
        .collect();
    assert!(undescribed.is_empty(), "not in the table: {undescribed:?}");
    let files = words.iter().filter(|word| word.ends_with(".rs"));
    let missing: Vec<_> = files
        .filter(|file| !root().join(file).exists() && !root().join("src").join(file).exists())
        .collect();
    assert!(missing.is_empty(), "no such file: {missing:?}");
}

/// The smallest room that a file of `src` belongs to.
fn room_of(path: &str) -> (&'static str, &'static [&'static str]) {
    let rooms = ROOMS.iter().filter(|(name, _)| {
        let rest = path.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with(['/', '.']))
    });
    let smallest = rooms.max_by_key(|(name, _)| name.len());
    *smallest.unwrap_or_else(|| panic!("src/{path} belongs to no room: add it to `ROOMS`"))
}

#[test]
fn no_room_uses_one_above_it() {
    for (position, (name, allowed)) in ROOMS.iter().enumerate() {
        let below = &ROOMS[..position];
        let above = allowed
            .iter()
            .filter(|used| !below.iter().any(|(room, _)| room == *used));
        assert_eq!(above.collect::<Vec<_>>(), [] as [&&str; 0], "`{name}`");
    }
}

#[test]
fn some_words_belong_to_one_room() {
    let broken = check(|file| {
        let misplaced = WORDS
            .iter()
            .filter(|(word, rooms)| has_word(&file.code, word) && !rooms.contains(&file.room()));
        misplaced
            .map(|(word, rooms)| format!("`{word}` belongs to {rooms:?}"))
            .collect()
    });
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn files_say_what_they_are_for_and_are_short() {
    let broken = check(|file| {
        let mut broken = Vec::new();
        if file.path != "main.rs" && !file.text.starts_with("//! ") {
            broken.push("does not begin with `//!`".to_owned());
        }
        let lines = file.text.lines().count();
        if lines > LONGEST {
            broken.push(format!("has {lines} lines, more than {LONGEST}"));
        }
        broken
    });
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn nothing_is_left_for_later() {
    // Assembled here, or this file would break its own rule.
    let marks = [["TO", "DO"].concat(), ["FIX", "ME"].concat()];
    let mut files = Vec::new();
    for folder in ["src", "assets", "dist", "fixtures", "tests"] {
        collect(&root().join(folder), &mut files);
    }
    files.retain(|path| {
        let text = fs::read(path).unwrap();
        let text = String::from_utf8_lossy(&text);
        marks.iter().any(|mark| has_word(&text, mark))
    });
    assert!(files.is_empty(), "unfinished: {files:?}");
}

#[test]
fn scripts_pass_shellcheck() {
    let mut scripts = Vec::new();
    for folder in ["assets", "dist", "fixtures", "tests"] {
        collect(&root().join(folder), &mut scripts);
    }
    scripts.retain(|path| path.extension().is_some_and(|extension| extension == "sh"));
    scripts.push(root().join(".ci/run"));
    let output = Command::new("shellcheck").args(scripts).output();
    let output = output.expect("shellcheck is missing: run `sh fixtures/setup.sh`");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
}

#[test]
fn every_test_that_faults_md_names_is_there() {
    let table = fs::read_to_string(root().join("docs/dev/faults.md")).unwrap();
    let mut files = Vec::new();
    for folder in ["src", "tests/cases"] {
        collect(&root().join(folder), &mut files);
    }
    let files: Vec<(String, String)> = files
        .iter()
        .map(|path| {
            (
                path.display().to_string(),
                fs::read_to_string(path).unwrap(),
            )
        })
        .collect();
    let words = table.split('`').skip(1).step_by(2);
    let tests: Vec<&str> = words.filter(|word| word.contains("::")).collect();
    let missing = tests.iter().filter(|test| {
        let mut parts = test.rsplit("::");
        let function = format!("fn {}(", parts.next().unwrap_or_default());
        let module = parts.find(|part| *part != "tests").unwrap_or_default();
        !files
            .iter()
            .any(|(path, text)| path.contains(module) && text.contains(&function))
    });
    // The three dots stand for any test.
    let missing: Vec<_> = missing.filter(|test| !test.ends_with('…')).collect();
    assert!(missing.is_empty(), "no such test: {missing:?}");
    let rows = table.lines().filter(|line| {
        let first = line.split('|').nth(1).unwrap_or_default();
        first.trim().parse::<u32>().is_ok()
    });
    assert_eq!(rows.count(), 43);
}

#[test]
fn the_rules_see_what_they_forbid() {
    let code = "use crate::{error::Error, git::{a, b}, ui};\nfn f() { crate::conf::g(x) }";
    assert_eq!(used_modules(code), ["error", "git", "ui", "conf"]);
    assert!(has_word("use git2::Oid;", "git2"));
    assert!(!has_word("let my_git2 = git20;", "git2"));
    assert!(has_word("eprintln!()", "eprintln!") && !has_word("eprintln!()", "println!"));
    assert_eq!(without_comments("a; // git2\n//! git2\nb\n"), "a; \n\nb\n");
}

/// A file of `src`.
struct File {
    /// Its path below `src`.
    path: String,
    text: String,
    /// The text without comments.
    code: String,
}

impl File {
    /// The first part of its path: `git` of `git/refs.rs`, `cli` of `cli.rs`.
    fn room(&self) -> &str {
        let first = self.path.split(['/', '.']).next();
        first.unwrap_or_default()
    }
}

/// What `rule` says against each file of `src`.
fn check(rule: impl Fn(&File) -> Vec<String>) -> Vec<String> {
    let source = root().join("src");
    let mut paths = Vec::new();
    collect(&source, &mut paths);
    assert!(paths.len() > 5, "the source is not where it should be");
    let mut broken = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).unwrap();
        let name = path.strip_prefix(&source).unwrap();
        let file = File {
            path: name.display().to_string(),
            code: without_comments(&text),
            text,
        };
        let against = rule(&file).into_iter();
        broken.extend(against.map(|what| format!("src/{}: {what}", name.display())));
    }
    broken
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below a folder; a folder that is not there has none.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => collect(&path, files),
            false => files.push(path),
        }
    }
}

/// The code without what follows `//` in a line. A `//` within a string hides the rest of its
/// line, which is a URL.
fn without_comments(text: &str) -> String {
    let code = |line: &str| line.split("//").next().unwrap_or_default().to_owned() + "\n";
    text.lines().map(code).collect()
}

/// Whether `word` stands in `text` by itself, not as a part of a longer name.
fn has_word(text: &str, word: &str) -> bool {
    let part_of_name = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(start, _)| {
        let before = text[..start].chars().next_back();
        let after = text[start + word.len()..].chars().next();
        !before.is_some_and(part_of_name) && !after.is_some_and(part_of_name)
    })
}

/// The modules that follow `crate::`, also in braces.
fn used_modules(code: &str) -> Vec<&str> {
    let mut used = Vec::new();
    for (start, path) in code.match_indices("crate::") {
        let rest = &code[start + path.len()..];
        let Some(list) = rest.strip_prefix('{') else {
            used.push(first_name(rest));
            continue;
        };
        let mut depth = 0;
        let mut expected = true;
        for (position, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => expected = true,
                c if expected && !c.is_whitespace() => {
                    used.push(first_name(&list[position..]));
                    expected = false;
                }
                _ => {}
            }
        }
    }
    used
}

fn first_name(path: &str) -> &str {
    let end = path.find(|c: char| !(c.is_alphanumeric() || c == '_'));
    &path[..end.unwrap_or(path.len())]
}
