//! `dkr list-containers`: every container that dkr started, newest first.

use std::path::PathBuf;

use chrono::Utc;
use clap::{Args, ValueHint};

use super::json::to_json;
use crate::app::Context;
use crate::catalog::rows::WorkRow;
use crate::container::Containers;
use crate::container::labels::working_branch;
use crate::container::work::list::list_work;
use crate::container::work::{ContainerWork, Probe};
use crate::engine::{Engine, ListedContainer};
use crate::error::Result;
use crate::git::{Repository, short};
use crate::image::labels::{BRANCH_FROM, COMMIT, REPO_NAME, REPO_PATH};
use crate::text::ago;
use crate::ui::table::{Column, Table};

pub(super) const EXAMPLES: &str = "Examples:
  dkr list-containers            every container, newest first
  dkr ps .                       those of the current repository
  dkr ps --json                  the same as JSON

FILES counts the unsaved files, UNPUSHED the unsaved commits and stash entries; `?` means not known.";

/// Arguments of `list-containers`.
#[derive(Debug, Clone, Args)]
pub struct ListContainersArgs {
    /// Path of a repository [default: all]
    #[arg(value_hint = ValueHint::DirPath)]
    pub repo: Option<PathBuf>,
    /// Print JSON
    #[arg(long, conflicts_with = "quiet")]
    pub json: bool,
    /// Print container ids only
    #[arg(short, long)]
    pub quiet: bool,
}

/// Runs the command.
///
/// # Errors
/// When the engine cannot be reached, or there is no such repository.
pub async fn run(cx: &Context, args: &ListContainersArgs) -> Result<()> {
    let repo = match &args.repo {
        Some(path) => Some(Repository::discover(path)?),
        None => None,
    };
    let waiting = cx.ui.waiting("listing containers");
    let engine = Engine::connect(&cx.env).await?;
    let mut containers = Containers::read(&engine, &cx.env).await?.own;
    if let Some(repo) = &repo {
        containers.retain(|container| is_of(container, repo));
    }
    if args.quiet {
        drop(waiting);
        let ids = containers.iter().map(|c| format!("{}\n", c.id.0));
        return cx.ui.data(&ids.collect::<String>());
    }
    let containers: Vec<&ListedContainer> = containers.iter().collect();
    let probe = Probe::new(&engine, cx);
    let held = list_work(&probe, &containers).await;
    drop(waiting);
    if args.json {
        let rows = containers.iter().zip(&held);
        let rows = rows.map(|(container, held)| WorkRow::new(container, held.as_ref()));
        return cx.ui.data(&to_json(&rows.collect::<Vec<_>>())?);
    }
    if containers.is_empty() {
        let of = repo.map_or(String::new(), |repo| format!(" of `{}`", repo.root()));
        cx.ui.message(&format!("no containers{of}"));
        return Ok(());
    }
    cx.ui.table(&table(&containers, &held))
}

/// Whether a container belongs to a repository.
pub fn is_of(container: &ListedContainer, repo: &Repository) -> bool {
    let path = container.labels.get(REPO_PATH);
    path.is_some_and(|path| path == repo.root())
}

fn table(containers: &[&ListedContainer], held: &[Option<ContainerWork>]) -> Table {
    let mut table = Table::new([
        Column::shrinkable("NAME"),
        Column::shrinkable("REPO").optional(),
        Column::shrinkable("BRANCH"),
        Column::new("COMMIT").optional(),
        Column::new("STATE"),
        Column::new("CREATED"),
        Column::new("AHEAD"),
        Column::new("BEHIND"),
        Column::new("FILES"),
        Column::new("UNPUSHED"),
        Column::shrinkable("RUNS").optional(),
    ]);
    for (container, held) in containers.iter().zip(held) {
        let label = |name: &str| container.labels.get(name).map_or("", String::as_str);
        let known = |of: &dyn Fn(&ContainerWork) -> Option<usize>| {
            let number = held.as_ref().and_then(of);
            number.map_or("?".to_owned(), |number| number.to_string())
        };
        table.row([
            working_branch(container).to_owned(),
            label(REPO_NAME).to_owned(),
            label(BRANCH_FROM).to_owned(),
            short(label(COMMIT)).to_owned(),
            container.state.clone(),
            ago(container.created, Utc::now()),
            known(&|held| Some(held.report.ahead)),
            known(&|held| held.behind),
            known(&|held| Some(held.unsaved.files())),
            known(&|held| Some(held.unsaved.commits + held.unsaved.stashed)),
            runs(container, held.as_ref()),
        ]);
    }
    table
}

/// What runs in a container: the programs in its session, or its command.
pub fn runs(container: &ListedContainer, held: Option<&ContainerWork>) -> String {
    if !container.is_alive() {
        return String::new();
    }
    match held {
        Some(held) if !held.report.runs.is_empty() => held.report.runs.join(", "),
        _ => {
            let command = container.command.split_once(".sh ");
            command.map_or("", |(_, command)| command).to_owned()
        }
    }
}
