//! `dkr inspect-image` and `dkr remove-image`.

use serde_json::{Value, json};

use super::create_image::two_commits;
use crate::support::{Api, BASE_IMAGE, Image, Repo, SANDBOX_LABEL, Sandbox, query};

/// The first bake of a repository and an update of it, which adds a file of 300 kB.
fn baked_and_updated(t: &Sandbox) -> (Repo, Image, Image) {
    let repo = two_commits(t, &t.unique("linux"));
    t.dkr(["create-image"]).in_dir(&repo).success();
    let first = t.image(&repo, "main");
    let noise: Vec<u8> = (0..300_000_u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0])
        .collect();
    repo.file("noise", noise).commit("add noise");
    t.dkr(["update-image"]).in_dir(&repo).success();
    let second = t.image(&repo, "main");
    (repo, first, second)
}

fn own_tag(image: &Image) -> String {
    let mut tags = image.tags();
    tags.sort_by_key(String::len);
    tags.pop().unwrap()
}

/// A container of an image that has never run.
fn container(image: &Image, name: &str) -> String {
    let body = json!({"Image": image.id(), "Labels": {"dkr.work_branch": "fix/parser", SANDBOX_LABEL: ""}});
    let made = Api::of_machine().post(&format!("/containers/create?name={}", query(name)), &body);
    made["Id"].as_str().unwrap().to_owned()
}

/// Bytes of the layers of an image above those of another, by the engine's history of both.
fn bytes_above(image: &Image, below: &Image) -> u64 {
    let sum = |image: &Image| image.history().iter().map(|(_, size)| size).sum::<u64>();
    sum(image) - sum(below)
}

#[test]
fn an_image_is_inspected_by_tag_id_and_repository() {
    let t = Sandbox::new();
    let (repo, first, second) = baked_and_updated(&t);
    let base = t.image_named(BASE_IMAGE);
    let name = t.unique("work");
    let container = container(&second, &name);
    let inspect = |arguments: &[&str]| {
        let arguments = [&["inspect-image", "--json"], arguments].concat();
        let output = t.dkr(arguments).in_dir(&repo).success();
        serde_json::from_str::<Value>(&output.stdout).unwrap()
    };

    let report = inspect(&[]);
    let keys: Vec<&String> = report.as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        [
            "architecture",
            "branch",
            "branch_from",
            "chain",
            "commit",
            "config",
            "containers",
            "created_at",
            "drift",
            "id",
            "labels",
            "layers",
            "own_size",
            "parent",
            "ref",
            "repo_name",
            "repo_path",
            "shared_size",
            "size",
            "staleness",
            "tag",
            "tags",
            "type",
        ]
    );
    assert_eq!(report["id"], second.id());
    assert_eq!(report["own_size"], bytes_above(&second, &first));
    assert!(report["own_size"].as_u64().unwrap() > 300_000);
    assert_eq!(
        report["own_size"].as_u64().unwrap() + report["shared_size"].as_u64().unwrap(),
        report["size"].as_u64().unwrap()
    );
    assert_eq!(report["layers"], second.layers().len());
    assert_eq!(report["chain"][0]["id"], first.id());
    assert_eq!(report["config"]["base_image"], BASE_IMAGE);
    assert_eq!(report["labels"]["dkr.commit"], repo.rev("main"));
    assert_eq!(report["staleness"]["state"], "current");
    assert_eq!(report["drift"], json!([]));
    assert_eq!(report["containers"][0]["id"], container);
    assert_eq!(report["containers"][0]["name"], "fix/parser");
    assert_eq!(report["containers"][0]["container"], name);
    assert_eq!(report["containers"][0]["state"], "created");

    let tag = own_tag(&first);
    let by_tag = inspect(&[&tag]);
    assert_eq!(by_tag["id"], first.id());
    assert_eq!(by_tag["staleness"]["behind"], 1);
    // With or without an image of objects in between.
    let chain = by_tag["chain"].as_array().unwrap();
    let lowest = match chain.last() {
        None => bytes_above(&first, &base),
        Some(_) => bytes_above(&first, &t.image_named(chain[0]["id"].as_str().unwrap())),
    };
    assert_eq!(by_tag["own_size"], lowest);
    assert_eq!(
        inspect(&[tag.strip_prefix("dkr:").unwrap()])["id"],
        first.id()
    );
    assert_eq!(inspect(&[&first.id()[7..23]])["id"], first.id());
    assert_eq!(inspect(&[".", "main"])["id"], second.id());

    let text = t.dkr(["inspect-image"]).in_dir(&repo).success().stdout;
    for part in [
        second.id(),
        &repo.rev("main"),
        "up to date with `main`",
        "fix/parser",
        &tag,
    ] {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
    let wrong = format!("{}x", &tag[..tag.len() - 1]);
    let wrong = t.dkr(["inspect-image", &wrong]).in_dir(&repo).failure(3);
    wrong.stderr_has("did you mean `dkr:");
    t.dkr(["inspect-image", ".", "nothing"])
        .in_dir(&repo)
        .failure(3)
        .stderr_has("there is no image of `nothing`");
}

#[test]
fn an_image_in_use_is_removed_by_force_only() {
    let t = Sandbox::new();
    let (repo, first, second) = baked_and_updated(&t);
    let (tag, newer) = (own_tag(&first), own_tag(&second));
    let name = t.unique("work");
    let container = container(&first, &name);
    let refused = t.dkr(["remove-image", &tag]).failure(1);
    refused.stderr_has(&format!("stopped container `{name}` uses `{tag}`"));
    refused.stderr_has("was built on");
    refused.stderr_has("--force");

    let api = Api::of_machine();
    api.delete(&format!("/containers/{container}?force=1"));
    let refused = t.dkr(["remove-image", &tag]).failure(1);
    assert!(!refused.stderr.contains("container `"), "{refused}");

    // The newest of the branch goes: its moving tag falls back to the one before.
    let removed = t.dkr(["remove-image", &newer]).success();
    assert_eq!(removed.stdout, format!("{}\n", second.id()));
    removed.stderr_has("removed 1 image, ");
    assert!(api.find(&format!("/images/{}/json", second.id())).is_none());
    assert_eq!(t.image(&repo, "main").id(), first.id());
    assert_eq!(first_tags(&t, &first).len(), 2);

    t.dkr(["remove-image", first.id(), &tag]).success();
    assert!(api.find(&format!("/images/{}/json", first.id())).is_none());
    t.dkr(["remove-image", &tag]).failure(3);
}

fn first_tags(t: &Sandbox, image: &Image) -> Vec<String> {
    t.image_named(image.id()).tags()
}

#[test]
fn a_running_container_keeps_its_image_even_by_force() {
    let t = Sandbox::new();
    let repo = two_commits(&t, &t.unique("linux"));
    t.dkr(["create-image"]).in_dir(&repo).success();
    let image = t.image(&repo, "main");
    let name = t.unique("busy");
    let body = json!({
        "Image": image.id(), "Entrypoint": ["sleep", "300"], "HostConfig": {"NetworkMode": "none"},
    });
    let api = Api::of_machine();
    let made = api.post(&format!("/containers/create?name={name}"), &body);
    let id = made["Id"].as_str().unwrap();
    api.post(&format!("/containers/{id}/start"), &Value::Null);
    let refused = t.dkr(["remove-image", "--force", image.id()]).failure(1);
    refused.stderr_has(&format!("container `{name}` is running on"));
    refused.stderr_has(&format!("dkr stop {name}"));
    api.post(&format!("/containers/{id}/kill"), &Value::Null);
    api.post(&format!("/containers/{id}/wait"), &Value::Null);
    t.dkr(["remove-image", "--force", image.id()]).success();
    assert!(api.find(&format!("/images/{}/json", image.id())).is_none());
}
