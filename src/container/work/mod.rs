//! The work that containers hold: what of it is unsaved, and bringing it to the host's repository.
//!
//! [`probe`] asks one container, which [`awake`] starts if need be; [`list`] asks many; [`host`] asks the
//! repository which commits it has. [`report`] and [`unsaved`] are pure. [`take`] brings the work to the
//! repository. Nothing here asks the user or prints.

pub mod awake;
pub mod host;
pub mod list;
pub mod probe;
pub mod report;
pub mod take;
pub mod unsaved;

pub use list::ContainerWork;
pub use probe::Probe;
