//! Baking: from a repository and a ref to an image.
//!
//! It joins the rooms below: `git` reads the repository, `image` parses its `.dkr.conf` and decides
//! what is built, `buildkit` builds it on an `engine`.
//!
//! - [`create`] bakes an image from scratch, [`update`] brings one up to date: by an [`update_layer`],
//!   or from scratch where a layer cannot carry what changed. [`squash`] merges the update layers of an
//!   image once they have become many.
//! - [`objects`] keeps the image of the repository's packs that all branches share; [`object_state`]
//!   decides when that needs another layer.
//! - [`transport`] chooses how a build reaches the repository: over SSH or through [`session_host`].
//! - [`job`] holds what one bake uses, [`lock`] keeps two of them apart, [`run`] runs the build and
//!   [`progress`] shows it.

mod borrowed;
pub mod create;
pub mod disk_space;
pub mod images;
pub mod job;
pub mod lock;
pub mod missing;
pub mod moving_tags;
pub mod object_state;
pub mod objects;
pub mod progress;
pub mod run;
pub mod session_host;
pub mod source;
pub mod spec;
pub mod squash;
pub mod transport;
pub mod update;
pub mod update_layer;
