//! Containers of dkr: from an image to a running container, what work it holds, and its end.
//!
//! - Starting: [`staleness`] compares the image and asks, [`spec`] says what the container gets,
//!   [`labels`] what it is labelled with, [`forward_agent`] lends it the user's SSH agent, [`start`]
//!   connects it with the terminal or pipes.
//! - Living: [`channel`] serves the host's repository to it, [`watch`] starts and stops that process.
//! - Finding: [`own`] decides which containers are dkr's, [`lookup`] finds one by name, prefix or id.
//! - Ending: [`finish`] removes a container or keeps it, [`work`] finds and saves its unsaved work,
//!   [`keep`] is the user's choice, [`forgotten`] repairs what a killed dkr left half done.

pub mod channel;
pub mod finish;
pub mod forgotten;
pub mod forward_agent;
pub mod keep;
pub mod labels;
pub mod lookup;
pub mod own;
pub mod spec;
pub mod staleness;
pub mod start;
pub mod watch;
pub mod work;

pub use keep::Keep;
pub use own::Containers;
