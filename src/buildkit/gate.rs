//! When the user's key may be used: only while the one step that needs it runs.

use std::time::Duration;

use tokio::sync::watch;

/// How long a request waits for the gate to open: the engine may report that a step began after the
/// step's first connection.
const PATIENCE: Duration = Duration::from_secs(10);

/// Guards the use of a key. It opens once and, when closed, stays closed.
#[derive(Debug)]
pub struct Gate {
    state: watch::Sender<State>,
    patience: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Open,
    Closed,
}

impl Default for Gate {
    fn default() -> Self {
        Gate::with_patience(PATIENCE)
    }
}

impl Gate {
    /// A gate that waits for its step.
    pub fn new() -> Self {
        Self::default()
    }

    fn with_patience(patience: Duration) -> Self {
        Gate {
            state: watch::Sender::new(State::Waiting),
            patience,
        }
    }

    /// The step began. A closed gate stays closed.
    pub fn open(&self) {
        self.state.send_if_modified(|state| {
            let opens = *state == State::Waiting;
            if opens {
                *state = State::Open;
            }
            opens
        });
    }

    /// The step, or the whole build, ended.
    pub fn close(&self) {
        self.state.send_replace(State::Closed);
    }

    /// Whether the step runs now.
    #[cfg(test)]
    pub fn is_open(&self) -> bool {
        *self.state.borrow() == State::Open
    }

    /// Whether a request may pass now; while the step has not begun yet, it waits up to 10 s.
    pub async fn passes(&self) -> bool {
        let mut state = self.state.subscribe();
        let settled = state.wait_for(|state| *state != State::Waiting);
        match tokio::time::timeout(self.patience, settled).await {
            Ok(Ok(state)) => *state == State::Open,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_waits_for_its_step_but_not_for_ever() {
        let impatient = Gate::with_patience(Duration::from_millis(10));
        assert!(!impatient.passes().await);
        let gate = std::sync::Arc::new(Gate::new());
        let early = tokio::spawn({
            let gate = gate.clone();
            async move { gate.passes().await }
        });
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!early.is_finished());
        gate.open();
        assert!(early.await.unwrap());
        assert!(gate.passes().await);
    }

    #[tokio::test]
    async fn a_closed_gate_never_opens_again() {
        let gate = Gate::new();
        gate.open();
        gate.close();
        gate.open();
        assert!(!gate.passes().await);
    }
}
