//! Which parts of a container's work are unsaved (pure).

use std::collections::BTreeSet;

use super::report::{Operation, WorkReport};

/// Which parts of a container's work the host's repository has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OnHost {
    /// The commits of the report that are on one of its refs.
    pub commits: BTreeSet<String>,
    /// The uncommitted changes that were taken last: their tree and its parent commit.
    pub wip: Option<(String, String)>,
    /// The commits that were taken one by one.
    pub taken: BTreeSet<String>,
}

/// Work that only a container has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnsavedWork {
    /// Changed and removed files.
    pub changed: usize,
    /// New files that are not ignored.
    pub untracked: usize,
    /// Nested repositories, submodules included, with work of their own.
    pub nested: usize,
    /// Commits.
    pub commits: usize,
    /// Files whose staged content is in no file.
    pub staged: usize,
    /// Changed and new files of other worktrees.
    pub worktrees: usize,
    /// Changed and new files that git cannot save. They are counted here once the rest is taken.
    pub unsaved: usize,
    /// Stash entries.
    pub stashed: usize,
    /// An operation that is in progress.
    pub operation: Option<String>,
}

impl UnsavedWork {
    /// The part of `report` that the host does not have.
    pub fn of(report: &WorkReport, host: &OnHost) -> Self {
        let safe = |id: &&String| host.commits.contains(*id);
        let listed = report.listed.iter().filter(safe).count();
        // A report lists only the first commits; but if the host has all tips, it has all commits.
        let commits = if report.tips.iter().all(|(id, _)| safe(&id)) {
            report.listed.len() - listed
        } else {
            report.commits.saturating_sub(listed).max(1)
        };
        let worktrees = report.worktrees.iter();
        let worktrees = worktrees.filter(|worktree| !safe(&&worktree.commit));
        let is_wip = |(tree, parent): &(String, String)| {
            report.tree.as_ref() == Some(tree) && report.head == *parent
        };
        let is_taken = host.wip.as_ref().is_some_and(is_wip);
        let files = |count| if is_taken { 0 } else { count };
        // Until the rest is taken they count as changed and new files.
        let unsaved = if is_taken || !report.is_dirty() {
            report.unsaved.len()
        } else {
            0
        };
        let stash = report.stash.iter();
        let staged = report.staged.iter().filter(|(_, id)| !safe(&id));
        let is_safe = |operation: &&Operation| {
            operation.can_be_taken() && host.taken.contains(report.head_of(operation))
        };
        let mut operations = report.operations.iter();
        UnsavedWork {
            changed: files(report.changed),
            untracked: files(report.new_files()),
            nested: report.nested,
            commits,
            staged: staged.map(|(files, _)| files).sum(),
            worktrees: worktrees.map(|worktree| worktree.files).sum(),
            unsaved,
            stashed: stash.filter(|id| !safe(id)).count(),
            operation: operations
                .find(|operation| !is_safe(operation))
                .map(|operation| operation.name.clone()),
        }
    }

    /// Whether nothing is unsaved.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The number of files, in all worktrees; a nested repository counts as one.
    pub fn files(&self) -> usize {
        self.changed + self.untracked + self.nested + self.worktrees + self.unsaved
    }

    /// Whether `dkr take` can bring some of it to the host.
    pub fn can_be_taken(&self) -> bool {
        let operation = self.operation.as_deref();
        let files = self.changed + self.untracked + self.staged + self.worktrees;
        files + self.commits + self.stashed > 0 || operation.is_some_and(|name| name != "am")
    }

    /// A hint: the command that helps. `name` is quoted for a shell.
    pub fn way_out(&self, name: &str) -> String {
        if self.can_be_taken() {
            format!("bring its work to your repository with `dkr take {name}`")
        } else {
            format!("see how to copy it out with `dkr take {name}`")
        }
    }

    /// A summary: `2 changed files and 1 commit`.
    pub fn describe(&self) -> String {
        let some = |count: usize, one: &str, more: &str| match count {
            0 => None,
            1 => Some(format!("1 {one}")),
            count => Some(format!("{count} {more}")),
        };
        let parts = [
            some(self.commits, "commit", "commits"),
            some(self.changed, "changed file", "changed files"),
            some(self.untracked, "untracked file", "untracked files"),
            some(
                self.staged,
                "staged version of a file",
                "staged versions of files",
            ),
            some(self.nested, "nested repository", "nested repositories"),
            some(
                self.worktrees,
                "changed file in another worktree",
                "changed files in other worktrees",
            ),
            some(
                self.unsaved,
                "file that git cannot save",
                "files that git cannot save",
            ),
            some(self.stashed, "stash entry", "stash entries"),
            self.operation.as_ref().map(|name| match &**name {
                "am" => "a `git am` in progress".to_owned(),
                name => format!("a {name} in progress"),
            }),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        match parts.split_last() {
            Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
            _ => parts.concat(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::Worktree;
    use super::*;

    fn dirty() -> WorkReport {
        WorkReport {
            head: "h".into(),
            changed: 2,
            untracked: 1,
            tree: Some("t".into()),
            ..WorkReport::default()
        }
    }

    #[test]
    fn what_the_host_has_is_safe() {
        let report = WorkReport {
            commits: 3,
            listed: vec!["c".into(), "b".into(), "a".into()],
            stash: vec!["s".into()],
            ..dirty()
        };
        let only = |report: &WorkReport, host: &OnHost| UnsavedWork::of(report, host).describe();
        assert_eq!(
            only(&report, &OnHost::default()),
            "3 commits, 2 changed files, 1 untracked file and 1 stash entry"
        );
        let mut host = OnHost {
            commits: ["a", "b", "s"].map(String::from).into(),
            wip: Some(("t".into(), "h".into())),
            ..OnHost::default()
        };
        assert_eq!(only(&report, &host), "1 commit");
        host.commits.insert("c".into());
        assert!(UnsavedWork::of(&report, &host).is_empty());
    }

    #[test]
    fn what_is_not_listed_is_as_safe_as_the_tips() {
        let mut report = WorkReport {
            commits: 2000,
            listed: vec!["b".into(), "a".into()],
            tips: vec![("old".into(), "refs/tags/x".into())],
            ..WorkReport::default()
        };
        let only = |report: &WorkReport, host: &OnHost| UnsavedWork::of(report, host).describe();
        let mut host = OnHost {
            commits: ["a", "b"].map(String::from).into(),
            ..OnHost::default()
        };
        assert_eq!(only(&report, &host), "1998 commits");
        report.commits = 2;
        assert_eq!(only(&report, &host), "1 commit");
        host.commits.insert("old".into());
        assert_eq!(only(&report, &host), "");
        host.commits.remove("a");
        assert_eq!(only(&report, &host), "1 commit");
    }

    #[test]
    fn other_worktrees_count_until_they_are_taken() {
        let worktree = |files, commit: &str| Worktree {
            files,
            commit: commit.into(),
            path: "/x".into(),
        };
        let report = WorkReport {
            worktrees: vec![worktree(2, "a"), worktree(3, "b")],
            ..WorkReport::default()
        };
        let mut host = OnHost::default();
        let only = UnsavedWork::of(&report, &host);
        assert_eq!(only.describe(), "5 changed files in other worktrees");
        host.commits = ["a", "b"].map(String::from).into();
        assert!(UnsavedWork::of(&report, &host).is_empty());
    }

    #[test]
    fn what_only_the_index_holds_counts_until_it_is_taken() {
        let report = WorkReport {
            staged: vec![(1, "i".into())],
            ..dirty()
        };
        let mut host = OnHost {
            wip: Some(("t".into(), "h".into())),
            ..OnHost::default()
        };
        let only = UnsavedWork::of(&report, &host);
        assert_eq!(only.describe(), "1 staged version of a file");
        host.commits.insert("i".into());
        assert!(UnsavedWork::of(&report, &host).is_empty());
    }

    #[test]
    fn another_uncommitted_state_than_was_taken_is_not_safe() {
        let host = |tree: &str, parent: &str| OnHost {
            wip: Some((tree.into(), parent.into())),
            ..OnHost::default()
        };
        let is_safe = |report: &WorkReport, host: &OnHost| UnsavedWork::of(report, host).is_empty();
        assert!(is_safe(&dirty(), &host("t", "h")));
        assert!(!is_safe(&dirty(), &host("x", "h")));
        assert!(!is_safe(&dirty(), &host("t", "x")));
        let nested = WorkReport {
            untracked: 2,
            nested: 1,
            ..dirty()
        };
        let only = UnsavedWork::of(&nested, &host("t", "h"));
        assert_eq!(only.describe(), "1 nested repository");
    }

    #[test]
    fn what_cannot_be_saved_is_left_when_the_rest_is_taken() {
        let report = WorkReport {
            unsaved: vec!["/workspace/a".into()],
            ..dirty()
        };
        let only = |host: &OnHost| UnsavedWork::of(&report, host).describe();
        assert_eq!(
            only(&OnHost::default()),
            "2 changed files and 1 untracked file"
        );
        let host = OnHost {
            wip: Some(("t".into(), "h".into())),
            ..OnHost::default()
        };
        assert_eq!(only(&host), "1 file that git cannot save");
    }

    #[test]
    fn an_operation_counts_until_its_state_was_taken() {
        let operation = |name: &str, head: Option<&str>| Operation {
            name: name.into(),
            head: head.map(str::to_owned),
        };
        let mut report = WorkReport {
            head: "h".into(),
            operations: vec![operation("rebase", None), operation("merge", Some("w"))],
            ..WorkReport::default()
        };
        let mut host = OnHost::default();
        let only = UnsavedWork::of(&report, &host);
        assert_eq!(only.describe(), "a rebase in progress");
        host.taken.insert("h".into());
        let only = UnsavedWork::of(&report, &host);
        assert_eq!(only.describe(), "a merge in progress");
        host.taken.insert("w".into());
        assert!(UnsavedWork::of(&report, &host).is_empty());
        // The patches of `git am` are on no ref.
        report.operations = vec![operation("am", None)];
        let only = UnsavedWork::of(&report, &host);
        assert_eq!(only.describe(), "a `git am` in progress");
    }
}
