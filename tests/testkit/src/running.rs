//! A program that a test observes, or sends a signal, while it runs.

use std::io::{Read, Write};
use std::process::{self, Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::{Output, wait_until};

/// A program that runs in a process group of its own, which is killed when this is dropped.
pub struct Running {
    line: String,
    child: Child,
    started: Instant,
    deadline: Instant,
    stdout: Capture,
    stderr: Capture,
}

impl Running {
    pub(crate) fn start(
        mut command: Command,
        line: String,
        input: Vec<u8>,
        limit: Duration,
    ) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run {line}: {error}"));
        let mut stdin = child.stdin.take().expect("it is piped");
        // A program that does not read its input must not block the test, nor may its early end.
        std::thread::spawn(move || stdin.write_all(&input));
        Running {
            line,
            deadline: Instant::now() + limit,
            started: Instant::now(),
            stdout: Capture::of(child.stdout.take().expect("it is piped")),
            stderr: Capture::of(child.stderr.take().expect("it is piped")),
            child,
        }
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }

    /// Sends a signal to its process group, as a terminal does for Ctrl-C.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        // A group that has ended already is no error.
        let _ = kill_process_group(pid.expect("a process has an id"), signal);
    }

    /// Waits until its standard error contains `text`.
    pub fn wait_for_stderr(&mut self, text: &str) {
        self.wait_for(text, |running| running.stderr.text());
    }

    /// Waits until its standard output contains `text`.
    pub fn wait_for_stdout(&mut self, text: &str) {
        self.wait_for(text, |running| running.stdout.text());
    }

    fn wait_for(&mut self, text: &str, written: impl Fn(&Self) -> String) {
        let limit = self.deadline.saturating_duration_since(Instant::now());
        let found = wait_until(limit, || {
            written(self).contains(text)
                || self.child.try_wait().is_ok_and(|status| status.is_some())
        });
        // What it wrote just before its end may come a moment after that.
        let late = Duration::from_secs(10);
        let found = found && wait_until(late, || written(self).contains(text));
        let (stdout, stderr) = (self.stdout.text(), self.stderr.text());
        assert!(
            found,
            "{}: {text:?} does not come\nstdout: {stdout}\nstderr: {stderr}",
            self.line
        );
    }

    /// Waits for its end.
    pub fn wait(mut self) -> Output {
        let limit = self.deadline.saturating_duration_since(Instant::now());
        let mut status = None;
        wait_until(limit, || {
            status = self.child.try_wait().expect("it is our child");
            status.is_some()
        });
        let took = self.started.elapsed();
        let Some(status) = status else {
            self.signal(Signal::KILL);
            let (stdout, stderr) = (self.stdout.text(), self.stderr.text());
            panic!(
                "`{}` has not ended after {took:?}\nstdout: {stdout}\nstderr: {stderr}",
                self.line
            );
        };
        let ended = process::Output {
            status,
            stdout: self.stdout.finish(),
            stderr: self.stderr.finish(),
        };
        Output::new(self.line.clone(), ended, took)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // After `wait` the id may belong to another process.
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            self.signal(Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

/// What comes through a pipe, collected by a thread.
struct Capture {
    bytes: Arc<Mutex<Vec<u8>>>,
    thread: Option<JoinHandle<()>>,
}

impl Capture {
    fn of(mut pipe: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let shared = bytes.clone();
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 65536];
            while let Ok(count @ 1..) = pipe.read(&mut buffer) {
                let mut bytes = shared.lock().expect("no holder panics");
                bytes.extend_from_slice(&buffer[..count]);
            }
        });
        let thread = Some(thread);
        Capture { bytes, thread }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().expect("no holder panics")).into_owned()
    }

    /// All of it, once every holder of the pipe has closed it: also the output of children that outlive
    /// the program.
    fn finish(&mut self) -> Vec<u8> {
        let thread = self.thread.take().expect("finished once");
        let ended = wait_until(Duration::from_secs(10), || thread.is_finished());
        assert!(ended, "a child holds the output open: {}", self.text());
        thread.join().expect("it does not panic");
        std::mem::take(&mut self.bytes.lock().expect("no holder panics"))
    }
}
