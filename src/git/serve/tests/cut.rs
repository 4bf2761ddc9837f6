//! Pushes that are cut off while the host computes: nothing of them remains, and nothing else is removed.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command as StdCommand, Stdio as StdStdio};

use tokio::io::DuplexStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::alternates::hello;
use super::*;
use crate::git::serve::slow_pack::{SLOW_PACK, slow_push};

/// What is in the host's object directory and is not an object: quarantine, and packs that are being
/// written.
fn leftovers(t: &Sandbox) -> Vec<String> {
    let objects = t.git_dir().join("objects");
    let folders = [objects.clone(), objects.join("pack")];
    let entries = folders
        .iter()
        .flat_map(|folder| fs::read_dir(folder).into_iter().flatten());
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let is_odd = |name: &String| {
        name.contains("incoming-") || name.starts_with("tmp_") || name.ends_with(".keep")
    };
    names.filter(is_odd).collect()
}

/// The records of dkr's own pushes.
fn records(t: &Sandbox) -> usize {
    fs::read_dir(t.path("state/dkr/pushes")).map_or(0, Iterator::count)
}

/// Waits until `count` quarantines have a whole pack, so that git has begun to compute.
async fn until_computing(t: &Sandbox, count: usize) {
    let began = Instant::now();
    let whole = |name: &String| {
        let folder = t.git_dir().join("objects").join(name).join("pack");
        let files = fs::read_dir(folder).into_iter().flatten().flatten();
        let sizes = files.map(|file| file.metadata().map_or(0, |meta| meta.len()));
        sizes.max().unwrap_or(0) >= SLOW_PACK.len() as u64 - 20
    };
    while leftovers(t).iter().filter(|name| whole(name)).count() < count {
        assert!(began.elapsed() < Duration::from_secs(60));
        sleep(Duration::from_millis(20)).await;
    }
}

/// A push in progress, until it is canceled.
async fn pushing(t: &Sandbox, push: &[u8]) -> (JoinHandle<Traffic>, Cut) {
    let (near, mut far) = tokio::io::duplex(1 << 20);
    let (service, env) = (receive_pack(t, MAX_PUSH_BYTES), t.env());
    let (cut, gone) = oneshot::channel();
    let serving = tokio::spawn(async move {
        let limits = ServiceLimits::default();
        let gone = async { drop(gone.await) };
        service.answer(near, &env, &limits, gone).await.unwrap()
    });
    far.write_all(push).await.unwrap();
    (serving, (cut, far))
}

/// Cuts a push off when it is dropped.
type Cut = (oneshot::Sender<()>, DuplexStream);

/// Another push to the host, by the user's own git.
fn foreign_push(t: &Sandbox, push: &[u8]) -> Child {
    let mut git = StdCommand::new("git");
    git.arg("receive-pack").arg(t.git_dir()).process_group(0);
    git.stdin(StdStdio::piped())
        .stdout(StdStdio::null())
        .stderr(StdStdio::null());
    let mut git = git.spawn().unwrap();
    let mut input = git.stdin.take().unwrap();
    std::io::Write::write_all(&mut input, push).unwrap();
    git
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_is_cut_off_while_the_host_computes_leaves_nothing() {
    let t = Sandbox::new(3);
    let push = slow_push("refs/heads/box/a");
    let before = t.host_files();
    // One after the other, and several at once; cut off, or canceled by the channel itself.
    for (round, pushes) in [1, 1, 1, 1, 3, 3].into_iter().enumerate() {
        let mut running = Vec::new();
        for _ in 0..pushes {
            running.push(pushing(&t, &push).await);
        }
        until_computing(&t, pushes).await;
        for (serving, cut) in running {
            match round % 2 {
                0 => drop(cut),
                _ => serving.abort(),
            }
            let ended = timeout(Duration::from_secs(30), serving).await.unwrap();
            assert_eq!(ended.is_ok(), round % 2 == 0);
        }
        assert_eq!(leftovers(&t), [""; 0], "{round}");
        assert_eq!((t.services(), records(&t)), (0, 0));
    }
    assert_eq!(t.host_files(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_quarantine_of_somebody_elses_push_stays() {
    let t = Sandbox::new(3);
    let push = slow_push("refs/heads/box/a");
    let mut foreign = foreign_push(&t, &push);
    until_computing(&t, 1).await;
    let theirs = leftovers(&t);
    let (serving, cut) = pushing(&t, &push).await;
    until_computing(&t, 2).await;
    clear_leftovers(&t.env()).await;
    assert_eq!(leftovers(&t).len(), 2);
    drop(cut);
    serving.await.unwrap();
    clear_leftovers(&t.env()).await;
    assert_eq!(leftovers(&t), theirs);
    assert!(foreign.try_wait().unwrap().is_none());
    kill_group(foreign.id());
    foreign.wait().unwrap();
}

/// The sandbox of the process that is dkr in the test below: this program again.
const ROOT: &str = "DKR_TEST_CUT";

/// What that process does, until it is killed.
async fn take(root: &Path) {
    let name = "refs/dkr/taken/x".to_owned();
    let refs = vec![name.clone()];
    let program = Program::Deliver { refs, force: false };
    let service = Service::new(&root.join("host/.git"), program).unwrap();
    let state = root.join("state");
    let env = Env::from_iter([
        ("PATH", std::env::var_os("PATH").unwrap()),
        ("XDG_STATE_HOME", state.into()),
    ]);
    let commit = "1".repeat(40);
    let update = RefUpdate { name, commit };
    service
        .deliver(&[update], &**SLOW_PACK, &env)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dkr_that_was_killed_left_is_removed_by_the_next() {
    if let Some(root) = std::env::var_os(ROOT) {
        return take(root.as_ref()).await;
    }
    let t = Sandbox::new(3);
    let this = std::env::current_exe().unwrap();
    let name = std::thread::current().name().unwrap().to_owned();
    for all_of_it in [false, true] {
        let mut dkr = StdCommand::new(&this);
        dkr.args(["--exact", &name]).env(ROOT, t.path(""));
        let mut dkr = dkr.stdout(StdStdio::null()).spawn().unwrap();
        until_computing(&t, 1).await;
        dkr.kill().unwrap();
        dkr.wait().unwrap();
        if all_of_it {
            t.pids().into_iter().for_each(kill_group);
        }
        assert_eq!((leftovers(&t).len(), records(&t)), (1, 1));
        // As when a channel starts; and as when the next push or take begins.
        if all_of_it {
            drop(hello(receive_pack(&t, MAX_PUSH_BYTES), &t).await)
        } else {
            clear_leftovers(&t.env()).await
        }
        assert_eq!(leftovers(&t), [""; 0]);
        assert_eq!((t.services(), records(&t)), (0, 0));
    }
}

fn kill_group(leader: u32) {
    let leader = rustix::process::Pid::from_raw(leader.try_into().unwrap()).unwrap();
    rustix::process::kill_process_group(leader, rustix::process::Signal::KILL).unwrap();
}
