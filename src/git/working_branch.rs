//! Whether a working branch of a container could be pushed, before anything starts.

use super::Repository;
use crate::error::{Error, Result};

/// Where `dkr take` writes the uncommitted state of a container.
pub const WIP: &str = "refs/dkr/wip/";

/// The most bytes between two `/` of a branch: git creates a file of that name with `.lock`, and file
/// systems allow 255 bytes, of which an engine's storage driver may need some (fuse-overlayfs `.wh.`).
const LONGEST_PART: usize = 240;

/// Checks that `name` can be a branch of a container whose image is of `image_branch`.
///
/// # Errors
/// When git rejects the name, or it collides with the image's own branch.
pub fn check_working_branch(name: &str, image_branch: &str) -> Result<()> {
    let refused = || Error::usage(format!("`{name}` cannot be a working branch"));
    let full = format!("refs/heads/{name}");
    // `HEAD` and a leading dash: git-branch(1) refuses them, though they are valid as refs.
    if name.starts_with('-') || name == "HEAD" || !git2::Reference::is_valid_name(&full) {
        return Err(refused()
            .cause("not a valid branch name")
            .hint("choose another with `--name`, such as `fix-parser`"));
    }
    if name.split('/').any(|part| part.len() > LONGEST_PART) {
        return Err(refused()
            .cause(format!(
                "git keeps branches as files, and a part of it has more than {LONGEST_PART} bytes"
            ))
            .hint("choose another with `--name`"));
    }
    if collides(name, image_branch) {
        return Err(refused()
            .cause(format!(
                "it collides with the image's own branch `{image_branch}`"
            ))
            .hint("choose another with `--name`"));
    }
    Ok(())
}

/// Git keeps branches as files: none can be a folder of another.
fn collides(a: &str, b: &str) -> bool {
    let below = |inner: &str, outer: &str| {
        inner
            .strip_prefix(outer)
            .is_some_and(|rest| rest.starts_with('/'))
    };
    a == b || below(a, b) || below(b, a)
}

impl Repository {
    /// Checks that `refs/heads/<hostname>/<name>`, where a container's `git push` goes, could
    /// exist next to the existing branches.
    ///
    /// # Errors
    /// When it could not, or the branches cannot be listed.
    pub fn check_push_target(&self, hostname: &str, name: &str) -> Result<()> {
        let target = format!("{hostname}/{name}");
        let refused = || Error::usage(format!("`{name}` cannot be a working branch"));
        let full = format!("refs/heads/{target}");
        if !git2::Reference::is_valid_name(&full) {
            let cause = format!("`git push` would have to create the branch `{target}`");
            return Err(refused().cause(cause));
        }
        if let Some(branch) = in_the_way(&self.branch_names()?, &target) {
            return Err(refused()
                .cause(format!(
                    "`git push` could not create the branch `{target}` next to `{branch}`"
                ))
                .hint("choose another with `--name`, or rename that branch"));
        }
        if let Some(broken) = self.list_refs(|name| name == full)?.broken.first() {
            return Err(refused()
                .cause(format!(
                    "the branch `{target}` is broken ({})",
                    broken.fault
                ))
                .hint("choose another with `--name`"));
        }
        match in_the_way(&self.short_names(WIP)?, name) {
            None => Ok(()),
            Some(taken) => Err(refused()
                .cause(format!(
                    "`dkr take` could not write `{WIP}{name}` next to `{WIP}{taken}`"
                ))
                .hint("choose another with `--name`, or delete that ref if you no longer need it")),
        }
    }
}

/// Checks that `name` can be a working branch next to those of other containers of the repository.
///
/// # Errors
/// When it cannot.
pub fn check_beside(name: &str, others: &[String]) -> Result<()> {
    match in_the_way(others, name) {
        None => Ok(()),
        Some(other) => Err(Error::usage(format!("`{name}` cannot be a working branch"))
            .cause(format!(
                "a container works on `{other}`, and git cannot have both branches"
            ))
            .hint("choose another with `--name`")),
    }
}

/// The existing name that `name` conflicts with.
fn in_the_way<'a>(names: &'a [String], name: &str) -> Option<&'a String> {
    let mut names = names.iter();
    names.find(|other| *other != name && collides(other, name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::TestRepo;

    #[test]
    fn a_name_must_be_a_branch_and_free() {
        for name in [
            "-x", "HEAD", "a..b", "a b", "", "x.lock", "main", "main/x", "a~1",
        ] {
            assert!(check_working_branch(name, "main").is_err(), "{name}");
        }
        let long = "ä".repeat(LONGEST_PART / 2);
        for name in [
            "fix-parser",
            "feature/x",
            "mainly",
            &format!("{long}/{long}"),
        ] {
            assert!(check_working_branch(name, "main").is_ok(), "{name}");
        }
        for name in [format!("{long}x"), format!("x/{long}x/x")] {
            assert!(check_working_branch(&name, "main").is_err(), "{name}");
        }
    }

    #[test]
    fn branches_of_containers_must_fit_together() {
        let others = ["fix", "feature/x"].map(String::from);
        for name in ["fix/it", "feature"] {
            assert!(check_beside(name, &others).is_err(), "{name}");
        }
        for name in ["fix", "fix-it", "feature/y"] {
            assert!(check_beside(name, &others).is_ok(), "{name}");
        }
    }

    #[test]
    fn a_branch_in_the_way_of_the_push_is_named() {
        let test = TestRepo::new();
        test.commit("a", "a");
        test.git(&["branch", "laptop/fix"]);
        let repo = test.open();
        assert!(repo.check_push_target("laptop", "other").is_ok());
        assert!(repo.check_push_target("laptop", "fix").is_ok());
        let error = repo.check_push_target("laptop", "fix/it").unwrap_err();
        assert!(error.causes[0].contains("`laptop/fix`"), "{error}");
        test.git(&["update-ref", "refs/dkr/wip/other", "HEAD"]);
        assert!(repo.check_push_target("laptop", "other").is_ok());
        let error = repo.check_push_target("laptop", "other/it").unwrap_err();
        assert!(error.causes[0].contains("`refs/dkr/wip/other`"), "{error}");
        test.git(&["branch", "desk"]);
        assert!(repo.check_push_target("desk", "fix").is_err());
    }
}
