//! The work that containers hold: asking them, telling what is nowhere else, and bringing it to the
//! host's repository.
//!
//! It stands beside `inventory` and `start`. `report`, `safety` and `names` are functions from
//! values to values; `own` says which containers are dkr's, `ask` asks a container, which `awake` starts if
//! need be, `look` asks many of them, `host` the repository, and `take` brings the work there; `forgotten`
//! mends what a killed dkr left half done. Nothing here asks the user or prints.

pub mod ask;
pub mod awake;
pub mod forgotten;
pub mod host;
pub mod keep;
pub mod look;
pub mod names;
pub mod own;
pub mod report;
pub mod safety;
pub mod take;

pub use ask::Probe;
pub use keep::Keep;
pub use look::Held;
pub use own::Containers;
pub use report::Report;
pub use safety::OnlyThere;
