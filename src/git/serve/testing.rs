//! A host repository and a clone of it that reaches it only through sockets, for tests of the
//! services and of the channel.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::time::{Instant, sleep};

use super::{Service, ServiceLimits, Traffic};
use crate::env::Env;
use crate::git::testing::write_script;

/// What went through a service, a record for each client that was answered.
#[derive(Default)]
pub(crate) struct Records(Arc<Mutex<Vec<Traffic>>>);

impl Records {
    /// The bytes of the first `clients`, once they were answered.
    pub async fn bytes(&self, clients: usize) -> u64 {
        let began = Instant::now();
        loop {
            let records = self.0.lock().unwrap().clone();
            if records.len() >= clients {
                return records.iter().map(|t| t.received + t.sent).sum();
            }
            assert!(began.elapsed() < Duration::from_secs(30));
            sleep(Duration::from_millis(10)).await;
        }
    }
}

/// A folder with the repository `host`, the clone `clone` and the sockets in `run`.
pub(crate) struct Sandbox {
    folder: TempDir,
}

impl Sandbox {
    /// A repository whose `main` has `commits` commits, and more refs of every kind.
    pub fn new(commits: usize) -> Self {
        let sandbox = Sandbox {
            folder: tempfile::tempdir().unwrap(),
        };
        for name in ["run", "home", "inside"] {
            fs::create_dir(sandbox.path(name)).unwrap();
        }
        sandbox.run("git", &["init", "-q", "-b", "main", "host"], "");
        sandbox.configure("host", "user");
        let mut stream = String::new();
        for i in 0..commits {
            let text = format!("file {i}\n").repeat(20);
            let time = 1_700_000_000 + i;
            stream += &format!(
                "commit refs/heads/main\ncommitter u <u@example.org> {time} +0000\ndata 2\nc\n\
                 M 100644 inline f{}\ndata {}\n{text}\n",
                i % 300,
                text.len()
            );
        }
        for name in [
            "refs/heads/topic",
            "refs/tags/v1",
            "refs/remotes/space/main",
            "refs/remotes/other/main",
            "refs/dkr/x",
        ] {
            stream += &format!("reset {name}\nfrom refs/heads/main\n\n");
        }
        let host = testkit::Repo::at(&sandbox.path("host"));
        host.git_with_input(&["fast-import", "--quiet"], stream.as_bytes());
        sandbox.host(&["reset", "-q", "--hard"]);
        sandbox.host(&["notes", "add", "-m", "note"]);
        fs::write(sandbox.path("host/f0"), "changed").unwrap();
        sandbox.host(&["stash", "-q"]);
        sandbox
    }

    /// Who commits in the repository at `name`; git neither waits for the disk there nor tidies up.
    fn configure(&self, name: &str, user: &str) {
        let config = self.path(name).join(".git/config");
        let mut config = fs::File::options().append(true).open(config).unwrap();
        write!(
            config,
            "[user]\n\tname = {user}\n\temail = {user}@example.org\n\
             [core]\n\tfsync = none\n[maintenance]\n\tauto = false\n"
        )
        .unwrap();
    }

    /// The same, whose objects are in another repository: `other`, of which it has `main` alone,
    /// and which has more of everything. `options` are of `git clone`.
    pub fn on_alternate(commits: usize, options: &[&str]) -> Self {
        let sandbox = Sandbox::new(commits);
        for (branch, tag) in [("secret", "hidden"), ("dropped", "old")] {
            sandbox.host(&["switch", "-q", "-c", branch, "main"]);
            fs::write(sandbox.path("host/f1"), branch).unwrap();
            sandbox.host(&["commit", "-q", "-a", "-m", branch]);
            sandbox.host(&["tag", "-a", "-m", tag, tag]);
        }
        sandbox.host(&["switch", "-q", "main"]);
        for gone in [["branch", "-D", "dropped"], ["tag", "-d", "old"]] {
            sandbox.host(&gone);
        }
        fs::rename(sandbox.path("host"), sandbox.path("other")).unwrap();
        let clone = ["clone", "-q", "--no-tags", "--single-branch"];
        let made = [&clone, options, &["other", "host"]].concat();
        sandbox.run("git", &made, "");
        sandbox
    }

    /// The ids of everything that the alternate has and no ref of the host reaches.
    pub fn foreign_ids(&self) -> Vec<String> {
        let list = [
            "cat-file",
            "--batch-all-objects",
            "--batch-check=%(objectname)",
        ];
        let all = self.run("git", &list, "other");
        let own = self.host(&["rev-list", "--objects", "--no-object-names", "--all"]);
        let foreign = all.lines().filter(|id| !own.contains(*id));
        foreign.map(str::to_owned).collect()
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The git directory of the host's repository.
    pub fn git_dir(&self) -> PathBuf {
        self.path("host/.git")
    }

    /// The environment that dkr sees.
    pub fn env(&self) -> Env {
        let path = std::env::var("PATH").unwrap();
        let state = self.path("state");
        Env::from_iter([
            ("PATH", path),
            ("XDG_STATE_HOME", state.display().to_string()),
        ])
    }

    /// Answers `service` on its socket in `run`; what went through is recorded.
    pub fn serve(&self, service: Service) -> Records {
        let listener = UnixListener::bind(self.path("run").join(service.name())).unwrap();
        let records = Records::default();
        let (recorder, env) = (records.0.clone(), self.env());
        drop(tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let limits = ServiceLimits::default();
                let pending = std::future::pending();
                let traffic = service.answer(stream, &env, &limits, pending).await;
                recorder.lock().unwrap().push(traffic.unwrap());
            }
        }));
        records
    }

    /// Makes the clone, with the remote `host`. It shares no object folder with it.
    pub fn clone_host(&self, run: &Path) {
        let clone = ["clone", "-q", "--no-local", "-o", "host", "host", "clone"];
        self.run("git", &clone, "");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/dkr-connect.sh");
        let url = format!("ext::env DKR_CHANNEL={} {script} %S", run.display());
        self.configure("clone", "agent");
        for (key, value) in [
            ("remote.host.url", &*url),
            ("protocol.ext.allow", "user"),
            ("push.negotiate", "true"),
        ] {
            self.ok(&["config", key, value]);
        }
    }

    /// Runs git in the clone.
    pub fn git(&self, arguments: &[&str]) -> Output {
        tokio::task::block_in_place(|| self.output("git", arguments, "clone"))
    }

    /// Runs git in the clone, successfully; gives its standard output.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let output = self.git(arguments);
        assert!(output.status.success(), "git {arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_string()
    }

    /// Runs git in the clone with that input, successfully; gives its standard output.
    pub fn feed(&self, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let mut child = Command::new("git")
            .args(arguments)
            .current_dir(self.path("clone"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input).unwrap();
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "git {arguments:?}: {output:?}");
        output.stdout
    }

    /// Runs git in the clone, which fails; gives its standard error.
    pub fn fails(&self, arguments: &[&str]) -> String {
        let output = self.git(arguments);
        assert!(!output.status.success(), "git {arguments:?}: {output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// Runs git in the host's repository, as its user.
    pub fn host(&self, arguments: &[&str]) -> String {
        self.run("git", arguments, "host")
    }

    /// Runs git in the host's repository, as its user, in vain.
    pub fn host_fails(&self, arguments: &[&str]) {
        let output = self.output("git", arguments, "host");
        assert!(!output.status.success(), "git {arguments:?}: {output:?}");
    }

    /// Makes an empty commit in the clone.
    pub fn commit(&self, message: &str) {
        self.ok(&["commit", "-q", "--allow-empty", "-m", message]);
    }

    /// A program at `name` that leaves a line in the file `canary`.
    pub fn canary(&self, name: &str) -> String {
        let path = self.path(name);
        let canary = self.path("canary");
        let script = format!("echo {name} >>{}", canary.display());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        write_script(&path, &script);
        path.display().to_string()
    }

    /// Every file of the host's repository and work tree, but for objects that were added and the
    /// branches `box/*`.
    pub fn host_files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let git_dir = self.git_dir();
        let mut files = testkit::files(&self.path("host"));
        files.retain(|path| {
            let inside = path.strip_prefix(&git_dir).unwrap_or(path);
            let own = ["objects", "refs/heads/box", "logs/refs/heads/box"];
            !own.iter().any(|own| inside.starts_with(own))
        });
        let read = |path: PathBuf| (path.clone(), fs::read(path).unwrap());
        files.into_iter().map(read).collect()
    }

    /// How many processes serve the host's repository.
    pub fn services(&self) -> usize {
        self.pids().len()
    }

    /// The processes that serve the host's repository.
    pub fn pids(&self) -> Vec<u32> {
        let git_dir = self.git_dir().display().to_string();
        let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| {
            let path = entry.ok()?.path();
            let line = fs::read(path.join("cmdline")).ok()?;
            let line = String::from_utf8_lossy(&line);
            let serves = line.contains(&git_dir) && line.contains("-pack");
            serves.then(|| path.file_name()?.to_str()?.parse().ok())?
        });
        processes.collect()
    }

    fn run(&self, program: &str, arguments: &[&str], folder: &str) -> String {
        let output = self.output(program, arguments, folder);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_string()
    }

    fn output(&self, program: &str, arguments: &[&str], folder: &str) -> Output {
        Command::new(program)
            .args(arguments)
            .current_dir(self.path(folder))
            .env_clear()
            .env("PATH", std::env::var("PATH").unwrap())
            // Container and host have users of their own.
            .env(
                "HOME",
                self.path(if folder == "clone" { "inside" } else { "home" }),
            )
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("LC_ALL", "C")
            .output()
            .unwrap()
    }
}
