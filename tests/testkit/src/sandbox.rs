//! An isolated environment for one test: home, configuration, repositories, SSH server, images.
//!
//! When it is dropped, everything that the test created is removed, and the test fails if dkr has left
//! behind what it should have removed itself (see `leaks`).

use std::cell::{OnceCell, RefCell};
use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::keys::{self, KeyKind};
use crate::{Api, Image, Invocation, Repo, Sshd, image, leaks, query};

/// The program under test: cargo says where it is, or has put it beside the folder of the tests.
pub fn dkr() -> PathBuf {
    let named = std::env::var_os("CARGO_BIN_EXE_dkr").map(PathBuf::from);
    named.unwrap_or_else(|| {
        let test = std::env::current_exe().expect("a program knows its path");
        test.ancestors()
            .nth(2)
            .expect("it is in a folder of `target`")
            .join("dkr")
    })
}

/// The environment of one test.
pub struct Sandbox {
    root: TempDir,
    environment: Arc<Vec<(String, String)>>,
    clock: Arc<AtomicU64>,
    made: Instant,
    sshd: OnceCell<Sshd>,
    /// The keys generated so far, each with its own name.
    keys: RefCell<Vec<PathBuf>>,
}

impl Sandbox {
    /// An empty sandbox without a running SSH server.
    #[expect(
        clippy::new_without_default,
        reason = "it makes folders and is checked at its end"
    )]
    pub fn new() -> Self {
        // The path names the sandbox in the environment of every process, so it is short and
        // random; a socket's path holds 108 bytes at most.
        let root = tempfile::Builder::new().prefix("dkr-test-").tempdir();
        let root = root.expect("a temporary folder");
        let environment = environment(root.path());
        for folder in [
            "home/.ssh",
            "config",
            "cache",
            "state",
            "data",
            "run",
            "tmp",
        ] {
            fs::create_dir_all(root.path().join(folder)).expect("it was just made");
        }
        fs::write(root.path().join("gitconfig"), GIT_CONFIG).expect("it was just made");
        Sandbox {
            environment: Arc::new(environment),
            clock: Arc::default(),
            made: Instant::now(),
            sshd: OnceCell::new(),
            keys: RefCell::default(),
            root,
        }
    }

    /// The folder that holds everything of the test.
    pub fn path(&self) -> &Path {
        self.root.path()
    }

    /// The home directory that dkr sees.
    pub fn home(&self) -> PathBuf {
        self.path().join("home")
    }

    /// A name that no other test uses, for assertions about tags.
    pub fn unique(&self, name: &str) -> String {
        let own = self.path().file_name().unwrap_or_default();
        let random = own.to_string_lossy().replace("dkr-test-", "");
        format!("{name}-{random}")
    }

    /// A new repository of that name.
    pub fn repo(&self, name: &str) -> Repo {
        let path = self.path().join("repos").join(name);
        Repo::init(&path, self.environment.clone(), self.clock.clone())
    }

    /// A run of dkr, with the sandbox's SSH server and a key that it accepts.
    pub fn dkr<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Invocation {
        let port = self.sshd().port().to_string();
        self.command(dkr(), arguments).env("DKR_SSH_PORT", port)
    }

    /// A run of any program in the sandbox.
    pub fn command<A: AsRef<OsStr>>(
        &self,
        program: impl AsRef<OsStr>,
        arguments: impl IntoIterator<Item = A>,
    ) -> Invocation {
        Invocation::new(program, arguments, self.path(), &self.environment)
    }

    /// The sandbox's SSH server, started on first use. It accepts `~/.ssh/id_ed25519`.
    pub fn sshd(&self) -> &Sshd {
        self.sshd.get_or_init(|| {
            let sshd = self.another_sshd("sshd", KeyKind::Ed25519);
            let key = self.home().join(".ssh/id_ed25519");
            sshd.authorize("", &keys::write(KeyKind::Ed25519, "", &key));
            sshd
        })
    }

    /// Another SSH server, whose files are in `name`, that accepts no key.
    pub fn another_sshd(&self, name: &str, host_key: KeyKind) -> Sshd {
        Sshd::start(&self.path().join(name), host_key, &self.environment)
    }

    /// A key that the SSH server accepts; an empty passphrase means none.
    pub fn key(&self, kind: KeyKind, passphrase: &str) -> PathBuf {
        let number = self.keys.borrow().len();
        let path = self.path().join(format!("key{number}"));
        let public = keys::write(kind, passphrase, &path);
        self.sshd().authorize("", &public);
        self.keys.borrow_mut().push(path.clone());
        path
    }

    /// Every image of a repository, newest first.
    pub fn images(&self, repo: impl AsRef<Path>) -> Vec<Image> {
        let path = repo.as_ref().to_str().expect("names of tests are UTF-8");
        let filter = json!({"label": [format!("dkr.repo_path={path}")]});
        Image::matching(&Api::of_machine(), &filter, self.path())
    }

    /// Those that containers can start from: all except the object images.
    pub fn branch_images(&self, repo: impl AsRef<Path>) -> Vec<Image> {
        let mut images = self.images(repo);
        images.retain(|image| image.label("dkr.type") != "objects");
        images
    }

    /// The newest image of a repository and branch.
    pub fn image(&self, repo: impl AsRef<Path>, branch: &str) -> Image {
        let images = self.branch_images(&repo).into_iter();
        let mut of_branch = images.filter(|image| image.label("dkr.branch") == branch);
        of_branch.next().unwrap_or_else(|| {
            let path = repo.as_ref().display();
            panic!("there is no image of {path} and branch {branch}")
        })
    }

    /// The image of that tag or id.
    pub fn image_named(&self, name: &str) -> Image {
        let api = Api::of_machine();
        let found = api.find(&format!("/images/{name}/json"));
        let found = found.unwrap_or_else(|| panic!("there is no image {name}"));
        Image::new(api, found, self.path())
    }

    /// Every image with a repository must hold all objects that its refs lead to.
    fn check_images(&self) {
        let api = Api::unchecked_of_machine();
        if !api.answers() {
            return;
        }
        let complete = "cd /workspace/.git 2>/dev/null || exit 0; \
                        git --git-dir=. fsck --connectivity-only 2>&1";
        let filter = query(&json!({"label": ["dkr.commit"]}).to_string());
        let images = api.get(&format!("/images/json?filters={filter}"));
        let own = images.as_array().into_iter().flatten().filter(|image| {
            let labels = &image["Labels"];
            let path = labels["dkr.repo_path"].as_str().unwrap_or_default();
            Path::new(path).starts_with(self.path()) && labels["dkr.type"] != "objects"
        });
        let own = own.map(|image| image["Id"].as_str().expect("an image has an id"));
        let own: Vec<Image> = own.map(|id| self.image_named(id)).collect();
        // Starting and removing a container takes time, but little CPU time.
        std::thread::scope(|scope| {
            for image in &own {
                scope.spawn(move || {
                    let ended = image.run_with(&["sh", "-c", complete], json!({"Entrypoint": []}));
                    assert_eq!(ended.code, 0, "git fsck in {}: {ended:?}", image.id());
                });
            }
        });
    }

    /// Removes the containers and images made from the sandbox's repositories.
    pub fn remove_images(&self) {
        let api = Api::unchecked_of_machine();
        if !api.answers() {
            return;
        }
        let own = |label: &str, all: Value| -> Vec<Value> {
            let all = all.as_array().cloned().unwrap_or_default();
            let root = self.path();
            all.into_iter()
                .filter(|one| {
                    let path = one["Labels"][label].as_str();
                    path.is_some_and(|path| Path::new(path).starts_with(root))
                })
                .collect()
        };
        for label in ["dkr.repo_path", image::SANDBOX_LABEL] {
            let filter = query(&json!({"label": [label]}).to_string());
            let containers = api.get(&format!("/containers/json?all=1&filters={filter}"));
            for container in own(label, containers) {
                let id = container["Id"].as_str().expect("a container has an id");
                api.delete(&format!("/containers/{id}?force=1&v=1"));
            }
            // Children are removed before their parents: the newest first, and of those of the same
            // second the ones that are built on another.
            let mut images = own(label, api.get(&format!("/images/json?filters={filter}")));
            images.sort_by_key(|image| {
                let created = image["Created"].as_i64().unwrap_or_default();
                (-created, image["ParentId"] == "")
            });
            for image in images {
                let id = image["Id"].as_str().expect("an image has an id");
                api.delete(&format!("/images/{id}?force=1"));
            }
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let failed = std::thread::panicking();
        let told = self.made.elapsed();
        if let Some(sshd) = self.sshd.take() {
            let log = sshd.log();
            drop(sshd);
            // A line of the log is often why a clone failed; a test that passed hides it.
            if failed {
                report(&log);
            }
        }
        let mut leaks = leaks::on_the_host(self.path());
        if failed {
            // A second panic would abort the process and hide the first.
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.remove_images()));
        } else {
            leaks.extend(leaks::of_dkr_on_the_engine(self.path()));
            self.check_images();
            self.remove_images();
            leaks.extend(leaks::that_stay_on_the_engine(self.path()));
            note_times(told, self.made.elapsed());
            assert!(leaks.is_empty(), "left behind:\n{}", leaks.join("\n"));
        }
    }
}

/// Adds a line to the file that `TESTKIT_TIMES` names: seconds until the end of the test, those until the
/// end of the checks after it, and its name.
fn note_times(told: Duration, checked: Duration) {
    let Some(file) = std::env::var_os("TESTKIT_TIMES") else {
        return;
    };
    let (told, checked) = (told.as_secs_f64(), checked.as_secs_f64());
    let thread = std::thread::current();
    let line = format!(
        "{told:7.1} {checked:7.1} {}\n",
        thread.name().unwrap_or("?")
    );
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(file)
        .expect("`TESTKIT_TIMES` is a file");
    file.write_all(line.as_bytes()).expect("a line fits");
}

#[expect(clippy::print_stderr, reason = "cargo shows it with the failed test")]
fn report(log: &str) {
    eprint!("--- sshd\n{log}");
}

const GIT_CONFIG: &str = "[user]\n\tname = Test\n\temail = test@example.com\n\
                          [init]\n\tdefaultBranch = main\n[advice]\n\tdetachedHead = false\n\
                          [protocol \"file\"]\n\tallow = always\n";

/// The environment variables of a program in the sandbox.
fn environment(root: &Path) -> Vec<(String, String)> {
    let folder = |name: &str| root.join(name).display().to_string();
    let mut variables = vec![
        ("HOME".into(), folder("home")),
        ("XDG_CONFIG_HOME".into(), folder("config")),
        ("XDG_CACHE_HOME".into(), folder("cache")),
        ("XDG_STATE_HOME".into(), folder("state")),
        ("XDG_DATA_HOME".into(), folder("data")),
        ("XDG_RUNTIME_DIR".into(), folder("run")),
        ("TMPDIR".into(), folder("tmp")),
        ("GIT_CONFIG_GLOBAL".into(), folder("gitconfig")),
        ("GIT_CONFIG_NOSYSTEM".into(), "1".into()),
        ("LANG".into(), "C.UTF-8".into()),
        ("TERM".into(), "dumb".into()),
    ];
    for name in ["PATH", "USER", "LOGNAME", "DOCKER_HOST"] {
        variables.extend(std::env::var(name).map(|value| (name.into(), value)));
    }
    variables
}
