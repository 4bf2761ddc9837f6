//! Starting: from an image to a running container, after an honest word about how stale it is.
//!
//! It stands beside `bake`, between the commands and the layers below. `stale` compares and asks,
//! `container` says what the container gets, `labels` what it is marked with, `channel` opens its way
//! to the host and waits for its end, `agent` lends it the user's SSH agent, `run` connects it with the
//! terminal or the pipes, `end` sees to what is left.

pub mod agent;
pub mod channel;
pub mod container;
pub mod end;
pub mod labels;
pub mod run;
pub mod stale;
