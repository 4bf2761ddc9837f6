//! Why a repository cannot be opened.
//!
//! libgit2's errors for unsupported features do not say what to do, so the repository's own
//! configuration file is read here to find the reason.

use std::path::{Path, PathBuf};

use crate::error::{Error, quoted};

/// The error for libgit2's `failure` to find or open the repository at `path`.
pub(super) fn open_error(path: &Path, failure: &git2::Error) -> Error {
    let shown = path.display();
    let no_ceiling: [&Path; 0] = [];
    let git_dir = git2::Repository::discover_path(path, no_ceiling).ok();
    if failure.code() == git2::ErrorCode::Owner {
        let trusted = git_dir.as_deref().map_or(path.to_owned(), work_tree_of);
        let line = |trusted: &Path| {
            let trusted = trusted.to_string_lossy();
            let trusted = quoted(&trusted);
            format!("`git config --global --add safe.directory {trusted}`")
        };
        let error = Error::failed(format!(
            "cannot open the repository at `{shown}`: it belongs to another user"
        ))
        .cause("git reads a repository of another user only if `safe.directory` names it, since its configuration can run commands")
        .hint(format!("if you trust it, run {}", line(&trusted)));
        // `git upload-pack` checks only the git directory (git 2.45.1 and later).
        let served = git_dir.and_then(|git_dir| common_dir(&git_dir).canonicalize().ok());
        return match served.filter(|served| *served != trusted) {
            Some(served) => error.hint(format!("for builds over SSH, also run {}", line(&served))),
            None => error,
        };
    }
    let Some(git_dir) = git_dir else {
        return Error::not_found(format!(
            "cannot find a git repository at `{shown}` or above it"
        ))
        .hint("name the path of a repository, or run `git init` there");
    };
    if let Some(feature) = unsupported_feature(&common_dir(&git_dir)) {
        return refused(path, &feature);
    }
    Error::failed(format!("cannot open the repository at `{shown}`")).cause(failure.message())
}

/// A feature of repositories that dkr cannot read.
pub(super) struct Unsupported {
    name: &'static str,
    hint: Option<&'static str>,
}

/// The error for the repository at `path` that needs `feature`.
pub(super) fn refused(path: &Path, feature: &Unsupported) -> Error {
    let error = Error::failed(format!(
        "cannot use the repository at `{}`: {} is not supported",
        path.display(),
        feature.name
    ));
    match feature.hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// The feature in the configuration that dkr does not support, if there is one.
pub(super) fn feature_of(config: &git2::Config) -> Option<Unsupported> {
    let value = |key| config.get_string(key).unwrap_or_default();
    if value("extensions.objectformat").eq_ignore_ascii_case("sha256") {
        return Some(Unsupported {
            name: "a repository with sha256 objects",
            hint: None,
        });
    }
    // The value may be a URL: `reftable://…`.
    if value("extensions.refstorage")
        .to_ascii_lowercase()
        .starts_with("reftable")
    {
        return Some(Unsupported {
            name: "a repository with reftable refs",
            hint: Some("`git refs migrate --ref-format=files` converts it"),
        });
    }
    let is_partial = config.get_string("extensions.partialclone").is_ok() || has_promisor(config);
    is_partial.then_some(Unsupported {
        name: "a partial clone (objects are missing on purpose)",
        hint: Some("clone it again with `git clone`, without `--filter`"),
    })
}

fn has_promisor(config: &git2::Config) -> bool {
    let Ok(mut entries) = config.entries(Some(r"^remote\..*\.promisor$")) else {
        return false;
    };
    while let Some(Ok(entry)) = entries.next() {
        let is_set = match entry.value() {
            Ok(text) if entry.has_value() => git2::Config::parse_bool(text).unwrap_or(false),
            // A key without a value is true.
            _ => !entry.has_value(),
        };
        if is_set {
            return true;
        }
    }
    false
}

/// The error for the repository at `root` if git finds none in `git_dir` because its HEAD is neither a
/// branch nor a commit (`validate_headref` in git's setup); libgit2 would accept it.
pub(super) fn broken_head(root: &Path, git_dir: &Path) -> Option<Error> {
    let path = git_dir.join("HEAD");
    let is_valid = match std::fs::read_link(&path) {
        Ok(target) => target.starts_with("refs"),
        Err(_) => {
            let text = std::fs::read(&path).unwrap_or_default();
            let is_id = text.len() >= 40 && text[..40].iter().all(u8::is_ascii_hexdigit);
            let target = text.strip_prefix(b"ref:").map(<[u8]>::trim_ascii_start);
            is_id || target.is_some_and(|target| target.starts_with(b"refs/"))
        }
    };
    if is_valid {
        return None;
    }
    let message = format!("cannot use the repository at `{}`", root.display());
    let path = path.display();
    Some(
        Error::failed(message)
            .cause("its HEAD is broken: it names neither a branch nor a commit")
            .hint(format!("write `ref: refs/heads/BRANCH` into `{path}`")),
    )
}

fn unsupported_feature(common_dir: &Path) -> Option<Unsupported> {
    let config = git2::Config::open(&common_dir.join("config")).ok()?;
    feature_of(&config)
}

/// The directory that a linked worktree's git directory shares with the others.
fn common_dir(git_dir: &Path) -> PathBuf {
    match std::fs::read_to_string(git_dir.join("commondir")) {
        Ok(relative) => git_dir.join(relative.trim_end()),
        Err(_) => git_dir.to_owned(),
    }
}

/// The path that `safe.directory` must name: the work tree, or the bare repository.
fn work_tree_of(git_dir: &Path) -> PathBuf {
    let dot_git = match std::fs::read_to_string(git_dir.join("gitdir")) {
        Ok(link) => PathBuf::from(link.trim_end()),
        Err(_) => git_dir.to_owned(),
    };
    match dot_git.parent() {
        Some(parent) if dot_git.ends_with(".git") => parent.to_owned(),
        _ => dot_git,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use crate::git::Repository;
    use crate::git::testing::{TestRepo, git_in};

    fn refusal(path: &Path) -> Error {
        Repository::discover(path).err().expect("it is refused")
    }

    #[test]
    fn what_libgit2_does_not_know_is_refused_by_name() {
        for (option, name) in [
            ("--object-format=sha256", "sha256"),
            ("--ref-format=reftable", "reftable"),
        ] {
            let dir = tempfile::tempdir().unwrap();
            git_in(dir.path(), &["init", "-q", option, "."]);
            std::fs::create_dir(dir.path().join("sub")).unwrap();
            let error = refusal(&dir.path().join("sub"));
            assert_eq!(error.kind, Kind::Failed);
            assert!(error.message.contains(name), "{error}");
        }
    }

    #[test]
    fn a_head_that_git_does_not_know_as_one_is_refused_by_name() {
        let repo = TestRepo::new();
        let id = repo.commit("a", "1");
        for text in ["garbage", "", "ref: main\n", "ref:", &id[..39]] {
            repo.write(".git/HEAD", text);
            let error = refusal(repo.path());
            assert!(error.causes[0].contains("its HEAD is broken"), "{error}");
            assert!(error.hints[0].contains(".git/HEAD`"), "{error}");
        }
        for text in ["ref:refs/heads/main\n", "ref: \t refs/x y\n", &id] {
            repo.write(".git/HEAD", text);
            assert!(Repository::discover(repo.path()).is_ok(), "{text}");
        }
    }

    #[test]
    fn a_partial_clone_is_refused_by_name() {
        let origin = TestRepo::new();
        origin.commit("a", "1");
        let dir = tempfile::tempdir().unwrap();
        let url = format!("file://{}", origin.path().display());
        git_in(
            dir.path(),
            &["clone", "-q", "--filter=blob:none", &url, "p"],
        );
        let partial = dir.path().join("p");
        assert!(refusal(&partial).message.contains("partial clone"));

        git_in(&partial, &["config", "remote.origin.promisor", "false"]);
        assert!(Repository::discover(&partial).is_ok());

        // Older git notes it in this way, which libgit2 does not open.
        git_in(&partial, &["config", "core.repositoryFormatVersion", "1"]);
        git_in(&partial, &["config", "extensions.partialClone", "origin"]);
        assert!(refusal(&partial).message.contains("partial clone"));
    }

    #[test]
    fn a_missing_repository_is_not_found_and_the_path_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = refusal(dir.path());
        assert_eq!(error.kind, Kind::NotFound);
        assert!(error.message.contains(dir.path().to_str().unwrap()));
        assert_eq!(error.hints.len(), 1);
        let error = refusal(&dir.path().join("absent"));
        assert_eq!(error.kind, Kind::NotFound);
        assert!(error.message.contains("absent"));
    }

    #[test]
    fn another_users_repository_is_explained_and_nothing_is_configured() {
        // Only root can change the owner of a repository.
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let repo = TestRepo::new();
        repo.commit("a", "1");
        let stranger = Some(12_345);
        std::os::unix::fs::chown(repo.path(), stranger, stranger).unwrap();
        let error = refusal(repo.path());
        assert!(error.message.contains("another user"), "{error}");
        let line = format!(
            "`git config --global --add safe.directory {}`",
            repo.path().display()
        );
        assert!(error.hints[0].ends_with(&line), "{error}");
        assert!(error.hints[1].ends_with("/.git`"), "{error}");
    }
}
