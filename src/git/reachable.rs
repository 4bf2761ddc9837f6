//! Which commits the repository's own refs reach.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::Stdio;

use git2::Oid;

use super::Repository;

/// A commit that a ref points to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitAt {
    /// The commit.
    pub id: String,
    /// Its tree.
    pub tree: String,
    /// Its first parent.
    pub parent: Option<String>,
    /// Its message.
    pub message: String,
}

impl Repository {
    /// Those of `ids` that are commits on some ref; none of them if that is not known.
    pub fn on_some_ref(&self, ids: &[&String]) -> BTreeSet<String> {
        let exists = |id: &&&String| {
            let parsed = id.parse::<Oid>();
            parsed.is_ok_and(|id| self.inner.find_commit(id).is_ok())
        };
        let here: Vec<&String> = ids.iter().filter(exists).copied().collect();
        if here.is_empty() {
            return BTreeSet::new();
        }
        let Some(loose) = self.on_no_ref(&here) else {
            return BTreeSet::new();
        };
        let kept = here.into_iter().filter(|id| !loose.contains(*id));
        kept.cloned().collect()
    }

    /// What `ids` reach and no ref does.
    fn on_no_ref(&self, ids: &[&String]) -> Option<BTreeSet<String>> {
        let mut git = self
            .git_command(&[])
            // A HEAD, also another worktree's, may be at a commit that is missing.
            .args(["rev-list", "--ignore-missing", "--stdin", "--not", "--all"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut input = git.stdin.take().expect("it is piped");
        let lines: String = ids.iter().map(|id| format!("{id}\n")).collect();
        // git reads all of it before it prints anything.
        let written = input.write_all(lines.as_bytes());
        drop(input);
        let output = git.wait_with_output().ok()?;
        written.ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        let loose = text.lines().map(str::to_owned).collect();
        output.status.success().then_some(loose)
    }

    /// The commit that the ref with this full name points to, if there is one.
    pub fn commit_at(&self, full_name: &str) -> Option<CommitAt> {
        let reference = self.inner.find_reference(full_name).ok()?;
        let commit = reference.peel_to_commit().ok()?;
        Some(CommitAt {
            id: commit.id().to_string(),
            tree: commit.tree_id().to_string(),
            parent: commit.parent_id(0).ok().map(|id| id.to_string()),
            message: String::from_utf8_lossy(commit.message_bytes()).into_owned(),
        })
    }

    /// The commits of all refs with this prefix.
    pub fn commits_below(&self, prefix: &str) -> BTreeSet<String> {
        let names = self.short_names(prefix).unwrap_or_default().into_iter();
        let commits = names.filter_map(|name| self.commit_at(&format!("{prefix}{name}")));
        commits.map(|commit| commit.id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::TestRepo;

    #[test]
    fn a_commit_counts_only_while_a_ref_keeps_it() {
        let repo = TestRepo::new();
        let first = repo.commit("a", "1");
        let second = repo.commit("a", "2");
        let opened = repo.open();
        let lost = "1".repeat(40);
        let kept = || opened.on_some_ref(&[&first, &second, &lost]);
        assert_eq!(kept(), BTreeSet::from([first.clone(), second.clone()]));
        repo.git(&["reset", "-q", "--hard", &first]);
        assert_eq!(kept(), BTreeSet::from([first.clone()]));
        repo.git(&["update-ref", "refs/dkr/taken/x/y", &second]);
        assert_eq!(kept(), BTreeSet::from([first.clone(), second.clone()]));
        let taken = opened.commits_below("refs/dkr/taken/x/");
        assert_eq!(taken, BTreeSet::from([second.clone()]));
        let at = opened.commit_at("refs/dkr/taken/x/y").unwrap();
        assert_eq!((at.id, at.parent), (second, Some(first)));
        assert_eq!(opened.commit_at("refs/dkr/none"), None);
        assert_eq!(opened.on_some_ref(&[]), BTreeSet::new());
    }
}
