//! The git channel of a running container: what its remote `host` is when no key is mounted.
//!
//! A dkr process of its own answers two unix sockets in a folder that is mounted into the
//! container, one with `git upload-pack`, one with `git receive-pack`, of one fixed repository.
//! `start-image` calls [`Folder::create`] and [`Folder::assign`] before the container is created,
//! [`Folder::give_to`] when its id is known, and, as `attach` does, [`ensure_running`] before it starts;
//! the hidden command calls [`run`]. A container that reaches the repository otherwise has such a
//! process, too, which only waits for its end. Whoever sees to a container has [`Folder::hold`].
//! [`records()`] and [`orphans`] are what all the folders say, and [`sweep`] removes those that nobody
//! needs. It knows no engine: callers say how to ask one about a container.

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
