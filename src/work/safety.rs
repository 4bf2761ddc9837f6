//! What of a container's work is nowhere else (pure).

use std::collections::BTreeSet;

use super::report::Report;

/// What the host's repository has of a container's work.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OnHost {
    /// Those of the report's commits that are on one of its refs.
    pub commits: BTreeSet<String>,
    /// The uncommitted state that was taken last: its tree and the commit below it.
    pub wip: Option<(String, String)>,
    /// The commits that were taken by themselves.
    pub taken: BTreeSet<String>,
}

/// Work that is only in a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OnlyThere {
    /// Files that were changed or removed.
    pub changed: usize,
    /// New files that are not ignored.
    pub untracked: usize,
    /// Commits.
    pub commits: usize,
    /// Entries of the stash.
    pub stashed: usize,
    /// An operation that is in progress.
    pub operation: Option<String>,
}

impl OnlyThere {
    /// What of `report` the host does not have.
    pub fn of(report: &Report, host: &OnHost) -> Self {
        let safe = |id: &&String| host.commits.contains(*id);
        let listed = report.listed.iter().filter(safe).count();
        let commits = match report.listed.len() - listed {
            // Those that are not listed are older.
            0 => 0,
            _ => report.commits.saturating_sub(listed),
        };
        let is_wip = |(tree, parent): &(String, String)| {
            report.tree.as_ref() == Some(tree) && report.head == *parent && report.nested == 0
        };
        let is_taken = host.wip.as_ref().is_some_and(is_wip);
        let files = |count| if is_taken { 0 } else { count };
        let stash = report.stash.iter();
        let operation = report.operation.as_ref();
        OnlyThere {
            changed: files(report.changed),
            untracked: files(report.untracked),
            commits,
            stashed: stash.filter(|id| !safe(id)).count(),
            operation: operation
                .filter(|_| !host.taken.contains(&report.head))
                .cloned(),
        }
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What there is: `2 changed files, 1 commit`.
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
            some(self.stashed, "entry of the stash", "entries of the stash"),
            self.operation
                .as_ref()
                .map(|name| format!("a {name} in progress")),
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
    use super::*;

    fn dirty() -> Report {
        Report {
            head: "h".into(),
            changed: 2,
            untracked: 1,
            tree: Some("t".into()),
            ..Report::default()
        }
    }

    #[test]
    fn what_the_host_has_is_safe() {
        let mut report = Report {
            commits: 3,
            listed: vec!["c".into(), "b".into(), "a".into()],
            stash: vec!["s".into()],
            ..dirty()
        };
        let only = |report: &Report, host: &OnHost| OnlyThere::of(report, host).describe();
        assert_eq!(
            only(&report, &OnHost::default()),
            "3 commits, 2 changed files, 1 untracked file and 1 entry of the stash"
        );
        let mut host = OnHost {
            commits: ["a", "b", "s"].map(String::from).into(),
            wip: Some(("t".into(), "h".into())),
            ..OnHost::default()
        };
        assert_eq!(only(&report, &host), "1 commit");
        host.commits.insert("c".into());
        assert!(OnlyThere::of(&report, &host).is_empty());
        // More commits than are listed.
        report.commits = 2000;
        assert_eq!(only(&report, &host), "");
        host.commits.remove("c");
        assert_eq!(only(&report, &host), "1998 commits");
    }

    #[test]
    fn another_uncommitted_state_than_was_taken_is_not_safe() {
        let host = |tree: &str, parent: &str| OnHost {
            wip: Some((tree.into(), parent.into())),
            ..OnHost::default()
        };
        let is_safe = |report: &Report, host: &OnHost| OnlyThere::of(report, host).is_empty();
        assert!(is_safe(&dirty(), &host("t", "h")));
        assert!(!is_safe(&dirty(), &host("x", "h")));
        assert!(!is_safe(&dirty(), &host("t", "x")));
        let nested = Report {
            nested: 1,
            ..dirty()
        };
        assert!(!is_safe(&nested, &host("t", "h")));
    }

    #[test]
    fn an_operation_counts_until_its_state_was_taken() {
        let report = Report {
            head: "h".into(),
            operation: Some("rebase".into()),
            ..Report::default()
        };
        let mut host = OnHost::default();
        let only = OnlyThere::of(&report, &host);
        assert_eq!(only.describe(), "a rebase in progress");
        host.taken.insert("h".into());
        assert!(OnlyThere::of(&report, &host).is_empty());
    }
}
