//! `dkr list-images`: every image that dkr built, newest first.

use std::collections::HashMap;

use chrono::Utc;
use clap::Args;

use super::json::to_json;
use crate::app::Context;
use crate::bake::images::warn_of;
use crate::bake::missing::none_of;
use crate::bake::moving_tags::list_mended;
use crate::bake::source;
use crate::catalog::rows::ImageRow;
use crate::catalog::staleness::in_short;
use crate::catalog::{Catalog, CatalogImage, StalenessCheck};
use crate::cli::SearchArgs;
use crate::engine::Engine;
use crate::error::Result;
use crate::git::{Repository, short};
use crate::image::search::find;
use crate::image::{Images, Query, Staleness};
use crate::text::{ago, size};
use crate::ui::table::{Column, Table};

pub(super) const EXAMPLES: &str = "Examples:
  dkr list-images                  every image, newest first
  dkr list-images . main           the images of the current repository's `main`
  dkr list-images --stale          how far each is behind its branch
  dkr list-images --json           the same as JSON";

/// Arguments of `list-images`.
#[derive(Debug, Clone, Args)]
pub struct ListImagesArgs {
    /// Which images [default: all]
    #[command(flatten)]
    pub target: SearchArgs,
    /// Print JSON
    #[arg(long, conflicts_with = "quiet")]
    pub json: bool,
    /// Print image ids only
    #[arg(short, long)]
    pub quiet: bool,
    /// Compare each image with its branch
    #[arg(long = "stale", conflicts_with = "quiet")]
    pub compare: bool,
    /// Do not truncate the output
    #[arg(long)]
    pub no_trunc: bool,
}

/// Hex digits of a shortened image id, as docker shows it.
const SHORT_ID: usize = 12;

/// Runs the command.
///
/// # Errors
/// When the engine cannot be reached, or there is no such repository.
pub async fn run(cx: &Context, args: &ListImagesArgs) -> Result<()> {
    let repo = match &args.target.repo {
        Some(path) => Some(Repository::discover(path)?),
        None => None,
    };
    let waiting = cx.ui.waiting("listing images");
    let engine = Engine::connect(&cx.env).await?;
    let path = repo.as_ref().map(Repository::root);
    let reference = args.target.reference.as_deref();
    let full_name = source::full_name(repo.as_ref(), reference);
    let query = Query {
        repo_path: path,
        reference,
        ref_name: full_name.as_deref(),
    };
    if args.quiet {
        let images = list_mended(&engine, &cx.env).await?;
        drop(waiting);
        warn_of(&images.rivals(query), &images, &cx.ui);
        let found = find(&images, query);
        if found.is_empty() {
            say_nothing_found(cx, &images, repo.as_ref(), reference);
        }
        let ids = found.iter().map(|image| format!("{}\n", image.id));
        return cx.ui.data(&ids.collect::<String>());
    }
    let stock = Catalog::overview(&engine, &cx.env).await?;
    let by_id = stock
        .images
        .iter()
        .map(|stocked| (&stocked.image.id, stocked));
    let by_id: HashMap<&String, &CatalogImage> = by_id.collect();
    let images = find(&stock.listed, query).into_iter();
    let images = images.filter_map(|image| by_id.get(&image.id).copied());
    let images: Vec<&CatalogImage> = images.collect();
    let mut freshness = StalenessCheck::default();
    let mut compare =
        |image: &&CatalogImage| args.compare.then(|| freshness.staleness(&image.image));
    let compared: Vec<Option<Staleness>> = images.iter().map(&mut compare).collect();
    drop(waiting);
    warn_of(&stock.listed.rivals(query), &stock.listed, &cx.ui);
    let images = || {
        images
            .iter()
            .copied()
            .zip(compared.iter().map(Option::as_ref))
    };
    if args.json {
        let rows = images().map(|(image, staleness)| ImageRow::new(&stock, image, staleness));
        return cx.ui.data(&to_json(&rows.collect::<Vec<_>>())?);
    }
    if compared.is_empty() {
        say_nothing_found(cx, &stock.listed, repo.as_ref(), reference);
        return Ok(());
    }
    cx.ui.table(&table(&stock, images(), args))
}

/// An empty list is not an error, but dkr says what is missing.
fn say_nothing_found(
    cx: &Context,
    images: &Images,
    repo: Option<&Repository>,
    reference: Option<&str>,
) {
    let error = none_of(images, repo, reference);
    cx.ui.message(&error.message);
    for hint in &error.hints {
        cx.ui.hint(hint);
    }
}

fn table<'a>(
    stock: &Catalog,
    images: impl Iterator<Item = (&'a CatalogImage, Option<&'a Staleness>)>,
    args: &ListImagesArgs,
) -> Table {
    let mut columns = vec![
        Column::shrinkable("TAG"),
        Column::shrinkable("REPO"),
        Column::shrinkable("BRANCH"),
        Column::new("COMMIT"),
        Column::new("CREATED"),
        Column::new("TYPE").optional(),
        Column::new("OWN SIZE"),
        Column::new("CONTAINERS").optional(),
        Column::new("IMAGE ID").optional(),
    ];
    if args.compare {
        columns.insert(4, Column::shrinkable("FRESHNESS"));
    }
    if args.no_trunc {
        columns = columns.into_iter().map(Column::whole).collect();
    }
    let mut table = Table::new(columns);
    let now = Utc::now();
    for (stocked, staleness) in images {
        let image = &stocked.image;
        let labels = &image.labels;
        let (repo, commit, id) = if args.no_trunc {
            (&*labels.repo_path, &*labels.commit, &*image.id)
        } else {
            let id = image.id.strip_prefix("sha256:").unwrap_or(&image.id);
            let commit = short(&labels.commit);
            (&*labels.repo_name, commit, id.get(..SHORT_ID).unwrap_or(id))
        };
        let mut cells = vec![
            image.shown_tag().unwrap_or("<none>").to_owned(),
            repo.to_owned(),
            labels.branch_from.clone(),
            commit.to_owned(),
            ago(labels.created_at, now),
            labels.image_type.to_string(),
            size(stock.own_bytes(stocked)),
            stock.containers_of(&image.id).len().to_string(),
            id.to_owned(),
        ];
        if let Some(staleness) = staleness {
            cells.insert(4, in_short(staleness));
        }
        table.row(cells);
    }
    table
}
