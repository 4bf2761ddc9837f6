//! `dkr inspect-image`: shows the details of one image.

use std::path::{Path, PathBuf};

use chrono::Utc;
use clap::{Args, ValueHint};

use super::json::to_json;
use crate::app::Context;
use crate::bake::images::warn_of;
use crate::bake::missing::no_image;
use crate::bake::source;
use crate::catalog::lookup::{exactly, find};
use crate::catalog::rows::ImageReport;
use crate::catalog::{Catalog, CatalogImage, StalenessCheck};
use crate::cli::Offer;
use crate::container::labels::working_branch;
use crate::engine::Engine;
use crate::error::Result;
use crate::git::{Repository, short};
use crate::image::dkr_conf::{ConfLabel, Drift};
use crate::image::search::best;
use crate::image::staleness::sentence;
use crate::image::{Query, Staleness};
use crate::text::{ago, count, size};
use crate::ui::Ui;
use crate::ui::table::{Column, Table};

pub(super) const EXAMPLES: &str = "Examples:
  dkr inspect-image                         the newest image of the current repository
  dkr inspect-image ~/src/linux v6.12       the image of a tag of another repository
  dkr inspect-image dkr:linux-main          an image by its tag
  dkr inspect-image 5b32e5e2aff3 --json     an image by its id, as JSON";

/// Arguments of `inspect-image`.
#[derive(Debug, Clone, Args)]
pub struct InspectImageArgs {
    /// Tag or id of an image, or path of a repository [default: the current directory's]
    #[arg(value_name = "IMAGE|REPO", value_hint = ValueHint::DirPath, add = Offer::Images)]
    pub image: Option<PathBuf>,
    /// Branch, `remote/branch`, tag or commit of the repository [default: any]
    #[arg(value_name = "REF", allow_hyphen_values = true, add = Offer::Refs)]
    pub reference: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
///
/// # Errors
/// `NotFound` if there is no such image; when the engine cannot be reached.
pub async fn run(cx: &Context, args: &InspectImageArgs) -> Result<()> {
    let waiting = cx.ui.waiting("listing images");
    let engine = Engine::connect(&cx.env).await?;
    let stock = Catalog::read(&engine, &cx.env).await?;
    let image = choose(&stock, args, &cx.ui)?;
    let mut freshness = StalenessCheck::default();
    let staleness = freshness.staleness(&image.image);
    let drift = freshness.drift(&image.image);
    if args.json {
        let labels = engine.image(&image.image.id).await?.labels;
        drop(waiting);
        let report = ImageReport::new(&stock, image, &staleness, drift.as_ref(), &labels);
        return cx.ui.data(&to_json(&report)?);
    }
    drop(waiting);
    cx.ui
        .record(&facts(&stock, image, &staleness, drift.as_ref()))?;
    let chain = stock.chain(image);
    if !chain.is_empty() {
        cx.ui.data("\n")?;
        cx.ui.table(&parents(&stock, &chain))?;
    }
    let containers = stock.containers_of(&image.image.id);
    if containers.is_empty() {
        return Ok(());
    }
    let mut table = Table::new([
        Column::shrinkable("CONTAINER"),
        Column::new("STATE"),
        Column::new("CREATED"),
    ]);
    for container in containers {
        let made = ago(container.created, Utc::now());
        table.row([working_branch(container), &container.state, &made]);
    }
    cx.ui.data("\n")?;
    cx.ui.table(&table)
}

/// The requested image: by its name, or the newest of a repository. If the argument could be either, it is
/// the path if a REF follows, and otherwise the image if the name is complete.
fn choose<'a>(stock: &'a Catalog, args: &InspectImageArgs, ui: &Ui) -> Result<&'a CatalogImage> {
    let name = args.image.as_deref().and_then(Path::to_str);
    if let (Some(name), None) = (name, &args.reference) {
        if let Some(image) = exactly(&stock.images, name) {
            return Ok(image);
        }
        if !Path::new(name).exists() {
            return find(stock, name);
        }
    }
    let repo = Repository::discover(args.image.as_deref().unwrap_or(Path::new(".")))?;
    let reference = args.reference.as_deref();
    let full_name = source::full_name(Some(&repo), reference);
    let query = Query {
        repo_path: Some(repo.root()),
        reference,
        ref_name: full_name.as_deref(),
    };
    let images = &stock.listed;
    let image = best(images, query).and_then(|image| stock.image(&image.id));
    let image = image.ok_or_else(|| no_image(images, Some(&repo), reference))?;
    warn_of(&images.rivals(query), images, ui);
    Ok(image)
}

fn facts(
    stock: &Catalog,
    image: &CatalogImage,
    staleness: &Staleness,
    drift: Option<&Drift>,
) -> Table {
    let labels = &image.image.labels;
    let own = stock.own_bytes(image);
    let built = ago(labels.created_at, Utc::now());
    let config = labels.config.as_deref();
    let config = config.and_then(|text| ConfLabel::parse(text).ok());
    let mut facts: Vec<(&str, String)> = vec![
        ("IMAGE", image.image.tags.join(" ")),
        ("ID", image.image.id.clone()),
        ("REPOSITORY", labels.repo_path.clone()),
        (
            "BRANCH",
            format!("{} ({})", labels.branch_from, labels.ref_name),
        ),
        ("COMMIT", labels.commit.clone()),
        (
            "CREATED",
            format!(
                "{built}, {}",
                labels
                    .created_at
                    .to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
            ),
        ),
        (
            "TYPE",
            format!(
                "{}, {}, by dkr {}",
                labels.image_type, image.architecture, labels.version
            ),
        ),
        (
            "SIZE",
            format!(
                "{} own, {} shared, in {}",
                size(own),
                size(image.layers.bytes() - own),
                count(image.layers.count() as u64, "layer"),
            ),
        ),
        (
            "FRESHNESS",
            sentence(staleness, image.name(), &labels.branch_from, &built),
        ),
    ];
    if let Some(config) = config {
        facts.push(("BASE IMAGE", config.base_image));
        facts.push(("PACKAGES", config.packages.join(" ")));
        facts.push(("VOLUMES", config.volumes.join(" ")));
    }
    facts.push((
        "DRIFT",
        match drift {
            None => "not known".to_owned(),
            Some(drift) if drift.is_empty() => "none".to_owned(),
            Some(drift) => drift.describe().join("; "),
        },
    ));
    facts.retain(|(_, value)| !value.is_empty());
    let mut table = Table::new(facts.iter().map(|(name, _)| Column::new(name)));
    table.row(facts.iter().map(|(_, value)| value));
    table
}

fn parents(stock: &Catalog, chain: &[&CatalogImage]) -> Table {
    let mut table = Table::new([
        Column::shrinkable("BUILT ON"),
        Column::new("TYPE"),
        Column::new("COMMIT"),
        Column::new("CREATED"),
        Column::new("OWN SIZE"),
    ]);
    for parent in chain {
        let labels = &parent.image.labels;
        table.row([
            parent.image.own_tag().unwrap_or(parent.name()),
            labels.image_type.as_str(),
            short(&labels.commit),
            &ago(labels.created_at, Utc::now()),
            &size(stock.own_bytes(parent)),
        ]);
    }
    table
}
