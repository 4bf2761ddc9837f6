//! What one bake uses: the engine with its images, the transport to the repository, and the lock that
//! keeps other bakes of the repository out.

use std::fmt::Display;

use super::images::list;
use super::lock::BakeLock;
use super::spec::{BuildRemote, tools};
use super::transport::{Transport, TransportOptions};
use crate::app::Context;
use crate::buildkit::BuildContext;
use crate::engine::Engine;
use crate::error::Result;
use crate::git::{Repository, Target};
use crate::image::Images;
use crate::image::dockerfile::{Dockerfile, SOURCE};
use crate::image::runtime::GIT_CONFIG;

/// What the scripts of all steps read, for any transport.
const OWN: [(&str, &str); 2] = [
    ("step.sh", include_str!("../../assets/step.sh")),
    ("gitconfig", GIT_CONFIG),
];

/// What one bake uses.
pub struct BakeJob<'a> {
    /// The engine.
    pub engine: &'a Engine,
    /// The images that were there when the lock was taken.
    pub images: Images,
    /// How the build reaches the repository.
    pub transport: Transport,
    /// What the build's scripts need to know of it.
    pub remote: BuildRemote,
    _lock: BakeLock,
}

impl<'a> BakeJob<'a> {
    /// Chooses the transport, and waits until no other process bakes the repository.
    ///
    /// # Errors
    /// When the engine does not answer, or the SSH server cannot be used.
    pub async fn open(
        engine: &'a Engine,
        repo: &Repository,
        target: &Target,
        options: &TransportOptions,
        cx: &Context,
    ) -> Result<Self> {
        let _waiting = cx.ui.waiting("choosing a transport");
        let transport = Transport::choose(engine, repo, target, options, cx).await?;
        let remote = transport.remote(repo.root());
        let on_wait = || {
            cx.ui
                .message("waiting for another dkr process that is baking this repository")
        };
        let name = engine.describe();
        let lock = BakeLock::acquire(&cx.env, &name, repo.root(), on_wait).await?;
        Ok(BakeJob {
            engine,
            images: list(engine).await?,
            transport,
            remote,
            _lock: lock,
        })
    }

    /// The context of a build: the Dockerfile, what installs packages, what reaches the
    /// repository, and `files` beside that.
    pub fn context<F: Into<Vec<u8>>>(
        &self,
        dockerfile: &Dockerfile,
        files: impl IntoIterator<Item = (impl Display, F)>,
    ) -> BuildContext {
        let port = self.remote.port.to_string();
        let reach = [
            ("url", &self.remote.url),
            ("user", &self.remote.user),
            ("host", &self.remote.host),
            ("port", &port),
            ("known_hosts", &self.remote.known_hosts),
        ];
        let mut context = tools().file("Dockerfile", 0o644, dockerfile.text());
        for (name, content) in OWN.into_iter().chain(self.transport.scripts()) {
            context = context.file(format!("{SOURCE}/{name}"), 0o644, content);
        }
        for (name, content) in reach {
            context = context.file(format!("{SOURCE}/{name}"), 0o644, content.as_str());
        }
        for (name, content) in files {
            context = context.file(format!("{SOURCE}/{name}"), 0o644, content);
        }
        context
    }
}
