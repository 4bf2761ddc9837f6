//! The channel's process is killed while the host computes over a push.

use super::process::{pids, start_process};
use super::*;
use crate::git::serve::slow_pack::slow_push;

fn quarantines(t: &Sandbox) -> Vec<String> {
    let objects = fs::read_dir(t.git_dir().join("objects")).unwrap();
    let names = objects.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.contains("incoming-")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_channel_was_receiving_is_removed_by_the_next() {
    let t = Sandbox::new(3);
    let folder = assigned(&t);
    start_process(&folder).await.unwrap();
    let socket = folder.mount_source().join("git-receive-pack");
    let mut pushes = Vec::new();
    for name in ["a", "b"] {
        let mut stream = UnixStream::connect(&socket).await.unwrap();
        let push = slow_push(&format!("refs/heads/box/{name}"));
        stream.write_all(&push).await.unwrap();
        pushes.push(stream);
    }
    until("git computes", || quarantines(&t).len() == 2).await;
    let pid = rustix::process::Pid::from_raw(pids(&folder)[0]).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    until("it is dead", || !folder.is_served()).await;
    assert_eq!(quarantines(&t).len(), 2);
    start_process(&folder).await.unwrap();
    until("all is removed", || quarantines(&t).is_empty()).await;
    until("nobody computes", || t.services() == 0).await;
    fs::write(folder.root().join("end"), "").unwrap();
    until("it has ended", || pids(&folder).is_empty()).await;
}
