//! Baking: what `create-image` and `update-image` share, from a repository and a ref to an image.
//!
//! It stands between the commands and the layers below, which it joins: `git` reads the
//! repository, `conf` its `.dkr.conf`, `dockerfile` and `image` decide what is built, `build` builds
//! it on an `engine`.

pub mod access;
mod borrowed;
pub mod create;
pub mod fold;
pub mod freshness;
pub mod images;
pub mod lock;
pub mod missing;
pub mod moving_tags;
pub mod objects;
pub mod progress;
pub mod refresh;
pub mod room;
pub mod run;
pub mod session_host;
pub mod site;
pub mod source;
pub mod spec;
pub mod ssh;
pub mod update;
pub mod url;

use std::time::Duration;

use crate::engine::signals::Router;
use crate::env::Env;
use crate::ui::Ui;

/// What every command works with.
pub struct Context {
    /// The environment.
    pub env: Env,
    /// How long a container may take to answer.
    pub container_timeout: Duration,
    /// How to speak to the user.
    pub ui: Ui,
    /// Whom a signal is for; at first dkr itself.
    pub signals: Router,
}
