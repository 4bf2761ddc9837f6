//! The repository that is measured: made or copied once, then a fresh copy of it, at another path,
//! for each repetition, so that nothing of an earlier one is in the build cache.

use std::cell::RefCell;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Result;
use crate::options::Options;
use crate::sandbox::Sandbox;

/// The branch that is baked and updated.
pub const MAIN: &str = "main";
/// The second branch.
pub const SIDE: &str = "bench-side";
/// The configuration that is baked: only what all arms are built on.
const CONF: &str = "base_image = dkr-fixtures:debian\n";

/// What an image has to hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Facts {
    pub commit: String,
    pub tree: String,
    /// Objects reachable from the commit: full history.
    pub objects: u64,
}

/// How large the repository is, in bytes and numbers.
pub struct Extent {
    pub commits: u64,
    pub files: u64,
    pub pack_bytes: f64,
    pub tree_bytes: f64,
    pub index_bytes: f64,
}

/// A repository, and the folder that holds it and its copies.
pub struct Repo<'a> {
    sandbox: &'a Sandbox,
    generate: PathBuf,
    folder: PathBuf,
    path: PathBuf,
    /// What is known of commits: to count their objects takes long.
    facts: RefCell<Vec<Facts>>,
    real: Option<Real>,
}

/// A real repository that commits are taken from.
struct Real {
    source: PathBuf,
    /// The commits that come, the oldest first.
    commits: Vec<String>,
    /// How many of them came in this repetition.
    came: usize,
}

impl<'a> Repo<'a> {
    /// Makes the repository, or copies the one that was named.
    pub fn new(options: &Options, sandbox: &'a Sandbox) -> Result<Self> {
        let folder = sandbox.path()?.join("repositories");
        let mut repo = Repo {
            sandbox,
            generate: options.bin.join("examples/generate"),
            path: folder.join("pristine"),
            facts: RefCell::default(),
            real: None,
            folder,
        };
        fs::create_dir_all(&repo.folder)?;
        match &options.repo {
            Some(source) => repo.copy(source, options.commits_to_come())?,
            None => repo.generate(options)?,
        }
        let conf = [(".dkr.conf", CONF)];
        repo.commit(MAIN, "refs/heads/main^0", &conf)?;
        let side = [("bench-side.txt", "a second branch\n")];
        repo.commit(SIDE, "refs/heads/main^0", &side)?;
        // Copies are made of hard links: whatever git writes in place would reach all of them.
        repo.git(&["config", "core.logAllRefUpdates", "false"])?;
        repo.git(&["config", "core.trustctime", "false"])?;
        repo.git(&["reset", "--quiet", "--hard", MAIN])?;
        fs::remove_dir_all(repo.path.join(".git/logs")).or_else(missing)?;
        Ok(repo)
    }

    fn generate(&self, options: &Options) -> Result<()> {
        let size = options.size;
        let status = self
            .sandbox
            .command(&self.generate)
            .arg(&self.path)
            .args(["--files", &size.files.to_string()])
            .args(["--pack-mb", &size.pack_mb.to_string()])
            .args(["--commits", &size.commits.to_string()])
            .status()?;
        status
            .success()
            .then_some(())
            .ok_or("the generator failed".into())
    }

    /// Copies the history of HEAD up to `to_come` commits, first parents, before its tip; these
    /// come later, with what was merged by them.
    fn copy(&mut self, source: &Path, to_come: u64) -> Result<()> {
        let range = format!("--max-count={}", to_come + 1);
        let list = ["rev-list", "--first-parent", &range, "HEAD"];
        let commits = git(self.sandbox, source, &list)?;
        let mut commits: Vec<String> = commits.lines().rev().map(str::to_owned).collect();
        if u64::try_from(commits.len())? <= to_come {
            let source = source.display();
            return Err(format!("`{source}` has less than {to_come} commits").into());
        }
        let first = commits.remove(0);
        fs::create_dir_all(&self.path)?;
        self.git(&["init", "--quiet", "--initial-branch", MAIN])?;
        self.real = Some(Real {
            source: source.to_owned(),
            commits,
            came: 0,
        });
        self.fetch(&first)?;
        self.git(&["reset", "--quiet", "--hard", &first])?;
        self.git(&["gc", "--quiet"]).map(drop)
    }

    /// Fetches one commit of the real repository.
    fn fetch(&self, commit: &str) -> Result<()> {
        let real = self.real.as_ref().ok_or("there is no real repository")?;
        let source = real.source.to_string_lossy();
        let fetch = ["fetch", "--quiet", "--no-tags", &source, commit];
        self.git(&fetch).map(drop)
    }

    /// The repository of this repetition.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is measured from now on is a fresh copy.
    pub fn renew(&mut self, round: usize) -> Result<()> {
        let pristine = self.folder.join("pristine");
        if self.path != pristine {
            fs::remove_dir_all(&self.path)?;
        }
        let folder = self.folder.join(round.to_string());
        fs::create_dir_all(&folder)?;
        self.path = folder.join("bench");
        if let Some(real) = &mut self.real {
            real.came = 0;
        }
        let mut cp = Command::new("cp");
        let status = cp
            .arg("-al")
            .args([&pristine, &self.path])
            .status()?
            .success();
        status
            .then_some(())
            .ok_or("the repository cannot be copied".into())
    }

    /// Makes a repository beside it that holds nothing but the configuration.
    pub fn small(&self) -> Result<PathBuf> {
        let path = self.folder.join("small");
        fs::create_dir(&path)?;
        fs::write(path.join(".dkr.conf"), CONF)?;
        let steps: [&[&str]; 3] = [
            &["init", "--quiet"],
            &["add", "."],
            &["commit", "--quiet", "--message", "small"],
        ];
        for step in steps {
            git(self.sandbox, &path, step)?;
        }
        Ok(path)
    }

    /// What git prints, without white space around it.
    pub fn git(&self, arguments: &[&str]) -> Result<String> {
        git(self.sandbox, &self.path, arguments)
    }

    /// Makes `branch` a new commit on `from` with these files.
    fn commit(&self, branch: &str, from: &str, files: &[(&str, &str)]) -> Result<()> {
        let mut import = self.sandbox.command("git");
        import.args(["fast-import", "--quiet", "--force"]);
        let mut import = import
            .current_dir(&self.path)
            .stdin(Stdio::piped())
            .spawn()?;
        let mut stream = import.stdin.take().ok_or("fast-import has no stdin")?;
        let message = format!("{branch} for the benchmark");
        let length = message.len();
        let head = format!(
            "commit refs/heads/{branch}\ncommitter Bench <bench@example.com> 1800000000 +0000\n\
             data {length}\n{message}\nfrom {from}\n"
        );
        write!(stream, "{head}")?;
        for (path, text) in files {
            let length = text.len();
            write!(stream, "M 100644 inline {path}\ndata {length}\n{text}\n")?;
        }
        drop(stream);
        let status = import.wait()?;
        status
            .success()
            .then_some(())
            .ok_or("fast-import failed".into())
    }

    /// Replaces the newest commit by another, as a force-push does.
    pub fn force_push(&self) -> Result<()> {
        let files = [(".dkr.conf", CONF), ("forced.txt", "another history\n")];
        self.commit(MAIN, "refs/heads/main^1", &files)?;
        self.git(&["reset", "--quiet", "--hard", MAIN]).map(drop)
    }

    /// Adds commits on top.
    pub fn add_commits(&mut self, count: u64) -> Result<()> {
        if let Some(real) = &mut self.real {
            real.came += usize::try_from(count)?;
            let tip = real.commits.get(real.came - 1).cloned();
            return self.merge(&tip.ok_or("no commits are left")?);
        }
        let mut generate = self.sandbox.command(&self.generate);
        generate
            .arg(&self.path)
            .args(["--more", &count.to_string()]);
        let status = generate.status()?;
        status
            .success()
            .then_some(())
            .ok_or("the generator failed".into())
    }

    /// Merges a commit of the real repository: its tree, and the configuration that is baked.
    fn merge(&self, tip: &str) -> Result<()> {
        self.fetch(tip)?;
        let tree = self.git(&["rev-parse", &format!("{tip}^{{tree}}")])?;
        let from = format!("refs/heads/{MAIN}^0\nmerge {tip}\nM 040000 {tree} \"\"");
        self.commit(MAIN, &from, &[(".dkr.conf", CONF)])?;
        self.git(&["reset", "--quiet", "--hard", MAIN]).map(drop)
    }

    /// What an image of `branch` has to hold.
    pub fn facts(&self, branch: &str) -> Result<Facts> {
        let commit = self.git(&["rev-parse", branch])?;
        let mut known = self.facts.borrow_mut();
        if let Some(facts) = known.iter().find(|facts| facts.commit == commit) {
            return Ok(facts.clone());
        }
        let facts = facts(self.sandbox, &self.path, &commit)?;
        known.push(facts.clone());
        Ok(facts)
    }

    pub fn extent(&self) -> Result<Extent> {
        let count = |text: String| text.parse::<u64>();
        let files = self.git(&["ls-tree", "-r", "-l", "--full-tree", MAIN])?;
        let sizes = files.lines().filter_map(|line| {
            let size = line.split_whitespace().nth(3)?;
            size.parse::<f64>().ok()
        });
        Ok(Extent {
            commits: count(self.git(&["rev-list", "--count", MAIN])?)?,
            files: u64::try_from(files.lines().count())?,
            pack_bytes: bytes_in(&self.path.join(".git/objects/pack"))?,
            tree_bytes: sizes.sum(),
            index_bytes: self.index_bytes()?,
        })
    }

    pub fn index_bytes(&self) -> Result<f64> {
        Ok(as_f64(fs::metadata(self.path.join(".git/index"))?.len()))
    }

    /// The least that a layer with the commits from `old` to `new` can hold: their objects as a
    /// pack, the files that differ, the index.
    pub fn floor_of_update(&self, old: &str, new: &str) -> Result<f64> {
        let folder = tempfile::tempdir_in(&self.folder)?;
        let mut pack = self.sandbox.command("git");
        pack.args(["pack-objects", "--revs", "--quiet", "--delta-base-offset"]);
        let mut pack = pack
            .arg(folder.path().join("pack"))
            .current_dir(&self.path)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?;
        let mut revs = pack.stdin.take().ok_or("pack-objects has no stdin")?;
        write!(revs, "{new}\n^{old}\n")?;
        drop(revs);
        if !pack.wait()?.success() {
            return Err("pack-objects failed".into());
        }
        let changed = [
            "diff-tree",
            "-r",
            "--no-renames",
            "--diff-filter=d",
            old,
            new,
        ];
        let changed = self.git(&changed)?;
        let paths: Vec<&str> = changed
            .lines()
            .filter_map(|line| Some(line.split_once('\t')?.1))
            .collect();
        let mut files = 0.0;
        for path in paths {
            // A path that git quotes is too rare to count.
            if let Ok(file) = fs::symlink_metadata(self.path.join(path)) {
                files += as_f64(file.len());
            }
        }
        Ok(bytes_in(folder.path())? + files + self.index_bytes()?)
    }
}

/// What git prints in `folder`, without white space around it.
pub fn git(sandbox: &Sandbox, folder: &Path, arguments: &[&str]) -> Result<String> {
    let mut command = sandbox.command("git");
    let output = command.current_dir(folder).args(arguments).output()?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        return Err(format!("git {arguments:?}: {errors}").into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// What `reference` holds in the repository in `folder`.
pub fn facts(sandbox: &Sandbox, folder: &Path, reference: &str) -> Result<Facts> {
    let commit = git(sandbox, folder, &["rev-parse", reference])?;
    let tree = format!("{commit}^{{tree}}");
    let objects = git(
        sandbox,
        folder,
        &["rev-list", "--objects", "--no-object-names", &commit],
    )?;
    Ok(Facts {
        tree: git(sandbox, folder, &["rev-parse", &tree])?,
        objects: u64::try_from(objects.lines().count())?,
        commit,
    })
}

fn bytes_in(folder: &Path) -> Result<f64> {
    let mut sum = 0.0;
    for entry in fs::read_dir(folder)? {
        sum += as_f64(entry?.metadata()?.len());
    }
    Ok(sum)
}

fn missing(error: std::io::Error) -> std::io::Result<()> {
    match error.kind() {
        std::io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    }
}

/// A number of bytes; beyond 2^53 it would be rounded.
pub fn as_f64(bytes: u64) -> f64 {
    bytes as f64
}
