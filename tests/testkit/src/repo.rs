//! Git repositories for tests: files, commits, branches, clones, remotes.
//!
//! Every method returns the repository, so that calls can be chained. Dates are a counter: the same
//! calls give the same commit ids.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{RepoState, write_program};

/// Variables that isolate git from the configuration of the machine and of the user.
pub const HERMETIC: [(&str, &str); 10] = [
    ("HOME", "/nonexistent"),
    ("XDG_CONFIG_HOME", "/nonexistent"),
    ("GIT_CONFIG_GLOBAL", "/dev/null"),
    ("GIT_CONFIG_NOSYSTEM", "1"),
    ("GIT_AUTHOR_NAME", "A U Thor"),
    ("GIT_AUTHOR_EMAIL", "author@example.com"),
    ("GIT_AUTHOR_DATE", "1700000000 +0000"),
    ("GIT_COMMITTER_NAME", "C O Mitter"),
    ("GIT_COMMITTER_EMAIL", "committer@example.com"),
    ("GIT_COMMITTER_DATE", "1700000000 +0000"),
];

/// The first commit's time: 2023-11-14, a whole number of minutes apart from the next.
const EPOCH: u64 = 1_700_000_000;

/// A repository in the sandbox, ordinary, bare or a linked worktree.
#[derive(Debug, Clone)]
pub struct Repo {
    path: PathBuf,
    /// The environment of git: the sandbox's, never the user's.
    environment: Arc<Vec<(String, String)>>,
    clock: Arc<AtomicU64>,
}

impl Repo {
    /// A new, empty repository with a branch `main`.
    pub fn init(
        path: &Path,
        environment: Arc<Vec<(String, String)>>,
        clock: Arc<AtomicU64>,
    ) -> Self {
        fs::create_dir_all(path).expect("the sandbox is writable");
        let repo = Repo {
            path: path.to_owned(),
            environment,
            clock,
        };
        repo.git(["init", "--quiet", "--initial-branch", "main"])
    }

    /// The repository that is at `path`, or a folder to make one in, without a sandbox.
    pub fn at(path: &Path) -> Self {
        let own = HERMETIC.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let path_of_programs = std::env::var("PATH").map(|value| ("PATH".to_owned(), value));
        Repo {
            path: path.to_owned(),
            environment: Arc::new(own.into_iter().chain(path_of_programs).collect()),
            clock: Arc::default(),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file of the work tree, with its folders.
    pub fn file(&self, path: &str, contents: impl AsRef<[u8]>) -> Self {
        let path = self.path.join(path);
        fs::create_dir_all(path.parent().expect("it is in the repository"))
            .expect("the sandbox is writable");
        fs::write(path, contents).expect("the sandbox is writable");
        self.clone()
    }

    /// Writes an executable file.
    pub fn executable(&self, path: &str, contents: &str) -> Self {
        self.file(path, "");
        write_program(&self.path.join(path), contents);
        self.clone()
    }

    /// Makes a symlink in the work tree.
    pub fn symlink(&self, path: &str, target: &str) -> Self {
        symlink(target, self.path.join(path)).expect("the sandbox is writable");
        self.clone()
    }

    /// Removes a file of the work tree.
    pub fn remove(&self, path: &str) -> Self {
        fs::remove_file(self.path.join(path)).expect("the test made it");
        self.clone()
    }

    /// Commits everything that is in the work tree.
    pub fn commit(&self, message: &str) -> Self {
        self.git(["add", "--all"]);
        self.git(["commit", "--quiet", "--allow-empty", "-m", message])
    }

    /// Creates `count` commits that each add a line to `log`, with one command.
    pub fn commits(&self, count: usize) -> Self {
        let branch = self.output(["symbolic-ref", "HEAD"]);
        let mut stream = String::new();
        let mut text = String::new();
        for number in 1..=count {
            let minute = self.clock.fetch_add(1, Ordering::Relaxed);
            let date = EPOCH + 60 * minute;
            let from = match (number, self.has_commits()) {
                (1, true) => format!("from {branch}^0\n"),
                _ => String::new(),
            };
            text += &format!("line {number}\n");
            let message = format!("commit {number}");
            stream += &format!(
                "commit {branch}\ncommitter Test <test@example.com> {date} +0000\n\
                 data {}\n{message}\n{from}M 100644 inline log\ndata {}\n{text}\n",
                message.len(),
                text.len(),
            );
        }
        self.git_with_input(&["fast-import", "--quiet", "--force"], stream.as_bytes());
        self.git(["reset", "--quiet", "--hard"])
    }

    /// Makes a branch at `from`, without switching to it.
    pub fn branch(&self, name: &str, from: &str) -> Self {
        let from = self.rev(from);
        self.git(["branch", "--quiet", name, &from])
    }

    /// Switches to a branch, or to a commit that is on none. `from` is any revision, or
    /// `main:0` for the first commit of main, `main:1` for the second.
    pub fn checkout(&self, from: &str) -> Self {
        let revision = match from.contains(':') {
            true => self.rev(from),
            false => from.to_owned(),
        };
        self.git(["checkout", "--quiet", &revision])
    }

    /// Makes a branch at `from` (as [`Repo::checkout`]) and switches to it.
    pub fn switch_new(&self, name: &str, from: &str) -> Self {
        self.branch(name, from).checkout(name)
    }

    /// Moves the current branch and the work tree to `to` (as [`Repo::checkout`]).
    pub fn reset(&self, to: &str) -> Self {
        let to = self.rev(to);
        self.git(["reset", "--quiet", "--hard", &to])
    }

    /// Tags the current commit, with an annotated tag.
    pub fn tag(&self, name: &str) -> Self {
        self.git(["tag", "-m", name, name])
    }

    /// Clones it to `name` beside it; `remote` is what the clone calls it.
    pub fn clone_to(&self, name: &str, remote: &str) -> Self {
        self.git_clone(name, &["--origin", remote])
    }

    /// Makes a bare clone of it, `name`, beside it.
    pub fn bare_clone_to(&self, name: &str) -> Self {
        self.git_clone(name, &["--bare"])
    }

    /// Makes a linked worktree `name` beside it, on `branch`.
    pub fn worktree(&self, name: &str, branch: &str) -> Self {
        let path = self.path.with_file_name(name);
        let text = path.to_str().expect("names of tests are UTF-8");
        self.git(["worktree", "add", "--quiet", text, branch]);
        Repo {
            path,
            ..self.clone()
        }
    }

    /// Adds a remote and fetches it.
    pub fn remote(&self, name: &str, other: &Repo) -> Self {
        let url = other.path.to_str().expect("names of tests are UTF-8");
        self.git(["remote", "add", name, url]);
        self.git(["fetch", "--quiet", name])
    }

    /// Pushes `refspec`, with force if it begins with `+`.
    pub fn push(&self, remote: &str, refspec: &str) -> Self {
        self.git(["push", "--quiet", remote, refspec])
    }

    /// The full id of a commit; `main:0` is the first commit of main.
    pub fn rev(&self, name: &str) -> String {
        match name.rsplit_once(':') {
            None => self.output(["rev-parse", "--verify", &format!("{name}^{{commit}}")]),
            Some((branch, index)) => {
                let list = self.output(["rev-list", "--first-parent", "--reverse", branch]);
                let index: usize = index.parse().expect("a number follows the colon");
                let commit = list.lines().nth(index);
                commit.expect("the branch has that many commits").to_owned()
            }
        }
    }

    /// Runs git in it; it must succeed.
    pub fn git<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Self {
        self.output(arguments);
        self.clone()
    }

    /// The output of git, without the final line end.
    pub fn output<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> String {
        let arguments: Vec<&str> = arguments.into_iter().collect();
        self.git_with_input(&arguments, b"")
    }

    /// Everything in it that dkr must not change.
    pub fn state(&self) -> RepoState {
        RepoState::of(self)
    }

    fn has_commits(&self) -> bool {
        self.command(&["rev-parse", "--verify", "--quiet", "HEAD"])
            .output()
            .is_ok_and(|output| output.status.success())
    }

    fn git_clone(&self, name: &str, options: &[&str]) -> Self {
        let path = self.path.with_file_name(name);
        let text = path.to_str().expect("names of tests are UTF-8");
        let from = self.path.to_str().expect("names of tests are UTF-8");
        let mut arguments = vec!["clone", "--quiet"];
        arguments.extend(options);
        arguments.extend(["--", from, text]);
        self.git(arguments);
        Repo {
            path,
            ..self.clone()
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let date = format!("@{} +0000", EPOCH + 60 * self.clock.load(Ordering::Relaxed));
        let mut command = Command::new("git");
        command
            .args(arguments)
            .current_dir(&self.path)
            .env_clear()
            .envs(self.environment.iter().cloned())
            .env("GIT_AUTHOR_DATE", &date)
            .env("GIT_COMMITTER_DATE", &date);
        command
    }

    /// Runs git in it with an input and returns the output without the final line end; it must succeed.
    pub fn git_with_input(&self, arguments: &[&str], input: &[u8]) -> String {
        use std::io::Write;
        use std::process::Stdio;
        if arguments.first() == Some(&"commit") {
            self.clock.fetch_add(1, Ordering::Relaxed);
        }
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("git is missing: run `sh fixtures/setup.sh`");
        let mut stdin = child.stdin.take().expect("it is piped");
        stdin.write_all(input).expect("git reads its input");
        drop(stdin);
        let output = child.wait_with_output().expect("it is our child");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "git {arguments:?}: {error}");
        String::from_utf8_lossy(&output.stdout)
            .trim_end_matches('\n')
            .to_owned()
    }
}

impl AsRef<Path> for Repo {
    fn as_ref(&self) -> &Path {
        &self.path
    }
}
