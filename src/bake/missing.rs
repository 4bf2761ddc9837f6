//! Errors for an image that does not exist.

use super::images::way_out;
use crate::error::{Error, quoted, suggestion};
use crate::git::Repository;
use crate::image::search::find;
use crate::image::{Images, Query};

/// The error that `images` has no dkr image of `repo` and `reference`: that of [`none_of`], and the
/// image that only looks like one.
pub fn no_image(images: &Images, repo: Option<&Repository>, reference: Option<&str>) -> Error {
    let error = none_of(images, repo, reference);
    let query = Query {
        repo_path: repo.map(Repository::root),
        reference,
        ..Query::default()
    };
    match images.look_alikes(query).first() {
        Some(other) => {
            let hint = way_out(other, images);
            error.cause(other.describe()).hint(hint)
        }
        None => error,
    }
}

/// The same error with hints only: the command that bakes an image of an existing ref, or the name
/// nearest to a mistyped one.
pub fn none_of(images: &Images, repo: Option<&Repository>, reference: Option<&str>) -> Error {
    let Some(repo) = repo else {
        return Error::not_found("there is no image yet").hint("run `dkr create-image`");
    };
    let path = repo.root();
    let create = format!("run `dkr create-image {}", quoted(path));
    let Some(reference) = reference else {
        return Error::not_found(format!("there is no image of `{path}`"))
            .hint(format!("{create}`"));
    };
    let error = Error::not_found(format!("there is no image of `{reference}` in `{path}`"));
    let located = repo.locate(Some(reference));
    match located.and_then(|located| repo.resolve(located)) {
        Ok(_) => error.hint(format!("{create} {}`", quoted(reference))),
        Err(missing) => match nearest(images, path, reference) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => Error {
                hints: missing.hints,
                ..error
            },
        },
    }
}

/// The ref nearest to `reference` that has an image.
fn nearest<'i>(images: &'i Images, path: &str, reference: &str) -> Option<&'i str> {
    let of_repo = Query {
        repo_path: Some(path),
        ..Query::default()
    };
    let found = find(images, of_repo).into_iter();
    suggestion(reference, found.map(|image| &*image.labels.branch_from))
}
