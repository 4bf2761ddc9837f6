//! Containers: from an image to a running container, the work in it, and its end.
//!
//! - Starting: [`staleness`] compares the image with its branch and asks, [`spec`] builds the
//!   specification of the container, [`labels`] names its labels, [`forward_agent`] forwards the user's
//!   SSH agent, [`start`] starts it and connects it to the terminal or pipes.
//! - Running: [`channel`] serves the host's repository to it, [`watch`] starts and stops that process.
//! - Finding: [`own`] decides which containers belong to dkr, [`lookup`] finds one by name, prefix or id.
//! - Ending: [`finish`] removes or keeps it, [`work`] finds and saves its unsaved work, [`keep`] is the
//!   user's choice, [`forgotten`] repairs what a killed dkr left unfinished.

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
