//! The only place that calls the `git` program on the user's repository.
//!
//! Hooks, fsmonitor and maintenance of that repository never run, and variables that a calling
//! git has set (such as `GIT_DIR` in a hook) do not redirect it to another repository.

use std::process::{Command, Stdio};

use super::Repository;
use crate::error::{Error, Result};

/// What `git rev-parse --local-env-vars` lists (git 2.47), and other variables that would point git to
/// other objects, refs or files.
pub(super) const LOCAL_VARIABLES: [&str; 21] = [
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_CEILING_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_CONFIG",
    "GIT_CONFIG_COUNT",
    "GIT_CONFIG_PARAMETERS",
    "GIT_DEFAULT_HASH",
    "GIT_DIR",
    "GIT_GRAFT_FILE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_INTERNAL_SUPER_PREFIX",
    "GIT_NAMESPACE",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_PROTOCOL",
    "GIT_QUARANTINE_PATH",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
];

/// Lists the tips of the repository `$1` for git (`core.alternateRefsCommand`). A ref whose
/// object is missing is left out: git would fail on it.
pub(super) const LIST: &str = "git --git-dir=\"$1\" for-each-ref --format=\"%(objectname)\" 2>/dev/null | \
    git --git-dir=\"$1\" cat-file --batch-check=\"%(objectname)\" | sed \"/ /d\"";

/// Lists the tips of every alternate repository, as git does by itself, in place of a program that
/// the repository configures. A fetch of the user's own repository needs them, or it downloads again
/// what the alternate has. Their ids are sent to the remote that the user fetches from, as with `git
/// fetch`, but never to a container: see [`super::serve`].
fn list_tips() -> String {
    format!("tips() {{ {LIST}; }}; tips")
}

/// Where this is `0`, git ignores broken refs (git(1)). Since 2.34 it would otherwise serve them with an
/// id of zeros, and fail wherever it walks all refs, as when it checks a fetch or a push.
pub(super) const REF_PARANOIA: &str = "GIT_REF_PARANOIA";

/// Settings for every command: nothing configured in the repository runs, and no maintenance.
pub(super) const HARMLESS: [(&str, &str); 4] = [
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
];

/// A version of the `git` program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct GitVersion {
    /// The first number.
    pub major: u32,
    /// The second number.
    pub minor: u32,
    /// The third number.
    pub patch: u32,
}

impl GitVersion {
    /// The oldest that reads configuration from `GIT_CONFIG_COUNT`: an older one would ignore it,
    /// and run hooks.
    pub const OLDEST: GitVersion = GitVersion {
        major: 2,
        minor: 31,
        patch: 0,
    };
}

impl std::fmt::Display for GitVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// The version of the `git` program on PATH.
///
/// # Errors
/// If there is none, it does not run, or it is older than [`GitVersion::OLDEST`].
pub fn git_version() -> Result<GitVersion> {
    let output = Command::new("git")
        .arg("version")
        .stdin(Stdio::null())
        .output()
        .map_err(|e| cannot_run(&e))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = parse_version(&text).ok_or_else(|| {
        Error::failed("cannot determine the version of `git`").cause(format!(
            "`git version` printed `{}`",
            text.trim().escape_default()
        ))
    })?;
    if version < GitVersion::OLDEST {
        return Err(Error::failed(format!(
            "cannot use git {version}: {} or newer is needed",
            GitVersion::OLDEST
        ))
        .hint("install a newer `git`"));
    }
    Ok(version)
}

/// The error for a `git` program that did not start.
pub(super) fn cannot_run(failure: &std::io::Error) -> Error {
    let error = Error::failed("cannot run the program `git`").source(failure);
    if failure.kind() == std::io::ErrorKind::NotFound {
        return error.hint("install `git` and make sure that it is on PATH");
    }
    error
}

fn parse_version(text: &str) -> Option<GitVersion> {
    let mut numbers = text
        .strip_prefix("git version ")?
        .split_whitespace()
        .next()?
        .split('.')
        .map(|part| part.parse().ok());
    Some(GitVersion {
        major: numbers.next()??,
        minor: numbers.next()??,
        patch: numbers.next().flatten().unwrap_or(0),
    })
}

impl Repository {
    /// A `git` command on this repository, to which a subcommand and its arguments are added.
    ///
    /// `settings` are configuration for this call; they override every file. They are passed in
    /// the environment, because `-c` would split a name at its first `=`. The program must be at least
    /// [`GitVersion::OLDEST`].
    pub fn git_command(&self, settings: &[(&str, &str)]) -> Command {
        let mut command = Command::new("git");
        command.arg("--git-dir").arg(self.git_dir());
        command.current_dir(self.root());
        for variable in LOCAL_VARIABLES {
            command.env_remove(variable);
        }
        let hooks: Vec<_> = self.configured_hooks();
        let hooks = hooks.iter().map(|key| (key.as_str(), "false"));
        let tips = list_tips();
        let mut count = 0;
        for (key, value) in HARMLESS
            .into_iter()
            .chain([("core.alternateRefsCommand", tips.as_str())])
            .chain(hooks)
            .chain(settings.iter().copied())
        {
            command.env(format!("GIT_CONFIG_KEY_{count}"), key);
            command.env(format!("GIT_CONFIG_VALUE_{count}"), value);
            count += 1;
        }
        command.env("GIT_CONFIG_COUNT", count.to_string());
        // Messages are compared with git's English ones.
        command.env("LC_ALL", "C");
        command.env("GIT_OPTIONAL_LOCKS", "0");
        command.env(REF_PARANOIA, "0");
        command
    }

    /// The keys that disable each hook that is configured (`hook.<name>.command`,
    /// which `core.hooksPath` does not cover; git-config(1) from 2.54 on).
    fn configured_hooks(&self) -> Vec<String> {
        let Ok(config) = self.inner.config() else {
            return Vec::new();
        };
        let Ok(mut entries) = config.entries(Some(r"^hook\..*\.(command|event)$")) else {
            return Vec::new();
        };
        let mut keys = Vec::new();
        while let Some(Ok(entry)) = entries.next() {
            let hook = entry.name().ok().and_then(|key| key.rsplit_once('.'));
            keys.extend(hook.map(|(hook, _)| format!("{hook}.enabled")));
        }
        keys.sort();
        keys.dedup();
        keys
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::{HERMETIC, TestRepo};

    fn run(mut command: Command, args: &[&str]) -> String {
        let output = command.args(args).envs(HERMETIC).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout)
            .unwrap()
            .trim_end()
            .to_owned()
    }

    #[test]
    fn settings_win_and_names_may_hold_anything() {
        let repo = TestRepo::new();
        repo.git(&["config", "core.hooksPath", "hooks"]);
        let opened = repo.open();
        let get = |key: &str| {
            run(
                opened.git_command(&[("remote.a=b c.prune", "x=y")]),
                &["config", "--get", key],
            )
        };
        assert_eq!(get("remote.a=b c.prune"), "x=y");
        assert_eq!(get("core.hooksPath"), "/dev/null");
        assert_eq!(get("gc.auto"), "0");
    }

    #[test]
    fn it_works_on_the_given_repository_from_its_root() {
        let repo = TestRepo::new();
        repo.commit("dir/a", "1");
        let opened = Repository::discover(&repo.path().join("dir")).unwrap();
        let command = opened.git_command(&[]);
        assert_eq!(command.get_current_dir(), Some(repo.path()));
        assert_eq!(run(command, &["rev-parse", "HEAD"]), repo.head());
        let removed = opened.git_command(&[]);
        let scrubbed: Vec<_> = removed
            .get_envs()
            .filter(|(_, value)| value.is_none())
            .map(|(name, _)| name.to_owned())
            .collect();
        // Every variable that this git calls local is removed or set.
        for local in run(opened.git_command(&[]), &["rev-parse", "--local-env-vars"]).lines() {
            assert!(
                local == "GIT_CONFIG_COUNT" || scrubbed.iter().any(|name| name == local),
                "{local}"
            );
        }
    }

    #[test]
    fn hooks_in_the_configuration_are_turned_off() {
        let repo = TestRepo::new();
        repo.git(&["config", "hook.My=Own.command", "false"]);
        repo.git(&["config", "hook.My=Own.event", "pre-push"]);
        assert_eq!(repo.open().configured_hooks(), ["hook.My=Own.enabled"]);
    }

    #[test]
    fn versions_are_read_as_git_prints_them() {
        let version = |major, minor, patch| {
            Some(GitVersion {
                major,
                minor,
                patch,
            })
        };
        for (text, expected) in [
            ("git version 2.47.3\n", version(2, 47, 3)),
            ("git version 2.39.5 (Apple Git-154)", version(2, 39, 5)),
            ("git version 2.55.0.rc1.12.gabc", version(2, 55, 0)),
            ("git version 2.46.GIT", version(2, 46, 0)),
            ("git version unknown", None),
            ("", None),
        ] {
            assert_eq!(parse_version(text), expected, "{text}");
        }
        assert!(git_version().unwrap() >= GitVersion::OLDEST);
    }
}
