//! What is generated in the pages: help, settings, and the tables of JSON.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use super::program::{commands, dkr, flags_in, help, settings};
use super::{read, root};

/// Set to rewrite what is generated, instead of failing where it is out of date.
pub const UPDATE: &str = "DKR_UPDATE_DOCS";

#[test]
fn help_in_the_pages_is_that_of_the_program() {
    let shown = rewrite("docs/commands.md", |part| {
        let arguments = part.strip_prefix("dkr ")?;
        Some(format!(
            "```text\n{}\n```\n",
            help(arguments.split(' ')).trim_end()
        ))
    });
    let mut expected: BTreeSet<String> = commands()
        .into_keys()
        .map(|command| format!("dkr {command} --help"))
        .collect();
    expected.insert("dkr --help".to_owned());
    assert_eq!(shown, expected, "each command has a section");
}

#[test]
fn settings_in_the_page_are_those_of_the_program() {
    // Taken from the words of an error, which might change.
    assert!(accepted("DKR_STALE").contains("proceed"));
    rewrite("docs/settings.md", |part| {
        (part == "settings").then(settings_table)
    });
}

#[test]
fn tables_of_json_are_those_of_the_schemas() {
    rewrite("docs/json.md", |part| {
        (part == "json types").then(json_types)
    });
}

/// Replaces each generated part of a page by what `generate` makes of its name, and gives the names.
/// Fails if one was out of date, unless it is to be rewritten.
fn rewrite(page: &str, generate: impl Fn(&str) -> Option<String>) -> BTreeSet<String> {
    let path = root().join(page);
    let before = read(&path);
    let (mut after, mut names) = (String::new(), BTreeSet::new());
    let mut lines = before.lines();
    while let Some(line) = lines.next() {
        after += &format!("{line}\n");
        let name = line.strip_prefix("<!-- generated: ");
        let Some(name) = name.and_then(|rest| rest.strip_suffix(" -->")) else {
            continue;
        };
        let part = generate(name).unwrap_or_else(|| panic!("{page}: what is `{name}`?"));
        let end = lines.find(|line| *line == "<!-- end -->");
        let end = end.unwrap_or_else(|| panic!("{page}: the part `{name}` does not end"));
        after += &format!("{part}{end}\n");
        names.insert(name.to_owned());
    }
    assert!(!names.is_empty(), "{page} has no generated part");
    if after != before {
        assert!(
            std::env::var_os(UPDATE).is_some(),
            "{page} is out of date: run the test again with {UPDATE}=1"
        );
        fs::write(&path, after).unwrap();
    }
    names
}

fn settings_table() -> String {
    let flags: BTreeSet<String> = commands()
        .into_keys()
        .flat_map(|command| flags_in(&help([command.as_str(), "--help"])))
        .collect();
    let mut table = "| key | variable | flag | default | accepts | meaning |\n\
                     |---|---|---|---|---|---|\n"
        .to_owned();
    for setting in settings() {
        let text = |field: &str| setting[field].as_str();
        let key = text("key").unwrap();
        let variable = text("variable").unwrap();
        let flag = format!("--{}", key.replace('_', "-"));
        let flag = match flags.contains(&flag) {
            true => format!("`{flag}`"),
            false => "-".to_owned(),
        };
        let default = match (key, text("value")) {
            // It is the name of whoever runs this.
            ("ssh_user", _) => "you".to_owned(),
            (_, Some(value)) => format!("`{value}`"),
            (_, None) => "-".to_owned(),
        };
        let (accepts, about) = (accepted(variable), text("about").unwrap());
        table +=
            &format!("| `{key}` | `{variable}` | {flag} | {default} | {accepts} | {about} |\n");
    }
    table
}

/// What a variable accepts, in the words in which dkr refuses something else.
fn accepted(variable: &str) -> String {
    let output = dkr(["show-config"], &[(variable, "\u{1}")]);
    let message = String::from_utf8(output.stderr).unwrap();
    // clap has words of its own.
    let lists = ["expected ", "possible values: "];
    let expected = lists.iter().find_map(|list| message.split_once(list));
    match expected.and_then(|(_, accepts)| accepts.lines().next()) {
        Some(accepts) => accepts.trim_end_matches(']').to_owned(),
        None => "any text".to_owned(),
    }
}

/// The types of all schemas, a table each.
fn json_types() -> String {
    let mut types: Vec<(String, Value)> = Vec::new();
    let mut files: Vec<PathBuf> = fs::read_dir(root().join("docs/json"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    for file in files {
        let schema: Value = serde_json::from_str(&read(&file)).unwrap();
        let title = schema["title"].as_str().map(str::to_owned);
        let whole = title.filter(|_| schema["properties"].is_object());
        let parts = schema["$defs"].as_object().cloned().unwrap_or_default();
        let whole = whole.map(|title| (title, schema)).into_iter();
        for (name, schema) in whole.chain(parts) {
            match types.iter().find(|(known, _)| *known == name) {
                Some((_, known)) => assert_eq!(known["properties"], schema["properties"]),
                None => types.push((name, schema)),
            }
        }
    }
    types.sort_by(|(a, _), (b, _)| a.cmp(b));
    types
        .iter()
        .map(|(name, schema)| json_type(name, schema))
        .collect()
}

fn json_type(name: &str, schema: &Value) -> String {
    let heading = name[..1].to_uppercase() + &name[1..].replace('-', " ");
    let about = schema["description"].as_str().unwrap_or_default();
    let fields = schema["properties"].as_object().unwrap();
    let required = schema["required"].as_array().into_iter().flatten();
    let required: Vec<&str> = required.filter_map(Value::as_str).collect();
    // Those that are always there come in the order in which they are printed.
    let others = fields.keys().map(String::as_str);
    let others = others.filter(|field| !required.contains(field));
    let mut text = format!("## {heading}\n\n{about}\n\n| field | type | value |\n|---|---|---|\n");
    for field in required.iter().copied().chain(others) {
        let schema = &fields[field];
        let kind = match kind(schema) {
            kind if required.contains(&field) => kind,
            // What may be absent is never null.
            kind => format!("{} or absent", kind.trim_end_matches(" or null")),
        };
        let about = schema["description"].as_str().unwrap_or_default();
        let about = about.replace('\n', " ");
        assert!(!about.is_empty(), "`{field}` of `{name}` is not described");
        text += &format!("| `{field}` | {kind} | {about} |\n");
    }
    text + "\n"
}

/// The type that a schema of a field allows, in words.
fn kind(schema: &Value) -> String {
    let name = |name: &str| match name {
        "string" if schema["format"] == "date-time" => "time".to_owned(),
        "string" => "text".to_owned(),
        "integer" => "number".to_owned(),
        "array" => format!("array of {}", kind(&schema["items"])),
        "object" => format!("object of {}", kind(&schema["additionalProperties"])),
        other => other.to_owned(),
    };
    if let Some(path) = schema["$ref"].as_str() {
        let part = path.rsplit('/').next().unwrap_or_default();
        return format!("[{}](#{part})", part.replace('-', " "));
    }
    match (&schema["type"], &schema["anyOf"]) {
        (Value::String(one), _) => name(one),
        (Value::Array(several), _) => {
            let names = several.iter().filter_map(Value::as_str).map(name);
            names.collect::<Vec<_>>().join(" or ")
        }
        (_, Value::Array(several)) => several.iter().map(kind).collect::<Vec<_>>().join(" or "),
        _ => panic!("no type in {schema}"),
    }
}
