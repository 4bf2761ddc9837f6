//! A second, isolated Docker Engine, for tests that stop one or fill its disk.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{Api, BASE_IMAGE, Sandbox, processes, wait_until};

/// How long an engine may take to start.
const START: Duration = Duration::from_secs(60);

/// A dockerd that the test started; stopped and unmounted when dropped. Only for root. Its
/// bridge has no uplink: builds and containers on it use the host's network, or none.
pub struct PrivateEngine {
    folder: PathBuf,
    bridge: String,
    driver: String,
    process: Option<Child>,
}

impl PrivateEngine {
    /// Starts an engine in the sandbox, with the tests' base image.
    pub fn start(sandbox: &Sandbox) -> Self {
        Self::start_in(sandbox, None)
    }

    /// The same with a disk of `size`, as mount(8) takes it for a tmpfs: `700m`. The base
    /// image takes some 200 MB of it, twice that while it is loaded.
    pub fn with_disk(sandbox: &Sandbox, size: &str) -> Self {
        Self::start_in(sandbox, Some(size))
    }

    fn start_in(sandbox: &Sandbox, size: Option<&str>) -> Self {
        let main = Api::of_machine();
        let folder = tempfile::Builder::new()
            .prefix("engine-")
            .tempdir_in(sandbox.path());
        let folder = folder.expect("the sandbox is writable").keep();
        fs::create_dir(folder.join("data")).expect("the folder was just made");
        if let Some(size) = size {
            let options = format!("size={size}");
            let data = folder.join("data");
            let mut mount = Command::new("mount");
            mount.args(["-t", "tmpfs", "-o", &options, "dkr-test"]);
            let status = mount.arg(data).status().expect("mount is there");
            assert!(status.success(), "a tmpfs cannot be mounted: run as root");
        }
        let mut engine = PrivateEngine {
            bridge: add_bridge(&folder),
            driver: "overlay2".into(),
            process: None,
            folder,
        };
        // Some kernels and file systems have no overlay2: use the driver of the machine's engine.
        if !engine.spawn() {
            engine.kill();
            engine.driver = text(&main.get("/info")["Driver"]);
            engine.start_again();
        }
        main.copy_image(BASE_IMAGE, &engine.api(), &engine.folder);
        engine
    }

    /// Its value of `DOCKER_HOST`.
    pub fn host(&self) -> String {
        format!("unix://{}", socket(&self.folder).display())
    }

    /// Its API.
    pub fn api(&self) -> Api {
        Api::at(&socket(&self.folder))
    }

    /// The free bytes of its disk. The engine removes the files of a failed step only after it has
    /// reported the failure.
    pub fn room(&self) -> u64 {
        let disk = rustix::fs::statvfs(self.folder.join("data")).expect("it is a folder");
        disk.f_bavail * disk.f_frsize
    }

    /// Kills it at once, as a crash would: containers and mounts stay until it starts again.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
        // Its containerd dies with it, but as long as it is a zombie, the next engine takes it for
        // running.
        let file = self.folder.join("exec/containerd/containerd.pid");
        let pid = fs::read_to_string(&file).ok();
        if let Some(pid) = pid.and_then(|pid| pid.trim().parse().ok()) {
            processes::end(&[pid], Duration::from_secs(1));
        }
        let _ = fs::remove_file(file);
    }

    /// Stops it as the system does: it stops its containers.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            processes::send(process.id(), Signal::TERM);
            let ended = || process.try_wait().is_ok_and(|status| status.is_some());
            assert!(wait_until(START, ended), "a private engine does not stop");
        }
    }

    /// Starts it again after [`PrivateEngine::kill`] or [`PrivateEngine::stop`].
    pub fn start_again(&mut self) {
        // Processes of a killed one may still be in the way of the first attempt.
        let up = (0..3).any(|_| {
            self.kill();
            // A killed engine leaves its id behind, and a new one refuses to start beside it.
            let _ = fs::remove_file(self.folder.join("pid"));
            self.spawn()
        });
        let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        assert!(up, "a private engine does not start: {log}");
    }

    /// Starts it; returns whether it comes up.
    fn spawn(&mut self) -> bool {
        write_config(&self.folder, &self.driver, &self.bridge);
        let log = File::create(self.folder.join("log")).expect("the folder is ours");
        let process = Command::new("dockerd")
            .arg("--config-file")
            .arg(self.folder.join("daemon.json"))
            // These matter where a containerd of the system serves both engines; 20.10 does not
            // know its own name of the second one in the file.
            .args(["--containerd-namespace", &self.bridge])
            .arg(format!("--containerd-plugins-namespace={}-p", self.bridge))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file can be cloned"))
            .stderr(log)
            .spawn()
            .expect("dockerd is missing: run `sh fixtures/setup.sh`");
        let api = self.api();
        let process = self.process.insert(process);
        let ended = |process: &mut Child| process.try_wait().is_ok_and(|status| status.is_some());
        wait_until(START, || api.answers() || ended(process)) && api.answers()
    }
}

impl Drop for PrivateEngine {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            // On SIGTERM it stops its containers and unmounts their file systems.
            processes::send(process.id(), Signal::TERM);
            let ended = || process.try_wait().is_ok_and(|status| status.is_some());
            if !wait_until(Duration::from_secs(20), ended) {
                let _ = process.kill();
                let _ = process.wait();
            }
        }
        // containerd and its shims outlive an engine that was killed.
        let left = processes::mentioning(&self.folder).into_iter();
        let left: Vec<u32> = left.map(|(pid, _)| pid).collect();
        processes::end(&left, Duration::from_secs(5));
        for mount in mounts_below(&self.folder) {
            let _ = Command::new("umount").arg("--lazy").arg(mount).status();
        }
        ip(&["link", "delete", &self.bridge]);
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("docker.sock")
}

fn write_config(folder: &Path, driver: &str, bridge: &str) {
    let config = json!({
        "data-root": folder.join("data"),
        "exec-root": folder.join("exec"),
        "pidfile": folder.join("pid"),
        "hosts": [format!("unix://{}", socket(folder).display())],
        "storage-driver": driver,
        "bridge": bridge,
        "iptables": false,
        "ip-forward": false,
        "ip-masq": false,
    });
    fs::write(folder.join("daemon.json"), config.to_string()).expect("the folder is ours");
}

/// Creates the engine's own bridge. An engine that is configured to have none deletes `docker0`, which
/// belongs to another engine (moby, daemon/daemon_unix.go, removeDefaultBridgeInterface).
fn add_bridge(folder: &Path) -> String {
    let name = text(&folder.file_name().and_then(|name| name.to_str()).into());
    // The kernel takes names of 15 bytes at most.
    let bridge = name.replace("engine-", "dkr");
    let made = ip(&["link", "add", &bridge, "type", "bridge"]);
    assert!(made, "a bridge cannot be added: run as root");
    bridge
}

fn ip(arguments: &[&str]) -> bool {
    let status = Command::new("ip").args(arguments).status();
    status
        .expect("ip is missing: run `sh fixtures/setup.sh`")
        .success()
}

fn text(value: &Value) -> String {
    value.as_str().expect("it is a text").to_owned()
}

/// The mount points below a folder, the deepest first.
fn mounts_below(folder: &Path) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = table.lines().filter_map(|line| line.split(' ').nth(4));
    let mut points: Vec<PathBuf> = points.map(PathBuf::from).collect();
    points.retain(|point| point.starts_with(folder));
    points.reverse();
    points
}
