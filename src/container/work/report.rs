//! A container's report on the work in it, as `assets/work.sh` prints it (pure).
//!
//! The report is untrusted input: anything unexpected makes it invalid.

use crate::error::{Error, Result};
use crate::text::excerpt;

/// The first line of a report in the supported format.
const FIRST_LINE: &str = "dkr-work 1";

/// The work in a container. Commits are full ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WorkReport {
    /// The branch that HEAD is on; none if it is detached.
    pub branch: Option<String>,
    /// The commit of HEAD.
    pub head: String,
    /// The commit where it forked from the image's branch.
    pub fork: Option<String>,
    /// Where the work begins.
    pub base: Option<String>,
    /// The number of commits since then.
    pub ahead: usize,
    /// The git operations in progress, the one in the container's own worktree first.
    pub operations: Vec<Operation>,
    /// The number of changed and removed files.
    pub changed: usize,
    /// The number of new files that are not ignored.
    pub untracked: usize,
    /// How many of those are nested repositories with work, in any worktree; submodules count.
    pub nested: usize,
    /// The full paths of those.
    pub repositories: Vec<String>,
    /// The stash, the newest entry first.
    pub stash: Vec<String>,
    /// How many commits the host did not have when the container last fetched.
    pub commits: usize,
    /// The newest of them.
    pub listed: Vec<String>,
    /// Refs and detached HEADs that lead to those commits: the commit and the full name.
    pub tips: Vec<(String, String)>,
    /// Staged content that is in no file, for each worktree: the number of files, and a commit of them.
    pub staged: Vec<(usize, String)>,
    /// The uncommitted changes of other worktrees.
    pub worktrees: Vec<Worktree>,
    /// Files that the tree holds unfiltered: full paths.
    pub raw: Vec<String>,
    /// Files that git cannot save: full paths. Known only if the tree was asked for.
    pub unsaved: Vec<String>,
    /// What runs in the session.
    pub runs: Vec<String>,
    /// The uncommitted changes as a tree, if it was asked for.
    pub tree: Option<String>,
    /// The same as a commit.
    pub wip: Option<String>,
    /// Commits that the host had.
    pub have: Vec<String>,
}

/// A git operation in progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Its name: `rebase`, `merge`, …
    pub name: String,
    /// The commit of HEAD in the worktree where it is in progress; `None` for the container's own.
    pub head: Option<String>,
}

/// A worktree other than the container's own, with uncommitted changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worktree {
    /// How many files differ from the commit of its HEAD.
    pub files: usize,
    /// A commit of those changes.
    pub commit: String,
    /// Its path.
    pub path: String,
}

impl Operation {
    /// Whether it is saved once the commit of HEAD and the uncommitted changes are. The patches that
    /// `git am` has not applied yet are only files in the git directory.
    pub fn can_be_taken(&self) -> bool {
        self.name != "am"
    }
}

impl WorkReport {
    /// Parses a report.
    ///
    /// # Errors
    /// When it is malformed, or of another version.
    pub fn parse(text: &str) -> Result<Self> {
        let invalid = || Error::failed("cannot read the container's work report");
        let mut lines = text.lines();
        if lines.next() != Some(FIRST_LINE) {
            return Err(invalid().cause(format!("it does not begin with `{FIRST_LINE}`")));
        }
        let mut report = WorkReport::default();
        for line in lines {
            let read = line
                .split_once(' ')
                .and_then(|(key, value)| report.read(key, value));
            read.ok_or_else(|| invalid().cause(format!("invalid line `{}`", excerpt(line, 200))))?;
        }
        if report.head.is_empty() {
            return Err(invalid().cause("it names no commit"));
        }
        Ok(report)
    }

    fn read(&mut self, key: &str, value: &str) -> Option<()> {
        let value = value.trim();
        let number = || value.parse::<usize>().ok();
        let id = || is_id(value).then(|| value.to_owned());
        match key {
            "branch" => self.branch = Some(value.to_owned()),
            "head" => self.head = id()?,
            "fork" => self.fork = Some(id()?),
            "base" => self.base = Some(id()?),
            "ahead" => self.ahead = number()?,
            "operation" => {
                let (name, head) = match value.split_once(' ') {
                    None => (value, None),
                    Some((name, head)) => (name, Some(is_id(head).then(|| head.to_owned())?)),
                };
                let name = name.to_owned();
                self.operations.push(Operation { name, head });
            }
            "changed" => self.changed = number()?,
            "untracked" => self.untracked += number()?,
            "nested" => self.nested += number()?,
            "stash" => self.stash.push(id()?),
            "commits" => self.commits = number()?,
            "commit" => self.listed.push(id()?),
            "tip" => {
                let (id, name) = value.split_once(' ')?;
                self.tips
                    .push(is_id(id).then(|| (id.to_owned(), name.to_owned()))?);
            }
            "staged" => {
                let (files, commit) = value.split_once(' ')?;
                let commit = is_id(commit).then(|| commit.to_owned())?;
                self.staged.push((files.parse().ok()?, commit));
            }
            "worktree" => {
                let (files, rest) = value.split_once(' ')?;
                let (commit, path) = rest.split_once(' ')?;
                let files = files.parse().ok()?;
                let (commit, path) = (commit.to_owned(), path.to_owned());
                self.worktrees.push(is_id(&commit).then_some(Worktree {
                    files,
                    commit,
                    path,
                })?);
            }
            "repository" => self.repositories.push(value.to_owned()),
            "raw" => self.raw.push(value.to_owned()),
            "unsaved" => self.unsaved.push(value.to_owned()),
            "runs" => self.runs.push(value.to_owned()),
            "tree" => self.tree = Some(id()?),
            "wip" => self.wip = Some(id()?),
            "have" => self.have.push(id()?),
            _ => return None,
        }
        Some(())
    }

    /// New files, without nested repositories.
    pub fn new_files(&self) -> usize {
        self.untracked.saturating_sub(self.nested)
    }

    /// Whether files differ from the commit of HEAD.
    pub fn is_dirty(&self) -> bool {
        self.changed + self.new_files() > 0
    }

    /// The operation in progress; the first if there are several.
    pub fn operation(&self) -> Option<&str> {
        self.operations.first().map(|operation| &*operation.name)
    }

    /// The commit of HEAD in the worktree of an operation.
    pub fn head_of<'a>(&'a self, operation: &'a Operation) -> &'a String {
        operation.head.as_ref().unwrap_or(&self.head)
    }

    /// The commits that together lead to all of the work.
    pub fn ends(&self) -> impl Iterator<Item = &String> {
        let tips = self.tips.iter().map(|(id, _)| id);
        let worktrees = self.worktrees.iter().map(|worktree| &worktree.commit);
        let staged = self.staged.iter().map(|(_, commit)| commit);
        tips.chain(&self.stash).chain(worktrees).chain(staged)
    }
}

fn is_id(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read() {
        let (a, b) = ("a".repeat(40), "b".repeat(40));
        let text = format!(
            "dkr-work 1\nbranch fix/it\nhead {a}\nfork {b}\nbase {b}\nahead 1\noperation rebase\n\
             operation merge {b}\nuntracked 1\nchanged        2\nnested 0\nstash {b}\ncommits 1\ncommit {a}\n\
             tip {a} refs/heads/fix/it\ntip {b} refs/tags/v1\nuntracked 1\nnested 1\n\
             worktree 3 {b} /a b\nstaged 2 {a}\nraw /r\nunsaved /u v\nrepository /n\nruns vim\ntree {b}\nwip {a}\nhave {b}\n"
        );
        let report = WorkReport::parse(&text).unwrap();
        assert_eq!(report.branch.as_deref(), Some("fix/it"));
        assert_eq!((report.changed, report.untracked), (2, 2));
        assert_eq!((report.nested, report.new_files()), (1, 1));
        let heads = report.operations.iter().map(|one| report.head_of(one));
        assert_eq!(heads.collect::<Vec<_>>(), [&a, &b]);
        assert_eq!(report.operation(), Some("rebase"));
        let [worktree] = &*report.worktrees else {
            panic!("{:?}", report.worktrees);
        };
        assert_eq!((worktree.files, &*worktree.path), (3, "/a b"));
        assert_eq!(report.ends().collect::<Vec<_>>(), [&a, &b, &b, &b, &a]);
        assert_eq!(report.staged, [(2, a.clone())]);
        assert_eq!((&*report.raw[0], &*report.unsaved[0]), ("/r", "/u v"));
        assert_eq!(report.repositories, ["/n"]);
        assert_eq!(report.tips[0], (a.clone(), "refs/heads/fix/it".to_owned()));
        assert_eq!(report.listed, [a]);
        assert!(report.is_dirty());
    }

    #[test]
    fn what_is_no_report_is_refused() {
        let head = format!("dkr-work 1\nhead {}\n", "a".repeat(40));
        assert!(WorkReport::parse(&head).is_ok());
        for text in [
            String::new(),
            "dkr-work 2\n".to_owned(),
            "dkr-work 1\n".to_owned(),
            format!("{head}commit --all\n"),
            format!("{head}changed many\n"),
            format!("{head}tip --all refs/tags/x\n"),
            format!("{head}worktree 1 --all /x\n"),
            format!("{head}operation rebase --all\n"),
            format!("{head}\u{1b}[2J x\n"),
            format!("{head}unknown x\n"),
        ] {
            assert!(WorkReport::parse(&text).is_err(), "{text:?}");
        }
    }
}
