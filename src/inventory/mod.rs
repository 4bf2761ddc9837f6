//! What there is: dkr's images with their layers, parents and containers, how fresh they are, and
//! which of them can go.
//!
//! It stands beside `bake` and `start`. `stock` asks the engine, `freshness` the repositories, `idle` the
//! containers; `layers`, `names`, `plan` and `rows` are functions from values to values. Nothing here asks the
//! user or prints.

pub mod freshness;
pub mod idle;
pub mod layers;
pub mod names;
pub mod plan;
pub mod removal;
pub mod rows;
pub mod stock;
#[cfg(test)]
mod testing;

pub use freshness::Freshness;
pub use stock::{Stock, Stocked};
