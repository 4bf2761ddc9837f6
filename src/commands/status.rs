//! `dkr status`: a repository's images and containers, on one screen.

use std::cmp::Reverse;
use std::path::PathBuf;

use chrono::Utc;
use clap::{Args, ValueHint};

use super::json::to_json;
use super::list_containers::is_of;
use crate::app::Context;
use crate::bake::images::warn_of;
use crate::bake::source;
use crate::catalog::rows::{FreshRow, ImageRow, RepositoryReport, RepositoryRow, WorkRow};
use crate::catalog::staleness::in_short;
use crate::catalog::{Catalog, CatalogImage, StalenessCheck};
use crate::container::labels::working_branch;
use crate::container::work::list::list_work;
use crate::container::work::{ContainerWork, Probe};
use crate::engine::{Engine, ListedContainer};
use crate::error::Result;
use crate::git::{Repository, short};
use crate::image::dkr_conf::Drift;
use crate::image::search::find;
use crate::image::{Query, Staleness};
use crate::text::{ago, count, size};
use crate::ui::table::{Column, Table};

pub(super) const EXAMPLES: &str = "Examples:
  dkr status                 the current repository
  dkr status ~/src/linux     another one
  dkr status --json          the same as JSON";

/// Arguments of `status`.
#[derive(Debug, Clone, Args)]
pub struct StatusArgs {
    /// Path of a repository [default: the current directory's]
    #[arg(value_hint = ValueHint::DirPath)]
    pub repo: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// An image, compared with its branch and with the current `.dkr.conf`.
type Compared<'a> = (&'a CatalogImage, Staleness, Option<Drift>);

/// Runs the command.
///
/// # Errors
/// When there is no such repository, or the engine cannot be reached.
pub async fn run(cx: &Context, args: &StatusArgs) -> Result<()> {
    let repo = source::open(args.repo.as_deref(), &cx.ui)?;
    let waiting = cx.ui.waiting("listing images and containers");
    let engine = Engine::connect(&cx.env).await?;
    let stock = Catalog::read(&engine, &cx.env).await?;
    let query = Query {
        repo_path: Some(repo.root()),
        ..Query::default()
    };
    let images = compare(query, &stock);
    let containers = containers(&repo, &stock);
    let of_repo = stock.images.iter();
    let of_repo = of_repo.filter(|image| image.image.labels.repo_path == repo.root());
    let disk_used = stock.bytes_of(of_repo);
    let probe = Probe::new(&engine, cx);
    let held = list_work(&probe, &containers).await;
    let repository = describe(&repo);
    drop(waiting);
    warn_of(&stock.listed.rivals(query), &stock.listed, &cx.ui);
    if args.json {
        let rows = images.iter().map(|(image, staleness, drift)| {
            FreshRow::new(
                ImageRow::new(&stock, image, Some(staleness)),
                drift.as_ref(),
            )
        });
        return cx.ui.data(&to_json(&RepositoryReport {
            repository,
            images: rows.collect(),
            containers: containers
                .iter()
                .zip(&held)
                .map(|(container, held)| WorkRow::new(container, held.as_ref()))
                .collect(),
            disk_used,
        })?);
    }
    let commit = repository.commit.as_deref().unwrap_or_default();
    let on = match &repository.branch {
        Some(branch) if branch == commit => format!("at commit {}", short(commit)),
        Some(branch) => format!("on `{branch}` at {}", short(commit)),
        None => "no commits yet".to_owned(),
    };
    let head = format!("{}, {}, {on}", repository.name, repository.path);
    cx.ui.sentence(&head)?;
    cx.ui.data("\n")?;
    if images.is_empty() {
        cx.ui
            .data("no images (bake one with `dkr create-image`)\n")?;
    } else {
        cx.ui.table(&image_table(&stock, &images))?;
    }
    if !containers.is_empty() {
        cx.ui.data("\n")?;
        cx.ui.table(&container_table(&stock, &containers, &held))?;
    }
    let images = count(images.len() as u64, "image");
    let working = held.iter().flatten();
    let working = working.filter(|held| !held.unsaved.is_empty()).count();
    let mut containers = count(containers.len() as u64, "container");
    if working > 0 {
        containers += &format!(" ({working} with unsaved work)");
    }
    cx.ui.data("\n")?;
    cx.ui.sentence(&format!(
        "{images}, {containers}, {} on disk",
        size(disk_used)
    ))
}

fn describe(repo: &Repository) -> RepositoryRow<'_> {
    let head = repo.locate(None).and_then(|located| repo.resolve(located));
    let head = head.ok();
    RepositoryRow {
        path: repo.root(),
        name: repo.name(),
        branch: head.as_ref().map(|target| target.branch.clone()),
        commit: head.map(|target| target.commit.to_string()),
    }
}

/// The images that match `query`, newest first, compared.
fn compare<'a>(query: Query<'_>, stock: &'a Catalog) -> Vec<Compared<'a>> {
    let mut freshness = StalenessCheck::default();
    let found = find(&stock.listed, query).into_iter();
    let found = found.filter_map(|image| stock.image(&image.id));
    let compared = found.map(|image| {
        let staleness = freshness.staleness(&image.image);
        (image, staleness, freshness.drift(&image.image))
    });
    compared.collect()
}

/// The containers of the repository, even those whose image is gone.
fn containers<'a>(repo: &Repository, stock: &'a Catalog) -> Vec<&'a ListedContainer> {
    let all = stock.containers.iter();
    let mut containers: Vec<&ListedContainer> =
        all.filter(|container| is_of(container, repo)).collect();
    containers.sort_by_key(|container| Reverse(container.created));
    containers
}

fn image_table(stock: &Catalog, images: &[Compared<'_>]) -> Table {
    let mut table = Table::new([
        Column::shrinkable("IMAGE"),
        Column::shrinkable("BRANCH"),
        Column::new("COMMIT").optional(),
        Column::new("CREATED"),
        Column::shrinkable("FRESHNESS"),
        Column::shrinkable(".DKR.CONF"),
        Column::new("OWN SIZE").optional(),
    ]);
    for (image, staleness, drift) in images {
        let labels = &image.image.labels;
        table.row([
            image.name(),
            &labels.branch_from,
            short(&labels.commit),
            &ago(labels.created_at, Utc::now()),
            &in_short(staleness),
            drift_in_short(drift.as_ref()),
            &size(stock.own_bytes(image)),
        ]);
    }
    table
}

fn drift_in_short(drift: Option<&Drift>) -> &'static str {
    match drift {
        None => "unknown",
        Some(drift) if drift.is_empty() => "unchanged",
        Some(drift) if drift.needs_new_bake() => "changed: rebuild",
        Some(_) => "changed: update",
    }
}

fn container_table(
    stock: &Catalog,
    containers: &[&ListedContainer],
    held: &[Option<ContainerWork>],
) -> Table {
    let mut table = Table::new([
        Column::shrinkable("CONTAINER"),
        Column::new("STATE"),
        Column::new("CREATED"),
        Column::shrinkable("IMAGE"),
        Column::new("COMMIT").optional(),
        Column::shrinkable("UNSAVED"),
    ]);
    for (container, held) in containers.iter().zip(held) {
        let unsaved = match held {
            None => "not known".to_owned(),
            Some(held) => held.unsaved.describe(),
        };
        let image = stock.image(&container.image);
        let tag = image.map(|image| image.image.own_tag().unwrap_or(image.name()));
        let commit = image.map_or("", |image| &image.image.labels.commit);
        table.row([
            working_branch(container),
            &container.state,
            &ago(container.created, Utc::now()),
            tag.unwrap_or("removed"),
            short(commit),
            &unsaved,
        ]);
    }
    table
}
