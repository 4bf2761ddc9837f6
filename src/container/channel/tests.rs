//! The channel with real sockets, a real git and socat on the container's side.

mod cut;
mod process;

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::process::serve;
use super::server::MAX_CONNECTIONS;
use super::*;
use crate::env::Env;
use crate::error::Result;
use crate::git::serve::ServiceLimits;
use crate::git::serve::testing::Sandbox;

/// A channel that is served within the test, until it says that the container has ended.
struct Served {
    sandbox: Sandbox,
    folder: Folder,
    end: oneshot::Sender<ContainerStatus>,
    process: JoinHandle<Result<ContainerStatus>>,
}

fn assigned(sandbox: &Sandbox) -> Folder {
    let folder = Folder::create(&sandbox.env()).unwrap();
    let channel = Channel {
        container: "c0ffee".into(),
        engine: "local".into(),
        repository: None,
        git_dir: Some(sandbox.git_dir()),
        prefix: "box".into(),
        remotes: vec!["space".into()],
        watched: true,
    };
    folder.assign(&channel).unwrap();
    assert_eq!(folder.channel().unwrap(), channel);
    folder
}

impl Served {
    async fn new(commits: usize) -> Self {
        Self::of(Sandbox::new(commits)).await
    }

    async fn of(sandbox: Sandbox) -> Self {
        let folder = assigned(&sandbox);
        sandbox.clone_host(&folder.mount_source());
        let (end, ended) = oneshot::channel();
        let (root, env) = (folder.clone(), sandbox.env());
        let process = tokio::spawn(async move {
            let ended = async { ended.await.unwrap_or(ContainerStatus::Gone) };
            serve(&root, &env, &ServiceLimits::default(), ended).await
        });
        until("the channel is served", || folder.is_served()).await;
        Served {
            sandbox,
            folder,
            end,
            process,
        }
    }

    async fn connect(&self, service: &str) -> UnixStream {
        let socket = self.folder.mount_source().join(service);
        UnixStream::connect(socket).await.unwrap()
    }

    async fn no_process_is_left(&self, after: &str) {
        let what = format!("no process is left after {after}");
        until(&what, || self.sandbox.services() == 0).await;
    }

    /// Ends the container; the channel must end soon after.
    async fn end(self, state: ContainerStatus) -> (Sandbox, Folder) {
        self.end.send(state).unwrap();
        let ended = timeout(Duration::from_secs(30), self.process).await;
        ended.expect("the channel ends").unwrap().unwrap();
        assert_eq!(self.sandbox.services(), 0);
        (self.sandbox, self.folder)
    }
}

pub(super) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(30), "{what}");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_fetches_and_pushes_and_the_folder_ends_with_it() {
    let served = Served::new(3).await;
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let root = served.folder.root();
    assert_eq!(mode(root.parent().unwrap()), 0o700);
    assert_eq!(mode(root), 0o700);
    let mounted = served.folder.mount_source();
    assert_eq!(mode(&mounted), 0o755);
    let names = ["git-receive-pack", "git-upload-pack"];
    for name in names {
        assert_eq!(mode(&mounted.join(name)), 0o666);
    }
    let mut seen: Vec<_> = fs::read_dir(&mounted)
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    seen.sort();
    assert_eq!(seen, names);

    let t = &served.sandbox;
    t.host(&["commit", "-q", "--allow-empty", "-m", "new"]);
    t.ok(&["fetch", "-q", "host"]);
    t.ok(&["reset", "-q", "--hard", "host/main"]);
    t.commit("work");
    t.ok(&["push", "-q", "host", "HEAD:refs/heads/box/a"]);
    assert_eq!(
        t.host(&["rev-parse", "box/a"]),
        t.ok(&["rev-parse", "HEAD"])
    );
    let refused = t.fails(&["push", "host", "HEAD:refs/heads/main"]);
    assert!(refused.contains("push refused"), "{refused}");
    let env = t.env();
    let found = Folder::of_container(&env, "c0ffee").unwrap();
    assert_eq!(found.as_ref(), Some(&served.folder));

    let (t, folder) = served.end(ContainerStatus::Stopped).await;
    assert_eq!(fs::read_dir(folder.mount_source()).unwrap().count(), 0);
    // A process that another test starts just then has the lock, too, until it has begun.
    until("nobody serves it", || !folder.is_served()).await;
    let log = fs::read_to_string(folder.root().join("log")).unwrap();
    assert!(log.contains("git-receive-pack: Refused"), "{log}");
    let error = t.fails(&["fetch", "host"]);
    assert!(error.contains("dkr: the host does not answer"), "{error}");
    assert!(
        error.contains("hint: run `dkr attach main` on the host"),
        "{error}"
    );

    folder.remove().unwrap();
    assert!(!folder.root().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_folder_of_a_container_that_is_gone_is_removed() {
    let served = Served::new(1).await;
    let (_, folder) = served.end(ContainerStatus::Gone).await;
    assert!(!folder.root().exists());
    assert!(Folder::open(folder.root()).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_directory_with_a_long_name_serves_too() {
    let sandbox = Sandbox::new(1);
    let state = sandbox.path(&format!("{0}/{0}", "long".repeat(30)));
    let env = Env::from_iter([("XDG_STATE_HOME", state)]);
    let folder = Folder::create(&env).unwrap();
    let channel = assigned(&sandbox).channel().unwrap();
    folder.assign(&channel).unwrap();
    let server = server::Server::bind(&folder, &channel).unwrap();
    assert!(folder.mount_source().join("git-upload-pack").exists());
    drop(server);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_asks_for_besides_the_protocol_changes_nothing() {
    let served = Served::new(3).await;
    let before = served.sandbox.host_files();
    let requests: [&[u8]; 5] = [
        b"003agit-upload-pack /etc\0host=x\0\0version=1\0extra=--strict\0",
        b"GET /info/refs?service=git-receive-pack HTTP/1.1\r\n\r\n",
        b"git-upload-pack --upload-pack=touch /tmp/x\n",
        b"\xff\xff\xff\xff\xff\xff\xff\xff",
        b"fff0aaaaaaaaaaaaaaaaaaa",
    ];
    for service in ["git-upload-pack", "git-receive-pack"] {
        for request in requests {
            let mut stream = served.connect(service).await;
            stream.write_all(request).await.unwrap();
            stream.shutdown().await.unwrap();
            let mut answer = Vec::new();
            let read = timeout(Duration::from_secs(30), stream.read_to_end(&mut answer)).await;
            assert!(read.is_ok(), "{}", request.escape_ascii());
        }
    }
    served.no_process_is_left("odd requests").await;
    assert_eq!(served.sandbox.host_files(), before);
    served.end(ContainerStatus::Stopped).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_vanishes_leaves_no_process() {
    let sandbox = with_noise();
    let served = Served::of(sandbox).await;
    // Killed while it fetches.
    let mut stream = served.connect("git-upload-pack").await;
    want_everything(&served.sandbox, &mut stream).await;
    let mut start = [0; 4096];
    stream.read_exact(&mut start).await.unwrap();
    assert!(served.sandbox.services() > 0);
    drop(stream);
    served.no_process_is_left("a killed fetch").await;
    // Killed while it pushes.
    let mut stream = served.connect("git-receive-pack").await;
    let update = format!("{} {} refs/heads/box/a\0", "0".repeat(40), "a".repeat(40));
    let packet = format!("{:04x}{update}0000PACK", update.len() + 4);
    stream.write_all(packet.as_bytes()).await.unwrap();
    until("the push is under way", || served.sandbox.services() > 0).await;
    drop(stream);
    served.no_process_is_left("a killed push").await;
    let objects = fs::read_dir(served.sandbox.git_dir().join("objects")).unwrap();
    let names = objects.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(names.filter(|name| name.starts_with("tmp_")).count(), 0);
    // Half-closed, and no longer reading.
    let mut stream = served.connect("git-upload-pack").await;
    want_everything(&served.sandbox, &mut stream).await;
    stream.read_exact(&mut start).await.unwrap();
    stream.shutdown().await.unwrap();
    served.no_process_is_left("a fetch that nobody reads").await;
    drop(stream);
    served.end(ContainerStatus::Stopped).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_costs_no_memory_and_gets_everything() {
    let sandbox = with_noise();
    let served = Served::of(sandbox).await;
    let before = resident_kib();
    let mut streams = Vec::new();
    for _ in 0..4 {
        let mut stream = served.connect("git-upload-pack").await;
        want_everything(&served.sandbox, &mut stream).await;
        streams.push(stream);
    }
    sleep(Duration::from_secs(1)).await;
    let grown = resident_kib().saturating_sub(before);
    // Four times that is on its way; other tests of this process take some, too.
    assert!(grown < NOISE_BYTES / 1024, "{grown} KiB");
    let mut answer = Vec::new();
    let mut stream = streams.pop().unwrap();
    stream.shutdown().await.unwrap();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer.len() > NOISE_BYTES, "{}", answer.len());
    drop(streams);
    served.no_process_is_left("slow readers").await;
    served.end(ContainerStatus::Stopped).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_connections_are_answered_a_few_at_a_time() {
    let served = Served::new(3).await;
    let socket = served.folder.mount_source().join("git-upload-pack");
    let mut waiting = Vec::new();
    for _ in 0..1000 {
        // The kernel's queue is bounded too: then a client waits or is refused.
        let connecting = timeout(Duration::from_millis(200), UnixStream::connect(&socket)).await;
        let Ok(Ok(stream)) = connecting else {
            break;
        };
        waiting.push(stream);
    }
    assert!(waiting.len() > 100, "{}", waiting.len());
    until("the first are answered", || {
        served.sandbox.services() >= MAX_CONNECTIONS
    })
    .await;
    sleep(Duration::from_millis(300)).await;
    assert_eq!(served.sandbox.services(), MAX_CONNECTIONS);
    // The other socket is not affected.
    let mut push = served.connect("git-receive-pack").await;
    let mut hello = [0; 4];
    push.read_exact(&mut hello).await.unwrap();
    drop(push);
    drop(waiting);
    let began = Instant::now();
    let listed = served.sandbox.ok(&["ls-remote", "host", "main"]);
    assert!(listed.contains("refs/heads/main"));
    // No process was started for those that had left the queue.
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "{:?}",
        began.elapsed()
    );
    served.end(ContainerStatus::Stopped).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sweeping_takes_only_what_no_container_of_this_engine_needs() {
    let t = Sandbox::new(1);
    let env = t.env();
    let make = |engine: &str, container: &str| {
        let folder = Folder::create(&env).unwrap();
        let channel = Channel {
            container: container.into(),
            engine: engine.into(),
            repository: None,
            git_dir: Some(t.git_dir()),
            prefix: "box".into(),
            remotes: Vec::new(),
            watched: true,
        };
        folder.assign(&channel).unwrap();
        folder
    };
    let gone = [make("local", "gone"), make("link", "gone")];
    let stays = [
        make("local", "alive"),
        make("local", "unknown"),
        make("elsewhere", "gone"),
        Folder::create(&env).unwrap(),
    ];
    let served = make("local", "gone");
    let lock = served.try_lock(folder::SERVING).unwrap();
    let exists = async |container: &str| match container {
        "unknown" => Err(crate::error::Error::failed("no engine")),
        name => Ok(name == "alive"),
    };
    let names = ["local", "link"].map(String::from);
    assert_eq!(sweep(&env, &names, exists).await.unwrap(), 2);
    assert!(gone.iter().all(|folder| !folder.root().exists()));
    assert!(
        stays
            .iter()
            .chain([&served])
            .all(|folder| folder.root().exists())
    );
    drop(lock);
    // A program that another test is just starting may have a copy of the lock for a moment.
    let began = Instant::now();
    while sweep(&env, &names, exists).await.unwrap() != 1 {
        assert!(began.elapsed() < Duration::from_secs(30));
        sleep(Duration::from_millis(20)).await;
    }
}

const NOISE_BYTES: usize = 24 << 20;

/// A repository that does not compress.
fn with_noise() -> Sandbox {
    let sandbox = Sandbox::new(1);
    // Not collected first: another test looks at this process's memory.
    let random = fs::File::open("/dev/urandom").unwrap();
    let mut noise = fs::File::create(sandbox.path("host/noise")).unwrap();
    std::io::copy(&mut random.take(NOISE_BYTES as u64), &mut noise).unwrap();
    // Packed as it is, too, for a fetch.
    sandbox.host(&["config", "core.compression", "0"]);
    sandbox.host(&["add", "noise"]);
    sandbox.host(&["commit", "-q", "-m", "noise"]);
    sandbox
}

/// Asks for everything that `main` has (gitprotocol-v2, `fetch`), without reading the answer.
async fn want_everything(sandbox: &Sandbox, stream: &mut UnixStream) {
    let id = sandbox.host(&["rev-parse", "main"]);
    let request = format!("0011command=fetch0001000fno-progress0032want {id}\n0009done\n0000");
    stream.write_all(request.as_bytes()).await.unwrap();
}

/// The memory that this process has, in KiB.
fn resident_kib() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
