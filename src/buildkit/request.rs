//! The build itself: sends a [`BuildRequest`] to `POST /build` and follows it to its end.
//!
//! The query's parameters: Docker Engine API, "Build an image"; `session` and `buildid` as moby
//! `client/image_build.go` sends them.

use std::collections::{BTreeMap, HashMap};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, StatusCode};
use tokio::sync::mpsc;

use super::event::{Event, StepId};
use super::failure::BuildFailure;
use super::session::{Session, random_id};
use super::trace::{BuildResult, ImageId, Trace};
use super::{BuildContext, Gate, MountService, RegistryAuth};
use crate::engine::Engine;
use crate::engine::error::refusal;
use crate::env::Env;
use crate::error::{Error, Result};

/// How long a request to cancel may take: an interrupted command must end.
const CANCELING: Duration = Duration::from_millis(700);
/// How long to wait for the build's own answer once the session is gone: the engine closes the session
/// when a build ends, and also when the engine exits.
const LAST_WORDS: Duration = Duration::from_millis(300);
/// The error message for a request without an answer.
const ASKING: &str = "cannot request a build from the Docker Engine";
/// The request's path, to which the query is added.
const PATH: &str = "/build?";
/// A build argument that would replace the Dockerfile frontend by an image of its choice (BuildKit,
/// `frontend/dockerfile/builder`).
const SYNTAX_ARGUMENT: &str = "BUILDKIT_SYNTAX";
/// The engine's own exporter, with an attribute of its own (moby, `builder-next/builder.go`;
/// BuildKit, `exporter/containerimage`).
const UNCOMPRESSED: &str = r#"[{"Type":"moby","Attrs":{"compression":"uncompressed"}}]"#;

/// What to build.
#[derive(Default)]
pub struct BuildRequest {
    /// The Dockerfile, named `Dockerfile`, and the files it uses.
    pub context: BuildContext,
    /// Tags for the image.
    pub tags: Vec<String>,
    /// Labels, set as they are.
    pub labels: BTreeMap<String, String>,
    /// Build arguments, set as they are.
    pub build_args: BTreeMap<String, String>,
    /// The network of `RUN` steps: `host`, `none`, or the engine's default.
    pub network: Option<String>,
    /// Do not use the build cache.
    pub no_cache: bool,
    /// Store the layers uncompressed, on an engine that would compress them on one processor and
    /// unpack them again.
    pub uncompressed: bool,
    /// What answers `RUN --mount=type=ssh,id=…`, by id.
    pub mounts: HashMap<String, Arc<dyn MountService>>,
    /// The gate to open while one step runs.
    pub gate: Option<GateMarker>,
}

/// Ties a [`Gate`] to the step whose name contains a text.
#[derive(Debug, Clone)]
pub struct GateMarker {
    /// The text.
    pub marker: String,
    /// The gate: opened when the step starts, closed when it ends.
    pub gate: Arc<Gate>,
}

impl BuildRequest {
    /// The path and query of the request.
    fn target(&self, session: &str, build: &str) -> Result<String> {
        let refused = |name: &&String| name.eq_ignore_ascii_case(SYNTAX_ARGUMENT);
        if let Some(name) = self.build_args.keys().find(refused) {
            return Err(
                Error::usage(format!("the build argument `{name}` is not allowed"))
                    .cause("it would let another program read the Dockerfile"),
            );
        }
        let json = |map: &BTreeMap<String, String>| {
            serde_json::to_string(map).expect("a map of strings is JSON")
        };
        let mut query = form_urlencoded::Serializer::for_suffix(PATH.to_owned(), PATH.len());
        query
            .append_pair("version", "2")
            .append_pair("session", session)
            .append_pair("buildid", build)
            .append_pair("networkmode", self.network.as_deref().unwrap_or("default"))
            .append_pair("labels", &json(&self.labels))
            .append_pair("buildargs", &json(&self.build_args));
        for tag in &self.tags {
            query.append_pair("t", tag);
        }
        if self.no_cache {
            query.append_pair("nocache", "1");
        }
        if self.uncompressed {
            query.append_pair("outputs", UNCOMPRESSED);
        }
        Ok(query.finish())
    }
}

/// Builds on `engine`, reports events to `on_event`, and cancels the build when `cancel` completes.
/// Registry credentials are those of the user with the environment `env`.
///
/// # Errors
/// The reason why there is no image; [`Error::interrupted`] within a second of a cancellation.
pub async fn build(
    engine: &Engine,
    env: &Env,
    request: BuildRequest,
    on_event: &mut (dyn FnMut(Event) + Send),
    cancel: impl Future<Output = ()> + Send,
) -> std::result::Result<ImageId, BuildFailure> {
    let mut cancel = pin!(cancel);
    let build_id = random_id();
    let gate = request.gate.clone();
    // Closed in every case, also when the future is dropped.
    let _closing = CloseOnDrop(gate.as_ref().map(|gate| gate.gate.clone()));
    let following = follow(
        engine,
        env,
        request,
        &build_id,
        GateKeeper::new(gate),
        on_event,
    );
    let ended = tokio::select! {
        biased;
        () = &mut cancel => Err(Ended::Canceled),
        ended = following => ended,
    };
    // The build's connections are closed by now, which already makes an engine that notices stop.
    match ended {
        Ok(image) => Ok(image),
        Err(Ended::Failed(failure)) => Err(failure),
        Err(Ended::Canceled) => {
            cancel_build(engine, &build_id).await;
            Err(Error::interrupted().into())
        }
        Err(Ended::SessionLost) => {
            if cancel_build(engine, &build_id).await {
                Err(BuildFailure::SessionLost)
            } else {
                Err(gone().into())
            }
        }
    }
}

enum Ended {
    Failed(BuildFailure),
    Canceled,
    SessionLost,
}

impl<E: Into<BuildFailure>> From<E> for Ended {
    fn from(failure: E) -> Self {
        Ended::Failed(failure.into())
    }
}

async fn follow(
    engine: &Engine,
    env: &Env,
    request: BuildRequest,
    build_id: &str,
    keeper: GateKeeper,
    on_event: &mut (dyn FnMut(Event) + Send),
) -> std::result::Result<ImageId, Ended> {
    let context = request.context.clone().into_bytes()?;
    let (auth, warnings) = RegistryAuth::new(env);
    // Rejected before anything is opened.
    request.target("", build_id)?;
    let session = Session::open(engine, request.mounts.clone(), auth).await?;
    let target = request.target(session.id(), build_id)?;
    let post = Request::post(engine.versioned(&target))
        .header(hyper::header::CONTENT_TYPE, "application/x-tar")
        .body(Full::new(Bytes::from(context)))
        .map_err(|e| Error::failed("cannot form the build request").source(e))?;
    let response = tokio::select! {
        sent = engine.send(post, ASKING) => sent?,
        () = session.lost() => return Err(Ended::SessionLost),
    };
    if response.status() != StatusCode::OK {
        let message = refusal(ASKING, response).await.causes.concat();
        return Err(BuildFailure::Refused { message }.into());
    }
    let mut report = Report {
        trace: Trace::default(),
        keeper,
        on_event,
    };
    let mut body = response.into_body();
    let read = tokio::select! {
        read = report.read(&mut body, warnings) => Some(read),
        () = session.lost() => None,
    };
    let lost = read.is_none();
    let read = match read {
        Some(read) => read,
        None => {
            let (_, silence) = mpsc::unbounded_channel();
            let rest = report.read(&mut body, silence);
            let rest = tokio::time::timeout(LAST_WORDS, rest).await;
            rest.map_err(|_| Ended::SessionLost)?
        }
    };
    match (report.end(), read) {
        (BuildResult::Built(image), _) => Ok(image),
        // The failure is that of the step that needed the session.
        (BuildResult::Failed(_), _) if lost => Err(Ended::SessionLost),
        (BuildResult::Failed(failed), _) => {
            Err(BuildFailure::of(failed, session.mounts_asked()).into())
        }
        (BuildResult::Unknown, Err(e)) => Err(gone().source(e).into()),
        (BuildResult::Unknown, Ok(())) => Err(without_result().into()),
    }
}

fn without_result() -> Error {
    Error::failed("the Docker Engine ended the build without a result")
        .hint("run the command again; the engine's log may say why")
}

fn gone() -> Error {
    Error::failed("the Docker Engine went away during the build")
        .hint("start it, then run the command again")
}

/// Whether the engine accepted the request to cancel.
async fn cancel_build(engine: &Engine, build_id: &str) -> bool {
    let path = engine.versioned(&format!("/build/cancel?id={build_id}"));
    let request = Request::post(path).body(Full::default());
    let Ok(request) = request else {
        return false;
    };
    let sent = tokio::time::timeout(CANCELING, engine.send(request, ASKING)).await;
    matches!(sent, Ok(Ok(_)))
}

/// Decodes the engine's answer, opens and closes the gate, and passes the events on.
struct Report<'a> {
    trace: Trace,
    keeper: GateKeeper,
    on_event: &'a mut (dyn FnMut(Event) + Send),
}

impl Report<'_> {
    /// Reads the answer to its end.
    async fn read(
        &mut self,
        body: &mut Incoming,
        mut warnings: mpsc::UnboundedReceiver<String>,
    ) -> std::result::Result<(), hyper::Error> {
        let mut events = Vec::new();
        loop {
            tokio::select! {
                frame = body.frame() => match frame {
                    None => return Ok(()),
                    Some(frame) => {
                        if let Some(bytes) = frame?.data_ref() {
                            self.trace.push(bytes, &mut events);
                        }
                    }
                },
                Some(text) = warnings.recv() => events.push(Event::Warning { text }),
            }
            self.pass_on(&mut events);
        }
    }

    fn pass_on(&mut self, events: &mut Vec<Event>) {
        for event in events.drain(..) {
            self.keeper.see(&event);
            (self.on_event)(event);
        }
    }

    fn end(mut self) -> BuildResult {
        let mut events = Vec::new();
        let outcome = std::mem::take(&mut self.trace).finish(&mut events);
        self.pass_on(&mut events);
        outcome
    }
}

/// Opens the gate while its step runs.
struct GateKeeper {
    marker: Option<GateMarker>,
    step: Option<StepId>,
}

impl GateKeeper {
    fn new(marker: Option<GateMarker>) -> Self {
        GateKeeper { marker, step: None }
    }

    fn see(&mut self, event: &Event) {
        let Some(GateMarker { marker, gate }) = &self.marker else {
            return;
        };
        match event {
            Event::Started { step, name }
                if self.step.is_none() && name.contains(marker.as_str()) =>
            {
                self.step = Some(*step);
                gate.open();
            }
            Event::Finished { step, .. } if self.step == Some(*step) => gate.close(),
            _ => {}
        }
    }
}

struct CloseOnDrop(Option<Arc<Gate>>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        if let Some(gate) = &self.0 {
            gate.close();
        }
    }
}

#[cfg(test)]
mod tests;
