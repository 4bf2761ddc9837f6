//! What happens in a build, as plain values: the trace decoder produces them, the progress shows them.

use std::time::Duration;

/// Identifies one step (one BuildKit vertex) within a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StepId(pub usize);

/// Which output of a step a log line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// One thing that happened in a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A step began; `name` is BuildKit's, e.g. `[3/9] RUN make`.
    Started { step: StepId, name: String },
    /// A whole line of a step's output, without its end, control sequences removed. `transient`
    /// is a line that ended in a carriage return: git's progress. One that ended in both is reported
    /// twice, first as transient, then as permanent.
    Log {
        step: StepId,
        stream: Stream,
        line: String,
        transient: bool,
    },
    /// A step's own counter, e.g. `exporting layers`; `total` is 0 when unknown.
    Counter {
        step: StepId,
        name: String,
        current: u64,
        total: u64,
        done: bool,
    },
    /// A step ended, `cached` without running.
    Finished {
        step: StepId,
        name: String,
        cached: bool,
        error: Option<String>,
        took: Option<Duration>,
    },
    /// A warning of the engine's Dockerfile frontend.
    Warning { text: String },
}
