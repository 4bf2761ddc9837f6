//! Building an image natively through the engine's `/session` and `/build`.
//!
//! [`build`] sends a [`BuildRequest`] and reports [`event::Event`]s while BuildKit works. During the
//! build dkr is a gRPC server towards the engine ([`session`]): it answers the engine's health
//! checks, `RUN --mount=type=ssh` ([`ssh_mount`], of which a key of an SSH [`agent`] is one service) and
//! questions for registry credentials ([`registry_auth`]). What a step may sign with the user's key
//! is decided by a [`Gate`]. Nothing here prints or reads the process environment.

pub mod agent;
pub mod context;
mod docker_config;
pub mod event;
pub mod failure;
mod gate;
pub mod git_progress;
mod log_lines;
pub mod package_progress;
pub mod registry_auth;
pub mod request;
pub mod session;
pub mod ssh_mount;
pub mod step_name;
pub mod trace;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod protocol_tests;
#[cfg(test)]
mod ssh_mount_tests;
#[cfg(test)]
mod trace_tests;

pub use agent::AgentMount;
pub use context::BuildContext;
pub use failure::{BuildFailure, FailedStep};
pub use gate::Gate;
pub use registry_auth::RegistryAuth;
pub use request::{BuildRequest, GateMarker, build};
pub use ssh_mount::MountService;
