//! `dkr list-images`: what is listed, in which order, and the JSON that programs read.

use serde_json::{Value, json};

use super::create_image::two_commits;
use crate::support::Sandbox;

#[test]
fn images_are_listed_and_filtered() {
    let t = Sandbox::new();
    let upstream = two_commits(&t, "upstream");
    let repo = two_commits(&t, &t.unique("linux")).remote("space", &upstream);
    let other = two_commits(&t, &t.unique("other"));
    for (repo, reference) in [(&repo, "main"), (&repo, "space/main"), (&other, "main")] {
        t.dkr(["create-image", ".", reference])
            .in_dir(repo)
            .success();
    }
    let list = |arguments: &[&str]| {
        let arguments = [&["list-images", "--json"], arguments].concat();
        let output = t.dkr(arguments).in_dir(&repo).success();
        let images: Vec<Value> = serde_json::from_str(&output.stdout).unwrap();
        let of_test = images.into_iter().filter(|image| {
            let path = image["repo_path"].as_str();
            path.is_some_and(|path| path.starts_with(t.path().to_str().unwrap()))
        });
        of_test.collect::<Vec<Value>>()
    };
    assert_eq!(list(&[]).len(), 3);
    assert_eq!(list(&[])[0]["repo_path"], other.path().to_str().unwrap());
    assert_eq!(list(&["."]).len(), 2);
    assert_eq!(list(&[".", "main"]).len(), 2);
    let remote = list(&[".", "space/main"]);
    assert_eq!(remote.len(), 1);
    assert_eq!(remote[0]["ref"], "refs/remotes/space/main");
    assert_eq!(list(&[".", "nothing"]).len(), 0);
    // Another word for what there is an image of.
    let commit = repo.rev("main:0");
    t.dkr(["create-image", ".", &commit])
        .in_dir(&repo)
        .success();
    let of_commit = list(&[".", &commit[..7]]);
    assert_eq!(of_commit.len(), 1);
    assert_eq!(of_commit[0]["ref"], *commit);
    let of_head = list(&[".", "HEAD"]);
    assert_eq!(of_head.len(), 1);
    assert_eq!(of_head[0]["ref"], "refs/heads/main");

    let ids = t.dkr(["list-images", "-q", "."]).in_dir(&repo).success();
    assert_eq!(ids.stdout.lines().count(), 3);
    let table = t.dkr(["list-images", "."]).in_dir(&repo).success().stdout;
    let header: Vec<&str> = table.lines().next().unwrap().split("  ").collect();
    let header: Vec<&str> = header
        .into_iter()
        .map(str::trim)
        .filter(|c| !c.is_empty())
        .collect();
    assert_eq!(
        header,
        [
            "TAG",
            "REPO",
            "BRANCH",
            "COMMIT",
            "CREATED",
            "TYPE",
            "OWN SIZE",
            "CONTAINERS",
            "IMAGE ID"
        ]
    );
    assert!(table.contains(&repo.rev("main")[..7]));
}

#[test]
fn the_json_has_these_fields() {
    let t = Sandbox::new();
    let repo = two_commits(&t, &t.unique("linux"));
    let tag = t.dkr(["create-image"]).in_dir(&repo).success().stdout;
    let output = t
        .dkr(["list-images", "--json", "."])
        .in_dir(&repo)
        .success();
    let mut images: Vec<Value> = serde_json::from_str(&output.stdout).unwrap();
    let image = t.image(&repo, "main");
    let own = image
        .tags()
        .into_iter()
        .find(|own| *own != tag.trim())
        .unwrap();
    let size = images[0]["size"].take().as_u64().unwrap();
    let own_size = images[0]["own_size"].take().as_u64().unwrap();
    assert!(0 < own_size && own_size < size / 10, "{own_size} of {size}");
    let path = repo.path();
    let expected = json!([{
        "id": image.id(),
        "tag": tag.trim(),
        "tags": [tag.trim(), own],
        "repo_path": path,
        "repo_name": path.file_name().unwrap().to_str(),
        "branch": "main",
        "branch_from": "main",
        "ref": "refs/heads/main",
        "commit": repo.rev("main"),
        "created_at": image.label("dkr.created_at"),
        "type": "base",
        "parent": image.label("dkr.parent"),
        "size": null,
        "own_size": null,
        "containers": [],
        "staleness": null,
    }]);
    assert_eq!(Value::from(images), expected);
}

#[test]
fn nothing_is_an_empty_list() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    let output = t.dkr(["list-images", "."]).in_dir(&repo).success();
    assert_eq!(output.stdout, "");
    output.stderr_has("no image");
    let output = t
        .dkr(["list-images", "--json", "."])
        .in_dir(&repo)
        .success();
    assert_eq!(output.stdout, "[]\n");
}

#[test]
fn stale_compares_each_image_with_its_branch() {
    let t = Sandbox::new();
    let repo = two_commits(&t, &t.unique("linux")).branch("topic", "main:1");
    t.dkr(["create-image"]).in_dir(&repo).success();
    t.dkr(["create-image", ".", "topic"])
        .in_dir(&repo)
        .success();
    repo.commits(3).git(["branch", "-f", "topic", "main~2"]);
    let list = |arguments: &[&str]| {
        let arguments = [&["list-images", "--stale", "."], arguments].concat();
        t.dkr(arguments).in_dir(&repo).success().stdout
    };
    let images: Vec<Value> = serde_json::from_str(&list(&["--json"])).unwrap();
    let staleness: Vec<&Value> = images.iter().map(|image| &image["staleness"]).collect();
    let behind = |commits: u64| json!({"state": "behind", "behind": commits, "ahead": 0, "at_least": false, "reason": null});
    assert_eq!(staleness, [&behind(1), &behind(3)]);
    let table = list(&[]);
    assert!(
        table.contains("FRESHNESS") && table.contains("3 behind"),
        "{table}"
    );

    repo.git(["branch", "-D", "topic"]);
    let images: Vec<Value> = serde_json::from_str(&list(&["--json"])).unwrap();
    assert_eq!(images[0]["staleness"]["state"], "unknown");
    assert!(
        images[0]["staleness"]["reason"]
            .as_str()
            .unwrap()
            .contains("refs/heads/topic")
    );
}
