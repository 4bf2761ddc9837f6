//! Tests of `history` on real repositories.

use super::*;
use crate::git::testing::{HERMETIC, TestRepo, git_in};
use std::collections::HashSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

/// A history in git-fast-import(1)'s language. Commits are numbered from 1.
#[derive(Default)]
struct History {
    stream: String,
    commits: usize,
}

impl History {
    /// Adds a commit dated `time` on these parents, and returns its number.
    fn commit(&mut self, time: i64, parents: &[usize]) -> usize {
        self.commits += 1;
        let n = self.commits;
        writeln!(self.stream, "reset refs/heads/work\n").unwrap();
        writeln!(self.stream, "commit refs/heads/work\nmark :{n}").unwrap();
        writeln!(
            self.stream,
            "committer C <c@example.com> {time} +0000\ndata 1\n."
        )
        .unwrap();
        for (i, parent) in parents.iter().enumerate() {
            let word = if i == 0 { "from" } else { "merge" };
            writeln!(self.stream, "{word} :{parent}").unwrap();
        }
        n
    }

    /// Adds `count` commits in a line, one minute apart.
    fn line(&mut self, count: usize, mut parent: Option<usize>) -> usize {
        for _ in 0..count {
            let time = 60 * (self.commits as i64 + 1);
            let parents: Vec<usize> = parent.into_iter().collect();
            parent = Some(self.commit(time, &parents));
        }
        parent.expect("there is a commit")
    }

    fn import(self) -> Imported {
        let repo = TestRepo::new();
        let mut import = Command::new("git")
            .args(["fast-import", "--quiet", "--force", "--export-marks=marks"])
            .current_dir(repo.path())
            .envs(HERMETIC)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = import.stdin.take().unwrap();
        stdin.write_all(self.stream.as_bytes()).unwrap();
        drop(stdin);
        assert!(import.wait().unwrap().success());
        let marks = std::fs::read_to_string(repo.path().join("marks")).unwrap();
        let ids = marks
            .lines()
            .map(|line| {
                let (mark, id) = line.split_once(' ').unwrap();
                (mark[1..].parse().unwrap(), id.to_owned())
            })
            .collect();
        Imported { repo, ids }
    }
}

/// A history as a repository, with the ids of the numbered commits.
struct Imported {
    repo: TestRepo,
    ids: HashMap<usize, String>,
}

fn compare(history: &Imported, baked: usize, tip: usize, limit: usize) -> Staleness {
    let (baked, tip) = (&history.ids[&baked], &history.ids[&tip]);
    history.repo.open().compare(baked, tip, limit)
}

impl Imported {
    /// What the git program reaches from each commit.
    fn reached(&self) -> HashMap<usize, HashSet<String>> {
        let reached = |id: &String| {
            let list = self.repo.git(&["rev-list", id]);
            list.lines().map(str::to_owned).collect()
        };
        self.ids.iter().map(|(n, id)| (*n, reached(id))).collect()
    }
}

/// How the commits that git reaches from two others differ.
fn difference(baked: &HashSet<String>, tip: &HashSet<String>) -> Staleness {
    let count = |from, to: &HashSet<String>| to.difference(from).count();
    match (count(baked, tip), count(tip, baked)) {
        (0, 0) => Staleness::Current,
        (commits, 0) => Staleness::Behind {
            commits,
            at_least: false,
        },
        (0, commits) => Staleness::Ahead {
            commits,
            at_least: false,
        },
        (behind, ahead) => Staleness::Diverged { behind, ahead },
    }
}

#[test]
fn it_agrees_with_git_on_every_pair_of_a_history_with_merges() {
    let mut history = History::default();
    let base = history.line(3, None);
    let left = history.line(4, Some(base));
    let right = history.line(3, Some(base));
    let merge = history.commit(2_000, &[left, right]);
    let other = history.line(2, Some(right));
    let octopus = history.commit(3_000, &[merge, other, base]);
    history.line(2, Some(octopus));
    history.line(2, None);
    let commits = history.commits;
    let repo = history.import();
    let reached = repo.reached();
    for baked in 1..=commits {
        for tip in 1..=commits {
            let found = compare(&repo, baked, tip, 1_000);
            let expected = difference(&reached[&baked], &reached[&tip]);
            assert_eq!(found, expected, "{baked} {tip}");
        }
    }
}

#[test]
fn skewed_dates_do_not_mislead() {
    // A line of commits whose dates are those of no calendar, with a branch off its middle.
    let dates = [5_000, 1, 9_000, 400, 399, 0, 70_000, 3, 600, 2, 8_000, 1];
    let mut history = History::default();
    let mut last: Vec<usize> = Vec::new();
    for time in dates {
        last = vec![history.commit(time, &last)];
    }
    let side = history.commit(-5, &[6]);
    history.commit(99_999, &[side]);
    history.commit(0, &[last[0], side]);
    let commits = history.commits;
    let repo = history.import();
    let reached = repo.reached();
    for baked in 1..=commits {
        for tip in 1..=commits {
            let found = compare(&repo, baked, tip, 1_000);
            let expected = difference(&reached[&baked], &reached[&tip]);
            assert_eq!(found, expected, "{baked} {tip}");
        }
    }
}

#[test]
fn at_the_limit_the_answer_is_never_a_wrong_one() {
    let mut history = History::default();
    let base = history.line(10_000, None);
    let tip = history.line(10_000, Some(base));
    let fork = history.line(3, Some(base));
    let unrelated = history.line(1, None);
    let repo = history.import();
    let at = |baked, limit| compare(&repo, baked, tip, limit);

    let exact = Staleness::Behind {
        commits: 10_000,
        at_least: false,
    };
    assert_eq!(at(base, 20_000), exact);
    let exact = Staleness::Diverged {
        behind: 10_000,
        ahead: 3,
    };
    assert_eq!(at(fork, 20_000), exact);
    for (baked, ahead) in [(base, 0), (fork, 3), (unrelated, 1)] {
        let Staleness::FarApart {
            behind,
            ahead: found,
        } = at(baked, 500)
        else {
            panic!("{:?}", at(baked, 500));
        };
        assert!((480..=500).contains(&behind), "{behind}");
        assert_eq!(found, ahead);
    }
    for limit in 0..5 {
        assert_eq!(at(tip, limit), Staleness::Current);
        assert!(matches!(at(base, limit), Staleness::FarApart { .. }));
    }
}

#[test]
fn an_old_side_branch_makes_the_count_a_lower_bound_only() {
    let mut history = History::default();
    let root = history.line(1, None);
    let baked = history.line(2_000, Some(root));
    let merge = history.commit(1_000_000, &[baked, root]);
    let topic = history.commit(70, &[root]);
    let tip = history.commit(1_000_001, &[merge, topic]);
    let repo = history.import();
    let exact = Staleness::Behind {
        commits: 3,
        at_least: false,
    };
    assert_eq!(compare(&repo, baked, tip, 10_000), exact);
    let bound = Staleness::Behind {
        commits: 2,
        at_least: true,
    };
    assert_eq!(compare(&repo, baked, tip, 100), bound);
}

#[test]
fn what_is_gone_is_unknown_and_named() {
    let repo = TestRepo::new();
    let commit = repo.commit("a", "1");
    let opened = repo.open();
    let gone = "0123456789abcdef0123456789abcdef01234567";
    for (baked, tip, word) in [
        (gone, "refs/heads/main", "0123456789"),
        (&commit, "refs/heads/gone", "refs/heads/gone"),
        (&commit, gone, "0123456789"),
        ("main", "refs/heads/main", "`main`"),
        (&commit, "", "``"),
    ] {
        let found = opened.compare(baked, tip, 100);
        let Staleness::Unknown { reason } = found else {
            panic!("{found:?}");
        };
        assert!(reason.contains(word), "{reason}");
    }
    assert_eq!(opened.compare(&commit, &commit, 100), Staleness::Current);
    assert!(opened.has_commit(&commit.parse().unwrap()));
    assert!(!opened.has_commit(&gone.parse().unwrap()));
}

#[test]
fn a_shallow_history_that_ends_too_early_is_unknown() {
    let source = TestRepo::new();
    let first = source.commit("a", "1");
    source.commit("a", "2");
    let dir = tempfile::tempdir().unwrap();
    let url = format!("file://{}", source.path().display());
    git_in(dir.path(), &["clone", "-q", "--depth=1", &url, "s"]);
    let path = dir.path().join("s");
    let opened = Repository::discover(&path).unwrap();
    let second = git_in(&path, &["rev-parse", "HEAD"]);
    let found = opened.compare(&first, "refs/heads/main", 100);
    assert!(matches!(found, Staleness::Unknown { .. }), "{found:?}");

    // The old commit is there, but nothing reaches it.
    git_in(
        &path,
        &[
            "fetch",
            "-q",
            "--depth=1",
            "origin",
            &format!("{first}:refs/tags/first"),
        ],
    );
    let found = opened.compare(&first, "refs/heads/main", 100);
    let Staleness::Unknown { reason } = found else {
        panic!("{found:?}");
    };
    assert!(reason.contains("shallow"), "{reason}");
    git_in(&path, &["commit", "-q", "--allow-empty", "-m", "3"]);
    let behind = Staleness::Behind {
        commits: 1,
        at_least: false,
    };
    assert_eq!(opened.compare(&second, "refs/heads/main", 100), behind);
}

#[test]
fn a_lost_commit_in_between_is_unknown() {
    let repo = TestRepo::new();
    let first = repo.commit("a", "1");
    let lost = repo.commit("a", "2");
    repo.commit("a", "3");
    let file = format!(".git/objects/{}/{}", &lost[..2], &lost[2..]);
    std::fs::remove_file(repo.path().join(file)).unwrap();
    let found = repo.open().compare(&first, "refs/heads/main", 100);
    assert!(matches!(found, Staleness::Unknown { .. }), "{found:?}");
}

#[test]
fn a_badly_dated_commit_above_a_long_line_does_not_spoil_the_count() {
    let mut history = History::default();
    let line = history.line(300, None);
    // Dated before everything below it, so that the walk comes to it last.
    let odd = history.commit(1, &[line]);
    let baked = history.commit(1_000_000, &[odd]);
    let tip = history.commit(1_000_001, &[baked, line]);
    let repo = history.import();
    let behind = Staleness::Behind {
        commits: 1,
        at_least: false,
    };
    assert_eq!(compare(&repo, baked, tip, 10_000), behind);
}
