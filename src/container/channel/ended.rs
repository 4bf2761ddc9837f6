//! Waiting for the end of a channel's container.

use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use crate::error::{Error, Result};

/// The status of a container, as its engine reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContainerStatus {
    /// It exists and has not run since the channel was opened.
    Waiting,
    /// It is running, or paused.
    Running,
    /// It has ended.
    Stopped,
    /// It does not exist.
    Gone,
}

/// After how long without an answer or a start a channel ends.
#[derive(Debug, Clone)]
pub struct ChannelTimeouts {
    /// For the container to start at first.
    pub start: Duration,
    /// For an engine to answer again, when it restarts and leaves its containers running.
    pub engine: Duration,
    /// For an engine to answer one question.
    pub answer: Duration,
    /// Between two checks of a container that is not running yet or whose engine does not answer.
    pub often: Duration,
    /// Between two checks of a running one, in case its end was missed.
    pub seldom: Duration,
}

impl ChannelTimeouts {
    /// Limits the time of a request that an engine answers at once.
    ///
    /// # Errors
    /// When it does not answer in time, and any error of `question`.
    pub async fn ask<T>(&self, question: impl Future<Output = Result<T>>) -> Result<T> {
        let silent = |_| Error::failed("the engine does not answer");
        timeout(self.answer, question).await.map_err(silent)?
    }
}

impl Default for ChannelTimeouts {
    fn default() -> Self {
        ChannelTimeouts {
            start: Duration::from_secs(60),
            engine: Duration::from_secs(15 * 60),
            answer: Duration::from_secs(30),
            often: Duration::from_secs(1),
            seldom: Duration::from_secs(60),
        }
    }
}

/// Waits until the container has ended or was never started, and returns its status.
///
/// `inspect` asks the engine for the status; `next_exit` completes at the container's next exit
/// (`POST /containers/{id}/wait?condition=next-exit`), so that it also works for a container that is
/// about to be started. Both may fail while the engine restarts. Whenever `next_exit` fails, an exit
/// may have been missed, so the status is checked at once.
pub async fn wait_for_end(
    patience: &ChannelTimeouts,
    inspect: impl AsyncFn() -> Result<ContainerStatus>,
    next_exit: impl AsyncFn() -> Result<()>,
) -> ContainerStatus {
    let doubt = Notify::new();
    let inspect = async || patience.ask(inspect()).await;
    tokio::select! {
        () = exit(patience, &next_exit, &doubt) => {}
        () = absence(patience, &inspect, &doubt) => {}
    }
    match inspect().await {
        Ok(ContainerStatus::Running) | Err(_) => ContainerStatus::Stopped,
        Ok(state) => state,
    }
}

/// Completes when `next_exit` does. When that fails, notifies `doubt`, so that [`absence`] checks.
async fn exit(
    patience: &ChannelTimeouts,
    next_exit: &impl AsyncFn() -> Result<()>,
    doubt: &Notify,
) {
    while next_exit().await.is_err() {
        doubt.notify_one();
        sleep(patience.often).await;
    }
}

/// Completes when the container no longer exists, was not started in time, has ended unnoticed, or its
/// engine has not answered for long. Checks at intervals, and at once when `doubt` is notified.
async fn absence(
    patience: &ChannelTimeouts,
    inspect: &impl AsyncFn() -> Result<ContainerStatus>,
    doubt: &Notify,
) {
    let began = Instant::now();
    let mut answered = began;
    loop {
        let state = inspect().await;
        if state.is_ok() {
            answered = Instant::now();
        }
        let pause = match state {
            Ok(ContainerStatus::Gone | ContainerStatus::Stopped) => return,
            Ok(ContainerStatus::Waiting) if began.elapsed() >= patience.start => return,
            Err(_) if answered.elapsed() >= patience.engine => return,
            Ok(ContainerStatus::Running) => patience.seldom,
            Ok(ContainerStatus::Waiting) | Err(_) => patience.often,
        };
        tokio::select! {
            () = sleep(pause) => {}
            () = doubt.notified() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::pending;

    use super::*;
    use crate::error::Error;

    const MS: Duration = Duration::from_millis(1);

    fn patience() -> ChannelTimeouts {
        ChannelTimeouts {
            start: 100 * MS,
            engine: 200 * MS,
            answer: 50 * MS,
            often: MS,
            seldom: 5 * MS,
        }
    }

    /// Returns `states` one after the other, the last one for ever; gives the result and the time taken.
    async fn end_of(states: &[Option<ContainerStatus>]) -> (ContainerStatus, Duration) {
        let next = Cell::new(0);
        let inspect = async || {
            let state = states[next.get().min(states.len() - 1)];
            next.set(next.get() + 1);
            state.ok_or_else(|| Error::failed("no engine"))
        };
        let began = Instant::now();
        let end = wait_for_end(&patience(), inspect, pending).await;
        (end, began.elapsed())
    }

    #[tokio::test]
    async fn a_container_that_is_yet_to_start_is_waited_for() {
        use ContainerStatus::{Gone, Running, Stopped, Waiting};
        let story = [Waiting, Waiting, Running, Running, Gone].map(Some);
        assert_eq!(end_of(&story).await.0, Gone);
        assert_eq!(end_of(&[Waiting, Stopped].map(Some)).await.0, Stopped);
        let (end, took) = end_of(&[Some(Waiting)]).await;
        assert_eq!(end, Waiting);
        assert!(took >= 100 * MS, "{took:?}");
    }

    #[tokio::test]
    async fn an_engine_that_restarts_is_waited_for_but_not_for_ever() {
        use ContainerStatus::{Running, Stopped};
        let story = [Some(Running), None, None, Some(Running), Some(Stopped)];
        assert_eq!(end_of(&story).await.0, Stopped);
        let (_, took) = end_of(&[Some(Running), None]).await;
        assert!(took >= 200 * MS, "{took:?}");
    }

    #[tokio::test]
    async fn the_exit_itself_is_noticed_at_once() {
        let failures = Cell::new(2);
        let next_exit = async || {
            failures.set(failures.get() - 1);
            if failures.get() > 0 {
                return Err(Error::failed("connection lost"));
            }
            Ok(())
        };
        let inspect = async || Ok(ContainerStatus::Running);
        let end = wait_for_end(&patience(), inspect, next_exit).await;
        assert_eq!(end, ContainerStatus::Stopped);
        assert_eq!(failures.get(), 0);
    }

    #[tokio::test]
    async fn an_end_that_was_missed_as_a_connection_was_lost_is_found_at_once() {
        let patience = ChannelTimeouts {
            seldom: Duration::from_secs(3600),
            ..patience()
        };
        let asked = Cell::new(0);
        let next_exit = async || {
            asked.set(asked.get() + 1);
            sleep(10 * MS).await;
            Err(Error::failed("connection lost"))
        };
        let inspect = async || {
            Ok(match asked.get() {
                0..3 => ContainerStatus::Running,
                _ => ContainerStatus::Gone,
            })
        };
        let end = wait_for_end(&patience, inspect, next_exit);
        let end = timeout(Duration::from_secs(30), end).await;
        assert_eq!(end.unwrap(), ContainerStatus::Gone);
    }

    #[tokio::test]
    async fn an_engine_that_is_silent_is_given_up_as_one_that_fails() {
        let asked = Cell::new(0);
        let inspect = async || {
            asked.set(asked.get() + 1);
            match asked.get() {
                1 => Ok(ContainerStatus::Running),
                _ => pending().await,
            }
        };
        let (patience, began) = (patience(), Instant::now());
        let end = wait_for_end(&patience, inspect, pending);
        let end = timeout(Duration::from_secs(30), end).await;
        assert_eq!(end.unwrap(), ContainerStatus::Stopped);
        assert!(began.elapsed() >= 200 * MS, "{:?}", began.elapsed());
    }
}
