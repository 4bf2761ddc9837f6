//! Images and containers that have dkr's labels and are not dkr's: whatever they say, nothing is started
//! from them, built on them, counted, removed, or written because of them.

mod containers;
mod images;

use serde_json::{Value, json};

use super::create_image::two_commits;
use crate::support::{Api, Image, Repo, SANDBOX_LABEL, Sandbox, query};

/// A time that labels claim.
const FUTURE: &str = "2099-01-01T00:00:00.000Z";

/// A repository of a name of its own, with an image of `main` that dkr made.
fn baked(t: &Sandbox, name: &str) -> (Repo, Image) {
    let repo = two_commits(t, &t.unique(name));
    t.dkr(["create-image"]).in_dir(&repo).success();
    let image = t.image(&repo, "main");
    (repo, image)
}

/// The tag of an image that never moves.
fn own_tag(image: &Image) -> String {
    let tags = image.tags().into_iter();
    tags.max_by_key(String::len).unwrap()
}

/// What `docker commit --change 'LABEL …'` makes of a container in which there is a file `/foreign`:
/// an image tagged `tag`, or without one.
fn commit(t: &Sandbox, image: &Image, tag: Option<&str>, labels: Value) -> Image {
    let api = Api::of_machine();
    let body = json!({
        "Image": image.id(), "Entrypoint": ["touch", "/foreign"],
        "Labels": {SANDBOX_LABEL: t.path()}, "HostConfig": {"NetworkMode": "none"},
    });
    let id = run(&api, "", &body);
    let to = tag.map_or(String::new(), |tag| {
        let (repository, tag) = tag.rsplit_once(':').unwrap();
        format!("&repo={}&tag={}", query(repository), query(tag))
    });
    let entrypoint = json!({"Labels": labels, "Entrypoint": ["/usr/local/lib/dkr/entrypoint.sh"]});
    let made = api.post(&format!("/commit?container={id}{to}"), &entrypoint);
    api.delete(&format!("/containers/{id}?force=1"));
    t.image_named(made["Id"].as_str().unwrap())
}

/// Runs a container to its end; its id.
fn run(api: &Api, name: &str, body: &Value) -> String {
    let name = match name {
        "" => String::new(),
        name => format!("?name={}", query(name)),
    };
    let made = api.post(&format!("/containers/create{name}"), body);
    let id = made["Id"].as_str().unwrap().to_owned();
    api.post(&format!("/containers/{id}/start"), &Value::Null);
    api.post(&format!("/containers/{id}/wait"), &Value::Null);
    id
}

fn parsed(json: &str) -> Value {
    serde_json::from_str(json).unwrap()
}
