//! What every command works with.

use std::time::Duration;

use crate::engine::signals::Router;
use crate::env::Env;
use crate::ui::Ui;

/// The environment of a command and its ways to the user.
pub struct Context {
    /// The environment variables.
    pub env: Env,
    /// How long a container may take to answer.
    pub container_timeout: Duration,
    /// Prints and asks.
    pub ui: Ui,
    /// Decides whether dkr or a container handles a signal; at first dkr does.
    pub signals: Router,
}
