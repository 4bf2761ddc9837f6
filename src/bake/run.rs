//! Runs one build: shows its progress, retries where that helps, and reports its failure in terms of
//! `.dkr.conf`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::progress::BuildProgress;
use super::session_host::HostStream;
use super::transport::Transport;
use crate::app::Context;
use crate::buildkit::step_name::Label;
use crate::buildkit::{BuildContext, BuildFailure, BuildRequest, FailedStep, Gate, GateMarker};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::image::dockerfile::{Dockerfile, SSH_MOUNT, StepOrigin};

/// One build, ready to run.
pub struct Build<'a> {
    /// The Dockerfile that the context holds.
    pub dockerfile: &'a Dockerfile,
    /// The files it uses.
    pub context: BuildContext,
    /// Tags for the image.
    pub tags: Vec<String>,
    /// Labels of the image.
    pub labels: BTreeMap<String, String>,
    /// Build arguments.
    pub arguments: BTreeMap<String, String>,
    /// Do not use the build cache.
    pub no_cache: bool,
    /// How the repository is reached.
    pub transport: &'a Transport,
    /// Commands on the host whose output a step may ask for, by name.
    pub streams: HashMap<String, HostStream>,
}

/// How a build that did not fail ended.
pub enum BuildEnd {
    /// It built this image.
    Built(String),
    /// One of dkr's own scripts found that the host's packs had changed; its message.
    Changed(String),
    /// One of dkr's own scripts cannot use the host's packs; its message.
    Unusable(String),
}

/// How long to wait, after a step has failed, for the host's programs that it used to report why. It
/// ends as soon as the last of them has exited.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// The exit code of dkr's scripts for [`BuildEnd::Changed`].
const CHANGED: i32 = 75;
/// The exit code of dkr's scripts for [`BuildEnd::Unusable`].
const UNUSABLE: i32 = 76;

impl Build<'_> {
    /// Runs the build and returns the id of the image.
    ///
    /// # Errors
    /// The reason why there is no image.
    pub async fn run(&self, engine: &Engine, context: &Context) -> Result<String> {
        let ended = self.attempt_twice(engine, context).await;
        ended.map_err(|failure| self.worded(failure))
    }

    /// As [`Build::run`], for a build that may find that it must be done in another way.
    ///
    /// # Errors
    /// The reason why there is no image.
    pub async fn run_or_give_way(&self, engine: &Engine, context: &Context) -> Result<BuildEnd> {
        match self.attempt_twice(engine, context).await {
            Ok(image) => Ok(BuildEnd::Built(image)),
            Err(BuildFailure::Step(step)) if self.is_fetching(&step) => match step.exit_code {
                Some(CHANGED) => Ok(BuildEnd::Changed(last_words(&step))),
                Some(UNUSABLE) => Ok(BuildEnd::Unusable(last_words(&step))),
                _ => Err(self.step_error(step)),
            },
            Err(failure) => Err(self.worded(failure)),
        }
    }

    fn is_fetching(&self, failed: &FailedStep) -> bool {
        let step = self.dockerfile.step(&failed.name);
        step.is_some_and(|step| Some(&*step.instruction) == self.dockerfile.fetching_step())
    }

    async fn attempt_twice(
        &self,
        engine: &Engine,
        context: &Context,
    ) -> std::result::Result<String, BuildFailure> {
        match self.attempt(engine, context).await {
            // Another build that shared a step was canceled, and this one with it.
            Err(BuildFailure::SharedStepCanceled { .. }) => {
                let ui = &context.ui;
                ui.warning("the build shared a step with a canceled build; retrying");
                self.attempt(engine, context).await
            }
            ended => ended,
        }
    }

    async fn attempt(
        &self,
        engine: &Engine,
        context: &Context,
    ) -> std::result::Result<String, BuildFailure> {
        let gate = Arc::new(Gate::new());
        let (complain, complaints) = unbounded_channel();
        let transport = self.transport;
        let service = transport.service(gate.clone(), &self.streams, complain, context)?;
        let marker = self.dockerfile.fetching_step();
        let marker = marker.map(|marker| GateMarker {
            marker: marker.to_owned(),
            gate,
        });
        let request = BuildRequest {
            context: self.context.clone(),
            tags: self.tags.clone(),
            labels: self.labels.clone(),
            build_args: self.arguments.clone(),
            network: self.transport.network(),
            no_cache: self.no_cache,
            uncompressed: engine.info().await?.containerd_store,
            mounts: HashMap::from([(SSH_MOUNT.to_owned(), service)]),
            gate: marker,
        };
        let mut progress = BuildProgress::new(&context.ui, |vertex: &str| self.label(vertex));
        let mut waiting = Some(context.ui.waiting("starting the build"));
        let mut show = |event| {
            waiting.take();
            progress.show(&event);
        };
        let cancel = context.signals.interrupt().cancelled();
        match crate::buildkit::build(engine, &context.env, request, &mut show, cancel).await {
            Ok(image) => Ok(image.to_string()),
            Err(BuildFailure::Step(mut step)) => {
                step.log.extend(all_of(complaints).await);
                Err(BuildFailure::Step(step))
            }
            Err(other) => Err(other),
        }
    }

    fn label(&self, vertex: &str) -> Option<Label> {
        let Some(step) = self.dockerfile.step(vertex) else {
            // dkr's own directories, and its small context on its way into the build.
            let own = vertex == "copy /context /" || vertex.contains("] WORKDIR ");
            return own.then_some(Label::Hidden);
        };
        Some(Label::Shown(match &step.origin {
            StepOrigin::Dkr(phase) => phase.label().to_owned(),
            StepOrigin::Section { name, .. } => format!("[{name}] {}", step.instruction),
        }))
    }

    fn worded(&self, failure: BuildFailure) -> Error {
        match failure {
            BuildFailure::Step(step) => self.step_error(step),
            other => other.into_error(),
        }
    }

    fn step_error(&self, failed: FailedStep) -> Error {
        let Some(step) = self.dockerfile.step(&failed.name) else {
            return with_log(BuildFailure::Step(failed.clone()).into_error(), &failed.log);
        };
        let code = failed.exit_code;
        let code = code.map_or(String::new(), |code| format!(" with exit code {code}"));
        let error = match &step.origin {
            StepOrigin::Dkr(phase) => Error::failed(format!("cannot {}", phase.label()))
                .cause(format!("step `{}` failed{code}", step.instruction)),
            StepOrigin::Section { name, line } => Error::failed(format!(
                "step `{}` ([{name}], line {line} of `.dkr.conf`) failed{code}",
                step.instruction
            )),
        };
        let error = if failed.exit_code.is_none() {
            error.cause(failed.message)
        } else {
            error
        };
        with_log(error, &failed.log)
    }
}

/// What the host's programs wrote to stderr; those that the step used may still be exiting.
async fn all_of(mut complaints: UnboundedReceiver<String>) -> Vec<String> {
    let mut lines = Vec::new();
    let ended = async {
        while let Some(complaint) = complaints.recv().await {
            lines.extend(complaint.lines().map(|line| format!("host: {line}")));
        }
    };
    let _ = tokio::time::timeout(LAST_WORDS, ended).await;
    lines
}

/// The last message of dkr's script.
fn last_words(step: &FailedStep) -> String {
    let mut lines = step.log.iter().rev();
    let said = lines.find_map(|line| line.strip_prefix("dkr: "));
    said.unwrap_or(&step.message).to_owned()
}

/// Adds the last lines of a step's output, which tell most about why it failed.
fn with_log(error: Error, log: &[String]) -> Error {
    if log.is_empty() {
        return error;
    }
    error.cause(format!("its last output:\n{}", log.join("\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_complaint_that_comes_late_is_heard() {
        let (complain, complaints) = unbounded_channel();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(2)).await;
            complain.send("one\ntwo".to_owned())
        });
        assert_eq!(all_of(complaints).await, ["host: one", "host: two"]);
    }
}
