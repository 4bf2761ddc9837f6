//! One run of a program in the sandbox: its arguments, folder, environment and input; what it
//! printed, and with which status it ended. A run that takes too long is killed.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::{Terminal, wait_until};

/// A program to run.
#[derive(Debug, Clone)]
#[must_use]
pub struct Invocation {
    program: OsString,
    arguments: Vec<OsString>,
    folder: PathBuf,
    environment: BTreeMap<OsString, OsString>,
    input: Vec<u8>,
    limit: Duration,
}

impl Invocation {
    /// `program` with `arguments` in `folder`, with exactly `environment`.
    pub fn new<A: AsRef<OsStr>>(
        program: impl AsRef<OsStr>,
        arguments: impl IntoIterator<Item = A>,
        folder: &Path,
        environment: &[(String, String)],
    ) -> Self {
        let pair = |(name, value): &(String, String)| (name.into(), value.into());
        Invocation {
            program: program.as_ref().to_owned(),
            arguments: arguments.into_iter().map(|a| a.as_ref().into()).collect(),
            folder: folder.to_owned(),
            environment: environment.iter().map(pair).collect(),
            input: Vec::new(),
            limit: Duration::from_secs(300),
        }
    }

    /// Runs it in `folder`.
    pub fn in_dir(mut self, folder: impl AsRef<Path>) -> Self {
        self.folder = folder.as_ref().to_owned();
        self
    }

    /// Sets a variable.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.environment.insert(name.into(), value.as_ref().into());
        self
    }

    /// Unsets a variable.
    pub fn env_remove(mut self, name: &str) -> Self {
        self.environment.remove(OsStr::new(name));
        self
    }

    /// What it reads from its standard input, which is no terminal.
    pub fn stdin(mut self, input: impl AsRef<[u8]>) -> Self {
        self.input = input.as_ref().to_owned();
        self
    }

    /// How long it may take (300 s).
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs it to its end.
    pub fn run(self) -> Output {
        self.spawn().wait()
    }

    /// Runs it; it must succeed.
    pub fn success(self) -> Output {
        let output = self.run();
        assert_eq!(output.code, Some(0), "this should succeed: {output}");
        output
    }

    /// Runs it; it must exit with `code`.
    pub fn failure(self, code: i32) -> Output {
        let output = self.run();
        assert_eq!(output.code, Some(code), "this should exit {code}: {output}");
        output
    }

    /// Starts it and returns.
    pub fn spawn(self) -> Running {
        let mut child = self
            .command()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run {}: {error}", self.line()));
        let mut stdin = child.stdin.take().expect("it is piped");
        let input = self.input.clone();
        // A program that does not read its input must not block the test, nor may its early end.
        std::thread::spawn(move || stdin.write_all(&input));
        Running {
            line: self.line(),
            deadline: Instant::now() + self.limit,
            started: Instant::now(),
            stdout: Capture::of(child.stdout.take().expect("it is piped")),
            stderr: Capture::of(child.stderr.take().expect("it is piped")),
            child,
        }
    }

    /// Starts it in a terminal of that many columns and lines.
    pub fn terminal(self, columns: u16, lines: u16) -> Terminal {
        let home = self.environment.get(OsStr::new("HOME"));
        let home = PathBuf::from(home.expect("the sandbox sets it"));
        let mut command = vec![self.program.clone()];
        command.extend(self.arguments.iter().cloned());
        let environment = self.environment.clone();
        Terminal::start(&home, &self.folder, command, environment, (columns, lines))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .current_dir(&self.folder)
            .env_clear()
            .envs(&self.environment);
        command
    }

    fn line(&self) -> String {
        let name = Path::new(&self.program).file_name().unwrap_or_default();
        let arguments = self.arguments.iter().map(|a| a.to_string_lossy());
        let words: Vec<_> = std::iter::once(name.to_string_lossy())
            .chain(arguments)
            .collect();
        words.join(" ")
    }
}

/// A program that runs; killed with its process group when dropped.
pub struct Running {
    line: String,
    child: Child,
    started: Instant,
    deadline: Instant,
    stdout: Capture,
    stderr: Capture,
}

impl Running {
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

    /// Waits until its standard error holds `text`.
    pub fn wait_for_stderr(&mut self, text: &str) {
        self.wait_for(text, |running| running.stderr.text());
    }

    /// Waits until its standard output holds `text`.
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
        let stdout_bytes = self.stdout.finish();
        let stderr = self.stderr.finish();
        Output {
            line: self.line.clone(),
            code: status.code(),
            status,
            stdout: String::from_utf8_lossy(&stdout_bytes).into_owned(),
            stdout_bytes,
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
            took,
        }
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

/// What a program that has ended printed.
#[derive(Debug, Clone)]
pub struct Output {
    line: String,
    status: ExitStatus,
    /// The exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// Standard output as text.
    pub stdout: String,
    /// Standard output as it is.
    pub stdout_bytes: Vec<u8>,
    /// Standard error as text.
    pub stderr: String,
    /// How long it ran.
    pub took: Duration,
}

impl Output {
    /// The command line, the program by its name alone.
    pub fn line(&self) -> &str {
        &self.line
    }

    /// The signal that ended it.
    pub fn signal(&self) -> Option<i32> {
        self.status.signal()
    }

    /// Standard error must hold `text`.
    pub fn stderr_has(&self, text: &str) -> &Self {
        assert!(
            self.stderr.contains(text),
            "standard error should hold {text:?}: {self}"
        );
        self
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "`{}` ({}, {:?})", self.line, self.status, self.took)?;
        writeln!(f, "--- stdout\n{}", self.stdout.trim_end())?;
        writeln!(f, "--- stderr\n{}", self.stderr.trim_end())
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

    /// All of it, once every holder of the pipe has closed it. What a child that outlives the
    /// program might still write is part of it.
    fn finish(&mut self) -> Vec<u8> {
        let thread = self.thread.take().expect("finished once");
        let ended = wait_until(Duration::from_secs(10), || thread.is_finished());
        assert!(ended, "a child holds the output open: {}", self.text());
        thread.join().expect("it does not panic");
        std::mem::take(&mut self.bytes.lock().expect("no holder panics"))
    }
}
