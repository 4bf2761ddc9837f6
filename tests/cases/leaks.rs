//! What a test leaves behind makes it fail.

use std::os::unix::net::UnixListener;
use std::panic::catch_unwind;

use serde_json::json;

use crate::support::{Api, BASE_IMAGE, Sandbox};

#[test]
fn what_is_left_behind_fails_the_test() {
    let leak = |make: fn(&Sandbox)| {
        let dropped = catch_unwind(|| {
            let t = Sandbox::new();
            make(&t);
        });
        let message = dropped.unwrap_err();
        message.downcast_ref::<String>().unwrap().clone()
    };
    let process = leak(|t| {
        t.command("sh", ["-c", "setsid sleep 100 >/dev/null 2>&1 &"])
            .success();
    });
    assert!(process.contains("sleep 100"), "{process}");
    let file = leak(|t| {
        t.command("mktemp", [] as [&str; 0]).success();
    });
    assert!(file.contains("temporary file"), "{file}");
    let socket = leak(|t| {
        drop(UnixListener::bind(t.home().join("socket")).unwrap());
    });
    assert!(socket.contains("home/socket"), "{socket}");
    let reference = leak(|t| {
        let repo = t.repo("linux").file("a", "1").commit("one");
        repo.git(["update-ref", "refs/dkr/forgotten", "HEAD"]);
    });
    assert!(reference.contains("refs/dkr/forgotten"), "{reference}");
    let container = leak(|t| {
        let labels = json!({"dkr.repo_path": t.path().join("repos/linux")});
        let container = json!({"Image": BASE_IMAGE, "Labels": labels});
        Api::of_machine().post("/containers/create", &container);
    });
    assert!(container.contains("created"), "{container}");
    let volume = leak(|t| {
        let volume = json!({"Name": t.unique("volume")});
        let name = Api::of_machine().post("/volumes/create", &volume);
        assert_eq!(name["Name"], volume["Name"]);
    });
    let name = volume.split('"').find(|word| word.starts_with("volume-"));
    Api::of_machine().delete(&format!("/volumes/{}", name.expect("it is named")));
}
