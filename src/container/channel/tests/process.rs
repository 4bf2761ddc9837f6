//! The channel's own process, and the script on the container's side.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::time::sleep;

use super::super::process::start;
use super::*;

const CONNECT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/dkr-connect.sh");

/// Set for the process that serves instead of dkr: this program again, with the one test that reads
/// the variable.
const ROOT: &str = "DKR_TEST_CHANNEL";

async fn serve(root: &Path) {
    let ended = async {
        let end = root.join("end");
        while !end.exists() {
            sleep(Duration::from_millis(20)).await;
        }
        ContainerStatus::Stopped
    };
    run(root, &Env::of_process(), ended).await.unwrap();
}

/// The processes that serve the folder.
pub(super) fn pids(folder: &Folder) -> Vec<i32> {
    let set = format!("{ROOT}={}", folder.root().display());
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let path = entry.ok()?.path();
        let environment = fs::read(path.join("environ")).ok()?;
        let mut variables = environment.split(|byte| *byte == 0);
        let mine = variables.any(|variable| variable == set.as_bytes());
        let pid: i32 = path.file_name()?.to_str()?.parse().ok()?;
        let stat = fs::read_to_string(path.join("stat")).ok()?;
        (mine && !stat.contains(") Z ")).then_some(pid)
    });
    processes.collect()
}

pub(super) async fn start_process(folder: &Folder) -> Result<()> {
    let this = std::env::current_exe().unwrap();
    let root = folder.root().display();
    let (_, module) = module_path!().split_once("::").unwrap();
    let test = format!("{module}::a_process_of_its_own_serves_until_the_container_ends");
    let set = format!("{ROOT}={root}");
    // The state that the folder is in, not the user's own.
    let state = folder.root().ancestors().nth(3).unwrap();
    let state = format!("XDG_STATE_HOME={}", state.display());
    let arguments = [
        set.as_str(),
        state.as_str(),
        this.to_str().unwrap(),
        "--exact",
        &test,
    ];
    start(folder, "env".as_ref(), &arguments.map(Into::into)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_of_its_own_serves_until_the_container_ends() {
    if let Some(root) = std::env::var_os(ROOT) {
        return serve(root.as_ref()).await;
    }
    let t = Sandbox::new(3);
    let folder = assigned(&t);
    t.clone_host(&folder.mount_source());
    // Two at once: one serves.
    let (a, b) = tokio::join!(start_process(&folder), start_process(&folder));
    assert_eq!((a, b), (Ok(()), Ok(())));
    until("one process is left", || pids(&folder).len() == 1).await;
    let pid = rustix::process::Pid::from_raw(pids(&folder)[0]).unwrap();
    assert_eq!(rustix::process::getsid(Some(pid)).unwrap(), pid);
    t.commit("work");
    t.ok(&["push", "-q", "host", "HEAD:refs/heads/box/a"]);
    // Killed without a chance to tidy up; the next start brings the channel back.
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    until("it is dead", || pids(&folder).is_empty()).await;
    let error = t.fails(&["fetch", "host"]);
    assert!(error.contains("the host does not answer"), "{error}");
    start_process(&folder).await.unwrap();
    t.ok(&["fetch", "-q", "host"]);
    // Terminated.
    let pid = rustix::process::Pid::from_raw(pids(&folder)[0]).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    until("it has ended", || pids(&folder).is_empty()).await;
    assert_eq!(fs::read_dir(folder.mount_source()).unwrap().count(), 0);
    start_process(&folder).await.unwrap();
    fs::write(folder.root().join("end"), "").unwrap();
    until("it ended with the container", || pids(&folder).is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_cannot_serve_says_why() {
    let t = Sandbox::new(1);
    let folder = assigned(&t);
    // A container could do this if the folder were not mounted read-only.
    fs::create_dir(folder.mount_source().join("git-upload-pack")).unwrap();
    // A program that another test is just starting may have a copy of a lock for a moment.
    let began = Instant::now();
    let error = loop {
        match start_process(&folder).await {
            Err(error) => break error,
            Ok(()) => assert!(began.elapsed() < Duration::from_secs(30)),
        }
        sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(
        error.message,
        "cannot start the git channel of container `c0ffee`"
    );
    assert!(
        error.causes[0].contains("cannot create a socket in"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_connector_waits_for_a_slow_answer_after_its_input_has_ended() {
    let run = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(run.path().join("git-receive-pack")).unwrap();
    let host = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut pack = String::new();
        stream.read_to_string(&mut pack).await.unwrap();
        sleep(Duration::from_millis(1500)).await;
        stream.write_all(b"done").await.unwrap();
        pack
    });
    let connector = |service: &str| {
        let mut command = Command::new(CONNECT);
        command
            .arg(service)
            .env("DKR_CHANNEL", run.path())
            .env("DKR_CONTAINER", "fox");
        command.current_dir("/").stdin(Stdio::piped());
        command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let output = tokio::task::block_in_place(|| {
        let mut child = connector("git-receive-pack");
        child.stdin.take().unwrap().write_all(b"pack").unwrap();
        child.wait_with_output().unwrap()
    });
    assert_eq!(output.stdout, b"done");
    assert!(output.status.success());
    assert_eq!(host.await.unwrap(), "pack");
    for (service, expected) in [
        ("git-receive-pack", "hint: run `dkr attach fox` on the host"),
        (
            "git-upload-archive",
            "the host does not offer `git-upload-archive`",
        ),
    ] {
        let output = connector(service).wait_with_output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(
            told.contains(expected) && !output.status.success(),
            "{told}"
        );
    }
}
