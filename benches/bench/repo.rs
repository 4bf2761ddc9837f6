//! The repository that is measured: made or copied once, then a fresh copy of it, at another path,
//! for each repetition, so that nothing of an earlier one is in the build cache.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};

use testkit::{Repo as Git, Sandbox};

use crate::meter::run;
use crate::options::Options;
use crate::{Result, beside};

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
    folder: PathBuf,
    /// That of this repetition.
    current: Git,
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
        let folder = sandbox.path().join("repositories");
        let mut repo = Repo {
            sandbox,
            current: Git::at(&folder.join("pristine")),
            facts: RefCell::default(),
            real: None,
            folder,
        };
        fs::create_dir_all(&repo.folder)?;
        match &options.repo {
            Some(source) => repo.copy(source, options.commits_to_come())?,
            None => repo.generate(options)?,
        }
        repo.commit(MAIN, "refs/heads/main^0", &[(".dkr.conf", CONF)]);
        let side = [("bench-side.txt", "a second branch\n")];
        repo.commit(SIDE, "refs/heads/main^0", &side);
        // Copies are made of hard links: whatever git writes in place would reach all of them.
        repo.git(&["config", "core.logAllRefUpdates", "false"]);
        repo.git(&["config", "core.trustctime", "false"]);
        repo.git(&["reset", "--quiet", "--hard", MAIN]);
        fs::remove_dir_all(repo.path().join(".git/logs")).or_else(missing)?;
        Ok(repo)
    }

    fn generate(&self, options: &Options) -> Result<()> {
        let size = options.size;
        let numbers = [size.files, size.pack_mb, size.commits].map(|number| number.to_string());
        let [files, pack_mb, commits] = &numbers;
        self.run_generator(&["--files", files, "--pack-mb", pack_mb, "--commits", commits])
    }

    fn run_generator(&self, options: &[&str]) -> Result<()> {
        let generate = beside("generate")?;
        let mut generate = self.sandbox.command(generate, [self.path()]).into_command();
        generate.args(options);
        run(generate).map(drop)
    }

    /// Copies the history of HEAD up to `to_come` commits, first parents, before its tip; these
    /// come later, with what was merged by them.
    fn copy(&mut self, source: &Path, to_come: u64) -> Result<()> {
        let range = format!("--max-count={}", to_come + 1);
        let list = ["rev-list", "--first-parent", &range, "HEAD"];
        let commits = Git::at(source).output(list);
        let mut commits: Vec<String> = commits.lines().rev().map(str::to_owned).collect();
        if u64::try_from(commits.len())? <= to_come {
            let source = source.display();
            return Err(format!("`{source}` has less than {to_come} commits").into());
        }
        let first = commits.remove(0);
        fs::create_dir_all(self.path())?;
        self.git(&["init", "--quiet", "--initial-branch", MAIN]);
        self.real = Some(Real {
            source: source.to_owned(),
            commits,
            came: 0,
        });
        self.fetch(&first)?;
        self.git(&["reset", "--quiet", "--hard", &first]);
        self.git(&["gc", "--quiet"]);
        Ok(())
    }

    /// Fetches one commit of the real repository.
    fn fetch(&self, commit: &str) -> Result<()> {
        let real = self.real.as_ref().ok_or("there is no real repository")?;
        let source = real.source.to_string_lossy();
        self.git(&["fetch", "--quiet", "--no-tags", &source, commit]);
        Ok(())
    }

    /// The repository of this repetition.
    pub fn path(&self) -> &Path {
        self.current.path()
    }

    /// What is measured from now on is a fresh copy.
    pub fn renew(&mut self, round: usize) -> Result<()> {
        let pristine = self.folder.join("pristine");
        if self.path() != pristine {
            fs::remove_dir_all(self.path())?;
        }
        let folder = self.folder.join(round.to_string());
        fs::create_dir_all(&folder)?;
        self.current = Git::at(&folder.join("bench"));
        if let Some(real) = &mut self.real {
            real.came = 0;
        }
        let copy = ["-al".as_ref(), pristine.as_path(), self.path()];
        run(self.sandbox.command("cp", copy).into_command()).map(drop)
    }

    /// Makes a repository beside it that holds nothing but the configuration.
    pub fn small(&self) -> Git {
        let small = self.sandbox.repo("small");
        small.file(".dkr.conf", CONF).commit("small")
    }

    /// What git prints.
    pub fn git(&self, arguments: &[&str]) -> String {
        self.current.output(arguments.iter().copied())
    }

    /// Makes `branch` a new commit on `from` with these files.
    fn commit(&self, branch: &str, from: &str, files: &[(&str, &str)]) {
        let message = format!("{branch} for the benchmark");
        let mut stream = format!(
            "commit refs/heads/{branch}\ncommitter Bench <bench@example.com> 1800000000 +0000\n\
             data {}\n{message}\nfrom {from}\n",
            message.len()
        );
        for (path, text) in files {
            let length = text.len();
            stream += &format!("M 100644 inline {path}\ndata {length}\n{text}\n");
        }
        let import = ["fast-import", "--quiet", "--force"];
        self.current.git_with_input(&import, stream.as_bytes());
    }

    /// Replaces the newest commit by another, as a force-push does.
    pub fn force_push(&self) {
        let files = [(".dkr.conf", CONF), ("forced.txt", "another history\n")];
        self.commit(MAIN, "refs/heads/main^1", &files);
        self.git(&["reset", "--quiet", "--hard", MAIN]);
    }

    /// Adds commits on top.
    pub fn add_commits(&mut self, count: u64) -> Result<()> {
        if let Some(real) = &mut self.real {
            real.came += usize::try_from(count)?;
            let tip = real.commits.get(real.came - 1).cloned();
            return self.merge(&tip.ok_or("no commits are left")?);
        }
        self.run_generator(&["--more", &count.to_string()])
    }

    /// Merges a commit of the real repository: its tree, and the configuration that is baked.
    fn merge(&self, tip: &str) -> Result<()> {
        self.fetch(tip)?;
        let tree = self.git(&["rev-parse", &format!("{tip}^{{tree}}")]);
        let from = format!("refs/heads/{MAIN}^0\nmerge {tip}\nM 040000 {tree} \"\"");
        self.commit(MAIN, &from, &[(".dkr.conf", CONF)]);
        self.git(&["reset", "--quiet", "--hard", MAIN]);
        Ok(())
    }

    /// What an image of `branch` has to hold.
    pub fn facts(&self, branch: &str) -> Result<Facts> {
        let commit = self.git(&["rev-parse", branch]);
        let mut known = self.facts.borrow_mut();
        if let Some(facts) = known.iter().find(|facts| facts.commit == commit) {
            return Ok(facts.clone());
        }
        let facts = facts(&self.current, &commit)?;
        known.push(facts.clone());
        Ok(facts)
    }

    pub fn extent(&self) -> Result<Extent> {
        let count = |text: String| text.parse::<u64>();
        let files = self.git(&["ls-tree", "-r", "-l", "--full-tree", MAIN]);
        let sizes = files.lines().filter_map(|line| {
            let size = line.split_whitespace().nth(3)?;
            size.parse::<f64>().ok()
        });
        Ok(Extent {
            commits: count(self.git(&["rev-list", "--count", MAIN]))?,
            files: u64::try_from(files.lines().count())?,
            pack_bytes: bytes_in(&self.path().join(".git/objects/pack"))?,
            tree_bytes: sizes.sum(),
            index_bytes: self.index_bytes()?,
        })
    }

    pub fn index_bytes(&self) -> Result<f64> {
        Ok(as_f64(fs::metadata(self.path().join(".git/index"))?.len()))
    }

    /// The least that a layer with the commits from `old` to `new` can hold: their objects as a
    /// pack, the files that differ, the index.
    pub fn floor_of_update(&self, old: &str, new: &str) -> Result<f64> {
        let folder = tempfile::tempdir_in(&self.folder)?;
        let pack = folder.path().join("pack");
        let pack = pack.to_string_lossy();
        let arguments = ["pack-objects", "--revs", "--quiet", "--delta-base-offset"];
        let revs = format!("{new}\n^{old}\n");
        let arguments = [&arguments[..], &[&pack]].concat();
        self.current.git_with_input(&arguments, revs.as_bytes());
        let changed = [
            "diff-tree",
            "-r",
            "--no-renames",
            "--diff-filter=d",
            old,
            new,
        ];
        let changed = self.git(&changed);
        let paths: Vec<&str> = changed
            .lines()
            .filter_map(|line| Some(line.split_once('\t')?.1))
            .collect();
        let mut files = 0.0;
        for path in paths {
            // A path that git quotes is too rare to count.
            if let Ok(file) = fs::symlink_metadata(self.path().join(path)) {
                files += as_f64(file.len());
            }
        }
        Ok(bytes_in(folder.path())? + files + self.index_bytes()?)
    }
}

/// What `reference` holds in a repository.
pub fn facts(repo: &Git, reference: &str) -> Result<Facts> {
    let commit = repo.output(["rev-parse", reference]);
    let objects = repo.output(["rev-list", "--objects", "--no-object-names", &commit]);
    Ok(Facts {
        tree: repo.output(["rev-parse", &format!("{commit}^{{tree}}")]),
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
