//! Shared by the stories: a sandbox with a repository and an image, a run that is killed, and the checks
//! after every kill.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use testkit::{
    Api, BASE_IMAGE, Image, Invocation, Output, Repo, RepoState, Sandbox, dkr,
    processes_mentioning, query, wait_until,
};

/// How long interrupted processes may take to settle.
const REST: Duration = Duration::from_secs(30);

/// One sandbox with a repository whose `main` has an image.
pub struct Lab {
    pub t: Sandbox,
    pub repo: Repo,
    /// The name of the container of the stories.
    pub name: String,
    before: RepoState,
}

impl Lab {
    pub fn new() -> Self {
        let t = Sandbox::new();
        let repo = t.repo(&t.unique("soak")).file("README", "hello\n");
        let repo = repo.file(".dkr.conf", format!("base_image = {BASE_IMAGE}\n"));
        let repo = repo.commit("initial");
        t.dkr(["create-image"]).in_dir(&repo).success();
        fs::create_dir(t.path().join("mark")).expect("the sandbox is writable");
        let (before, name) = (repo.state(), t.unique("work"));
        Lab {
            t,
            repo,
            name,
            before,
        }
    }

    /// dkr in the repository.
    pub fn dkr(&self, arguments: &[&str]) -> Invocation {
        self.t.dkr(arguments).in_dir(&self.repo)
    }

    /// dkr in the repository, which must succeed.
    pub fn ok(&self, arguments: &[&str]) -> Output {
        self.dkr(arguments).success()
    }

    /// A new commit, from which on the repository must stay as it is.
    pub fn commit(&mut self, round: usize) {
        self.repo
            .file("round", round.to_string())
            .commit("one more");
        self.before = self.repo.state();
    }

    /// The newest image.
    pub fn newest(&self) -> Image {
        self.t.image(&self.repo, "main")
    }

    /// The moving tag of the image.
    pub fn moving_tag(&self) -> String {
        let name = self.repo.path().file_name().expect("it has one");
        format!("dkr:{}-main", name.to_string_lossy())
    }

    /// What the engine says of the container.
    pub fn state(&self) -> Option<String> {
        let found = Api::of_machine().find(&format!("/containers/{}/json", self.name));
        found.and_then(|container| Some(container["State"]["Status"].as_str()?.to_owned()))
    }

    /// The folder where the container's command leaves a mark.
    pub fn mark(&self) -> PathBuf {
        self.t.path().join("mark/ran")
    }

    /// Starts a container that does nothing, if there is none.
    pub fn container_runs(&self) {
        if self.state().as_deref() != Some("running") {
            self.gone();
            let path = self.repo.path().to_str().expect("names of tests are UTF-8");
            let name = ["--name", &self.name, "--detach"];
            let command = ["--", "sleep", "1000"];
            self.ok(&[&["start-image", path, "main"], &name[..], &command].concat());
        }
    }

    /// Removes the container, if there is one.
    pub fn gone(&self) {
        if self.state().is_some() {
            self.ok(&["rm", "--force", &self.name]);
        }
    }

    /// Waits until the container does not run.
    pub fn rests(&self) {
        let rests = || self.state().as_deref() != Some("running");
        assert!(wait_until(REST, rests), "the container still runs");
    }

    /// Runs dkr, on a terminal if needed, and kills it after a while. Returns how long it took, and
    /// whether it was killed before it exited.
    pub fn run(
        &self,
        arguments: &[String],
        terminal: bool,
        after: Option<Duration>,
    ) -> (Duration, bool) {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let began = Instant::now();
        if terminal {
            let screen = self.dkr(&arguments).terminal(80, 24);
            std::thread::sleep(after.unwrap_or(Duration::from_secs(3)));
            return (
                began.elapsed(),
                self.kill_on_terminal(&arguments) && screen.exit_code() == 137,
            );
        }
        let running = self.dkr(&arguments).spawn();
        let Some(after) = after else {
            let output = running.wait();
            assert_eq!(output.code, Some(0), "{output}");
            return (output.took, false);
        };
        std::thread::sleep(after);
        // Only dkr itself: its child processes run until they notice.
        kill(running.pid());
        let output = running.wait();
        (output.took, output.signal() == Some(Signal::KILL.as_raw()))
    }

    fn kill_on_terminal(&self, arguments: &[&str]) -> bool {
        let line = format!("{} {}", dkr().display(), arguments.join(" "));
        let mut found = processes_mentioning(self.t.path()).into_iter();
        let dkr = found.find(|(pid, text)| text.trim_end() == format!("process {pid}: {line}"));
        dkr.inspect(|(pid, _)| kill(*pid)).is_some()
    }

    /// The checks after every kill.
    pub fn check(&self) {
        let own = [
            "git:/refs/heads/",
            "git:/logs/refs/heads/",
            "git:/refs/dkr",
            "git:/packed-refs",
        ];
        let mut changed = self.repo.state().changed_since(&self.before);
        changed.retain(|path| !own.iter().any(|own| path.starts_with(own)));
        assert!(changed.is_empty(), "the repository changed: {changed:?}");
        let head = self.repo.output(["symbolic-ref", "HEAD"]);
        assert_eq!(head, "refs/heads/main");
        self.repo.git(["fsck", "--no-dangling"]);
        let git_dir = self.repo.path().join(".git");
        let left = || -> Vec<PathBuf> {
            let all = files(&git_dir).into_iter();
            all.filter(|path| is_left_over(path)).collect()
        };
        assert!(
            wait_until(REST, || left().is_empty()),
            "left in .git: {:?}",
            left()
        );
        let others = || {
            let mut all = processes_mentioning(self.t.path()).into_iter();
            all.any(|(_, text)| text.contains("/dkr ") && !text.contains("channel-server"))
        };
        assert!(wait_until(REST, || !others()), "a dkr still runs");
        self.ok(&["ps"]);
        let notes = fs::read_dir(self.t.path().join("state/dkr/awake"));
        let notes: Vec<_> = notes.into_iter().flatten().flatten().collect();
        assert!(notes.is_empty(), "notes are left: {notes:?}");
    }

    /// The newest image has the moving tag.
    pub fn tag_is_on_the_newest(&self) {
        let (tag, tags) = (self.moving_tag(), self.newest().tags());
        assert!(tags.contains(&tag), "{tag} is not among {tags:?}");
    }

    /// The next commands move the moving tag to the newest image. It is not always the first of them:
    /// the engine may finish an image just after the kill.
    pub fn mends_the_tag(&self) {
        let is_mended = || {
            self.ok(&["ls"]);
            self.newest().tags().contains(&self.moving_tag())
        };
        if !wait_until(REST, is_mended) {
            self.tag_is_on_the_newest();
        }
    }

    /// The next commands remove temporary containers once they are a minute old.
    pub fn forgets(&self) {
        let filter = query(&json!({"label": ["dkr.temporary"]}).to_string());
        let list = format!("/containers/json?all=1&filters={filter}");
        let path = self.repo.path().to_str().expect("names of tests are UTF-8");
        let is_tidy = || {
            self.ok(&["ps"]);
            let all = Api::of_machine().get(&list);
            let mut all = all.as_array().into_iter().flatten();
            !all.any(|one| one["Labels"]["dkr.repo_path"] == path)
        };
        let minute = Duration::from_secs(60);
        assert!(wait_until(minute + REST, is_tidy), "one is still there");
    }

    /// Every container of the repository, as the engine lists it.
    pub fn listed(&self) -> Vec<Value> {
        let output = self.ok(&["ps", "--json", "."]);
        serde_json::from_str(&output.stdout).expect("it is JSON")
    }
}

fn kill(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    // It may have ended just now.
    let _ = kill_process(pid.expect("a process has an id"), Signal::KILL);
}

/// Whether a file of a git directory is one that its creator should have removed.
fn is_left_over(path: &Path) -> bool {
    let text = path.to_string_lossy();
    text.ends_with(".lock") || text.contains("/tmp_objdir-") || text.contains("/pack/tmp_")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        }
        found.push(path);
    }
    found
}
