//! `dkr prune`: removes images that newer ones have replaced, and containers that have ended and have no
//! unsaved work.

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
  dkr prune                          keep the two newest images of each branch
  dkr prune . --keep 1               in the current repository, keep only the newest
  dkr prune --older-than 2w          remove only what is older than two weeks
  dkr prune --dry-run                show what would be removed, and its size

Containers that have ended are removed, too, unless they have unsaved work. Images that a container
uses are kept, and so are all images that a kept image is built on.";

/// Arguments of `prune`.
#[derive(Debug, Clone, Args)]
pub struct PruneArgs {
    /// Path of a repository [default: all repositories]
    #[arg(value_hint = ValueHint::DirPath)]
    pub repo: Option<PathBuf>,
    /// How many images of each branch to keep
    #[arg(long = "keep", value_name = "N", default_value_t = 2)]
    pub newest: usize,
    /// Remove only what is older than this: 12h, 3d, 2w
    #[arg(long, value_name = "AGE", value_parser = age)]
    pub older_than: Option<Duration>,
    /// Show what would be removed, without removing it
    #[arg(long, value_parser = switch)]
    pub dry_run: bool,
    /// Do not ask for confirmation
    #[arg(short, long)]
    pub yes: bool,
    /// Do not ask, and also remove containers with unsaved work
    #[arg(long)]
    pub force: bool,
}

/// Runs the command.
///
/// # Errors
/// `Unanswered` without a terminal and `--yes`; when the engine cannot be reached or refuses.
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
    let waiting = cx.ui.waiting("listing images");
    let engine = Engine::connect(&cx.env).await?;
    drop(waiting);
    // Before the locks: a container may take long to answer.
    let idle = {
        let _waiting = cx.ui.waiting("checking containers for unsaved work");
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
    // Images that only they use can be removed with them.
    stock
        .containers
        .retain(|container| !idle.going.iter().any(|going| going.id == container.id));
    let mut images = prunable(&stock, &leave);
    if !args.dry_run {
        // Newer images belong to a bake that was not waited for.
        images.retain(|image| locks.contains_key(&image.image.labels.repo_path));
    }
    if images.is_empty() && idle.going.is_empty() {
        cx.ui.message("nothing to remove");
        return Ok(());
    }
    let bytes = {
        let _waiting = cx.ui.waiting("listing images");
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
        cx.ui.message(&format!("would remove {total}"));
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
            let _waiting = cx.ui.waiting("removing container");
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
            .message(&format!("keeping container `{name}`: {reason}"));
    }
    let typed = |staying: &Staying| quoted(working_branch(&staying.container)).into_owned();
    if let Some(staying) = idle.staying.iter().find(|staying| staying.holds_work) {
        let name = typed(staying);
        cx.ui.hint(&format!(
            "bring the work of `{name}` to your repository with `dkr take {name}`, or discard it with \
             `dkr remove-container --force {name}`"
        ));
    } else if let [staying, ..] = &*idle.staying {
        cx.ui.hint(&format!(
            "remove it with `dkr remove-container {}`",
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

/// Lists the images. A running bake may just have made an image that it is about to use: unless this is
/// only a look, dkr waits for it, and other bakes wait until the locks are dropped. Each lock is that of
/// the repository with this path.
async fn read(
    cx: &Context,
    engine: &Engine,
    only: Option<&str>,
    look: bool,
) -> Result<(Catalog, BTreeMap<String, BakeLock>)> {
    let stock = {
        let _waiting = cx.ui.waiting("listing images");
        Catalog::read(engine, &cx.env).await?
    };
    if look {
        return Ok((stock, BTreeMap::new()));
    }
    let paths = stock
        .images
        .iter()
        .map(|image| &*image.image.labels.repo_path);
    // In the same order everywhere, so that there is no deadlock.
    let paths: BTreeSet<&str> = paths
        .filter(|path| only.is_none_or(|only| only == *path))
        .collect();
    let mut locks = BTreeMap::new();
    for path in paths {
        let on_wait = || {
            cx.ui
                .message(&format!("waiting for another dkr that is baking `{path}`"))
        };
        let lock = BakeLock::acquire(&cx.env, &engine.describe(), path, on_wait).await?;
        locks.insert(path.to_owned(), lock);
    }
    let _waiting = cx.ui.waiting("listing images");
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
