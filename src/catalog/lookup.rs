//! Which image a name means: a tag, with or without `dkr:`, or a prefix of an id (pure).

use super::images::{Catalog, CatalogImage};
use crate::bake::images::way_out;
use crate::error::{Error, Result, suggestion};
use crate::image::Foreign;

/// Shorter prefixes are not taken for ids: they could be words.
const SHORTEST_ID: usize = 4;

/// The image with exactly this tag or whole id.
pub fn exactly<'a>(images: &'a [CatalogImage], name: &str) -> Option<&'a CatalogImage> {
    images.iter().find(|image| {
        let tags = &image.image.tags;
        image.image.id == name || tags.iter().any(|tag| tag == name)
    })
}

/// The dkr image that `name` means: a tag, an id, or a unique prefix of an id.
///
/// # Errors
/// `NotFound` if there is none; `Usage` if several ids have the prefix.
pub fn find<'a>(stock: &'a Catalog, name: &str) -> Result<&'a CatalogImage> {
    let images = &stock.images;
    let tagged = || exactly(images, &format!("dkr:{name}"));
    if let Some(image) = exactly(images, name).or_else(tagged) {
        return Ok(image);
    }
    let mut found = images.iter().filter(|image| begins(&image.image.id, name));
    match (found.next(), found.next()) {
        (Some(image), None) => Ok(image),
        (Some(_), Some(_)) => Err(Error::usage(format!("the id `{name}` is ambiguous"))
            .cause("several dkr images have an id with this prefix")
            .hint("give more digits: `dkr list-images --no-trunc` shows all of them")),
        (None, _) => Err(none(stock, name)),
    }
}

/// Whether `name` is a prefix of this id.
fn begins(id: &str, name: &str) -> bool {
    let digits = name.strip_prefix("sha256:").unwrap_or(name);
    let is_id = digits.len() >= SHORTEST_ID && digits.bytes().all(|b| b.is_ascii_hexdigit());
    let id = id.strip_prefix("sha256:");
    is_id && id.is_some_and(|id| id.starts_with(digits))
}

fn none(stock: &Catalog, name: &str) -> Error {
    let error = Error::not_found(format!("no dkr image named `{name}`"));
    let is_named = |foreign: &&Foreign| {
        let image = &foreign.image;
        let mut tags = image.tags.iter();
        tags.any(|tag| tag == name || tag.strip_prefix("dkr:") == Some(name))
            || begins(&image.id, name)
    };
    if let Some(foreign) = stock.listed.foreign.iter().find(is_named) {
        let hint = way_out(foreign, &stock.listed);
        return error.cause(foreign.describe()).hint(hint);
    }
    let images = &stock.images;
    let tags = images.iter().flat_map(|image| &image.image.tags);
    let tags: Vec<&str> = tags.map(String::as_str).collect();
    let whole = format!("dkr:{}", name.strip_prefix("dkr:").unwrap_or(name));
    match suggestion(&whole, tags) {
        Some(tag) => error.hint(format!("did you mean `{tag}`?")),
        None => error.hint("list images with `dkr list-images`"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::image;
    use super::*;
    use crate::error::Kind;
    use crate::image::own::Sign;

    #[test]
    fn a_tag_and_the_beginning_of_an_id_name_an_image() {
        let mut stock = Catalog::default();
        stock.images = vec![
            image(
                "sha256:abcd11",
                &["dkr:linux-main", "dkr:linux-main-000001"],
            ),
            image("sha256:abcd22", &["dkr:beef"]),
            image("sha256:beef33", &[]),
        ];
        stock.listed.foreign.push(Foreign {
            image: image("sha256:fade44", &["evil:1"]).image,
            sign: Sign::NoOwnTag,
        });
        let id = |name: &str| find(&stock, name).map(|image| image.image.id.clone());
        for name in [
            "dkr:linux-main",
            "linux-main-000001",
            "abcd1",
            "sha256:abcd11",
        ] {
            assert_eq!(id(name).unwrap(), "sha256:abcd11", "{name}");
        }
        // A tag takes precedence over an id.
        assert_eq!(id("beef").unwrap(), "sha256:abcd22");
        assert_eq!(id("beef3").unwrap(), "sha256:beef33");
        assert_eq!(id("abcd").unwrap_err().kind, Kind::Usage);
        let error = id("linux-mian").unwrap_err();
        assert_eq!(error.kind, Kind::NotFound);
        assert_eq!(error.hints, ["did you mean `dkr:linux-main`?"]);
        assert_eq!(id("abc").unwrap_err().kind, Kind::NotFound);
        for name in ["evil:1", "fade", "sha256:fade44"] {
            let error = id(name).unwrap_err();
            assert_eq!(error.kind, Kind::NotFound);
            assert!(error.causes[0].starts_with("image `evil:1` is labelled as"));
            assert!(error.hints[0].starts_with("`docker rmi evil:1`"));
        }
    }
}
