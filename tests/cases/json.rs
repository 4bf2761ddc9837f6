//! `--json` of every command that has it, against the schemas in `docs/json`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::containers::{baked, detached, inside};
use super::docs::program::{commands, help};
use super::start_image::start;
use crate::support::Sandbox;

/// Fields that an object may lack.
const OPTIONAL: [&str; 3] = ["post_clone", "pre_clone", "pre_packages"];

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/json"))
}

/// The commands that there is a schema for.
fn documented() -> BTreeSet<String> {
    let files = std::fs::read_dir(folder()).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    names
        .map(|name| name.strip_suffix(".schema.json").unwrap().to_owned())
        .collect()
}

/// The schema of what a command prints.
fn schema(command: &str) -> Value {
    let path = folder().join(format!("{command}.schema.json"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// What of `value` is not as `schema`, a part of `whole`, says. It knows the words of JSON Schema that
/// the schemas use, and refuses others. There may be no other fields either: a later dkr may add some,
/// and then it documents them.
fn faults(value: &Value, schema: &Value, whole: &Value, place: &str) -> Vec<String> {
    if let Some(path) = schema["$ref"].as_str() {
        let part = whole.pointer(path.trim_start_matches('#'));
        return faults(value, part.expect(path), whole, place);
    }
    let mut found = Vec::new();
    for (word, rule) in schema.as_object().expect("a schema") {
        let fits = match word.as_str() {
            "$schema" | "$defs" | "title" | "description" | "default" => true,
            "type" => match rule {
                Value::Array(kinds) => kinds.iter().any(|kind| is(value, kind)),
                kind => is(value, kind),
            },
            "format" if rule == "date-time" => {
                let time = value.as_str().map(chrono::DateTime::parse_from_rfc3339);
                time.is_none_or(|time| time.is_ok())
            }
            "format" => rule.as_str().is_some_and(|size| size.contains("int")),
            "minimum" => value.as_f64() >= rule.as_f64() || value.is_null(),
            "anyOf" => {
                let mut choices = rule.as_array().into_iter().flatten();
                choices.any(|choice| faults(value, choice, whole, place).is_empty())
            }
            "required" => {
                let mut names = rule.as_array().into_iter().flatten();
                names.all(|name| value.get(name.as_str().unwrap()).is_some())
            }
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    found.extend(faults(item, rule, whole, &format!("{place}[{index}]")));
                }
                true
            }
            "properties" | "additionalProperties" => {
                for (name, field) in value.as_object().into_iter().flatten() {
                    let rule = match word.as_str() {
                        "properties" => rule.get(name),
                        _ => Some(rule),
                    };
                    let place = format!("{place}.{name}");
                    match rule {
                        Some(rule) => found.extend(faults(field, rule, whole, &place)),
                        None => found.push(format!("{place} is not documented")),
                    }
                }
                true
            }
            _ => panic!("the word `{word}` of JSON Schema is not known here"),
        };
        if !fits {
            found.push(format!("{place}: {value} does not fit `{word}` {rule}"));
        }
    }
    found
}

fn is(value: &Value, kind: &Value) -> bool {
    match kind.as_str() {
        Some("string") => value.is_string(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("boolean") => value.is_boolean(),
        Some("null") => value.is_null(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        _ => panic!("the type {kind} is not known here"),
    }
}

/// The names of the fields that a schema describes.
fn described(schema: &Value, names: &mut BTreeSet<String>) {
    let inner = match schema {
        Value::Object(fields) => fields.values().collect(),
        Value::Array(items) => items.iter().collect(),
        _ => Vec::new(),
    };
    inner
        .into_iter()
        .for_each(|schema| described(schema, names));
    if let Some(fields) = schema["properties"].as_object() {
        names.extend(fields.keys().cloned());
    }
}

/// The names of the fields that a value has.
fn used(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            names.extend(fields.keys().cloned());
            fields.values().for_each(|value| used(value, names));
        }
        Value::Array(items) => items.iter().for_each(|value| used(value, names)),
        _ => {}
    }
}

#[test]
fn every_field_is_as_its_schema_says() {
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

    let (mut there, mut expected) = (BTreeSet::new(), BTreeSet::new());
    for command in documented() {
        // Of others' images and containers nothing is known here, such as whether they are whole.
        let only_ours: &[&str] = match &*command {
            "doctor" | "show-config" => &[],
            _ => &["."],
        };
        let schema = schema(&command);
        described(&schema, &mut expected);
        for more in [&[][..], &["--stale"]] {
            if !more.is_empty() && command != "list-images" {
                continue;
            }
            let arguments = [&[&*command, "--json"], only_ours, more].concat();
            let output = t.dkr(arguments).in_dir(&repo).success();
            let value: Value = serde_json::from_str(&output.stdout).unwrap();
            let found = faults(&value, &schema, &schema, &command);
            assert!(found.is_empty(), "{}", found.join("\n"));
            used(&value, &mut there);
        }
    }
    // Nothing is documented that was not seen.
    expected.retain(|name| !OPTIONAL.contains(&name.as_str()));
    let unseen: Vec<_> = expected.difference(&there).collect();
    assert!(unseen.is_empty(), "{unseen:?}");
    t.dkr(["rm", "--force", &kept, &session]).success();
}

#[test]
fn the_check_sees_what_is_not_as_documented() {
    let fits = |command, value: Value| {
        let schema = schema(command);
        faults(&value, &schema, &schema, "x").is_empty()
    };
    let report = |hint: Value| {
        let check = json!({"name": "git", "status": "ok", "message": "2.39", "hint": hint});
        json!({"ok": true, "checks": [check]})
    };
    assert!(fits("doctor", report(Value::Null)));
    assert!(fits("doctor", report("x".into())));
    assert!(!fits("doctor", report(1.into())));
    assert!(!fits(
        "doctor",
        json!({"ok": true, "checks": [{"name": "git"}]})
    ));
    let mut more = report(Value::Null);
    more["checks"][0]["more"] = 1.into();
    assert!(!fits("doctor", more));

    let image = |created_at: &str, size: Value| {
        let text = "x";
        json!([{
            "id": text, "tag": text, "tags": [text], "repo_path": text, "repo_name": text,
            "branch": text, "branch_from": text, "ref": text, "commit": text,
            "created_at": created_at, "type": text, "parent": null, "size": size, "own_size": 1,
            "containers": [], "staleness": null,
        }])
    };
    assert!(fits(
        "list-images",
        image("2026-11-30T21:00:00.000Z", 1.into())
    ));
    assert!(!fits("list-images", image("yesterday", 1.into())));
    assert!(!fits(
        "list-images",
        image("2026-11-30T21:00:00.000Z", "1".into())
    ));
}

#[test]
fn every_command_that_prints_json_is_documented() {
    let prints_json = |name: &String| help([name.as_str(), "--help"]).contains("--json");
    let with_json: BTreeSet<String> = commands().into_keys().filter(prints_json).collect();
    assert_eq!(with_json, documented());
}
