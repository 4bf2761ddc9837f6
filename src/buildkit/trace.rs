//! Decodes the answer of `/build`: BuildKit's progress, and the resulting image or error.
//!
//! Pure: bytes in, [`Event`]s out. The stream (moby `builder/builder-next` and BuildKit
//! `api/services/control/control.proto`) is lines of JSON objects; `moby.buildkit.trace` carries a protobuf
//! `StatusResponse`, in which the same vertex occurs many times. Unknown data is ignored.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bollard_buildkit_proto::google::protobuf::Timestamp;
use bollard_buildkit_proto::moby::buildkit::v1::{StatusResponse, Vertex, VertexLog, VertexStatus};
use prost::Message;
use serde_json::Value;

use super::event::{Event, StepId, Stream};
use super::failure::is_canceled;
use super::log_lines::{Line, LogLines};
use crate::text::strip_controls;

/// How many of a step's last lines are kept for the report of a failure.
pub(super) const TAIL: usize = 30;

/// The longest line that is kept, in bytes. The engine's are far shorter.
const LONGEST: usize = 32 * 1024 * 1024;

/// The id of an image: `sha256:` and 64 hex digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ImageId(pub String);

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a build ended, as the engine reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum BuildResult {
    Built(ImageId),
    Failed(Failed),
    /// The stream ended with neither an image nor an error.
    Unknown,
}

/// A failure as the engine reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failed {
    pub(super) message: String,
    pub(super) step: Option<TracedStep>,
    /// How many ssh mounts the steps that ran had: some session was asked for one this many times.
    pub(super) ssh_mounts: usize,
}

/// What is remembered of a step in case it fails.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct TracedStep {
    pub(super) name: String,
    pub(super) error: Option<String>,
    pub(super) tail: VecDeque<String>,
}

impl TracedStep {
    /// How many ssh mounts its instruction names.
    pub(super) fn ssh_mounts(&self) -> usize {
        self.name.matches("--mount=type=ssh").count()
    }
}

/// Decodes one build's stream.
#[derive(Debug, Default)]
pub(super) struct Trace {
    /// The beginning of a line.
    line: Vec<u8>,
    ids: HashMap<String, StepId>,
    steps: Vec<Progress>,
    warnings: Vec<String>,
    image: Option<ImageId>,
    error: Option<String>,
}

#[derive(Debug, Default)]
struct Progress {
    step: TracedStep,
    started: bool,
    finished: bool,
    cached: bool,
    logs: [LogLines; 2],
    counters: HashMap<String, (u64, u64, bool)>,
}

impl Trace {
    /// Takes the next bytes of the stream; the events they complete are added to `events`.
    pub(super) fn push(&mut self, bytes: &[u8], events: &mut Vec<Event>) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                self.end_line(events);
            } else if self.line.len() > LONGEST {
                self.line.clear();
            }
        }
    }

    /// Handles the objects of a line. Invalid JSON hides the rest of its line, but nothing more.
    fn end_line(&mut self, events: &mut Vec<Event>) {
        let line = std::mem::take(&mut self.line);
        let values = serde_json::Deserializer::from_slice(&line).into_iter::<Value>();
        for value in values.map_while(Result::ok) {
            self.value(&value, events);
        }
    }

    /// The stream ended: the last lines, and the outcome.
    pub(super) fn finish(mut self, events: &mut Vec<Event>) -> BuildResult {
        self.end_line(events);
        for index in 0..self.steps.len() {
            self.flush(StepId(index), events);
        }
        match (self.error.take(), self.image.take()) {
            (Some(message), _) => {
                let step = self.failed_step(&message);
                BuildResult::Failed(Failed {
                    message,
                    step,
                    ssh_mounts: self.ssh_mounts(),
                })
            }
            (None, Some(image)) => BuildResult::Built(image),
            (None, None) => BuildResult::Unknown,
        }
    }

    fn value(&mut self, value: &Value, events: &mut Vec<Event>) {
        let detail = value["errorDetail"]["message"].as_str();
        if let Some(message) = detail.or_else(|| value["error"].as_str()) {
            self.error = Some(strip_controls(message).trim().to_owned());
        }
        match (value["id"].as_str(), &value["aux"]) {
            (Some("moby.buildkit.trace"), Value::String(aux)) => {
                let status = BASE64.decode(aux).ok();
                if let Some(status) = status.and_then(|b| StatusResponse::decode(&*b).ok()) {
                    self.status(status, events);
                }
            }
            (Some("moby.image.id"), aux) => {
                let id = aux["ID"].as_str().filter(|id| !id.is_empty());
                self.image = id.map(|id| ImageId(id.to_owned())).or(self.image.take());
            }
            _ => {}
        }
    }

    fn status(&mut self, mut status: StatusResponse, events: &mut Vec<Event>) {
        // One message may report the start, the last lines and the end of one step, and the start of
        // the next: in this order.
        let (ended, begun): (Vec<_>, Vec<_>) = status
            .vertexes
            .iter()
            .partition(|vertex| vertex.completed.is_some());
        for vertexes in [ended, begun] {
            for vertex in &vertexes {
                self.start(vertex, events);
            }
            status
                .statuses
                .retain(|counter| !self.count(counter, events));
            status.logs.retain(|log| !self.log(log, events));
            for vertex in vertexes {
                self.end(vertex, events);
            }
        }
        for warning in &status.warnings {
            let text = one_line(&String::from_utf8_lossy(&warning.short));
            if !text.is_empty() && !self.warnings.contains(&text) {
                self.warnings.push(text.clone());
                events.push(Event::Warning { text });
            }
        }
    }

    fn start(&mut self, vertex: &Vertex, events: &mut Vec<Event>) {
        let next = StepId(self.steps.len());
        let id = *self.ids.entry(vertex.digest.clone()).or_insert(next);
        if id == next {
            self.steps.push(Progress::default());
        }
        let progress = &mut self.steps[id.0];
        if !vertex.name.is_empty() {
            progress.step.name = one_line(&vertex.name);
        }
        let begun = vertex.started.is_some() || vertex.completed.is_some();
        if begun && !progress.started {
            progress.started = true;
            events.push(Event::Started {
                step: id,
                name: progress.step.name.clone(),
            });
        }
    }

    fn end(&mut self, vertex: &Vertex, events: &mut Vec<Event>) {
        let Some(id) = self.ids.get(&vertex.digest).copied() else {
            return;
        };
        let progress = &mut self.steps[id.0];
        let error = Some(strip_controls(vertex.error.trim())).filter(|error| !error.is_empty());
        // A step may fail when it is resumed after it had ended once.
        if error.is_some() {
            progress.step.error.clone_from(&error);
        }
        if vertex.completed.is_none() || progress.finished {
            return;
        }
        progress.finished = true;
        progress.cached = vertex.cached;
        let name = progress.step.name.clone();
        self.flush(id, events);
        events.push(Event::Finished {
            step: id,
            name,
            cached: vertex.cached,
            error,
            took: took(vertex.started.as_ref(), vertex.completed.as_ref()),
        });
    }

    /// Whether the step has begun, so that its counter could be reported.
    fn count(&mut self, status: &VertexStatus, events: &mut Vec<Event>) -> bool {
        let Some((id, progress)) = self.find(&status.vertex) else {
            return false;
        };
        let name = if status.id.is_empty() {
            &status.name
        } else {
            &status.id
        };
        let name = one_line(name);
        let current = u64::try_from(status.current).unwrap_or(0);
        let total = u64::try_from(status.total).unwrap_or(0);
        let done = status.completed.is_some();
        let state = Some((current, total, done));
        if progress
            .counters
            .insert(name.clone(), (current, total, done))
            != state
        {
            events.push(Event::Counter {
                step: id,
                name,
                current,
                total,
                done,
            });
        }
        true
    }

    /// Whether the step has begun, so that its lines could be reported.
    fn log(&mut self, log: &VertexLog, events: &mut Vec<Event>) -> bool {
        let Some((id, progress)) = self.find(&log.vertex) else {
            return false;
        };
        // Streams have the numbers of file descriptors.
        let stream = if log.stream == 1 {
            Stream::Stdout
        } else {
            Stream::Stderr
        };
        let tail = &mut progress.step.tail;
        progress.logs[stream as usize].push(&log.msg, |line| emit(id, stream, line, tail, events));
        true
    }

    /// What is left of a step's unfinished lines.
    fn flush(&mut self, id: StepId, events: &mut Vec<Event>) {
        let progress = &mut self.steps[id.0];
        for stream in [Stream::Stdout, Stream::Stderr] {
            if let Some(line) = progress.logs[stream as usize].finish() {
                emit(id, stream, line, &mut progress.step.tail, events);
            }
        }
    }

    /// A step that began. Lines of one that did not begin cannot be shown.
    fn find(&mut self, digest: &str) -> Option<(StepId, &mut Progress)> {
        let id = *self.ids.get(digest)?;
        let progress = &mut self.steps[id.0];
        progress.started.then_some((id, progress))
    }

    fn ssh_mounts(&self) -> usize {
        let ran = self
            .steps
            .iter()
            .filter(|progress| progress.started && !progress.cached);
        ran.map(|progress| progress.step.ssh_mounts()).sum()
    }

    /// The step that `message` is about, or else the first that failed by itself.
    fn failed_step(&self, message: &str) -> Option<TracedStep> {
        let failed = || {
            let steps = self.steps.iter().map(|progress| &progress.step);
            steps.filter_map(|step| Some((step, step.error.as_deref()?)))
        };
        let named = failed().find(|(_, error)| message.contains(error));
        let own = || failed().find(|(_, error)| !is_canceled(error));
        let step = named.or_else(own).or_else(|| failed().next());
        step.map(|(step, _)| step.clone())
    }
}

fn emit(
    id: StepId,
    stream: Stream,
    line: Line,
    tail: &mut VecDeque<String>,
    events: &mut Vec<Event>,
) {
    if !line.transient {
        if tail.len() == TAIL {
            tail.pop_front();
        }
        tail.push_back(line.text.clone());
    }
    events.push(Event::Log {
        step: id,
        stream,
        line: line.text,
        transient: line.transient,
    });
}

fn one_line(text: &str) -> String {
    strip_controls(text)
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

fn took(started: Option<&Timestamp>, completed: Option<&Timestamp>) -> Option<Duration> {
    let nanos = |t: &Timestamp| i128::from(t.seconds) * 1_000_000_000 + i128::from(t.nanos);
    let nanos = nanos(completed?) - nanos(started?);
    u64::try_from(nanos).ok().map(Duration::from_nanos)
}
