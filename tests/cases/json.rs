//! `--json` of every command that has it, field by field and type by type as README.md documents it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::containers::{baked, detached, inside};
use super::start_image::start;
use crate::support::Sandbox;

/// What README.md says of one sort of object.
#[derive(Debug, Default)]
struct Shape {
    /// The type of each field.
    fields: BTreeMap<String, String>,
}

/// The section on JSON: what each command prints, and the shapes.
struct Schema {
    commands: BTreeMap<String, String>,
    shapes: BTreeMap<String, Shape>,
}

/// The words between two marks: `a` and `b` of "`a`, `b`".
fn marked(text: &str, mark: &str) -> Vec<String> {
    let parts = text.split(mark).skip(1).step_by(2);
    parts.map(str::to_owned).collect()
}

impl Schema {
    fn of_readme() -> Self {
        let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
        let readme = std::fs::read_to_string(readme).unwrap();
        let section = readme.split("\n### JSON\n").nth(1).unwrap();
        let section = section.split("\n### ").next().unwrap();
        let mut schema = Schema {
            commands: BTreeMap::new(),
            shapes: BTreeMap::new(),
        };
        let mut current = None;
        for line in section.lines() {
            if line.starts_with("**") {
                let mut names = marked(line, "**").into_iter();
                let name = names.next().unwrap();
                let mut shape = Shape::default();
                for base in names {
                    shape.fields.extend(schema.shapes[&base].fields.clone());
                }
                schema.shapes.insert(name.clone(), shape);
                current = Some(name);
            }
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let [_, names, kind, ..] = *cells else {
                continue;
            };
            for name in marked(names, "`") {
                let table = match &current {
                    None => &mut schema.commands,
                    Some(shape) => &mut schema.shapes.get_mut(shape).unwrap().fields,
                };
                table.insert(name, kind.to_owned());
            }
        }
        schema
    }

    /// Whether `value` is of that type; the shapes that were met on the way go to `met`.
    fn check(&self, value: &Value, kind: &str, place: &str, met: &mut BTreeSet<String>) {
        if let Some(kind) = kind.strip_suffix(" or null") {
            if !value.is_null() {
                self.check(value, kind, place, met);
            }
            return;
        }
        if let Some(kind) = kind.strip_prefix("array of ") {
            for (index, item) in list(value, place).iter().enumerate() {
                self.check(item, kind, &format!("{place}[{index}]"), met);
            }
            return;
        }
        if let Some(kind) = kind.strip_prefix("object of ") {
            for (name, item) in object(value, place) {
                self.check(item, kind, &format!("{place}.{name}"), met);
            }
            return;
        }
        let fits = match kind {
            "text" => value.is_string(),
            "number" => value.is_u64(),
            "boolean" => value.is_boolean(),
            "time" => value.as_str().is_some_and(|text| {
                text.ends_with('Z') && chrono::DateTime::parse_from_rfc3339(text).is_ok()
            }),
            shape => {
                let Some(shape) = self.shapes.get(shape) else {
                    panic!("README.md does not say what {shape:?} is");
                };
                let object = object(value, place);
                let absent = |(_, kind): &(&String, &String)| !kind.ends_with(" or absent");
                let needed = shape.fields.iter().filter(absent).map(|(name, _)| name);
                let needed: BTreeSet<&String> = needed.collect();
                let there: BTreeSet<&String> = object.keys().collect();
                let missing: Vec<_> = needed.difference(&there).collect();
                assert!(
                    missing.is_empty(),
                    "{place}: {missing:?} is missing in {value}"
                );
                for (name, item) in object {
                    let Some(kind) = shape.fields.get(name) else {
                        panic!("{place}: README.md does not document {name:?}");
                    };
                    let kind = kind.trim_end_matches(" or absent");
                    self.check(item, kind, &format!("{place}.{name}"), met);
                }
                met.insert(kind.to_owned());
                true
            }
        };
        assert!(fits, "{place}: {value} is no {kind}, as README.md says");
    }
}

fn list<'a>(value: &'a Value, place: &str) -> &'a Vec<Value> {
    let list = value.as_array();
    list.unwrap_or_else(|| panic!("{place}: {value} is no array, as README.md says"))
}

fn object<'a>(value: &'a Value, place: &str) -> &'a serde_json::Map<String, Value> {
    let object = value.as_object();
    object.unwrap_or_else(|| panic!("{place}: {value} is no object, as README.md says"))
}

#[test]
fn every_field_is_as_the_readme_documents_it() {
    let schema = Schema::of_readme();
    let t = Sandbox::new();
    let repo = baked(&t);
    // A container with work that stays, one that runs a session, and an image on another.
    let (kept, session) = (t.unique("kept"), t.unique("session"));
    let script = "echo x >new; git add new; git commit -qm new; echo y >more";
    start(&t, &repo, &["--name", &kept], &["sh", "-c", script]).success();
    detached(&t, &repo, &session);
    inside(&t, &session, "true");
    repo.commits(1);
    t.dkr(["update-image"]).in_dir(&repo).success();
    repo.commits(1);

    let mut met = BTreeSet::new();
    for (command, kind) in &schema.commands {
        // Of others' images and containers nothing is known here, such as whether they are whole.
        let only_ours: &[&str] = match &**command {
            "doctor" | "show-config" => &[],
            _ => &["."],
        };
        for more in [&[][..], &["--stale"]] {
            if !more.is_empty() && command != "list-images" {
                continue;
            }
            let arguments = [&[&**command, "--json"], only_ours, more].concat();
            let output = t.dkr(arguments).in_dir(&repo).success();
            let value: Value = serde_json::from_str(&output.stdout).unwrap();
            schema.check(&value, kind, command, &mut met);
        }
    }
    // Nothing is documented that was not seen.
    let documented: BTreeSet<String> = schema.shapes.keys().cloned().collect();
    assert_eq!(met, documented);
    let json = [
        "list-images",
        "inspect-image",
        "list-containers",
        "status",
        "doctor",
        "show-config",
    ];
    assert!(
        schema
            .commands
            .keys()
            .map(String::as_str)
            .eq(BTreeSet::from(json))
    );
    t.dkr(["rm", "--force", &kept, &session]).success();
}

#[test]
fn the_check_sees_what_is_not_as_documented() {
    let schema = Schema::of_readme();
    let check = |value: Value, kind: &str| {
        let check = || schema.check(&value, kind, "x", &mut BTreeSet::new());
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(check)).is_ok()
    };
    let report = |hint: Value| serde_json::json!([{"name": "git", "status": "ok", "message": "2.39", "hint": hint}]);
    assert!(check(report(Value::Null), "array of check"));
    assert!(check(report("x".into()), "array of check"));
    assert!(!check(report(1.into()), "array of check"));
    assert!(!check(
        serde_json::json!([{"name": "git"}]),
        "array of check"
    ));
    let mut more = report(Value::Null);
    more[0]["more"] = 1.into();
    assert!(!check(more, "array of check"));
    assert!(!check("yesterday".into(), "time"));
    assert!(!check("1".into(), "number"));
}

#[test]
fn every_command_that_prints_json_is_documented() {
    let schema = Schema::of_readme();
    let t = Sandbox::new();
    let help = t.dkr(["--help"]).success().stdout;
    let commands = help.split("Commands:").nth(1).unwrap();
    let commands = commands.split("\n\n").next().unwrap().lines();
    // A name stands two columns in; what is further in is a text.
    let names = commands.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    let with_json: BTreeSet<&str> = names
        .filter(|name| !name.is_empty() && *name != "help")
        .filter(|name| t.dkr([name, "--help"]).success().stdout.contains("--json"))
        .collect();
    let documented: BTreeSet<&str> = schema.commands.keys().map(String::as_str).collect();
    assert_eq!(with_json, documented);
}
