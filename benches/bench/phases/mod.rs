//! What is measured, a file each.

pub mod create;
pub mod floor;
pub mod list;
pub mod long;
pub mod start;
pub mod status;
pub mod update;
pub mod versus;
