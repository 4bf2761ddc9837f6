//! The catalog: the dkr images with their layers, parents and containers, how stale they are, and which
//! of them can be removed.
//!
//! [`images`] reads from the engine, [`staleness`] from the repositories, [`idle`] from the containers;
//! [`layers`], [`lookup`], [`plan`] and [`rows`] are pure. Nothing here asks the user or prints.

pub mod idle;
pub mod images;
pub mod layers;
pub mod lookup;
pub mod plan;
pub mod removal;
pub mod rows;
pub mod staleness;
#[cfg(test)]
mod testing;

pub use images::{Catalog, CatalogImage};
pub use staleness::StalenessCheck;
