//! Images.

use std::fs;

use serde_json::{Value, json};

use super::{FUTURE, baked, commit, own_tag, parsed};
use crate::cases::create_image::two_commits;
use crate::support::{Api, BASE_IMAGE, Image, Repo, SANDBOX_LABEL, Sandbox, query};

/// The tar of a build context with a Dockerfile alone.
fn context(t: &Sandbox, dockerfile: &str) -> Vec<u8> {
    let folder = t.path().join("context");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("Dockerfile"), dockerfile).unwrap();
    let folder = folder.to_str().unwrap();
    let tar = t.command("tar", ["-C", folder, "-cf", "-", "Dockerfile"]);
    tar.success().stdout_bytes
}

/// What BuildKit builds from a Dockerfile.
fn build(t: &Sandbox, dockerfile: &str, tag: &str) -> Image {
    let path = format!("/build?version=2&t={}", query(tag));
    Api::of_machine().post_tar(&path, &context(t, dockerfile));
    t.image_named(tag)
}

/// The ids of the images of a repository that a command lists as JSON, and what it says beside that.
fn listed(t: &Sandbox, repo: &Repo, arguments: &[&str]) -> (Vec<String>, String) {
    let output = t.dkr(arguments).in_dir(repo).success();
    let report = parsed(&output.stdout);
    let images = report.as_array().or(report["images"].as_array()).unwrap();
    let ids = images
        .iter()
        .map(|image| image["id"].as_str().unwrap().to_owned());
    (ids.collect(), output.stderr)
}

/// Starts the newest image of `main`; it must be one that dkr made. What dkr says.
fn started(t: &Sandbox, repo: &Repo) -> String {
    let start = ["start-image", ".", "main", "--", "ls", "/"];
    let output = t.dkr(start).in_dir(repo).success();
    assert!(!output.stdout.contains("foreign"), "{output}");
    output.stderr
}

#[test]
fn no_image_but_dkrs_own_is_the_newest_whatever_its_labels_say() {
    let t = Sandbox::new();
    let (repo, own) = baked(&t, "linux");
    let api = Api::of_machine();
    let tag = own_tag(&own);
    let moving = tag.rsplit_once('-').unwrap().0.to_owned();
    let evil = format!("evil:{}", t.unique("x"));
    let future = json!({"dkr.created_at": FUTURE});
    let committed = |tag: Option<&str>, labels: &Value| commit(&t, &own, tag, labels.clone());
    let from_own = format!(
        "FROM {tag}\nRUN touch /foreign\nLABEL dkr.created_at={FUTURE} {SANDBOX_LABEL}={}\n",
        t.path().display()
    );
    let before = repo.state();
    type Make<'a> = &'a dyn Fn() -> Image;
    let cases: [(&str, Make<'_>); 6] = [
        ("a commit", &|| committed(Some(&evil), &json!({}))),
        ("untagged", &|| committed(None, &future)),
        ("tagged", &|| committed(Some(&evil), &future)),
        ("as an own tag", &|| {
            committed(Some(&format!("{moving}-ffffff")), &future)
        }),
        ("built", &|| build(&t, &from_own, &evil)),
        ("the moving tag", &|| committed(Some(&moving), &future)),
    ];
    let warning = |foreign: &Image| {
        let tags = foreign.tags();
        let name = tags.first().map_or(&foreign.id()[7..19], String::as_str);
        format!("warning: image `{name}` is labelled as an image of `main` in `")
    };
    let mut last = None;
    for (what, make) in cases {
        let foreign = make();
        let warned = warning(&foreign);
        let (ids, said) = listed(&t, &repo, &["list-images", "--json", "."]);
        assert_eq!(ids, [own.id()], "{what}");
        assert!(
            said.contains(&warned) && said.contains(": ignoring it\n"),
            "{what}: {said}"
        );
        let said = started(&t, &repo);
        assert!(said.contains(&warned), "{what}: {said}");
        if foreign.tags() != [moving.as_str()] {
            api.delete(&format!("/images/{}?force=1", foreign.id()));
        }
        last = Some(foreign);
    }
    let foreign = last.unwrap();
    let warned = warning(&foreign);
    let (ids, said) = listed(&t, &repo, &["status", "--json"]);
    assert_eq!(ids, [own.id()]);
    assert!(said.contains(&warned), "{said}");
    let update = t.dkr(["update-image"]).in_dir(&repo).success();
    update.stderr_has(&warned).stderr_has("is up to date");
    let pruned = t
        .dkr(["prune", ".", "--keep", "1", "--yes"])
        .in_dir(&repo)
        .success();
    pruned.stderr_has(&warned).stderr_has("nothing to remove");
    for command in ["inspect-image", "remove-image"] {
        let refused = t.dkr([command, &moving]).failure(3);
        refused.stderr_has(&warned.replace("warning", "caused by"));
    }
    assert!(
        api.find(&format!("/images/{}/json", foreign.id()))
            .is_some()
    );
    assert_eq!(repo.state().changed_since(&before), [""; 0]);

    // The one that has the moving tag has it no longer once a newer image needs it.
    let said = started(&t, &repo);
    let back = format!("hint: `docker tag {tag} {moving}` gives the tag back to the newest image");
    assert!(said.contains(&back), "{said}");
    repo.file("b", "b").commit("add b");
    let updated = t.dkr(["update-image"]).in_dir(&repo).success();
    assert_eq!(updated.stdout.trim(), moving);
    updated.stderr_has(&format!("taking the tag `{moving}` from image `"));
    let untagged = api.find(&format!("/images/{}/json", foreign.id()));
    assert!(untagged.is_some(), "what has lost its tag is still there");
    let newest = t.image_named(&moving);
    assert_eq!(
        (newest.label("dkr.parent"), newest.label("dkr.commit")),
        (tag, repo.rev("main"))
    );
}

#[test]
fn an_image_that_only_looks_like_one_of_a_repository_is_named_and_not_started() {
    let t = Sandbox::new();
    let (_, own) = baked(&t, "linux");
    let secret = two_commits(&t, "secret");
    let evil = format!("evil:{}", t.unique("x"));
    let labels = json!({"dkr.repo_path": secret.path(), "dkr.repo_name": "secret"});
    commit(&t, &own, Some(&evil), labels);
    let looks = format!(
        "image `{evil}` is labelled as an image of `main` in `{}`",
        secret.path().display()
    );
    for command in [
        &["start-image", ".", "main", "--", "true"][..],
        &["start-image", ".", "--", "true"],
        &["update-image"],
        &["inspect-image", "."],
    ] {
        let refused = t.dkr(command).in_dir(&secret).failure(3);
        refused
            .stderr_has("error: there is no image of")
            .stderr_has(&looks);
        refused.stderr_has(&format!(
            "hint: `docker rmi {evil}` removes it, if it is not needed"
        ));
    }
    let list = t.dkr(["list-images", "."]).in_dir(&secret).success();
    assert_eq!(list.stdout, "");
    list.stderr_has(&looks);
}

#[test]
fn a_base_image_with_dkrs_labels_decides_nothing() {
    let t = Sandbox::new();
    let base = format!("evil:{}", t.unique("base"));
    let labels = format!(
        "LABEL {SANDBOX_LABEL}={} dkr.repo_path=/r dkr.repo_name=r dkr.branch=b dkr.branch_from=b \
         dkr.ref=refs/heads/b dkr.commit=c dkr.created_at={FUTURE} dkr.type=objects dkr.parent=p \
         dkr.config={{}} dkr.version=9 dkr.schema=9 dkr.keep=never dkr.work_branch=fix dkr.runs=session \
         dkr.push_prefix=release",
        t.path().display()
    );
    let dockerfile = format!("FROM {BASE_IMAGE}\n{labels}\nONBUILD {labels} dkr.schema=8\n");
    build(&t, &dockerfile, &base);
    let repo = t.repo("linux").file("README", "x");
    repo.file(".dkr.conf", format!("base_image = {base}\n"))
        .commit("initial");
    t.dkr(["create-image"]).in_dir(&repo).success();
    let (ids, _) = listed(&t, &repo, &["list-images", "--json", "."]);
    let image = t.image(&repo, "main");
    assert_eq!(ids, [image.id()]);
    assert_eq!(image.label("dkr.commit"), repo.rev("main"));
    assert_eq!(
        (image.label("dkr.type"), image.label("dkr.schema")),
        ("base".into(), "1".into())
    );

    // A container that dkr did not start has nothing of what the image says of containers.
    let name = t.unique("run");
    let body = json!({"Image": image.id(), "Cmd": ["true"], "Labels": {SANDBOX_LABEL: t.path()}});
    super::run(&Api::of_machine(), &name, &body);
    let ps = t.dkr(["ps", "--json", "."]).in_dir(&repo).success();
    let row = &parsed(&ps.stdout)[0];
    assert_eq!(
        (&row["name"], &row["keep"], &row["runs"]),
        (&json!(name), &Value::Null, &Value::Null)
    );
    let pruned = t.dkr(["prune", ".", "--force"]).in_dir(&repo).success();
    assert_eq!(pruned.stdout, "", "{pruned}");
    // One that dkr starts is what was asked for.
    let start = ["start-image", ".", "main", "--keep", "always", "--", "true"];
    t.dkr(start)
        .in_dir(&repo)
        .success()
        .stderr_has("kept container `");
}
