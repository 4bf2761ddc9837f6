//! How stale an image is, what to do about it, and the message for it (pure).
//!
//! [`Repository::compare`](crate::git::Repository::compare) computes it; `start-image` asks what to do.

use crate::text::count;

/// How an image's baked commit relates to the tip of its branch, in the words of `git status`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Staleness {
    /// The baked commit is the tip.
    Current,
    /// The branch moved on.
    Behind {
        /// Commits that only the branch has, as far as they were counted.
        commits: usize,
        /// Whether there are more than that.
        at_least: bool,
    },
    /// The branch was moved back: the image has everything that it has.
    Ahead {
        /// Commits that only the image has, as far as they were counted.
        commits: usize,
        /// Whether there are more than that.
        at_least: bool,
    },
    /// The branch was rewritten: the baked commit is not part of it.
    Diverged {
        /// Commits that only the branch has.
        behind: usize,
        /// Commits that only the image has.
        ahead: usize,
    },
    /// The limit was reached before it was known whether the branch moved on or was rewritten.
    FarApart {
        /// Commits that only the branch has, at least.
        behind: usize,
        /// Commits that only the image has, at least.
        ahead: usize,
    },
    /// The ref or the commit is gone.
    Unknown {
        /// Why there is no answer.
        reason: String,
    },
}

impl Staleness {
    /// There is no answer, for this reason.
    pub fn unknown(reason: impl Into<String>) -> Self {
        Staleness::Unknown {
            reason: reason.into(),
        }
    }

    /// How many commits only the branch has, as far as they were counted; none if it is unknown.
    pub fn behind(&self) -> Option<usize> {
        match *self {
            Staleness::Current | Staleness::Ahead { .. } => Some(0),
            Staleness::Behind { commits, .. } => Some(commits),
            Staleness::Diverged { behind, .. } | Staleness::FarApart { behind, .. } => Some(behind),
            Staleness::Unknown { .. } => None,
        }
    }
}

/// What to do about a staleness before a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Start.
    Fine,
    /// The image can be updated.
    OfferUpdate,
    /// The image should be rebuilt from scratch; an update is still possible.
    OfferBake,
}

impl Verdict {
    /// The command to recommend.
    pub fn command(self) -> Option<&'static str> {
        match self {
            Verdict::Fine => None,
            Verdict::OfferUpdate => Some("update-image"),
            Verdict::OfferBake => Some("create-image"),
        }
    }
}

/// What to do about `staleness`, if being up to `max_behind` commits behind is acceptable.
pub fn judge(staleness: &Staleness, max_behind: usize) -> Verdict {
    match staleness {
        Staleness::Current => Verdict::Fine,
        Staleness::Behind { commits, at_least } => {
            if *commits > max_behind || *at_least {
                Verdict::OfferUpdate
            } else {
                Verdict::Fine
            }
        }
        Staleness::FarApart { .. } => Verdict::OfferUpdate,
        Staleness::Ahead { .. } | Staleness::Diverged { .. } | Staleness::Unknown { .. } => {
            Verdict::OfferBake
        }
    }
}

/// The message for it: about the image `tag`, compared with `branch` as the user typed it; `built` is
/// its age in words (`9 days ago`).
pub fn sentence(staleness: &Staleness, tag: &str, branch: &str, built: &str) -> String {
    let image = format!("image `{tag}`");
    let said = match staleness {
        Staleness::Current => format!("is up to date with `{branch}`"),
        Staleness::Behind { commits, at_least } => {
            format!("is {} behind `{branch}`", counted(*commits, *at_least))
        }
        Staleness::Ahead { commits, at_least } => format!(
            "is {} ahead of `{branch}`, which was moved back",
            counted(*commits, *at_least)
        ),
        Staleness::Diverged { behind, ahead } => format!(
            "and `{branch}` have diverged: {} that the image lacks, {} that only the image has",
            counted(*behind, false),
            counted(*ahead, false)
        ),
        Staleness::FarApart { behind, .. } => {
            format!("is {} away from `{branch}`", counted(*behind, true))
        }
        Staleness::Unknown { reason } => {
            format!("cannot be compared with `{branch}`: {reason}")
        }
    };
    format!("{image} {said} (built {built})")
}

fn counted(commits: usize, more: bool) -> String {
    let more = if more { "more than " } else { "" };
    let commits = count(commits as u64, "commit");
    format!("{more}{commits}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn behind(commits: usize, at_least: bool) -> Staleness {
        Staleness::Behind { commits, at_least }
    }

    #[test]
    fn only_what_is_too_far_behind_asks_for_an_update() {
        assert_eq!(judge(&Staleness::Current, 0), Verdict::Fine);
        assert_eq!(judge(&behind(50, false), 50), Verdict::Fine);
        assert_eq!(judge(&behind(51, false), 50), Verdict::OfferUpdate);
        assert_eq!(judge(&behind(50, true), 50), Verdict::OfferUpdate);
        assert_eq!(judge(&behind(1, false), 0), Verdict::OfferUpdate);
        assert_eq!(
            judge(
                &Staleness::FarApart {
                    behind: 99,
                    ahead: 1
                },
                50
            ),
            Verdict::OfferUpdate
        );
    }

    #[test]
    fn what_no_update_repairs_asks_for_a_bake() {
        let unknown = Staleness::unknown("gone");
        let diverged = Staleness::Diverged {
            behind: 1,
            ahead: 1,
        };
        let ahead = Staleness::Ahead {
            commits: 1,
            at_least: false,
        };
        for staleness in [unknown, diverged, ahead] {
            assert_eq!(judge(&staleness, 1000).command(), Some("create-image"));
        }
    }

    #[test]
    fn sentences_read_well() {
        let said = |staleness| sentence(&staleness, "dkr:linux-main", "origin/main", "9 days ago");
        for (staleness, text) in [
            (behind(412, false), "is 412 commits behind `origin/main`"),
            (behind(1, false), "is 1 commit behind `origin/main`"),
            (
                behind(500, true),
                "is more than 500 commits behind `origin/main`",
            ),
            (Staleness::Current, "is up to date with `origin/main`"),
            (
                Staleness::Ahead {
                    commits: 2,
                    at_least: false,
                },
                "is 2 commits ahead of `origin/main`, which was moved back",
            ),
            (
                Staleness::Diverged {
                    behind: 3,
                    ahead: 1,
                },
                "and `origin/main` have diverged: 3 commits that the image lacks, \
                 1 commit that only the image has",
            ),
            (
                Staleness::FarApart {
                    behind: 700,
                    ahead: 2,
                },
                "is more than 700 commits away from `origin/main`",
            ),
            (
                Staleness::unknown("`refs/heads/x` is gone"),
                "cannot be compared with `origin/main`: `refs/heads/x` is gone",
            ),
        ] {
            let whole = format!("image `dkr:linux-main` {text} (built 9 days ago)");
            assert_eq!(said(staleness), whole);
        }
    }
}
