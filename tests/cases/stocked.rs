//! A fake engine that has images of a repository and containers of them: for what the commands that
//! look and name show, whatever a real engine has.

use serde_json::{Value, json};

use crate::support::{Answer, FakeEngine, Repo, Sandbox};

/// The id of the image of that number.
pub fn image_id(number: usize) -> String {
    format!("sha256:{number:064x}")
}

/// The id of the container of that number.
pub fn container_id(number: usize) -> String {
    format!("{:064x}", number + 0xc0)
}

/// An engine with an image of each of these refs of `repo`, the newest last, and a container of
/// the first image for each of these working branches.
pub fn engine(t: &Sandbox, repo: &Repo, refs: &[&str], containers: &[&str]) -> FakeEngine {
    let path = repo.path().to_str().unwrap();
    let info = json!({"Name": "fake", "OperatingSystem": "Debian"}).to_string();
    let mut engine = FakeEngine::start(t.path()).route("GET /info", Answer::Json(200, info));
    let mut images = Vec::new();
    for (number, reference) in refs.iter().enumerate() {
        let id = image_id(number);
        let image = image(path, reference, number);
        let inspected = json!({
            "Id": id, "RepoTags": image["RepoTags"], "Architecture": "amd64", "Size": 42_000_000,
            "Config": {"Labels": image["Labels"]},
            "RootFS": {"Type": "layers", "Layers": ["sha256:base", format!("sha256:{number}")]},
        });
        let step = |size: u64| {
            json!({"Id": "x", "Created": 1, "CreatedBy": "RUN x", "Tags": null, "Size": size,
                "Comment": "buildkit.dockerfile.v0"})
        };
        let history = json!([step(2_000_000), step(40_000_000)]);
        for (name, answer) in [("json", inspected), ("history", history)] {
            let answer = Answer::Json(200, answer.to_string());
            engine = engine.route(&format!("GET /images/{id}/{name}"), answer);
        }
        images.push(image);
    }
    let containers: Vec<Value> = containers
        .iter()
        .enumerate()
        .map(|(number, branch)| container(path, branch, number))
        .collect();
    engine
        .route(
            "GET /images/json",
            Answer::Json(200, json!(images).to_string()),
        )
        .route(
            "GET /containers/json",
            Answer::Json(200, json!(containers).to_string()),
        )
}

fn labels(path: &str, reference: &str, number: usize) -> Value {
    let name = path.rsplit('/').next().unwrap();
    let full = match reference.contains('/') {
        true => format!("refs/remotes/{reference}"),
        false => format!("refs/heads/{reference}"),
    };
    json!({
        "dkr.repo_path": path, "dkr.repo_name": name, "dkr.type": "base", "dkr.ref": full,
        "dkr.branch": reference.rsplit('/').next().unwrap(), "dkr.branch_from": reference,
        "dkr.commit": format!("{number:040x}"), "dkr.version": "0.1.0", "dkr.schema": "1",
        "dkr.created_at": format!("2020-01-{:02}T00:00:00.000Z", number + 1),
    })
}

/// An image as the engine lists it, with its own tag and the one that moves.
pub fn image(path: &str, reference: &str, number: usize) -> Value {
    let name = path.rsplit('/').next().unwrap();
    let branch = reference.rsplit('/').next().unwrap();
    let tags = [
        format!("dkr:{name}-{branch}"),
        format!("dkr:{name}-{branch}-{number:06x}"),
    ];
    json!({
        "Id": image_id(number), "ParentId": "", "RepoTags": tags, "RepoDigests": [],
        "Created": 1_577_836_800, "Size": 42_000_000, "SharedSize": -1, "Containers": -1,
        "Labels": labels(path, reference, number),
    })
}

/// A container that has never run: it holds nothing.
fn container(path: &str, branch: &str, number: usize) -> Value {
    let mut labels = labels(path, "main", 0);
    labels["dkr.work_branch"] = json!(branch);
    json!({
        "Id": container_id(number), "Names": [format!("/{}", branch.replace('/', "-"))],
        "Image": "dkr:x", "ImageID": image_id(0), "Command": "/entrypoint.sh make",
        "Created": 1_577_836_800, "State": "created", "Status": "Created", "Labels": labels,
    })
}
