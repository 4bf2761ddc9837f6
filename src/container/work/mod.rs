//! The work that containers hold: what of it is unsaved, and bringing it to the host's repository.
//!
//! [`probe`] checks one container, which [`awake`] starts if needed; [`list`] checks many; [`host`] looks
//! up which commits the repository has. [`report`] and [`unsaved`] are pure. [`take`] brings the work to
//! the repository. Nothing here asks the user or prints.

pub mod awake;
pub mod host;
pub mod list;
pub mod probe;
pub mod report;
pub mod take;
pub mod unsaved;

pub use list::ContainerWork;
pub use probe::Probe;
