//! What a test must not leave behind: on the host processes, temporary files, sockets, refs and locks
//! in its repositories; on the engine containers, images and volumes.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::{Api, SANDBOX_LABEL, processes, query, wait_until};

/// How long a process may take to exit.
const GRACE: Duration = Duration::from_secs(5);

/// The same for the processes that handle the end of containers, which exit by themselves.
const WATCHERS_GRACE: Duration = Duration::from_secs(60);

/// What dkr has left on this machine after the test's processes have exited.
pub fn on_the_host(root: &Path) -> Vec<String> {
    let mut leaks = Vec::new();
    let only_watchers = || {
        let left = processes::mentioning(root);
        left.iter().all(|(_, text)| text.contains("channel-server"))
    };
    let gone = || processes::mentioning(root).is_empty();
    if !(wait_until(GRACE, only_watchers) && wait_until(WATCHERS_GRACE, gone)) {
        let left = processes::mentioning(root);
        let pids: Vec<u32> = left.iter().map(|(pid, _)| *pid).collect();
        processes::end(&pids, Duration::from_secs(1));
        leaks.extend(left.into_iter().map(|(_, text)| text));
    }
    let temporary = files(&root.join("tmp"));
    leaks.extend(
        temporary
            .iter()
            .map(|path| format!("temporary file {path:?}")),
    );
    // What `dkr take` wrote is meant to stay.
    let kept = ["/refs/dkr/wip/", "/refs/dkr/taken/"];
    for path in files(root) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let text = path.to_string_lossy();
        let kind = path.symlink_metadata().map(|meta| meta.file_type());
        if kind.is_ok_and(|kind| kind.is_socket()) {
            leaks.push(format!("socket {path:?}"));
        } else if text.contains("/refs/dkr/") && !kept.iter().any(|kept| text.contains(kept)) {
            leaks.push(format!("ref {path:?}"));
        } else if text.contains("/objects/") && name.starts_with("tmp_")
            || text.contains("/objects/tmp_objdir-")
        {
            leaks.push(format!("half an object {path:?}"));
        } else if ["/dkr/pushes/", "/dkr/packs/"]
            .iter()
            .any(|own| text.contains(own))
        {
            leaks.push(format!("scratch {path:?}"));
        } else if text.contains("/refs/") && name.ends_with(".lock") {
            leaks.push(format!("lock {path:?}"));
        }
    }
    leaks
}

/// Containers that dkr created and forgot: they are running, or never ran. One that has ended may be
/// kept for its work; one that the test itself created has a label of the tests.
pub fn of_dkr_on_the_engine(root: &Path) -> Vec<String> {
    let forgotten = containers(root).into_iter().filter(|container| {
        let has = |label: &str| container["Labels"].get(label).is_some();
        let (state, of_test) = (&container["State"], has(SANDBOX_LABEL));
        !of_test && (state == "created" || (has("dkr.work_branch") && state == "running"))
    });
    let described = forgotten.map(|container| {
        let (names, state) = (&container["Names"], &container["State"]);
        format!("container {names} ({state})")
    });
    described.collect()
}

/// What still refers to the sandbox on the engine after everything was removed.
pub fn that_stay_on_the_engine(root: &Path) -> Vec<String> {
    let api = Api::unchecked_of_machine();
    if !api.answers() {
        return Vec::new();
    }
    let needle = root.file_name().unwrap_or_default().to_string_lossy();
    let unique = needle.replace("dkr-test-", "-");
    let mut leaks: Vec<String> = containers(root)
        .into_iter()
        .map(|container| format!("container {}", container["Names"]))
        .collect();
    for (what, path, list) in [
        ("image", "/images/json", None),
        ("volume", "/volumes", Some("Volumes")),
    ] {
        let all = api.get(path);
        let all = list.map_or(&all, |list| &all[list]);
        for one in all.as_array().into_iter().flatten() {
            let text = one.to_string();
            if text.contains(&*needle) || (what == "volume" && text.contains(&unique)) {
                leaks.push(format!("{what} {text}"));
            }
        }
    }
    leaks
}

/// The containers, running or not, of the repositories below `root`.
fn containers(root: &Path) -> Vec<Value> {
    let api = Api::unchecked_of_machine();
    if !api.answers() {
        return Vec::new();
    }
    let filter = query(&json!({"label": ["dkr.repo_path"]}).to_string());
    let all = api.get(&format!("/containers/json?all=1&filters={filter}"));
    let all = all.as_array().cloned().unwrap_or_default().into_iter();
    let own = all.filter(|container| {
        let path = container["Labels"]["dkr.repo_path"].as_str();
        path.is_some_and(|path| Path::new(path).starts_with(root))
    });
    own.collect()
}

/// Every file below a folder, including links and sockets.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                _ => found.push(entry.path()),
            }
        }
    }
    found
}
