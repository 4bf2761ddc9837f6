//! The configuration of a repository that is checked before it is served. Reading it runs no program.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Output;

use tokio::process::Command;

use super::{PushPrefix, hardened_git};
use crate::env::Env;
use crate::error::{Error, Result};

/// The names of the hooks that the repository defines in its configuration (`hook.<name>.command`,
/// git 2.54 and later): `core.hooksPath` does not affect them; each has its own switch.
pub(super) async fn configured_hooks(env: &Env, git_dir: &Path) -> Result<BTreeSet<String>> {
    let list = ["config", "-z", "--list", "--name-only"];
    let output = run(hardened_git(env, git_dir), git_dir, &list).await?;
    if !output.status.success() {
        let message = format!("cannot read the configuration of `{}`", git_dir.display());
        let cause = String::from_utf8_lossy(&output.stderr);
        return Err(Error::failed(message).cause(cause.trim()));
    }
    let names = output.stdout.split(|byte| *byte == 0);
    let hooks: Option<BTreeSet<_>> = names.filter_map(hook_name).collect();
    hooks.ok_or_else(|| {
        let message = format!("cannot disable a hook of `{}`", git_dir.display());
        Error::failed(message)
            .cause("its name in the configuration contains `=` or is not UTF-8")
            .hint("rename the section `hook.<name>` with `git config rename-section`")
    })
}

/// The hook that the variable `name` belongs to, if any; the inner value is `None` if it cannot be named in
/// `git -c`, which ends a name at the first `=`.
fn hook_name(name: &[u8]) -> Option<Option<String>> {
    let rest = name.strip_prefix(b"hook.")?;
    let dot = rest.iter().rposition(|byte| *byte == b'.')?;
    let hook = std::str::from_utf8(&rest[..dot]).ok();
    Some(hook.filter(|hook| !hook.contains('=')).map(String::from))
}

/// Why nothing could be pushed to `prefix` in the repository at `git_dir`, if so: reported before a
/// container is started, because it cannot be fixed from inside.
///
/// # Errors
/// When git cannot be run on the repository.
pub async fn push_obstacle(
    git_dir: &Path,
    prefix: &PushPrefix,
    env: &Env,
) -> Result<Option<String>> {
    let branch = prefix.blocking_ref();
    let show = ["show-ref", "--verify", "--quiet", &branch];
    let found = run(hardened_git(env, git_dir), git_dir, &show).await?;
    // git does not show one that is broken or leads nowhere; its file is in the way too.
    let file = git_dir.join(&branch).symlink_metadata();
    if found.status.success() || file.is_ok_and(|file| !file.is_dir()) {
        return Ok(Some(format!(
            "the repository has a branch `{prefix}`, so git cannot make branches `{prefix}/*`"
        )));
    }
    let get = ["config", "-z", "--get-all", "receive.procReceiveRefs"];
    let values = run(hardened_git(env, git_dir), git_dir, &get).await?;
    let values = String::from_utf8_lossy(&values.stdout);
    let taken = values
        .split_terminator('\0')
        .any(|value| takes_over(value, &prefix.namespace()));
    Ok(taken.then(|| {
        "`receive.procReceiveRefs` hands pushes to a hook, and dkr runs no hooks for a container"
            .to_string()
    }))
}

/// Whether a value of `receive.procReceiveRefs` (git-config) covers refs that begin with `root`.
fn takes_over(value: &str, root: &str) -> bool {
    let (flags, pattern) = value.split_once(':').unwrap_or(("", value));
    let pattern = format!("{}/", pattern.trim_end_matches('/'));
    let matches = root.starts_with(&pattern) || pattern.starts_with(root);
    matches != flags.contains('!')
}

async fn run(mut command: Command, git_dir: &Path, arguments: &[&str]) -> Result<Output> {
    command.arg("--git-dir").arg(git_dir).args(arguments);
    let output = command.kill_on_drop(true).output().await;
    output.map_err(|e| Error::failed("cannot run `git`").source(e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_hooks_are_found_whatever_they_hold() {
        let name = |text: &str| hook_name(text.as_bytes());
        assert_eq!(name("hook.lint.command"), Some(Some("lint".into())));
        assert_eq!(name("hook.a.b c.event"), Some(Some("a.b c".into())));
        assert_eq!(name("hook.a=b.command"), Some(None));
        assert_eq!(name("hook.jobs"), None);
        assert_eq!(name("core.hookspath"), None);
    }

    #[test]
    fn proc_receive_covers_what_git_says_it_covers() {
        let root = "refs/heads/box/";
        for value in [
            "refs/heads",
            "refs/heads/",
            "ad:refs/heads/box",
            "!:refs/for",
            "refs",
        ] {
            assert!(takes_over(value, root), "{value}");
        }
        for value in ["refs/for", "refs/heads/bo", "!:refs/heads"] {
            assert!(!takes_over(value, root), "{value}");
        }
    }
}
