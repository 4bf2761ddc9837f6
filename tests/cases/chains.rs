//! Chains of update layers, which must never be longer than an engine can run.

use std::fs;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::start_image::start;
use super::update_image::{noise, status};
use crate::support::{Api, BASE_IMAGE, SANDBOX_LABEL, Sandbox};

/// A base image of so many layers on the tests' own, as `docker save` writes one; it goes with the
/// sandbox.
fn many_layers(t: &Sandbox, count: usize) -> String {
    let api = Api::of_machine();
    let name = format!("dkr-test:{}", t.unique("layers"));
    let folder = t.path().join("image");
    let path = |name: &str| folder.join(name);
    fs::create_dir(&folder).unwrap();
    let tar = |arguments: &[&str]| t.command("tar", arguments).in_dir(&folder);
    let saved = api.bytes(&format!("/images/{BASE_IMAGE}/get"));
    tar(&["-xf", "-"]).stdin(saved).success();
    let read =
        |name: &str| -> Value { serde_json::from_slice(&fs::read(path(name)).unwrap()).unwrap() };
    let mut manifest = read("manifest.json");
    let config_name = manifest[0]["Config"].as_str().unwrap().to_owned();
    let mut config = read(&config_name);

    for number in 2..=count {
        let (file, layer) = (format!("layer-{number}"), format!("{number}.tar"));
        fs::write(path(&file), &file).unwrap();
        tar(&["-cf", &layer, &file]).success();
        let digest = Sha256::digest(fs::read(path(&layer)).unwrap());
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        push(&mut manifest[0]["Layers"], json!(layer));
        push(
            &mut config["rootfs"]["diff_ids"],
            json!(format!("sha256:{digest}")),
        );
        push(&mut config["history"], json!({"created_by": file}));
    }
    config["config"]["Labels"] = json!({SANDBOX_LABEL: t.path()});
    manifest[0]["RepoTags"] = json!([name]);
    fs::write(path(&config_name), config.to_string()).unwrap();
    fs::write(path("manifest.json"), manifest.to_string()).unwrap();
    // What newer engines write beside it still describes the base image.
    for other in ["index.json", "oci-layout", "repositories"] {
        let _ = fs::remove_file(path(other));
    }
    let image = tar(&["-cf", "-", "."]).success().stdout_bytes;
    let log = api.post_tar("/images/load", &image);
    assert!(log.contains("Loaded image"), "{log}");
    fs::remove_dir_all(folder).unwrap();
    name
}

fn push(list: &mut Value, value: Value) {
    list.as_array_mut().unwrap().push(value);
}

#[test]
fn a_long_chain_of_updates_is_squashed_on_its_branch_image() {
    let t = Sandbox::new();
    let base = many_layers(&t, 90);
    let repo = t.repo("linux");
    let build = "[post_clone]\nRUN test -e /built || cat /proc/sys/kernel/random/uuid > /built\n";
    repo.file(".dkr.conf", format!("base_image = {base}\n{build}"))
        .commit("initial");
    t.dkr(["create-image"]).in_dir(&repo).success();
    let first = t.image(&repo, "main");
    let built = first.run(["cat", "/built"]);
    first.remove_tag(&first.label("dkr.parent"));
    let update = || {
        repo.file("number", noise(1000)).commit("one more");
        let plan = t.dkr(["update-image", "--dry-run"]);
        let plan = plan.in_dir(&repo).success();
        let output = t.dkr(["update-image"]).in_dir(&repo).success();
        let image = t.image(&repo, "main");
        let layers = image.layers().len();
        assert!(layers <= 100, "{layers} layers: {output}");
        assert_eq!(image.label("dkr.commit"), repo.rev("main"), "{output}");
        assert_eq!(status(&image), "");
        let kind = image.label("dkr.type");
        assert!(plan.stdout.contains(&format!("# dkr.type={kind}\n")));
        if kind == "update" {
            let from = format!("FROM {}\n", image.label("dkr.parent"));
            assert!(plan.stdout.contains(&from), "{plan}");
        }
        (output, image)
    };

    // The chain is known by its layers: the images between its ends may go.
    let mut between: Vec<String> = Vec::new();
    let mut tag = String::new();
    let mut squashed = 0;
    for number in 1..=4 {
        let (output, image) = update();
        let parent = image.label("dkr.parent");
        assert_eq!(image.label("dkr.type"), "update", "{output}");
        assert_eq!(image.run(["cat", "/built"]), built);
        if number == 1 {
            tag.clone_from(&parent);
        } else if output.stderr.contains("; squashing them into one on ") {
            output.stderr_has(&tag);
            assert_eq!(parent, tag);
            squashed += 1;
        } else {
            between.push(parent);
        }
        let whole = "cd /workspace && git fsck --connectivity-only --no-dangling && \
            git rev-list --count HEAD";
        let ended = image.run_with(&["sh", "-ec", whole], json!({"Entrypoint": []}));
        assert_eq!(ended.stdout, format!("{}\n", number + 1), "{ended:?}");
        for tag in between.drain(..).filter(|parent| *parent != tag) {
            image.remove_tag(&tag);
        }
    }
    assert!(squashed > 0);

    first.remove_tag(&tag);
    let mut updates = (1..=4).map(|_| update());
    let anew = updates.find(|(output, _)| output.stderr.contains("rebuilding from scratch"));
    let (output, image) = anew.expect("no chain is endless");
    output.stderr_has("was built on is gone");
    assert_eq!(image.label("dkr.type"), "base");
    assert_ne!(image.run(["cat", "/built"]), built);
}

#[test]
fn on_a_base_of_95_layers_ten_updates_still_start_and_update() {
    let t = Sandbox::new();
    let base = many_layers(&t, 95);
    let repo = t.repo("linux");
    repo.file(".dkr.conf", format!("base_image = {base}\n"))
        .commit("initial");
    t.dkr(["create-image"]).in_dir(&repo).success();
    for number in 1..=10 {
        repo.file("number", format!("{number}\n"))
            .commit("one more");
        t.dkr(["update-image"]).in_dir(&repo).success();
        let image = t.image(&repo, "main");
        assert_eq!(image.label("dkr.commit"), repo.rev("main"));
        assert!(image.layers().len() <= 100, "{}", image.layers().len());
    }
    let started = start(&t, &repo, &[], &["cat", "number"]).success();
    assert_eq!(started.stdout, "10\n");
}
