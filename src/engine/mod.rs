//! The Docker Engine: connecting to it, and all requests to it.
//!
//! [`Engine::connect`] connects to the engine that the user named and to no other. Everything works
//! with ids, since tags can move meanwhile.

pub mod archive;
pub mod attach;
pub mod connect;
pub mod container_list;
pub mod containers;
pub mod context;
mod dial;
pub mod endpoint;
pub mod error;
pub mod exec;
mod frames;
mod http;
pub mod images;
pub mod info;
mod interaction;
pub mod limits;
pub mod ports;
pub mod question;
mod request;
pub mod signals;
mod ssh;
pub mod stdin;
pub mod storage;
pub mod streams;
pub mod temporary;
pub mod terminal;
#[cfg(test)]
mod testing;
mod tls;
pub mod tmux;
pub mod version;

pub use connect::Engine;
pub use container_list::ListedContainer;
pub use dial::Connection;
pub use images::ImageDetails;
pub use info::{EngineInfo, Location};
pub use storage::{CacheRecord, HistoryStep};
pub use version::Versions;
