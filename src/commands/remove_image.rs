//! `dkr remove-image`: removes images with all their tags.

use clap::Args;

use crate::app::Context;
use crate::catalog::lookup::find;
use crate::catalog::plan::check_removal;
use crate::catalog::removal::{freed_bytes, remove};
use crate::catalog::{Catalog, CatalogImage};
use crate::cli::Offer;
use crate::engine::Engine;
use crate::error::Result;
use crate::text::{count, size};

pub(super) const EXAMPLES: &str = "Examples:
  dkr remove-image dkr:linux-main-0a1b2c    one image, by tag or id
  dkr remove-image $(dkr list-images -q .)  every image of the current repository";

/// Arguments of `remove-image`.
#[derive(Debug, Clone, Args)]
pub struct RemoveImageArgs {
    /// Tags or ids of images
    #[arg(value_name = "NAME", required = true, add = Offer::Images)]
    pub names: Vec<String>,
    /// Remove even an image that a stopped container uses or that another image is built on
    #[arg(long)]
    pub force: bool,
}

/// Runs the command.
///
/// # Errors
/// `NotFound` if a name matches no image; when one of them is in use. Nothing is removed then.
pub async fn run(cx: &Context, args: &RemoveImageArgs) -> Result<()> {
    let waiting = cx.ui.waiting("listing images");
    let engine = Engine::connect(&cx.env).await?;
    let stock = Catalog::read(&engine, &cx.env).await?;
    let mut images: Vec<&CatalogImage> = Vec::new();
    for name in &args.names {
        let image = find(&stock, name)?;
        if !images.contains(&image) {
            images.push(image);
        }
    }
    check_removal(&stock, &images, args.force)?;
    let bytes = freed_bytes(&engine, &stock, &images).await?;
    drop(waiting);
    remove_and_say(cx, &engine, &stock, &images, bytes, args.force).await
}

/// Removes images, prints the id of each, and reports the result.
pub(super) async fn remove_and_say(
    cx: &Context,
    engine: &Engine,
    stock: &Catalog,
    images: &[&CatalogImage],
    bytes: u64,
    force: bool,
) -> Result<()> {
    let removed = {
        let _waiting = cx.ui.waiting("removing images");
        let say = |image: &CatalogImage| cx.ui.data(&format!("{}\n", image.image.id));
        remove(engine, stock, images, force, say).await?
    };
    for (tag, id) in removed.moved {
        let next = stock.image(&id).and_then(|image| image.image.own_tag());
        let next = next.unwrap_or(&id);
        cx.ui.message(&format!("moved tag `{tag}` to `{next}`"));
    }
    cx.ui.message(&format!(
        "removed {}, {}",
        count(images.len() as u64, "image"),
        size(bytes)
    ));
    Ok(())
}
