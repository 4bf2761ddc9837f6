//! `dkr status`: one repository on one screen.

use serde_json::{Value, json};

use super::create_image::{conf, two_commits};
use crate::support::{Api, SANDBOX_LABEL, Sandbox};

#[test]
fn a_repository_without_images_says_what_to_do() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    let shown = t.dkr(["status"]).in_dir(&repo).success().stdout;
    assert!(shown.starts_with(&format!("linux, {}, on `main` at ", repo.path().display())));
    assert!(shown.contains("dkr create-image"), "{shown}");
    let empty = t
        .dkr(["status", "--json"])
        .in_dir(t.repo("empty"))
        .success();
    let report: Value = serde_json::from_str(&empty.stdout).unwrap();
    let path = t.path().join("repos/empty");
    assert_eq!(
        report,
        json!({
            "repository": {"path": path, "name": "empty", "branch": null, "commit": null},
            "images": [], "containers": [], "disk_used": 0,
        })
    );
    t.dkr(["status", "/"]).failure(3);
}

#[test]
fn images_and_containers_stand_on_one_screen() {
    let t = Sandbox::new();
    let repo = two_commits(&t, &t.unique("linux")).branch("topic", "main:0");
    t.dkr(["create-image", ".", "topic"])
        .in_dir(&repo)
        .success();
    t.dkr(["create-image"]).in_dir(&repo).success();
    let image = t.image(&repo, "main");
    let api = Api::of_machine();
    let container = |name: &str| {
        let body = json!({"Image": image.id(), "Labels": {"dkr.work_branch": "fix/parser", SANDBOX_LABEL: ""}});
        let made = api.post(
            &format!("/containers/create?name={}", t.unique(name)),
            &body,
        );
        made["Id"].as_str().unwrap().to_owned()
    };
    let id = container("fix-parser");
    repo.commits(2);
    repo.file(".dkr.conf", conf("[pre_clone]\nRUN true\n"))
        .commit("other configuration");

    let shown = t.dkr(["status", "--json"]).in_dir(&repo).success();
    let mut report: Value = serde_json::from_str(&shown.stdout).unwrap();
    let path = repo.path();
    assert_eq!(
        report["repository"],
        json!({
            "path": path, "name": path.file_name().unwrap().to_str(),
            "branch": "main", "commit": repo.rev("main"),
        })
    );
    assert_eq!(report["images"].as_array().unwrap().len(), 2);
    let main = &report["images"][0];
    assert_eq!(main["id"], image.id());
    assert_eq!(main["staleness"]["behind"], 3);
    assert_eq!(main["drift"], json!(["[pre_clone] changed"]));
    assert_eq!(main["containers"][0]["id"], report["containers"][0]["id"]);
    let topic = &report["images"][1];
    assert_eq!(
        (&topic["staleness"]["state"], &topic["drift"]),
        (&json!("current"), &json!([]))
    );
    // Both images are built on the same objects, which count once.
    let used = report["disk_used"].as_u64().unwrap();
    let own = |image: &Value| image["own_size"].as_u64().unwrap();
    let parents = report["images"].as_array().unwrap().iter();
    let parents: std::collections::BTreeSet<&str> = parents
        .filter_map(|image| image["parent"].as_str())
        .collect();
    if parents.len() == 1 {
        let objects = t
            .dkr(["inspect-image", "--json", parents.first().unwrap()])
            .success();
        let objects: Value = serde_json::from_str(&objects.stdout).unwrap();
        assert!(
            used <= own(main) + own(topic) + own(&objects),
            "{used}: {shown}"
        );
    }
    assert!(used > own(main) && used < image.history().iter().map(|(_, size)| size).sum());
    let row = report["containers"][0].as_object_mut().unwrap();
    assert!(chrono::DateTime::parse_from_rfc3339(row["created_at"].as_str().unwrap()).is_ok());
    row.remove("created_at");
    assert_eq!(
        report["containers"],
        json!([{
            "id": id, "name": "fix/parser", "container": t.unique("fix-parser"),
            "state": "created", "image": image.id(),
            "repo_path": path, "branch_from": "main", "commit": image.label("dkr.commit"),
            "keep": null, "runs": null, "programs": [],
            "work": {
                "branch": null, "ahead": 0, "behind": null, "operation": null,
                "changed": 0, "untracked": 0, "nested": 0, "staged": 0, "worktrees": 0, "stashed": 0,
                "only_there": {
                    "commits": 0, "changed": 0, "untracked": 0, "nested": 0, "staged": 0, "worktrees": 0, "unsaved": 0, "stashed": 0, "operation": null,
                },
                "safe": true,
            },
        }])
    );

    let shown = t.dkr(["status"]).in_dir(path.join("src")).success().stdout;
    for part in [
        "3 behind",
        "changed: rebuild",
        "unchanged",
        "fix/parser",
        "2 images, 1 container, ",
    ] {
        assert!(shown.contains(part), "{part} is missing:\n{shown}");
    }
    // In every width the screen holds.
    for width in [40, 200] {
        let terminal = t.dkr(["status"]).in_dir(&repo).terminal(width, 60);
        assert_eq!(terminal.exit_code(), 0);
        let screen = terminal.wait_for("1 container");
        if width == 200 {
            assert!(screen.contains("changed: rebuild"), "{screen}");
        } else {
            assert!(screen.contains("FRESHNESS  3 behind"), "{screen}");
        }
    }
}
