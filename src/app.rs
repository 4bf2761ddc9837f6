//! The context that every command runs in.

use std::time::Duration;

use crate::engine::signals::Router;
use crate::env::Env;
use crate::ui::Ui;

/// The environment of a command and its connection to the user.
pub struct Context {
    /// The environment variables.
    pub env: Env,
    /// How long a container may take to answer (`container_timeout`).
    pub container_timeout: Duration,
    /// Prints messages and asks questions.
    pub ui: Ui,
    /// Decides whether dkr or a container handles a signal; initially dkr does.
    pub signals: Router,
}
