//! What is baked: the repository, the commit, and the `.dkr.conf` of that commit.

use std::fs;
use std::path::Path;

use crate::buildkit::git_progress;
use crate::env::Env;
use crate::error::{Error, Kind, Result};
use crate::git::{CommitId, FetchOutcome, FileAt, Repository, Target};
use crate::image::dkr_conf::{self, Allow, DkrConf};
use crate::ui::Ui;
use crate::ui::progress::Stage;

/// The name of the configuration of a repository.
pub const CONF_FILE: &str = ".dkr.conf";
/// The maximum size of a configuration, in bytes.
const CONF_LIMIT: usize = 1 << 20;

/// Finds the repository at `path`, or the one around the current directory.
///
/// # Errors
/// When there is none, or it cannot be read.
pub fn open(path: Option<&Path>, ui: &Ui) -> Result<Repository> {
    let repo = Repository::discover(path.unwrap_or(Path::new(".")))?;
    for notice in repo.notices() {
        ui.warning(&notice);
    }
    Ok(repo)
}

/// Resolves REF to one commit; a remote branch is fetched first, alone.
///
/// # Errors
/// When REF names nothing, or a remote branch is neither reachable nor fetched before.
pub fn resolve(repo: &Repository, reference: Option<&str>, env: &Env, ui: &Ui) -> Result<Target> {
    let located = repo.locate(reference)?;
    if let Some(branch) = repo.hidden_branch(&located) {
        ui.warning(&format!(
            "interpreting `{}` as a remote branch; the local branch of that name is `{branch}`",
            located.branch_from
        ));
    }
    if let Some(remote) = located.remote_branch() {
        let waiting = ui.waiting(&format!("fetching `{}`", remote.name()));
        let interactive = ui.terminal().can_ask();
        let mut show = |line: &str| {
            if let Some(git) = git_progress::parse(line) {
                waiting.stage(Stage::new(git.stage).at(git.current, git.total.unwrap_or(0)));
            }
        };
        // Git's own questions need the terminal to themselves.
        let _quiet = interactive.then(|| ui.suspend());
        let progress = (!interactive).then_some(&mut show as &mut dyn FnMut(&str));
        if let FetchOutcome::Offline(reason) =
            repo.fetch_remote_branch(remote, env, interactive, progress)?
        {
            ui.warning(&format!(
                "cannot fetch `{}` ({reason}): using what was fetched last",
                remote.name()
            ));
        }
    }
    repo.resolve(located)
}

/// Warns if `target` is what the user has checked out, but their `.dkr.conf` differs from the committed
/// one, which the image is built with.
pub fn notice_uncommitted_conf(repo: &Repository, target: &Target, ui: &Ui) {
    let Some(folder) = repo.work_tree() else {
        return;
    };
    let path = folder.join(CONF_FILE);
    // Reading a pipe would block.
    let is_file = path.symlink_metadata().is_ok_and(|file| file.is_file());
    if !is_file || !repo.is_head(&target.commit) {
        return;
    }
    let committed = repo.read_file_at(&target.commit, CONF_FILE, CONF_LIMIT);
    match (committed, fs::read(path)) {
        (Ok(FileAt::Missing), Ok(_)) => ui.warning(&format!(
            "`{CONF_FILE}` is not committed: the image is built with the defaults"
        )),
        (Ok(FileAt::Regular(committed)), Ok(own)) if committed != own => ui.warning(&format!(
            "`{CONF_FILE}` has uncommitted changes: the image is built with the committed version"
        )),
        _ => {}
    }
}

/// The full name of the ref that REF means in a repository, if it means one there.
pub fn full_name(repo: Option<&Repository>, reference: Option<&str>) -> Option<String> {
    let located = repo?.locate(Some(reference?)).ok()?;
    Some(located.ref_name)
}

/// Reads the configuration of `commit`; a commit without one has the defaults.
///
/// # Errors
/// When it is not a regular file, or is invalid.
pub fn read_conf(repo: &Repository, commit: &CommitId, allow: &Allow) -> Result<DkrConf> {
    let refused = |cause: String| {
        Error::new(
            Kind::Usage,
            format!("cannot use `{CONF_FILE}` of commit `{}`", commit.short()),
        )
        .cause(cause)
    };
    let no_file = |what: &str| refused(format!("it is {what}, not a regular file"));
    match repo.read_file_at(commit, CONF_FILE, CONF_LIMIT)? {
        FileAt::Missing => Ok(DkrConf::default()),
        FileAt::Regular(bytes) => dkr_conf::parse(&bytes, allow),
        FileAt::TooLarge(size) => Err(refused(format!("it is {size} bytes long"))
            .hint(format!("keep it below {CONF_LIMIT} bytes"))),
        FileAt::Symlink => Err(no_file("a symbolic link")),
        FileAt::Directory => Err(no_file("a directory")),
        FileAt::Submodule => Err(no_file("a submodule")),
    }
}
