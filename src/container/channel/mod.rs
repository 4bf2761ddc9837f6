//! The git channel of a running container: its remote `host` when no key is mounted.
//!
//! A separate dkr process listens on two unix sockets in a folder that is mounted into the container, and
//! answers one with `git upload-pack`, one with `git receive-pack`, of one fixed repository. `start-image`
//! calls [`Folder::create`] and [`Folder::assign`] before the container is created, [`Folder::give_to`]
//! once its id is known, and, as `attach` does, [`ensure_running`] before it starts; the hidden command
//! calls [`run`]. A container that reaches the repository over SSH, or not at all, has such a process, too,
//! which only waits for its end. A command that handles a container takes a lease with [`Folder::hold`].
//! [`records()`] and [`orphans`] read all the folders, and [`sweep`] removes those that are no longer
//! needed. The module knows no engine: callers pass in how to ask one about a container.

mod ended;
mod folder;
mod log;
mod process;
mod records;
mod server;
#[cfg(test)]
mod tests;

pub use ended::{ChannelTimeouts, ContainerStatus, wait_for_end};
pub use folder::{Channel, Folder, Lease};
pub use process::{ensure_running, run};
pub use records::{orphans, records, sweep};
