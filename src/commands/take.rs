//! `dkr take`: brings the work of a container to the host's repository.

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
  dkr take fix-parser            bring its work to your repository, whether it runs or not
  git log laptop/fix-parser      its commits
  git show refs/dkr/wip/fix-parser
                                 what was not committed, new files included, as one commit
  git cherry-pick --no-commit refs/dkr/wip/fix-parser
                                 the same in your work tree

What was taken counts as safe: the container can be removed.";

/// Arguments of `take`.
#[derive(Debug, Clone, Args)]
pub struct TakeArgs {
    /// Which container.
    #[command(flatten)]
    pub container: ContainerArg,
    /// Also if its branch on the host has commits that the container does not have
    #[arg(long)]
    pub force: bool,
}

/// How many files are named.
const NAMED: usize = 5;

/// Runs the command.
///
/// # Errors
/// `NotFound` if there is no such container, or its repository is gone; when git refuses: nothing
/// was taken then.
pub async fn run(cx: &Context, args: &TakeArgs) -> Result<()> {
    let waiting = cx.ui.waiting("take the work of the container");
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
        let nothing = format!("`{}` has all of the work of `{name}`", repo.root());
        cx.ui.message(&nothing);
    }
    say_what_is_left(cx, container, &outcome);
    Ok(())
}

fn say_what_is_left(cx: &Context, container: &ListedContainer, outcome: &TakeResult) {
    if !outcome.raw.is_empty() {
        let files = named(&outcome.raw);
        cx.ui.warning(&format!(
            "took without its filter, which fails or keeps the content elsewhere, what is in {files}"
        ));
    }
    for (what, reason) in outcome.refused.iter().take(NAMED) {
        cx.ui.warning(&format!("{what} cannot be taken: {reason}"));
    }
    if outcome.left.is_empty() {
        return;
    }
    let name = working_branch(container);
    let what = outcome.left.describe();
    let patches = "patches that are not applied yet are not taken".to_owned();
    let why = match &*outcome.untaken {
        _ if outcome.left.operation.is_some() => patches,
        [] => "they are not taken".to_owned(),
        paths => named(paths),
    };
    cx.ui
        .warning(&format!("only container `{name}` still has {what}: {why}"));
    for path in outcome.untaken.iter().take(NAMED) {
        let (id, path) = (&container.id, quoted(path));
        cx.ui
            .hint(&format!("`docker cp {id}:{path} FOLDER` copies it"));
    }
}

/// The first of these paths.
fn named(paths: &[String]) -> String {
    let names: Vec<_> = paths.iter().take(NAMED).collect();
    let names: Vec<_> = names.iter().map(|path| format!("`{path}`")).collect();
    match paths.len() - names.len() {
        0 => names.join(", "),
        more => format!("{} and {}", names.join(", "), count(more as u64, "other")),
    }
}

/// What there is to say where neither a record nor an image of dkr's names the repository.
fn of_no_repository(container: &ListedContainer) -> Error {
    let (name, id) = (working_branch(container), &container.id);
    Error::failed(format!("cannot take the work of container `{name}`"))
        .cause("its image is gone, and dkr has not written down which repository it belongs to")
        .hint(format!(
            "`docker cp {id}:/workspace FOLDER` copies all that is in it"
        ))
}

/// Says what helps if the repository stands elsewhere now.
fn moved(error: Error, path: &str) -> Error {
    let path = quoted(path);
    let hint = format!("if it was moved, a link will do: `ln -s NEW_PLACE {path}`");
    Error {
        hints: vec![hint],
        ..error
    }
}
