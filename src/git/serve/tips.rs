//! The repositories whose tips git lists while it serves one (`core.alternateRefsCommand`).
//!
//! git lists those of each repository that it borrows objects from: `receive-pack` sends their ids to
//! the client as soon as it connects (`.have`), and a client that knows an id can fetch the object.
//! It lists them again for the check that a push is complete, which runs on the quarantined objects: they
//! borrow from the served repository itself, whose hidden refs git leaves out of that check. Without
//! any tips it would walk the whole history.

use std::fs;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::git::command::LIST;

/// The canonical path of the served repository, as git passes that of one that objects are borrowed
/// from (`refs_from_alternate_cb`, transport.c).
const SERVED: &str = "DKR_SERVED";

/// `$1` is the repository whose tips are listed; `GIT_QUARANTINE_PATH` is there only for the
/// check of a push.
fn list_own() -> String {
    format!(
        "tips() {{ [ -z \"$GIT_QUARANTINE_PATH\" ] || [ \"$1\" != \"${SERVED}\" ] || {LIST}; }}; tips"
    )
}

/// Makes `command`, which serves the repository at `git_dir`, list its tips only for the check of a
/// push.
pub(super) fn list_only_own(command: &mut Command, git_dir: &Path) {
    command.env(SERVED, served(git_dir).unwrap_or_default());
    super::set(
        command,
        &format!("core.alternateRefsCommand={}", list_own()),
    );
}

fn served(git_dir: &Path) -> Option<PathBuf> {
    let objects = fs::canonicalize(git_dir.join("objects")).ok()?;
    objects
        .ends_with("objects")
        .then(|| objects.parent().map(Path::to_owned))?
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::git::testing::TestRepo;

    /// What is listed for `asked` while `git_dir` is served.
    async fn listed(git_dir: &Path, asked: &Path, in_quarantine: bool) -> String {
        let mut git = Command::new("git");
        list_only_own(&mut git, git_dir);
        let served = git.as_std().get_envs().find(|(name, _)| *name == SERVED);
        let served = served.unwrap().1.unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("{} \"$@\"", list_own()), "tips"]);
        shell.arg(asked).env(SERVED, served);
        if in_quarantine {
            shell.env("GIT_QUARANTINE_PATH", "/x");
        }
        String::from_utf8(shell.output().await.unwrap().stdout).unwrap()
    }

    #[tokio::test]
    async fn only_the_served_repository_is_listed_and_only_for_a_check() {
        let (own, other) = (TestRepo::new(), TestRepo::new());
        let id = own.commit("a", "1");
        other.commit("b", "2");
        let git_dir = own.path().join(".git");
        let path = git_dir.canonicalize().unwrap();
        assert_eq!(listed(&git_dir, &path, true).await.trim(), id);
        assert_eq!(listed(&git_dir, &path, false).await, "");
        let other = other.path().join(".git").canonicalize().unwrap();
        assert_eq!(listed(&git_dir, &other, true).await, "");

        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        symlink(&git_dir, &link).unwrap();
        assert_eq!(listed(&link, &path, true).await.trim(), id);
        assert_eq!(listed(&folder.path().join("gone"), &path, true).await, "");
        assert_eq!(
            listed(&folder.path().join("gone"), Path::new(""), true).await,
            ""
        );
    }

    #[tokio::test]
    async fn a_ref_that_leads_nowhere_is_left_out() {
        let own = TestRepo::new();
        let id = own.commit("a", "1");
        let git_dir = own.path().join(".git").canonicalize().unwrap();
        own.write(".git/refs/heads/gone", "1".repeat(40));
        own.write(".git/refs/heads/main (copy)", &id);
        own.write(".git/refs/heads/empty", "");
        assert_eq!(listed(&git_dir, &git_dir, true).await.trim(), id);
    }
}
