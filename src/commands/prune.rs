//! `dkr prune`: removes the images that newer ones have replaced, and the containers that have ended and
//! hold nothing that is nowhere else.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use clap::{Args, ValueHint};

use super::remove_image::remove_and_say;
use crate::app::Context;
use crate::bake::images::warn_of;
use crate::bake::lock::BakeLock;
use crate::catalog::idle::{Idle, Staying, idle};
use crate::catalog::plan::{Leave, prunable};
use crate::catalog::removal::freed_bytes;
use crate::catalog::{Catalog, CatalogImage};
use crate::cli::values::{age, switch};
use crate::container::Containers;
use crate::container::finish::remove;
use crate::container::labels::working_branch;
use crate::container::watch;
use crate::container::work::Probe;
use crate::engine::Engine;
use crate::error::{Result, quoted};
use crate::git::{Repository, short};
use crate::image::Query;
use crate::image::labels::REPO_NAME;
use crate::text::{ago, count, size};
use crate::ui::table::{Column, Table};

pub(super) const EXAMPLES: &str = "Examples:
  dkr prune                          of each branch keep the two newest images
  dkr prune . --keep 1               of the current repository, keep only the newest ones
  dkr prune --older-than 2w          remove only what is older than two weeks
  dkr prune --dry-run                say what would be removed, and how much that is

Containers that have ended go, too, but not with work that is nowhere else. What a container uses
stays, and so does every image that a kept one was built on.";

/// Arguments of `prune`.
#[derive(Debug, Clone, Args)]
pub struct PruneArgs {
    /// Path of a repository [default: all repositories]
    #[arg(value_hint = ValueHint::DirPath)]
    pub repo: Option<PathBuf>,
    /// How many images of each branch to keep
    #[arg(long = "keep", value_name = "N", default_value_t = 2)]
    pub newest: usize,
    /// Remove only what is older: 12h, 3d, 2w
    #[arg(long, value_name = "AGE", value_parser = age)]
    pub older_than: Option<Duration>,
    /// Say what would be removed, and remove nothing
    #[arg(long, value_parser = switch)]
    pub dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Do not ask, and also remove containers with work that is nowhere else
    #[arg(long)]
    pub force: bool,
}

/// Runs the command.
///
/// # Errors
/// `Unanswered` without a terminal and `--yes`; when the engine cannot be asked or refuses.
pub async fn run(cx: &Context, args: &PruneArgs) -> Result<()> {
    let repo = match &args.repo {
        Some(path) => Some(Repository::discover(path)?),
        None => None,
    };
    let path = repo.as_ref().map(Repository::root);
    let age = args
        .older_than
        .and_then(|age| TimeDelta::from_std(age).ok());
    let leave = Leave {
        other_than: path,
        newest: args.newest,
        since: age.and_then(|age| Utc::now().checked_sub_signed(age)),
    };
    let waiting = cx.ui.waiting("look into the images");
    let engine = Engine::connect(&cx.env).await?;
    drop(waiting);
    // Before the locks: an answer of a container may take its time.
    let idle = {
        let _waiting = cx.ui.waiting("look for work in the containers");
        let containers = Containers::read(&engine, &cx.env).await?.own;
        let probe = Probe::new(&engine, cx);
        idle(&probe, &containers, &leave, args.dry_run, args.force).await
    };
    say_what_stays(cx, &idle);
    let (mut stock, locks) = read(cx, &engine, path, args.dry_run).await?;
    let query = Query {
        repo_path: path,
        ..Query::default()
    };
    warn_of(&stock.listed.rivals(query), &stock.listed, &cx.ui);
    // What they used can go with them.
    stock
        .containers
        .retain(|container| !idle.going.iter().any(|going| going.id == container.id));
    let mut images = prunable(&stock, &leave);
    if !args.dry_run {
        // What has come since belongs to a bake that was not waited for.
        images.retain(|image| locks.contains_key(&image.image.labels.repo_path));
    }
    if images.is_empty() && idle.going.is_empty() {
        cx.ui.message("there is nothing to remove");
        return Ok(());
    }
    let bytes = {
        let _waiting = cx.ui.waiting("look into the images");
        freed_bytes(&engine, &stock, &images).await?
    };
    let total = total(&idle, &images, bytes);
    if args.dry_run {
        if !idle.going.is_empty() {
            cx.ui.table(&container_table(&idle))?;
        }
        if !images.is_empty() {
            cx.ui.table(&table(&stock, &images))?;
        }
        cx.ui.message(&format!("this would remove {total}"));
        return Ok(());
    }
    if !args.yes && !args.force {
        let (containers, images) = (container_table(&idle), table(&stock, &images));
        for table in [&containers, &images]
            .into_iter()
            .filter(|table| !table.is_empty())
        {
            cx.ui.show(table);
        }
        let question = format!("Remove {total}?");
        if !cx.ui.confirm(&question, false, "--yes")? {
            cx.ui.message("nothing was removed");
            return Ok(());
        }
    }
    for container in &idle.going {
        {
            let _waiting = cx.ui.waiting("remove the container");
            remove(&engine, &container.id).await?;
        }
        cx.ui.data(&format!("{}\n", container.id.0))?;
        let name = working_branch(container);
        cx.ui.message(&format!("removed container `{name}`"));
    }
    watch::sweep(&engine, cx).await;
    if images.is_empty() {
        return Ok(());
    }
    remove_and_say(cx, &engine, &stock, &images, bytes, false).await
}

fn say_what_stays(cx: &Context, idle: &Idle) {
    for Staying {
        container, reason, ..
    } in &idle.staying
    {
        let name = working_branch(container);
        cx.ui
            .message(&format!("container `{name}` stays: {reason}"));
    }
    let typed = |staying: &Staying| quoted(working_branch(&staying.container)).into_owned();
    if let Some(staying) = idle.staying.iter().find(|staying| staying.holds_work) {
        cx.ui.hint(&format!(
            "`dkr take {}` brings its work to your repository; `--force` drops it",
            typed(staying)
        ));
    } else if let [staying, ..] = &*idle.staying {
        cx.ui.hint(&format!(
            "`dkr remove-container {}` removes it",
            typed(staying)
        ));
    }
}

fn total(idle: &Idle, images: &[&CatalogImage], bytes: u64) -> String {
    let containers = (idle.going.len() as u64, "container");
    let parts = [containers, (images.len() as u64, "image")];
    let parts = parts.into_iter().filter(|(number, _)| *number > 0);
    let parts: Vec<String> = parts.map(|(number, noun)| count(number, noun)).collect();
    format!("{}, {}", parts.join(" and "), size(bytes))
}

fn container_table(idle: &Idle) -> Table {
    let mut table = Table::new([
        Column::shrinkable("CONTAINER"),
        Column::shrinkable("REPO"),
        Column::new("CREATED"),
    ]);
    for container in &idle.going {
        let repo = container.labels.get(REPO_NAME).map_or("", String::as_str);
        table.row([
            working_branch(container),
            repo,
            &ago(container.created, Utc::now()),
        ]);
    }
    table
}

/// Reads what there is. A bake that runs may just have made what it will need in a moment: unless
/// this is only a look, it is waited for, and others wait until the locks are dropped. Each lock
/// is that of the repository with this path.
async fn read(
    cx: &Context,
    engine: &Engine,
    only: Option<&str>,
    look: bool,
) -> Result<(Catalog, BTreeMap<String, BakeLock>)> {
    let stock = {
        let _waiting = cx.ui.waiting("look into the images");
        Catalog::read(engine, &cx.env).await?
    };
    if look {
        return Ok((stock, BTreeMap::new()));
    }
    let paths = stock
        .images
        .iter()
        .map(|image| &*image.image.labels.repo_path);
    // In the same order everywhere, so that no two wait for each other.
    let paths: BTreeSet<&str> = paths
        .filter(|path| only.is_none_or(|only| only == *path))
        .collect();
    let mut locks = BTreeMap::new();
    for path in paths {
        let on_wait = || {
            cx.ui
                .message(&format!("waiting for another dkr that bakes `{path}`"))
        };
        let lock = BakeLock::acquire(&cx.env, &engine.describe(), path, on_wait).await?;
        locks.insert(path.to_owned(), lock);
    }
    let _waiting = cx.ui.waiting("look into the images");
    Ok((Catalog::read(engine, &cx.env).await?, locks))
}

fn table(stock: &Catalog, images: &[&CatalogImage]) -> Table {
    let mut table = Table::new([
        Column::shrinkable("IMAGE"),
        Column::shrinkable("BRANCH"),
        Column::new("COMMIT").optional(),
        Column::new("CREATED"),
        Column::new("TYPE").optional(),
        Column::new("OWN SIZE"),
    ]);
    for image in images {
        let labels = &image.image.labels;
        table.row([
            image.image.own_tag().unwrap_or(image.name()),
            &labels.branch_from,
            short(&labels.commit),
            &ago(labels.created_at, Utc::now()),
            labels.image_type.as_str(),
            &size(stock.own_bytes(image)),
        ]);
    }
    table
}
