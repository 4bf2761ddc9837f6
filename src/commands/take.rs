//! `dkr take`: brings a container's work to the host's repository.

use clap::Args;

use super::containers::choose;
use crate::app::Context;
use crate::cli::ContainerArg;
use crate::container::Containers;
use crate::container::labels::working_branch;
use crate::container::watch;
use crate::container::work::Probe;
use crate::container::work::take::{TakeResult, Taken, take};
use crate::engine::{Engine, ListedContainer};
use crate::error::{Error, Result, quoted};
use crate::git::{Repository, short};
use crate::image::labels::REPO_PATH;
use crate::text::count;

pub(super) const EXAMPLES: &str = "Examples:
  dkr take fix-parser            bring its work to your repository, running or not
  git log laptop/fix-parser      show its commits
  git show refs/dkr/wip/fix-parser
                                 show its uncommitted changes, new files included, as one commit
  git cherry-pick --no-commit refs/dkr/wip/fix-parser
                                 apply them to your work tree

Work that was taken counts as saved: the container can be removed.";

/// Arguments of `take`.
#[derive(Debug, Clone, Args)]
pub struct TakeArgs {
    /// Which container.
    #[command(flatten)]
    pub container: ContainerArg,
    /// Take it even if its branch on the host has commits that the container does not have
    #[arg(long)]
    pub force: bool,
}

/// How many files a message lists.
const NAMED: usize = 5;

/// Runs the command.
///
/// # Errors
/// `NotFound` if there is no such container, or its repository is gone; when git fails: nothing is
/// taken then.
pub async fn run(cx: &Context, args: &TakeArgs) -> Result<()> {
    let waiting = cx.ui.waiting("taking the container's work");
    let engine = Engine::connect(&cx.env).await?;
    let containers = Containers::read(&engine, &cx.env).await?;
    let container = choose(&containers, &args.container.name)?;
    let name = working_branch(container);
    let path = container.labels.get(REPO_PATH);
    let path = path.ok_or_else(|| of_no_repository(container))?;
    let repo = Repository::at(path).map_err(|error| moved(error, path))?;
    if let Some(notice) = repo.broken_refs() {
        cx.ui.warning(&notice);
    }
    let _hold = watch::hold(&container.id, cx).await?;
    let probe = Probe::new(&engine, cx);
    let outcome = take(&probe, container, &repo, args.force, &cx.env).await?;
    drop(waiting);
    for Taken { update, what } in &outcome.taken {
        let commit = short(&update.commit);
        let place = update
            .name
            .strip_prefix("refs/heads/")
            .unwrap_or(&update.name);
        cx.ui.data(&format!("{place}\n"))?;
        cx.ui
            .message(&format!("took {what} at {commit} as `{place}`"));
    }
    if outcome.taken.is_empty() && outcome.left.is_empty() {
        let nothing = format!("`{}` already has all work of `{name}`", repo.root());
        cx.ui.message(&nothing);
    }
    say_what_is_left(cx, container, &outcome);
    Ok(())
}

fn say_what_is_left(cx: &Context, container: &ListedContainer, outcome: &TakeResult) {
    if !outcome.raw.is_empty() {
        let files = named(&outcome.raw);
        cx.ui.warning(&format!(
            "took {files} unfiltered: the git filter fails or keeps the content elsewhere"
        ));
    }
    for (what, reason) in outcome.refused.iter().take(NAMED) {
        cx.ui.warning(&format!("cannot take {what}: {reason}"));
    }
    if outcome.left.is_empty() {
        return;
    }
    let name = working_branch(container);
    let what = outcome.left.describe();
    let patches = "patches that are not yet applied are not taken".to_owned();
    let why = match &*outcome.untaken {
        _ if outcome.left.operation.is_some() => patches,
        [] => "this is not taken".to_owned(),
        paths => named(paths),
    };
    cx.ui.warning(&format!(
        "container `{name}` still has unsaved work ({what}): {why}"
    ));
    for path in outcome.untaken.iter().take(NAMED) {
        let (id, path) = (&container.id, quoted(path));
        cx.ui
            .hint(&format!("copy it out with `docker cp {id}:{path} FOLDER`"));
    }
}

/// The first of these paths, for a message.
fn named(paths: &[String]) -> String {
    let names: Vec<_> = paths.iter().take(NAMED).collect();
    let names: Vec<_> = names.iter().map(|path| format!("`{path}`")).collect();
    match paths.len() - names.len() {
        0 => names.join(", "),
        more => format!("{} and {}", names.join(", "), count(more as u64, "other")),
    }
}

/// The error for a container whose repository neither a record nor an image names.
fn of_no_repository(container: &ListedContainer) -> Error {
    let (name, id) = (working_branch(container), &container.id);
    Error::failed(format!("cannot take the work of container `{name}`"))
        .cause("its image is gone, and dkr has no record of its repository")
        .hint(format!(
            "copy its files out with `docker cp {id}:/workspace FOLDER`"
        ))
}

/// Adds a hint for a repository that was moved.
fn moved(error: Error, path: &str) -> Error {
    let path = quoted(path);
    let hint = format!("if the repository was moved, make a link: `ln -s NEW_PATH {path}`");
    Error {
        hints: vec![hint],
        ..error
    }
}
